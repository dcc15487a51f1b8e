"""What runs in a worker: functions of plain data, so that any executor can call them anywhere.

A case travels with each task as bytes; a worker unpacks it once and keeps its samples and
references for the tasks that follow. Answers stay bytes on their way from the method to the
referee: nobody in between has to look into them.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

from harness.answers import answer
from harness.cases.case import Case
from harness.execution.memory import forget_peak, peak
from harness.judging.cell import judged
from harness.model import Answer, Row
from harness.plan import Cell, Request
from harness.workbench import Workbench

T = TypeVar("T")

#: Cases that a worker keeps unpacked.
_KEPT = 4


def pack(case: Case, request: Request) -> bytes:
    """A case and the options of the run, as a task carries them."""
    return pickle.dumps((case, request), protocol=pickle.HIGHEST_PROTOCOL)


def pack_answer(found: Answer) -> bytes:
    """An answer as it travels."""
    return pickle.dumps(found, protocol=pickle.HIGHEST_PROTOCOL)


@lru_cache(_KEPT)
def _workbench(parcel: bytes) -> Workbench:
    case, request = pickle.loads(parcel)
    return Workbench([case], request)


@dataclass(frozen=True)
class Done(Generic[T]):
    """What came of a task, one result for each of its cells, and the memory that it took.

    peak:     bytes that the worker held at its worst moment, libraries included.
    seconds:  how long it took.
    """

    results: list[T]
    peak: int
    seconds: float


def answers(parcel: bytes, cells: Sequence[Cell]) -> Done[bytes]:
    """Run one method on some cells of a case."""
    forget_peak()
    start = time.perf_counter()
    bench = _workbench(parcel)
    found = [pack_answer(answer(cell, bench)) for cell in cells]
    return Done(found, peak(), time.perf_counter() - start)


def verdicts(parcel: bytes, work: Sequence[tuple[Cell, bytes | None]]) -> Done[list[Row]]:
    """Judge answers; a cell without one is answered here."""
    forget_peak()
    start = time.perf_counter()
    bench = _workbench(parcel)
    found = [
        judged(cell, answer(cell, bench) if given is None else pickle.loads(given), bench)
        for cell, given in work
    ]
    return Done(found, peak(), time.perf_counter() - start)

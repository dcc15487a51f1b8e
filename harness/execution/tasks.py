"""What runs in a worker: functions of plain data, so that any executor can call them anywhere.

A case travels with each task as bytes; a worker unpacks it once and keeps its samples and
references for the tasks that follow. Answers stay bytes on their way from the method to the
referee: nobody in between has to look into them.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from functools import lru_cache

from harness.answers import answer
from harness.cases.case import Case
from harness.judging import judged
from harness.model import Answer, Row
from harness.plan import Cell, Request
from harness.workbench import Workbench

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


def answers(parcel: bytes, cells: Sequence[Cell]) -> list[bytes]:
    """Run one method on some cells of a case."""
    bench = _workbench(parcel)
    return [pack_answer(answer(cell, bench)) for cell in cells]


def verdicts(parcel: bytes, work: Sequence[tuple[Cell, bytes | None]]) -> list[list[Row]]:
    """Judge answers; a cell without one is answered here."""
    bench = _workbench(parcel)
    return [
        judged(cell, answer(cell, bench) if given is None else pickle.loads(given), bench)
        for cell, given in work
    ]

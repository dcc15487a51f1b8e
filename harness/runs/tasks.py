"""What runs in a worker: functions of plain data, so that any executor can call them anywhere.

A case travels with each task as bytes; a worker unpacks it once and keeps its samples and
references for the tasks that follow. Answers stay bytes on their way from the method to the
referee: nobody in between has to look into them.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from harness.cases.case import Case
from harness.cell import Cell
from harness.errors import CaseError
from harness.model import Answer, Array, Failure, Row, Status
from harness.runs import reads
from harness.runs.engine import KEPT, Engine
from harness.runs.memory import forget_peak, peak
from harness.runs.plan import Request

T = TypeVar("T")


class Packed(NamedTuple):
    """An answer as it travels: pickled but for the memory of its large arrays, and the digest of
    the sample that it is about ("" where that is not known)."""

    head: bytes
    large: list[Array]
    sample: str = ""


#: Bytes of an array from which on it is not copied to be packed.
_LARGE = 2**16
#: Cases that a worker keeps unpacked.
_KEPT = 4


def pack(case: Case, request: Request) -> bytes:
    """A case and the options of the run, as a task carries them."""
    return pickle.dumps((case, request), protocol=pickle.HIGHEST_PROTOCOL)


def pack_answer(found: Answer, sample: str = "") -> Packed:
    """An answer as it travels, about the sample with that digest."""
    large: list[Array] = []

    def inside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < _LARGE:
            return True
        large.append(np.asarray(raw))
        return False

    head = pickle.dumps(found, protocol=pickle.HIGHEST_PROTOCOL, buffer_callback=inside)
    return Packed(head, large, sample)


def unpack_answer(packed: Packed) -> Answer:
    """The answer that was packed."""
    found: Answer = pickle.loads(packed.head, buffers=packed.large)
    return found


def size_of(packed: Packed) -> int:
    """Bytes of a packed answer."""
    return len(packed.head) + sum(each.nbytes for each in packed.large)


@lru_cache(_KEPT)
def _engine(parcel: bytes) -> Engine:
    case, request = pickle.loads(parcel)
    reads.watch(case)
    return Engine([case], request)


@dataclass(frozen=True)
class Done(Generic[T]):
    """What came of a task, one result for each of its cells, and the memory that it took.

    peak:     bytes that the worker held at its worst moment, libraries included.
    seconds:  how long it took.
    reads:    the files that the case's code has read, and their digests (see `runs.reads`).
    """

    results: list[T]
    peak: int
    seconds: float
    reads: dict[str, str]


def answers(parcel: bytes, cells: Sequence[Cell]) -> Done[Packed]:
    """Run one method on some cells of a case."""
    forget_peak()
    start = time.perf_counter()
    engine = _engine(parcel)
    found: list[Packed] = []
    for first in range(0, len(cells), KEPT):
        # One thing at a time: code that runs again at once is still in the processor's caches.
        few = cells[first : first + KEPT]
        for cell in few:
            with suppress(Exception):  # `answer` meets it again, and makes a row of it
                _ = engine.subject(cell).sample
        given = [(engine.answer(cell), _digest(cell, engine)) for cell in few]
        found += (pack_answer(*each) for each in given)
    return _done(found, engine, start)


def verdicts(parcel: bytes, work: Sequence[tuple[Cell, Packed | None]]) -> Done[list[Row]]:
    """Judge answers; a cell without one is answered here."""
    forget_peak()
    start = time.perf_counter()
    engine = _engine(parcel)
    found = [
        engine.judge(cell, engine.answer(cell) if given is None else _about(cell, given, engine))
        for cell, given in work
    ]
    return _done(found, engine, start)


def _done(results: list[T], engine: Engine, start: float) -> Done[T]:
    (case,) = engine.cases.values()
    return Done(results, peak(), time.perf_counter() - start, reads.found(case))


def _digest(cell: Cell, engine: Engine) -> str:
    """The digest of the sample as this process draws it; "" where it cannot, which is told
    elsewhere."""
    with suppress(Exception):
        return engine.subject(cell).digest
    return ""


def _about(cell: Cell, given: Packed, engine: Engine) -> Answer:
    """An answer that was given about the very numbers that it is judged by. `inputs` may have drawn
    others in the process of the method, and that is no fault of the method."""
    here = _digest(cell, engine)
    if not given.sample or not here or given.sample == here:
        return unpack_answer(given)
    case = engine.cases[cell.case]
    error = CaseError(
        "`inputs` does not return the same numbers in every process",
        file=case.code.file,
        remedy="draw them from `rng`, which is seeded, and from nothing else",
    )
    return dict.fromkeys(engine.request.modes_of(cell), Failure(Status.ERROR, str(error)))

"""What is timed, in the worker of its framework: the bare calls of one method on one sample.

Preparing a method may compile it, so it is kept between its visits. A worker that died has nothing
kept: the next visit prepares the method anew.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from harness import backends
from harness.backends.base import Call, FrameworkBackend
from harness.cases.case import Case
from harness.cases.sampling import draw_sample
from harness.cell import Cell
from harness.errors import Unsupported
from harness.judging.rows import describe
from harness.model import Failure, Status
from harness.studies.bench.stopwatch import Stopwatch

#: Methods that a worker keeps ready: the variants of one framework.
_KEPT = 8
QUANTITIES = ("value", "gradient")


@dataclass(frozen=True)
class Visit:
    """Seconds per call, the number of calls it is the median of, and seconds of the first one."""

    seconds: float
    calls: int
    first: float


def pack(case: Case) -> bytes:
    """A case as it travels to a worker."""
    return pickle.dumps(case, protocol=pickle.HIGHEST_PROTOCOL)


@np.errstate(all="ignore")  # entered once, not once per call: it costs half a microsecond
def visit(
    parcel: bytes, cell: Cell, quantity: str, budget: float, seconds: float
) -> Visit | Failure:
    """Time a quantity of a cell for `seconds`, the first time after warming up for `budget`."""
    try:
        watch = _stopwatch(parcel, cell, quantity, budget)
        return Visit(*watch.visit(seconds), watch.first)
    except Exception as error:  # whatever a case or a framework raises
        backend, case = backends.make(cell.backend), pickle.loads(parcel)
        unable = isinstance(error, Unsupported) or (
            isinstance(backend, FrameworkBackend) and backend.unsupported(error)
        )
        return Failure(Status.UNSUPPORTED if unable else Status.ERROR, describe(error, case.code))


@lru_cache(_KEPT * len(QUANTITIES))
def _stopwatch(parcel: bytes, cell: Cell, quantity: str, budget: float) -> Stopwatch:
    return Stopwatch(_calls(parcel, cell)[QUANTITIES.index(quantity)], budget)


@lru_cache(_KEPT)
def _calls(parcel: bytes, cell: Cell) -> tuple[Call, Call]:
    case: Case = pickle.loads(parcel)
    sample = draw_sample(case, cell.point, cell.size, cell.dtype)
    return backends.make(cell.backend).calls(case.program, sample)

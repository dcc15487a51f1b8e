"""Who is timed when: the methods of one sample in turn, round after round, one at a time.

A machine is not equally fast for a minute. Were each method timed in one go, whoever had the better
minute would win; in turn, what changes with time is in everybody's spread instead.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, field, replace
from itertools import groupby, islice

from harness import backends
from harness.cases.case import Case
from harness.cell import Cell
from harness.model import TIMED, Failure, Status, Timing
from harness.runs.dispatch import Workers
from harness.runs.workers import REFEREE
from harness.studies.bench import sizes
from harness.studies.bench.statistics import FEWEST, median_interval, told_apart
from harness.studies.bench.worker import QUANTITIES, Visit, pack, visit

#: With nine, the interval of the median may leave out the fastest and the slowest.
VISITS = 9


@dataclass
class _Entry:
    """One quantity of one cell, and what its visits found."""

    cell: Cell
    quantity: str
    visits: list[Visit] = field(default_factory=list)
    failure: Failure | None = None
    spent: float = 0.0

    @property
    def first(self) -> float:
        """Seconds of the first call of all; a later one may be that of a worker that died."""
        return self.visits[0].first

    def timing(self, axis: str, length: float) -> Timing:
        cell = self.cell
        place = (cell.case, cell.size, cell.dtype, cell.backend, self.quantity)
        if self.failure is not None:
            failure = self.failure
            return Timing(*place, failure.status, axis, length, detail=failure.detail)
        seconds = [each.seconds for each in self.visits]
        median = statistics.median(seconds)
        low, high = median_interval(seconds)
        detail = ""
        if len(seconds) < FEWEST:
            needed = f"--budget {math.ceil(FEWEST * median * 1.2)}"
            detail = f"too slow for {FEWEST} visits, so its spread is unknown ({needed} would do)"
        return Timing(
            *place,
            TIMED,
            axis,
            length,
            median,
            low,
            high,
            len(seconds),
            sum(each.calls for each in self.visits),
            max(0.0, self.first - median),
            detail=detail,
        )


def timings(
    cases: Sequence[Case], plan: Sequence[Cell], workers: Workers, budget: float
) -> Generator[tuple[Cell, list[Timing]], None, None]:
    """Time a plan, `budget` seconds for each quantity of a cell and as many to warm up.

    Yields `VISITS` times for each cell, with the timings of all methods of a sample at the last
    visit to it, and nothing before; nothing that a case or a method does ends it.
    """
    known = {case.name: case for case in cases}
    try:
        for (name, *_), group in groupby(plan, lambda cell: (cell.case, cell.size, cell.dtype)):
            case, cells = known[name], list(group)
            of_case = dict.fromkeys(cell.size for cell in plan if cell.case == name)
            axis, lengths = sizes.axis(case, list(of_case))
            entries = [_Entry(cell, quantity) for cell in cells for quantity in QUANTITIES]
            visits = _rounds(case, entries, workers, budget)
            for cell in islice(visits, VISITS * len(cells) - 1):
                yield cell, []
            last, length = next(visits), lengths.get(cells[0].size, math.nan)
            yield last, compared([entry.timing(axis, length) for entry in entries])
    finally:
        workers.close()


def _rounds(
    case: Case, entries: Sequence[_Entry], workers: Workers, budget: float
) -> Iterator[Cell]:
    """Visit every entry in turn; yields the cell of each pair of them."""
    parcel = pack(case)
    for _ in range(VISITS):
        for value, gradient in zip(entries[::2], entries[1::2], strict=True):
            for entry in (value, gradient):
                # A gradient takes the value first, and would fail where that does.
                entry.failure = entry.failure or value.failure
                if entry.failure is None and entry.spent < budget:
                    _visit(parcel, entry, workers, budget)
            yield value.cell


def _visit(parcel: bytes, entry: _Entry, workers: Workers, budget: float) -> None:
    method = backends.class_of(entry.cell.backend)
    if not method.installed():
        entry.failure = Failure(Status.MISSING, f"not installed: {method.install}")
        return
    name = entry.cell.backend.method
    kind = name if method.module and workers.has(name) else REFEREE
    arguments = (parcel, entry.cell, entry.quantity, budget, budget / VISITS)
    future = workers.submit(kind, visit, *arguments)
    wait([future])
    error = future.exception()
    found = workers.failure(error) if error is not None else future.result()
    workers.release(future)
    if isinstance(found, Failure):
        entry.failure = found
    else:
        entry.visits.append(found)
        entry.spent += found.seconds * found.calls


def compared(found: Sequence[Timing]) -> list[Timing]:
    """Timings of one sample with their ratios, where the intervals tell the two apart."""
    timed = [each for each in found if each.timed]
    fastest = {
        quantity: min(
            (each for each in timed if each.quantity == quantity),
            key=lambda each: each.median,
            default=None,
        )
        for quantity in QUANTITIES
    }
    values = {each.backend: each for each in timed if each.quantity == "value"}
    return [
        replace(
            each,
            to_fastest=ratio(each, fastest[each.quantity]),
            to_value=ratio(each, values.get(each.backend))
            if each.quantity == "gradient"
            else math.nan,
        )
        for each in found
    ]


def ratio(one: Timing, other: Timing | None) -> float:
    """The ratio of two medians; NaN where the two are not told apart, 1 for one and itself."""
    if other is None or not one.timed:
        return math.nan
    if one is other:
        return 1.0
    apart = told_apart((one.low, one.high), (other.low, other.high))
    return one.median / other.median if apart else math.nan

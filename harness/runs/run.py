"""A run from its plan to its rows: what was finished before, then the rest."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.cases.case import Case
from harness.cell import Cell
from harness.model import Row
from harness.runs import reads
from harness.runs.dispatch import Dispatcher, Workers
from harness.runs.engine import Engine
from harness.runs.journal import Journal
from harness.runs.plan import Request


@dataclass
class Run:
    """Without `workers` everything runs in this process, in order.

    peaks: case and worker -> the most bytes that the worker held while it was at the case.
    reads: case -> the files that its code has read in the workers, and their digests.
    """

    cases: Sequence[Case]
    request: Request
    plan: Sequence[Cell]
    workers: Workers | None = None
    journal: Journal | None = None
    peaks: dict[tuple[str, str], int] = field(default_factory=dict)
    reads: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_name = {case.name: case for case in self.cases}

    def rows(self) -> Generator[tuple[Cell, list[Row]], None, None]:
        """The rows of each cell: those that the journal has, then the others as they come, each in
        the journal before it is yielded."""
        rest = []
        for cell in self.plan:
            found = self.journal.find(cell) if self.journal else None
            if found is None:
                rest.append(cell)
            else:
                yield cell, found
        for cell, rows in self._source().run(rest):
            if self.journal:
                self.journal.append(cell, rows, self._read(cell))
            yield cell, rows

    def _read(self, cell: Cell) -> Mapping[str, str]:
        """The files that the rows of a cell depend on, besides its case's own."""
        if self.workers is None:
            return reads.found(self._by_name[cell.case])
        return self.reads.get(cell.case, {})

    def _source(self) -> Engine | Dispatcher:
        if self.workers is None:
            for case in self.cases:
                reads.watch(case)
            return Engine(self.cases, self.request)
        return Dispatcher(self.cases, self.request, self.workers, self.peaks, self.reads)

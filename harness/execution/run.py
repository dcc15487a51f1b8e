"""A run from its plan to its rows: what was finished before, then the rest."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from harness.cases.case import Case
from harness.cell import Cell
from harness.engine import Engine
from harness.execution.dispatch import Dispatcher, Workers
from harness.execution.journal import Journal
from harness.model import Row
from harness.plan import Request


@dataclass
class Run:
    """Without `workers` everything runs in this process, in order.

    peaks: case and worker -> the most bytes that the worker held while it was at the case.
    """

    cases: Sequence[Case]
    request: Request
    plan: Sequence[Cell]
    workers: Workers | None = None
    journal: Journal | None = None
    peaks: dict[tuple[str, str], int] = field(default_factory=dict)

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
                self.journal.append(cell, rows)
            yield cell, rows

    def _source(self) -> Engine | Dispatcher:
        if self.workers is None:
            return Engine(self.cases, self.request)
        return Dispatcher(self.cases, self.request, self.workers, self.peaks)

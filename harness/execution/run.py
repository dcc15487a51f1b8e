"""A run from its plan to its rows: what was finished before, then the rest."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from harness.cases.case import Case
from harness.engine import Engine
from harness.execution.dispatch import Dispatcher, Workers
from harness.execution.journal import Journal
from harness.model import Row
from harness.plan import Cell, Request


def run(
    cases: Sequence[Case],
    request: Request,
    plan: Sequence[Cell],
    *,
    workers: Workers | None = None,
    journal: Journal | None = None,
) -> Generator[tuple[Cell, list[Row]], None, None]:
    """The rows of each cell: those that the journal has, then the others as they come, each in the
    journal before it is yielded. Without workers everything runs in this process, in order."""
    rest = []
    for cell in plan:
        found = journal.find(cell) if journal else None
        if found is None:
            rest.append(cell)
        else:
            yield cell, found
    engine = Engine(cases, request) if workers is None else Dispatcher(cases, request, workers)
    for cell, rows in engine.run(rest):
        if journal:
            journal.append(cell, rows)
        yield cell, rows

"""Runs cells in this process and yields rows; it prints nothing and writes nothing.

No exception of a case or a method escapes: it is the business of one row, and the other cells go
on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from harness.answers import answer, compute
from harness.cases.case import Case
from harness.judging.cell import judged
from harness.model import Gradients, Row
from harness.plan import Cell, Request
from harness.workbench import Subject, Workbench


class Engine:
    """Judges cells. Backends are made once; the references of a sample serve all its methods."""

    def __init__(self, cases: Iterable[Case], request: Request | None = None) -> None:
        self.request = request or Request()
        self._bench = Workbench(cases, self.request)

    def run(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, list[Row]]]:
        """The rows of each cell, in turn."""
        for cell in cells:
            yield cell, self.rows(cell)

    def rows(self, cell: Cell) -> list[Row]:
        """The rows of one cell; never empty."""
        return judged(cell, answer(cell, self._bench), self._bench)

    def gradients(self, cell: Cell) -> Gradients:
        """The bare result of a cell, not judged; raises what the case or the method raises."""
        with np.errstate(all="ignore"):
            return compute(cell, self._bench)

    def subject(self, cell: Cell) -> Subject:
        """The sample of a cell and its references."""
        return self._bench.subject(cell)

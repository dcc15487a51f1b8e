"""Runs cells and yields rows; it prints nothing and writes nothing.

No exception of a case or a method escapes: it is the business of one row, and the other cells go
on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from harness import backends, rows
from harness.cases.case import Case
from harness.gradient_cell import GradientCell
from harness.model import Gradients, Row, Status
from harness.plan import Cell, Request
from harness.training_cell import TrainingCell, Trajectories
from harness.workbench import Subject, Workbench


class Engine:
    """Judges cells. Backends are made once; the references of a sample serve all its methods."""

    def __init__(self, cases: Iterable[Case], request: Request | None = None) -> None:
        self.request = request or Request()
        self._bench = Workbench(cases, self.request)
        self._trajectories = Trajectories(self._bench)

    def run(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, list[Row]]]:
        """The rows of each cell, in turn."""
        for cell in cells:
            yield cell, self.rows(cell)

    def rows(self, cell: Cell) -> list[Row]:
        """The rows of one cell; never empty."""
        case = self._bench.cases[cell.case]
        # A NaN is judged; numpy's warning about it would only be noise.
        with np.errstate(all="ignore"):
            found = self._rows(cell, case)
        return rows.declared(found, case.declared.known)

    def _rows(self, cell: Cell, case: Case) -> list[Row]:
        modes = [mode for mode in self.request.modes if (mode == "train") == cell.training]
        method = backends.backend_class(cell.backend.partition(":")[0])
        if not method.installed():
            detail = f"not installed: {method.install}"
            return rows.uncompared(cell, modes, Status.MISSING, detail)
        try:
            if cell.training:
                return TrainingCell(cell, self._bench, self._trajectories).rows()
            return GradientCell(cell, self._bench).rows()
        except Exception as error:  # whatever a case or a framework raises
            return rows.raised(cell, modes, error, case)

    def gradients(self, cell: Cell) -> Gradients:
        """The bare result of a cell, not judged; raises what the case or the method raises."""
        with np.errstate(all="ignore"):
            return GradientCell(cell, self._bench).compute()

    def subject(self, cell: Cell) -> Subject:
        """The sample of a cell and its references."""
        return self._bench.subject(cell)

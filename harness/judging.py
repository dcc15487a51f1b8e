"""From a method's answer to the rows of its cell."""

from __future__ import annotations

import contextlib

import numpy as np

from harness import rows
from harness.answers import failure
from harness.directional_cell import DirectionalCell
from harness.gradient_cell import GradientCell
from harness.model import Answer, Failure, Gradients, Row, Status
from harness.plan import Cell
from harness.training_cell import TrainingCell
from harness.workbench import Workbench


@np.errstate(all="ignore")
def judged(cell: Cell, given: Answer, bench: Workbench) -> list[Row]:
    """The rows of a cell, one at least for every mode asked for; never raises."""
    case = bench.cases[cell.case]
    failed = {mode: each for mode, each in given.items() if isinstance(each, Failure)}
    numbers = {mode: each for mode, each in given.items() if isinstance(each, Gradients)}
    found: list[Row] = []
    if numbers:
        try:
            if cell.training:
                found = TrainingCell(cell, bench, numbers).rows()
            else:
                gradients = GradientCell(cell, bench, numbers).rows()
                found = gradients + DirectionalCell(cell, bench, numbers).rows()
        except Exception as error:  # a reference runs the case's code, which may raise anything
            failed = dict.fromkeys(given, failure(error, cell, bench))
    for mode, each in failed.items():
        blamed = ""
        if cell.backend == "manual" and mode == "vjp" and each.status == Status.ERROR:
            with contextlib.suppress(Exception):  # a sample that cannot be drawn has none
                blamed = bench.subject(cell).accusation.text
        detail = "; ".join(filter(None, (each.detail, blamed)))
        found += rows.uncompared(cell, [mode], each.status, detail)
    return rows.declared(found, case.declared.known)

"""From a method's answer to the rows of its cell."""

from __future__ import annotations

import contextlib
from typing import TypeAlias

import numpy as np

from harness.answers import failure
from harness.judging import rows
from harness.judging.directional_cell import DirectionalCell
from harness.judging.gradient_cell import GradientCell
from harness.judging.training_cell import TrainingCell
from harness.model import DIRECTIONAL, Answer, Failure, Gradients, Mode, Row, Status
from harness.plan import Cell
from harness.workbench import Workbench

_Judge: TypeAlias = type[GradientCell] | type[DirectionalCell] | type[TrainingCell]

#: Who judges which modes; what stops one of them is none of the others' business.
_JUDGES: tuple[tuple[tuple[Mode, ...], _Judge], ...] = (
    (("value", "vjp"), GradientCell),
    (DIRECTIONAL, DirectionalCell),
    (("train",), TrainingCell),
)


@np.errstate(all="ignore")
def judged(cell: Cell, given: Answer, bench: Workbench) -> list[Row]:
    """The rows of a cell, one at least for every mode asked for; never raises."""
    case = bench.cases[cell.case]
    failed = {mode: each for mode, each in given.items() if isinstance(each, Failure)}
    found: list[Row] = []
    for modes, judge in _JUDGES:
        numbers: dict[str, Gradients] = {
            mode: each
            for mode, each in given.items()
            if mode in modes and isinstance(each, Gradients)
        }
        if not numbers:
            continue
        try:
            found += judge(cell, bench, numbers).rows()
        # A reference runs the case's code, which may raise anything.
        except Exception as error:
            failed |= dict.fromkeys(numbers, failure(error, cell, bench))
    for mode, each in failed.items():
        blamed = ""
        if cell.backend == "manual" and mode == "vjp" and each.status == Status.ERROR:
            with contextlib.suppress(Exception):  # a sample that cannot be drawn has none
                blamed = bench.subject(cell).accusation.text
        detail = "; ".join(filter(None, (each.detail, blamed)))
        found += rows.uncompared(cell, [mode], each.status, detail)
    return rows.declared(found, case.declared.known)

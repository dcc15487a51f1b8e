"""From a method's answer to the rows of its cell."""

from __future__ import annotations

import contextlib
from typing import TypeAlias

import numpy as np

from harness import backends
from harness.cell import Cell
from harness.judging import rows
from harness.judging.directional_cell import DirectionalCell
from harness.judging.gradient_cell import GradientCell
from harness.judging.subject import Subject
from harness.judging.training_cell import TrainingCell
from harness.model import DIRECTIONAL, Answer, Failure, Gradients, Mode, Row, Status

_Judge: TypeAlias = type[GradientCell] | type[DirectionalCell] | type[TrainingCell]

#: Who judges which modes; what stops one of them is none of the others' business.
_JUDGES: tuple[tuple[tuple[Mode, ...], _Judge], ...] = (
    (("value", "vjp"), GradientCell),
    (DIRECTIONAL, DirectionalCell),
    (("train",), TrainingCell),
)


@np.errstate(all="ignore")
def judged(cell: Cell, given: Answer, subject: Subject) -> list[Row]:
    """The rows of a cell, one at least for every mode asked for; never raises."""
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
            found += judge(cell, subject, numbers).rows()
        # A reference runs the case's code, which may raise anything.
        except Exception as error:
            failed |= dict.fromkeys(numbers, rows.failure(error, subject.code))
    for mode, each in failed.items():
        blamed = ""
        written = backends.class_of(cell.backend).written
        if written and mode == "vjp" and each.status == Status.ERROR:
            with contextlib.suppress(Exception):  # a sample that cannot be drawn has none
                blamed = subject.accusation.text
        detail = "; ".join(filter(None, (each.detail, blamed)))
        found += rows.uncompared(cell, [mode], each.status, detail, each.raised)
    return rows.declared(found, subject.known)

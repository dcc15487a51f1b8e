"""One method trained to the end: does it arrive where the others do?

How far apart two honest runs may end depends on the case, so it is measured: the run is repeated
with errors of the size that the methods honestly make (rounding, or the numeric method's own
estimate), and the tolerance is a multiple of what that did. Where even rounding moves the end by
much, the start is chaotic and the row says that nothing can be said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from harness import backends, training
from harness.backends.base import Backend
from harness.backends.manual import ManualBackend
from harness.backends.numeric import NumericBackend
from harness.cell import Cell
from harness.dtypes import unit_roundoff
from harness.errors import Unsupported
from harness.judging import rows
from harness.judging.compare import judge
from harness.judging.subject import Subject
from harness.judging.verdict import Tolerance, Truth
from harness.model import CLOSED_FORM, Array, Gradients, Row, Status
from harness.programs import trees
from harness.quantity import Quantity


class TrainingCell:
    """Judges the end of one method's training run."""

    def __init__(self, cell: Cell, subject: Subject, found: Mapping[str, Gradients]) -> None:
        self.cell, self.found, self.trajectories = cell, found, subject.trajectories
        self.method, self.numeric = backends.class_of(cell.backend), NumericBackend()
        # A backward that is proved wrong leads astray, and numeric differences do not.
        proved_wrong = subject.evidence.certificate.state == "wrong"
        has_backward = subject.program.backward_stages is not None
        trusted = has_backward and not proved_wrong
        self.main: Backend = ManualBackend() if trusted else self.numeric

    def rows(self) -> list[Row]:
        """The end against that of the hand-written backward (of numeric differences for the
        backward itself), and against the closed form where the case has one."""
        found = self.found["train"]
        other = self.numeric if self.main.label == self.cell.backend else self.main
        result: list[Row] = []
        if other.label != self.cell.backend:
            expected = self.trajectories.end(other)
            result = self._rows_against(other.label, expected, found, other.approximate)
        exact = self.trajectories.closed_form()
        if exact is not None:
            expected = [exact[path] for path in self.trajectories.sample.differentiable]
            result += self._rows_against(CLOSED_FORM, expected, found)
        if not result:
            raise Unsupported("there is neither a `backward` nor a `closed_form` to judge it by")
        return result

    def _rows_against(
        self, source: str, expected: list[Array], found: Gradients, approximate: bool = False
    ) -> list[Row]:
        cell, steps = self.cell, self.trajectories.steps
        calm = self.trajectories.end(self.main)
        errors: list[Array] | float = unit_roundoff(cell.dtype)
        factor = training.FACTOR
        if approximate or self.method.approximate:
            # These estimates are bounds already, a hundred times what the errors turn out to be.
            errors, factor = self._numeric_errors(calm), 1.0
        shaken = self.trajectories.end(self.main, errors)
        result = []
        for index, path in enumerate(self.trajectories.sample.differentiable):
            moved = float(np.max(np.abs(shaken[index] - calm[index]), initial=0.0))
            allowance = factor * moved + training.floor(calm[index], steps)
            truth = Truth(expected[index], source)
            verdict = judge(
                found.values.get(path), truth, Tolerance(0.0), cell.dtype, allowance=allowance
            )
            note = f"honest errors of the gradient move it by up to {moved:.1g}"
            judged = verdict.status != Status.FAIL or math.isfinite(verdict.max_abs_error)
            if judged and allowance > training.CHAOTIC * float(
                np.max(np.abs(calm[index]), initial=0.0)
            ):
                verdict = replace(verdict, status=Status.UNSUPPORTED)
                note = f"chaotic, so nothing can be said: {note}; choose another `start`"
            name = f"{path} after {steps} steps"
            quantity = Quantity("trained", name, expected=source == CLOSED_FORM)
            result.append(rows.judged(cell, "train", quantity, verdict, source, note=note))
        return result

    def _numeric_errors(self, final: list[Array]) -> list[Array]:
        """The numeric method's own error estimates for each trained leaf, the larger of those at
        the start and at the end."""
        start = self.trajectories.sample
        inputs = trees.assembler(start, lambda array: array)(final)
        # `gradient_function` takes central differences, whatever the rows of a gradient do.
        numeric, program = NumericBackend(numeric="central"), self.trajectories.program
        found = [
            numeric.differentiate(program, sample)
            for sample in (start, replace(start, inputs=inputs))
        ]
        return [
            np.maximum(*(each.uncertainty[path] for each in found)) for path in start.differentiable
        ]

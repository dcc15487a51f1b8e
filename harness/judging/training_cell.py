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

from harness import training, trees
from harness.backends.numeric import NumericBackend
from harness.cases.case import Case
from harness.dtypes import unit_roundoff
from harness.errors import Unsupported
from harness.judging import rows
from harness.judging.compare import Tolerance, Truth, judge
from harness.model import Array, Gradients, Row, Sample, Status
from harness.plan import Cell
from harness.quantity import Quantity
from harness.workbench import Workbench


class TrainingCell:
    """Judges the end of one method's training run."""

    def __init__(self, cell: Cell, bench: Workbench, found: Mapping[str, Gradients]) -> None:
        self.cell, self.bench, self.found = cell, bench, found
        self.case: Case = bench.cases[cell.case]
        self.sample = bench.subject(cell).sample
        self.subject = training.sample_for(self.case, self.sample)
        self.steps = training.steps_of(self.case, cell.size)
        # A backward that is proved wrong leads astray, and numeric differences do not.
        proved_wrong = bench.subject(cell).evidence.certificate.state == "wrong"
        has_backward = self.case.code.backward is not None
        self.main = "manual" if has_backward and not proved_wrong else "numeric"

    def rows(self) -> list[Row]:
        """The end against that of the hand-written backward (of numeric differences for the
        backward itself), and against the closed form where the case has one."""
        found = self.found["train"]
        other = self.main
        if self.cell.backend == self.main and self.main == "manual":
            other = "numeric"
        result: list[Row] = []
        if other != self.cell.backend:
            expected = self.bench.trajectory(self.cell, other)
            result = self._rows_against(other, expected, found)
        exact = training.closed_form(self.case, self.sample, self.steps)
        if exact is not None:
            expected = [exact[path] for path in self.subject.differentiable]
            result += self._rows_against("closed form", expected, found)
        if not result:
            raise Unsupported("there is neither a `backward` nor a `closed_form` to judge it by")
        return result

    def _rows_against(self, source: str, expected: list[Array], found: Gradients) -> list[Row]:
        cell = self.cell
        calm = self.bench.trajectory(cell, self.main)
        errors: list[Array] | float = unit_roundoff(cell.dtype)
        factor = training.FACTOR
        if "numeric" in (cell.backend, source):
            # These estimates are bounds already, a hundred times what the errors turn out to be.
            errors, factor = self._numeric_errors(calm), 1.0
        shaken = self.bench.trajectory(cell, self.main, errors)
        result = []
        for index, path in enumerate(self.subject.differentiable):
            moved = float(np.max(np.abs(shaken[index] - calm[index]), initial=0.0))
            allowance = factor * moved + training.floor(calm[index], self.steps)
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
            expected_one = source == "closed form"
            quantity = Quantity(
                "trained", f"{path} after {self.steps} steps", expected=expected_one
            )
            result.append(rows.judged(cell, "train", quantity, verdict, source, note=note))
        return result

    def _numeric_errors(self, final: list[Array]) -> list[Array]:
        """The numeric method's own error estimates for each trained leaf, the larger of those at
        the start and at the end."""
        inputs = trees.assembler(self.subject, lambda array: array)(final)
        samples: list[Sample] = [self.subject, replace(self.subject, inputs=inputs)]
        # `gradient_function` takes central differences, whatever the rows of a gradient do.
        numeric = NumericBackend(step=self.bench.request.step, numeric="central")
        found = [numeric.differentiate(self.case.program, sample) for sample in samples]
        return [
            np.maximum(*(each.uncertainty[path] for each in found))
            for path in self.subject.differentiable
        ]

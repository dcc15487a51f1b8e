"""One method trained to the end: does it arrive where the others do?

How far apart two honest runs may end depends on the case, so it is measured: the run is repeated
with errors of the size that the methods honestly make (rounding, or the numeric method's own
estimate), and the tolerance is a multiple of what that did. Where even rounding moves the end by
much, the start is chaotic and the row says that nothing can be said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness import rows, training, trees
from harness.backends.numeric import NumericBackend
from harness.cases.case import Case
from harness.compare import Tolerance, Truth, judge
from harness.dtypes import unit_roundoff
from harness.errors import Unsupported
from harness.model import Array, Row, Sample, Status
from harness.plan import Cell
from harness.workbench import Workbench


class Trajectories:
    """Final parameters by case, size, method and disturbance: each run is made once."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._ends: dict[tuple[str, str, str, str], list[Array]] = {}

    def end(
        self, cell: Cell, label: str, errors: Sequence[Array] | float | None = None
    ) -> list[Array]:
        """The final parameters with one method's gradients, to which `errors` are added (see
        `training.disturbed`)."""
        kind = "" if errors is None else "relative" if isinstance(errors, float) else "absolute"
        key = (cell.case, cell.size, label, kind)
        if key not in self._ends:
            case = self._bench.cases[cell.case]
            subject = training.sample_for(case, self._bench.subject(cell).sample)
            gradient = self._bench.backend(label).gradient_function(case.program, subject)
            self._ends[key] = training.descend(
                gradient if errors is None else training.disturbed(gradient, errors),
                trees.variables(subject),
                training.declared(case),
                training.steps_of(case, cell.size),
            )
        return self._ends[key]


class TrainingCell:
    """Judges the end of one method's training run."""

    def __init__(self, cell: Cell, bench: Workbench, trajectories: Trajectories) -> None:
        self.cell, self.bench, self.trajectories = cell, bench, trajectories
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
        other = self.main
        if self.cell.backend == self.main and self.main == "manual":
            other = "numeric"
        result: list[Row] = []
        if other != self.cell.backend:
            result = self._rows_against(other, self.trajectories.end(self.cell, other))
        exact = training.closed_form(self.case, self.sample, self.steps)
        if exact is not None:
            expected = [exact[path] for path in self.subject.differentiable]
            result += self._rows_against("closed form", expected)
        if not result:
            raise Unsupported("there is neither a `backward` nor a `closed_form` to judge it by")
        return result

    def _rows_against(self, source: str, expected: list[Array]) -> list[Row]:
        cell = self.cell
        final = self.trajectories.end(cell, cell.backend)
        calm = self.trajectories.end(cell, self.main)
        errors: list[Array] | float = unit_roundoff(cell.dtype)
        factor = training.FACTOR
        if "numeric" in (cell.backend, source):
            # These estimates are bounds already, a hundred times what the errors turn out to be.
            errors, factor = self._numeric_errors(calm), 1.0
        shaken = self.trajectories.end(cell, self.main, errors)
        result = []
        for index, path in enumerate(self.subject.differentiable):
            moved = float(np.max(np.abs(shaken[index] - calm[index]), initial=0.0))
            allowance = factor * moved + training.floor(calm[index], self.steps)
            truth = Truth(expected[index], source)
            verdict = judge(final[index], truth, Tolerance(0.0), cell.dtype, allowance=allowance)
            note = f"honest errors of the gradient move it by up to {moved:.1g}"
            judged = verdict.status != Status.FAIL or math.isfinite(verdict.max_abs_error)
            if judged and allowance > training.CHAOTIC * float(
                np.max(np.abs(calm[index]), initial=0.0)
            ):
                verdict = replace(verdict, status=Status.UNSUPPORTED)
                note = f"chaotic, so nothing can be said: {note}; choose another `start`"
            prefix = "expect " if source == "closed form" else ""
            quantity = f"{prefix}{path} after {self.steps} steps"
            result.append(rows.judged(cell, "train", quantity, verdict, source, note=note))
        return result

    def _numeric_errors(self, final: list[Array]) -> list[Array]:
        """The numeric method's own error estimates for each trained leaf, the larger of those at
        the start and at the end."""
        inputs = trees.assembler(self.subject, lambda array: array)(final)
        samples: list[Sample] = [self.subject, replace(self.subject, inputs=inputs)]
        numeric = NumericBackend(step=self.bench.request.step)
        found = [numeric.differentiate(self.case.program, sample) for sample in samples]
        return [
            np.maximum(*(each.uncertainty[path] for each in found))
            for path in self.subject.differentiable
        ]

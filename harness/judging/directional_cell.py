"""Judges one method on one sample in the directional modes: its JVP by output, its HVP by leaf.

A kink is another matter here than for a gradient. The JVP is certified from both sides along the
tangents, yet a method that takes a valid subgradient at each kink may honestly end outside of both:
|x| - |y| at zero along (1, 1) is 0 from either side, and 1 with the slopes 1 and 0. So a number is
valid as well if it is the product of the tangents with a gradient that would be accepted in `vjp`.
And an HVP does not exist there: nothing is judged, and the row says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from harness.cell import Cell
from harness.judging import rows
from harness.judging.compare import misshapen
from harness.judging.subject import Subject
from harness.judging.trial import WRONG, tried
from harness.judging.verdict import Allows, Truth, Verdict
from harness.model import DIRECTIONAL, Array, Gradients, Row, Status, TaskMode
from harness.quantity import Quantity
from harness.rounding.deviation import RoundingTolerance


class DirectionalCell:
    """Judges the JVPs and HVPs that a method gave, by mode."""

    def __init__(self, cell: Cell, subject: Subject, found: Mapping[str, Gradients]) -> None:
        self.cell, self.found = cell, found
        self.subject, self.sample, self.evidence = subject, subject.sample, subject.directional

    def rows(self) -> list[Row]:
        """The rows of these modes. Raises what a reference raises."""
        asked = [mode for mode in DIRECTIONAL if mode in self.found]
        return [row for mode in asked for row in self._rows(mode)]

    def _rows(self, mode: TaskMode) -> list[Row]:
        if not self.sample.differentiable:
            detail = "no input is differentiable: there is no direction to move in"
            return rows.uncompared(self.cell, [mode], Status.UNDECIDED, detail)
        names = self.evidence.names(mode)
        if not names:
            detail = "no output is floating: there is no JVP to compare"
            return rows.uncompared(self.cell, [mode], Status.UNDECIDED, detail)
        return [self._row(mode, name) for name in names]

    def _row(self, mode: TaskMode, name: str) -> Row:
        found = self.found[mode]
        got = (found.jvps if mode == "jvp" else found.hvps).get(name)
        truth = self.evidence.truth(mode, name)
        if isinstance(truth, str):
            verdict, source = self._unjudged(mode, name, got, truth), ""
        else:
            verdict, source = self._verdict(mode, name, got, truth), truth.source
        return rows.judged(
            self.cell,
            mode,
            Quantity("jvp" if mode == "jvp" else "hvp", name),
            verdict,
            source,
            found,
        )

    def _unjudged(self, mode: TaskMode, name: str, got: Array | None, reason: str) -> Verdict:
        """What is no such array is wrong without any reference."""
        formal = misshapen(got, self.evidence.shape(mode, name), self.cell.dtype)
        return formal or Verdict(Status.UNDECIDED, detail=f"no reference: {reason}")

    def _verdict(self, mode: TaskMode, name: str, got: Array | None, truth: Truth) -> Verdict:
        verdict = self._judge(mode, name, got, truth)
        if truth.source == self.cell.backend and verdict.status == Status.PASS:
            return Verdict(Status.UNDECIDED, detail="nothing independent to judge it by")
        if mode == "hvp" or truth.sides is None or verdict.status not in WRONG or got is None:
            return verdict
        wider = self.evidence.widened(name, truth)
        if wider is None:
            if not np.all(np.isfinite(got)):
                return verdict
            text = "no reference: a kink, of too many elements to tell which JVPs are valid there"
            return replace(verdict, status=Status.UNDECIDED, detail=text)
        again = self._judge(mode, name, got, wider)
        if again.status in WRONG:
            return verdict
        return replace(again, status=Status.KINK, detail="kink: along a valid gradient")

    def _judge(self, mode: TaskMode, name: str, got: Array | None, truth: Truth) -> Verdict:
        tolerances = self._tolerances(mode, name)
        verdict, tolerance = tried(self.cell, name, got, truth, tolerances, self.found[mode])
        if verdict.status not in WRONG and getattr(tolerance, "whole", False):
            text = f"no more than rounding to {self.cell.dtype} may do, which is a lot here"
            return replace(verdict, status=Status.UNDECIDED, detail=text)
        return verdict

    def _tolerances(self, mode: TaskMode, name: str) -> Iterator[Allows]:
        """The tolerances to try in turn: the declared one, or what rounding explains. Most numbers
        are as good as their own last bits, and need no bound of the rounding errors."""
        if self.subject.declared_tolerance(self.cell.dtype) is None:
            yield RoundingTolerance(np.zeros(()))
            bound = self.evidence.rounding(mode, name, self.cell.dtype)
            if bound is not None:
                yield bound
                yield replace(bound, whole=True)
                return
        yield self.subject.tolerance(self.cell.dtype)

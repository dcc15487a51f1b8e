"""What the JVP and the HVP of a sample are judged by.

The certified ones, where there are any. Else numeric differences: for the HVP those of `backward`
where differences of differences of `forward`, which have four digits or five, confirm them (that a
backward is right at a point says nothing about its slope there), else those. Where a gradient has
no derivative there is nothing to judge an HVP by, and a reason is given in its place.

How much error honest rounding causes is not measured here but bounded: the same series in balls of
the precision of the dtype say by their radii how far its roundings may lead. Such bounds are wider
than errors are, most so for long sums (a hundred times for 1000 terms), but they take one pass and
no rule of differentiation. With the `K` of `rounding.deviation`, over two draws of every built-in
case in float64 and float32, every method stays below 0.4 of them where it is not NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from harness.backends.numeric import NumericBackend
from harness.dtypes import FORMATS, dtype_digits, unit_roundoff
from harness.judging.evidence import Evidence
from harness.judging.verdict import DEFAULT_RTOL, Truth
from harness.model import Array, Gradients, Task, TaskMode
from harness.programs import trees
from harness.programs.program import ForwardOnly
from harness.rounding.deviation import tolerance
from harness.truth import directional
from harness.truth.directional import Directional
from harness.truth.sides import Sides


class DirectionalEvidence:
    """The references of JVP and HVP beside those of a gradient; each is computed when it is first
    asked for."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self.program, self.sample = evidence.program, evidence.sample
        self._found: dict[TaskMode, Directional] = {}
        self._numeric: dict[tuple[TaskMode, bool], Gradients | None] = {}
        self._rounding: dict[tuple[TaskMode, str], dict[str, Array] | None] = {}

    def names(self, mode: TaskMode) -> list[str]:
        """What there is to compare: the floating outputs in JVP, the differentiable leaves in
        HVP."""
        if mode == "hvp":
            return list(self.sample.differentiable)
        outputs, values = self.program.outputs, self._evidence.values
        return [name for name in outputs if values[name].dtype.kind == "f"]

    def shape(self, mode: TaskMode, name: str) -> tuple[int, ...]:
        """The shape of one of `names`."""
        if mode == "hvp":
            return trees.shape_of(self.sample, name)
        return self._evidence.values[name].shape

    def truth(self, mode: TaskMode, name: str) -> Truth | str:
        """The reference, or why there is none."""
        found = self._truth(mode, name)
        if isinstance(found, str):
            return found
        whole = self._evidence.size(name) if mode == "hvp" else np.abs(self._evidence.values[name])
        return replace(found, size=self._rate * np.where(np.isfinite(whole), whole, 0.0))

    @cached_property
    def _rate(self) -> float:
        """The largest rate v / x at which an element moves along the tangents."""
        leaves = trees.flatten(self.sample.inputs)
        rates = [
            np.abs(self.sample.tangents[path] / leaves[path])[leaves[path] != 0].max(initial=0.0)
            for path in self.sample.differentiable
        ]
        return float(max(rates, default=0.0))

    def _truth(self, mode: TaskMode, name: str) -> Truth | str:
        certified = self._certified(mode)
        if name in certified.sides:
            sides = certified.sides[name]
            if np.any(np.isnan(sides.left) & np.isnan(sides.right)):
                return "`forward` has no real value on either side"
            return self._evidence.beside(sides)
        if certified.kink:
            return certified.reason
        alone = self._differences(mode, name, written=False)
        if mode == "jvp" or alone is None or self.program.backward_stages is None:
            return alone or certified.reason
        written = self._differences(mode, name, written=True)
        return written if written is not None and _confirms(alone, written) else alone

    def widened(self, name: str, truth: Truth) -> Truth | None:
        """The certified JVP at a kink, widened to what gradients that are valid there give; None
        where that is not known."""
        along = self._gradients_along
        if along is None or truth.sides is None:
            return None
        sides = along[name]
        low = np.fmin(np.fmin(*truth.sides), sides.left)
        high = np.fmax(np.fmax(*truth.sides), sides.right)
        return replace(truth, sides=(low, high), uncertainty=truth.uncertainty + sides.radius)

    def rounding(self, mode: TaskMode, name: str, dtype: str) -> RoundingBound | None:
        """What rounding in a dtype explains; None where that is not known."""
        if (mode, dtype) not in self._rounding:
            try:
                found = directional.rounding(
                    self.program,
                    self._evidence.narrow,
                    mode,
                    FORMATS[dtype].bits,
                    written=self._evidence.certificate.state == "verified",
                )
            except Exception:  # what the case raises is said where the methods run it
                found = None
            self._rounding[mode, dtype] = found
        radii = self._rounding[mode, dtype]
        if radii is None or not np.all(np.isfinite(radii[name])):
            return None
        slack = self._cancelled(name, dtype) if mode == "hvp" else 0.0
        return RoundingBound(radii[name], slack)

    def _certified(self, mode: TaskMode) -> Directional:
        if mode not in self._found:
            try:
                prove = directional.jvp if mode == "jvp" else directional.hvp
                self._found[mode] = prove(self.program, self._evidence.narrow)
            except Exception as error:  # the case's own code may raise anything
                self._found[mode] = Directional(reason=f"{type(error).__name__}: {error}")
        return self._found[mode]

    def _differences(self, mode: TaskMode, name: str, *, written: bool) -> Truth | None:
        """Numeric differences: of `backward`, if that is `written`, or of `forward` alone."""
        key = (mode, written)
        if key not in self._numeric:
            program = self.program if written else ForwardOnly(self.program)
            try:
                found = NumericBackend().differentiate(program, self.sample, Task(mode))
            except Exception:  # the case's own code, or too many elements
                found = None
            self._numeric[key] = found
        numbers = self._numeric[key]
        if numbers is None:
            return None
        array = (numbers.jvps if mode == "jvp" else numbers.hvps)[name]
        return Truth(
            array, NumericBackend.name, numbers.uncertainty[name], numbers.sampled.get(name)
        )

    @cached_property
    def _gradients_along(self) -> dict[str, Sides] | None:
        return directional.gradients_along(self.program, self._evidence.narrow)

    def _cancelled(self, name: str, dtype: str) -> Array | float:
        """What is left of a slope that is zero where a method finds it as a difference: autograd
        differentiates |x| to x / |x|, whose slope is 1 / |x| - x**2 / |x|**3. Nothing in
        `backward` shows that; a gradient varies by itself within its argument, so it is a rounding
        of the largest gradient times the largest rate v / x."""
        sides = self._certified("hvp").sides.get(name)
        if sides is None:
            return 0.0
        gradient = self._evidence.derivative(name).value
        finite = np.abs(gradient[np.isfinite(gradient)]).max(initial=0.0)
        return np.where(np.abs(sides.left) <= sides.radius, finite * self._rate, 0.0) * (
            unit_roundoff(dtype)
        )


def _confirms(rough: Truth, fine: Truth) -> bool:
    """Whether all elements of the two agree within their errors, which are small."""
    assert rough.uncertainty is not None and fine.uncertainty is not None
    errors = rough.uncertainty + fine.uncertainty
    largest = np.abs(rough.value[np.isfinite(rough.value)]).max(initial=0.0)
    return bool(np.all((np.abs(rough.value - fine.value) <= errors) & (errors <= 0.01 * largest)))


@dataclass(frozen=True)
class RoundingBound:
    """The tolerance of one JVP or HVP, in the place of a `verdict.Tolerance`: bounds of rounding
    errors, and what may be left of a zero.

    A bound beyond half of the digits of the largest number is cut off unless `whole`: what only the
    whole explains is neither right nor wrong.
    """

    radius: Array
    slack: Array | float = 0.0
    whole: bool = False

    def array(self, expected: Array, dtype: str) -> Array:
        """As in `verdict.Allows`."""
        nothing = np.zeros(())
        explained = tolerance(expected, self.radius, dtype)
        if not self.whole:
            finite = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
            most = max(10 ** (-dtype_digits(dtype) / 2), DEFAULT_RTOL[dtype]) * finite
            least = tolerance(expected, nothing, dtype)
            explained = np.fmax(np.fmin(explained, most), least)
        return np.asarray(explained + tolerance(nothing, np.asarray(self.slack), dtype))

    def zero(self, expected: Array, dtype: str) -> Array:
        """As in `verdict.Allows`: what rounding leads to at most, and what is left of a zero."""
        return tolerance(np.zeros(()), np.asarray(self.radius + self.slack), dtype)

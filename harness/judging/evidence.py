"""What a sample's numbers are judged by.

First the certificate: where ball arithmetic has verified the hand-written backward, its gradient in
balls is the truth; where the backward is proved wrong or there is none, the truth comes from
`forward` alone, element by element, as long as there are few. Where balls cannot follow a case, two
opinions are left that share no derivative rule, both in float64 whatever the dtype of the sample:
numeric differences and the backward. Where they agree, the backward is the reference, being the
more accurate; where they do not, the numeric differences are, so that a wrong backward makes no
framework look wrong. The backward itself is judged by the numeric differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from harness.backends.manual import ManualBackend
from harness.backends.numeric import NumericBackend
from harness.derived.program import Derived
from harness.dtypes import unit_roundoff
from harness.judging.compare import judge
from harness.judging.verdict import Tolerance, Truth
from harness.model import CERTIFIED, Array, Gradients, Sample, Status, Task
from harness.programs import trees
from harness.programs.program import ForwardOnly, Program, Trace
from harness.rounding.conditioning import conditioning
from harness.rounding.deviation import Deviation, deviation
from harness.truth.certificate import certified_values, certify
from harness.truth.proof import Certificate, Pieces
from harness.truth.sides import AXES, Sides, along_axes, random_slopes, sampled_axes
from harness.truth.ties import Ties

#: Of an array of more than AXES elements: how many elements, and along how many directions.
SAMPLED, DIRECTIONS = 16, 4


class Evidence:
    """The references of one sample; each is computed when it is first asked for.

    `spread` gives half a unit of the last digit of each printed input by leaf path.
    """

    def __init__(
        self,
        program: Program,
        sample: Sample,
        *,
        spread: dict[str, Array] | None = None,
        wanted: Sequence[str] = (),
        tolerance: Tolerance | None = None,
    ) -> None:
        self.program = program
        self.sample = trees.cast(sample, "float64")
        #: In its own dtype, which balls hold exactly, and of which `xp.finfo(x.dtype)` speaks.
        self.narrow = sample
        self._deviations: dict[tuple[str, int], Deviation | None] = {}
        self._spread = spread or {}
        self._wanted = tuple(wanted)
        self._tolerance = tolerance or Tolerance()
        self._by_forward: dict[str, Truth | None] = {}

    @cached_property
    def manual(self) -> Gradients | Exception:
        """What the hand-written backward says, or why it says nothing."""
        try:
            return ManualBackend().differentiate(
                self.program, self.sample, Task("vjp", self._values)
            )
        except Exception as error:  # the case's own code may raise anything
            return error

    @cached_property
    def numeric(self) -> Gradients:
        """Numeric differences, also of every intermediate whose cotangent the backward names."""
        named = self.manual.intermediates if isinstance(self.manual, Gradients) else ()
        names = tuple(
            name for name in self.sample.intermediates if name in named or name in self._wanted
        )
        return NumericBackend().differentiate(self.program, self.sample, Task("vjp", names))

    @cached_property
    def values(self) -> dict[str, Array]:
        """Outputs and wanted intermediates of `forward` on numpy."""
        if isinstance(self.manual, Gradients):
            return self.manual.values
        task = Task("value", self._values)
        return ManualBackend().differentiate(self.program, self.sample, task).values

    @cached_property
    def certificate(self) -> Certificate:
        """What ball arithmetic proves about the backward."""
        try:
            return certify(self.program, self.narrow, self._values)
        except Exception as error:  # the case's own code may raise anything
            return Certificate("undecided", reason=f"{type(error).__name__}: {error}")

    def value(self, name: str) -> Truth:
        """The reference of an output or a wanted intermediate."""
        certificate = self.certificate
        if name in certificate.values and not np.isnan(certificate.values[name]).any():
            return self._certified(certificate.values[name], certificate.radii[name])
        if name in self._certified_values:
            return self._certified(*self._certified_values[name])
        has_backward = isinstance(self.manual, Gradients)
        return Truth(self.values[name], ManualBackend.name if has_backward else NumericBackend.name)

    @cached_property
    def _certified_values(self) -> dict[str, tuple[Array, Array]]:
        """Values by `forward` alone, where the backward has no certificate."""
        try:
            return certified_values(self.program, self.narrow, self._values)
        except Exception:  # what the case raises is said where the methods run it
            return {}

    def derivative(self, name: str, *, judged: str = "") -> Truth:
        """The reference of the gradient for a leaf or an intermediate.

        `judged` is the method that will be compared with it, since nothing is judged by itself
        where there is another opinion.
        """
        return replace(self._derivative(name, judged), size=self.size(name))

    def size(self, name: str) -> Array:
        """By how much <cotangents, outputs> changes in units of the argument, elementwise, if both
        change by their own size; a small element counts as one of the typical size."""
        trace = self._trace
        known = trace.saved if name in self.sample.intermediates else self._leaves
        argument = np.abs(np.asarray(known[name]))
        telling = argument[np.isfinite(argument) & (argument > 0)]
        typical = float(np.median(telling)) if telling.size else 1.0
        terms = zip(self.sample.cotangents, trace.outputs, strict=True)
        changes = [np.abs(cotangent * np.asarray(output)) for cotangent, output in terms]
        whole = sum(float(np.sum(each, where=np.isfinite(each))) for each in changes)
        return np.asarray(whole / np.fmax(argument, typical))

    @cached_property
    def _leaves(self) -> dict[str, Array]:
        return trees.flatten(self.sample.inputs)

    @cached_property
    def _trace(self) -> Trace:
        with np.errstate(all="ignore"):
            return self.program.forward(ManualBackend().xp, self.sample.inputs)

    def _derivative(self, name: str, judged: str) -> Truth:
        certified = self._certified_derivative(name)
        if certified is not None:
            return certified
        numeric = self.numeric
        second = Truth(
            _either(numeric, name),
            NumericBackend.name,
            numeric.uncertainty.get(name),
            numeric.sampled.get(name),
            slopes=numeric.slopes.get(name),
        )
        if judged == ManualBackend.name or not isinstance(self.manual, Gradients):
            return second
        written = _get(self.manual, name)
        if written is None or written.shape != second.value.shape:
            return second
        first = Truth(written, ManualBackend.name)
        if judged == NumericBackend.name:
            return first
        verdict = judge(written, second, self._tolerance, "float64")
        return first if verdict.status == Status.PASS else second

    @cached_property
    def ties(self) -> Ties:
        """What `forward` alone says where comparisons are of equal numbers."""
        return Ties(self.program, self.narrow)

    @cached_property
    def pieces(self) -> Pieces | None:
        """The gradients of the leaves on the pieces that meet at a kink; None where none is known,
        or there is no kink."""
        found = self.certificate.pieces
        if found is not None and set(self.sample.differentiable) <= set(found.gradients):
            return found
        return self.ties.pieces

    def _certified_derivative(self, name: str) -> Truth | None:
        """The certified gradient: the backward's where it is verified, else that of `forward`."""
        certificate = self.certificate
        if certificate.trusts(name):
            return self._certified(certificate.gradients[name], certificate.radii[name])
        pieces = certificate.pieces
        if pieces is not None and name in pieces.gradients:
            rows = pieces.gradients[name]
            if rows[0].size > AXES:
                low, high = rows.min(axis=0), rows.max(axis=0)
                return self.beside(Sides(low, high, np.zeros(low.shape)))
        if name not in self._by_forward:
            try:
                self._by_forward[name] = self._of_forward(name)
            except Exception:  # what the case raises is said where the methods run it
                self._by_forward[name] = None
        return self._by_forward[name]

    def _of_forward(self, name: str) -> Truth | None:
        """What `forward` alone says: every element of a small array; of a large one a few, and the
        slopes along a few directions, which no error in the others escapes."""
        size = math.prod(trees.shape_of(self.sample, name))
        if size <= AXES:
            sides = along_axes(self.program, self.narrow, name)
            return None if sides is None else self.beside(self._widened(sides, name))
        rng = np.random.default_rng([size, *name.encode()])
        chosen = np.sort(rng.choice(size, SAMPLED, replace=False))
        some = sampled_axes(self.program, self.narrow, name, chosen.tolist())
        if some is None:
            return None
        few = self.beside(some)

        def spread(values: Array) -> Array:
            whole = np.full(size, np.nan)
            whole[chosen] = values
            return whole.reshape(trees.shape_of(self.sample, name))

        assert few.uncertainty is not None
        return replace(
            few,
            value=spread(few.value),
            uncertainty=spread(few.uncertainty),
            sides=few.sides and (spread(few.sides[0]), spread(few.sides[1])),
            sampled=chosen,
            slopes=random_slopes(self.program, self.narrow, name, DIRECTIONS),
        )

    def _widened(self, sides: Sides, name: str) -> Sides:
        """The sides, but where some piece has another derivative than any along the axis."""
        pieces = None if sides.smooth and not self.certificate.pieces else self.pieces
        if pieces is None or name not in pieces.gradients:
            return sides
        rows = pieces.gradients[name]
        with np.errstate(invalid="ignore"):
            low = np.fmin(np.fmin(sides.left, sides.right), rows.min(axis=0))
            high = np.fmax(np.fmax(sides.left, sides.right), rows.max(axis=0))
            slack = 4 * sides.radius + 1e-12 * np.fmax(np.abs(low), np.abs(high))
            wider = (low < np.fmin(sides.left, sides.right) - slack) | (
                high > np.fmax(sides.left, sides.right) + slack
            )
        left, right = np.where(wider, low, sides.left), np.where(wider, high, sides.right)
        return Sides(left, right, sides.radius)

    def beside(self, sides: Sides) -> Truth:
        """Certified derivatives from both sides as a reference."""
        truth = self._certified(sides.middle, sides.radius)
        return truth if sides.smooth else replace(truth, sides=(sides.left, sides.right))

    def _certified(self, midpoint: Array, radius: Array) -> Truth:
        """The midpoint is rounded to float64, by up to half a unit in its last place. What is not a
        number is no reference: there is none for that element."""
        finite = np.where(np.isfinite(midpoint), midpoint, 0.0)
        rounding = np.abs(finite) * unit_roundoff("float64")
        known = np.flatnonzero(~np.isnan(midpoint))
        sampled = None if known.size == midpoint.size else known
        return Truth(midpoint, CERTIFIED, radius + rounding, sampled)

    def deviation(self, runs: int) -> Deviation | None:
        """How far honest rounding in the dtype of the sample moves each number by the hand-written
        formulas; None where the backward is not known to be right."""
        if self.certificate.state not in ("verified", "close"):
            return None
        return self._measured("written", runs, lambda: self._deviation(self.program, runs))

    def rounding_of_values(self, runs: int) -> Deviation | None:
        """The same of `forward` alone, whatever is known about the backward."""
        found = self.deviation(runs)
        if found is not None:
            return found
        alone = ForwardOnly(self.program)
        return self._measured("values", runs, lambda: self._deviation(alone, runs))

    def rounding_of_rules(self, runs: int) -> Deviation | None:
        """The same of the backward that the textbooks derive, operation by operation; None where
        there is no rule for a function."""
        derived = Derived(self.program, self.narrow)
        return self._measured("rules", runs, lambda: self._deviation(derived, runs))

    def conditioning(self, runs: int) -> Deviation | None:
        """How far the gradient itself moves where `forward` rounds; None where nobody knows."""
        return self._measured(
            "problem",
            runs,
            lambda: conditioning(self.program, self.narrow, intermediates=self._values, runs=runs),
        )

    def _deviation(self, program: Program, runs: int) -> Deviation:
        return deviation(program, self.narrow, intermediates=self._values, runs=runs)

    def _measured(self, what: str, runs: int, measure: Callable[[], Deviation]) -> Deviation | None:
        if (what, runs) not in self._deviations:
            try:
                found: Deviation | None = measure()
            except Exception:  # no rule, or code that arrays of this kind cannot run
                found = None
            self._deviations[what, runs] = found
        return self._deviations[what, runs]

    def printed_allowance(self, kind: str, name: str) -> Array | float:
        """How far the rounding of printed inputs can move a quantity.

        The sum over those inputs of |Q(x + half a unit) - Q(x - half a unit)| / 2, evaluated with
        the hand-written backward; zero where no input is printed or there is no backward.
        """
        total: Array | float = 0.0
        for above, below in self._moved:
            one, other = (getattr(each, kind).get(name) for each in (above, below))
            if one is not None and other is not None:
                total = total + np.abs(one - other) / 2
        return total

    @cached_property
    def _moved(self) -> list[tuple[Gradients, Gradients]]:
        """The backward with each printed number moved up and down by half a unit."""
        if not self._spread or not isinstance(self.manual, Gradients):
            return []
        return [
            (self._at(path, index, float(half[index])), self._at(path, index, -float(half[index])))
            for path, half in self._spread.items()
            for index in np.ndindex(half.shape)
            if half[index]
        ]

    def _at(self, path: str, index: tuple[int, ...], offset: float) -> Gradients:
        def move(here: str, leaf: Array) -> Array:
            if here != path:
                return leaf
            moved = leaf.copy()
            moved[index] += offset
            return moved

        inputs = dict(trees.map_with_path(move, self.sample.inputs))
        return ManualBackend().differentiate(
            self.program, replace(self.sample, inputs=inputs), Task("vjp", self._values)
        )

    @property
    def _values(self) -> tuple[str, ...]:
        """Wanted intermediates that `forward` is known to assign."""
        assigned = {stage.name for stage in self.program.stages}
        return tuple(name for name in self._wanted if name in assigned)


def _get(gradients: Gradients, name: str) -> Array | None:
    found = gradients.gradients.get(name)
    return found if found is not None else gradients.intermediates.get(name)


def _either(gradients: Gradients, name: str) -> Array:
    found = _get(gradients, name)
    assert found is not None, name
    return found

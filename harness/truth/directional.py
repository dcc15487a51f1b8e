"""JVPs and HVPs with a proof, from `forward` alone.

Coefficient 1 of the outputs at `x + t v` is the JVP. The Hessian's product with `v` is coefficient
1 of the gradient there, and the hand-written backward, run in the same series, claims one; but that
a backward is right at `x` says nothing about its slope: `x` for the gradient of x**3 / 3 is right
at 1. So the claim is checked against second derivatives of `forward`. With D(u) for coefficient 2
of <cotangents, outputs> along u, which is <u, H u> / 2,

    <w, H v> = (D(v + w) - D(v - w)) / 2,

for one random `w`, and all elements are checked at once. Where the claim is wrong, or there is no
backward, the axes `w` = e_i give H v one element at a time. Either way no derivative rule is
involved but FLINT's arithmetic of series.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from flint import arb

from harness import referee
from harness.dtypes import is_floating
from harness.errors import HarnessError, Unsupported
from harness.model import Array, Sample, TaskMode
from harness.programs import trees
from harness.programs.program import Program, Trace
from harness.referee import BallArray, OrderExhausted, Undecided
from harness.truth.lifted import BITS, MOST_BITS, Lifted, as_balls, limit_of, near, total
from harness.truth.sides import AXES, Sides

#: Relative radius from which on a ball is narrow enough: 30 digits.
NARROW = 1e-30
LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True)
class Directional:
    """Certified derivatives along the tangents of a sample. Plain data.

    sides:  floating output (JVP) or leaf path (HVP) -> the derivative from both sides along the
            tangents; the two sides of an HVP are equal.
    reason: why there is none.
    kink:   whether that is because the gradient has no derivative along the tangents.
    """

    sides: Mapping[str, Sides] = field(default_factory=dict)
    reason: str = ""
    kink: bool = False


class _Kink(HarnessError):
    """Second derivatives differ by the side from which they are taken."""


def jvp(program: Program, sample: Sample) -> Directional:
    """The JVP of each floating output of a `sample`, one-sided at a kink.

    Exceptions of the case's own code pass through.
    """
    return _proved(program, sample, _Lines.jvp)


def hvp(program: Program, sample: Sample) -> Directional:
    """The Hessian of <cotangents, outputs> times the tangents, by differentiable leaf of a
    `sample`.

    Exceptions of the case's own code pass through.
    """
    return _proved(program, sample, _Lines.hvp)


def gradients_along(program: Program, sample: Sample) -> dict[str, Sides] | None:
    """What JVPs may be at a kink where a method takes a valid gradient, by output: <g, tangents>
    for every g whose elements lie between the one-sided derivatives along their axes. As for
    |x| - |y| at zero, no such number need lie between the derivatives along the tangents.

    None beyond AXES elements, two passes each, and where balls cannot follow.
    """
    try:
        lines = _Lines(program, sample)
        return referee.with_precision_doubling(lines.gradients_along, BITS, MOST_BITS)
    except (Undecided, Unsupported):
        return None


def rounding(
    program: Program, sample: Sample, mode: TaskMode, bits: int, *, written: bool
) -> dict[str, Array] | None:
    """How far operations that round to `bits` bits may move each number of a JVP or HVP: the radii
    of balls of that precision, by output or leaf.

    `written` says that `backward` is right, so that its slope is the HVP. None where such balls
    cannot follow.
    """
    try:
        lines = _Lines(program, sample)
        return referee.with_precision(lambda: lines.rounding(mode, written), bits)
    except (Undecided, Unsupported):
        return None


def _proved(
    program: Program, sample: Sample, attempt: Callable[[_Lines, bool], dict[str, Sides]]
) -> Directional:
    """`attempt`, again under value numbers, and then at twice the precision until it succeeds; it
    is told when it is the last one."""
    bits, numbered, reason = BITS, False, ""
    try:
        lines = _Lines(program, sample)
        while bits <= MOST_BITS:
            last = bits == MOST_BITS
            try:
                sides = referee.with_precision(lambda: attempt(lines, last), bits, numbered)  # noqa: B023
                return Directional(sides)
            except OrderExhausted:  # more bits would not help
                raise
            except Undecided as error:
                reason = str(error)
            bits, numbered = 2 * bits if numbered else bits, True
    except _Kink as error:
        return Directional(reason=str(error), kink=True)
    except (OrderExhausted, Unsupported) as error:
        return Directional(reason=str(error))
    return Directional(reason=reason)


class _Lines:
    """`forward` along straight lines through a sample."""

    def __init__(self, program: Program, sample: Sample) -> None:
        self.program, self.sample = program, sample
        self.lifted = Lifted(program, sample)
        self.tangents = {path: referee.lift(sample.tangents[path]) for path in self.lifted.leaves}

    def jvp(self, last: bool) -> dict[str, Sides]:
        """Both sides of the derivative of every floating output. Raises Undecided where balls are
        too wide for `NARROW` unless this is the `last` attempt."""
        right, above = self._one_sided(self.tangents, 1)
        left, below = self._one_sided(self.tangents, -1)
        found = {}
        for name in right:
            radius = np.maximum(above[name], below[name])
            largest = np.max(np.abs(right[name]), initial=0.0, where=np.isfinite(right[name]))
            if np.any(radius > NARROW * largest) and not last:
                raise Undecided(f"the JVP of `{name}` is known to few digits; raise the precision")
            found[name] = _sides(-left[name], right[name], radius)
        return found

    def hvp(self, last: bool) -> dict[str, Sides]:
        """H v by leaf. Raises as `jvp` does; _Kink, and Unsupported beyond AXES elements, where
        `backward` does not claim what `forward` says."""
        leaves = self.lifted.leaves
        w = self.lifted.directions(list(leaves))
        truth = self._crossed({path: referee.lift(each) for path, each in w.items()})
        try:
            claims = referee.with_order_raising(self._claims)
        except (OrderExhausted, Unsupported) as error:
            claims, wrong = {}, str(error)
        else:
            wrong = self._disagreement(claims, w, truth, last)
        if wrong:
            if sum(leaf.size for leaf in leaves.values()) > AXES:
                raise Unsupported(wrong)
            claims = {path: self._element_by_element(path) for path in leaves}
        found = {}
        for path, claim in claims.items():
            middle = referee.midpoints(claim)
            found[path] = _sides(middle, middle, referee.radii(claim))
        return found

    def gradients_along(self) -> dict[str, Sides] | None:
        """The least and the largest <g, tangents>; None beyond AXES elements."""
        if sum(leaf.size for leaf in self.lifted.leaves.values()) > AXES:
            return None
        found: dict[str, Sides] = {}
        for path, leaf in self.lifted.leaves.items():
            for index in np.ndindex(leaf.shape):
                axis = {path: referee.lift(referee.unit_direction(leaf.shape, index))}
                speed = float(self.sample.tangents[path][index])
                right, above = self._one_sided(axis, 1)
                left, below = self._one_sided(axis, -1)
                for name in right:
                    ends = speed * right[name], -speed * left[name]
                    radius = abs(speed) * np.maximum(above[name], below[name])
                    here = _sides(np.fmin(*ends), np.fmax(*ends), radius)
                    found[name] = here if name not in found else _added(found[name], here)
        return found

    def rounding(self, mode: TaskMode, written: bool) -> dict[str, Array] | None:
        """The radii of JVP or HVP; None beyond AXES elements unless `written`."""
        leaves = self.lifted.leaves
        if mode == "jvp":
            balls = referee.with_order_raising(lambda order: self._slopes(self.tangents, 1, order))
        elif written:
            balls = referee.with_order_raising(self._claims)
        elif sum(leaf.size for leaf in leaves.values()) <= AXES:
            balls = {path: self._element_by_element(path) for path in leaves}
        else:
            return None
        return {name: referee.radii(each) for name, each in balls.items()}

    def _one_sided(
        self, direction: Mapping[str, BallArray], sign: int
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Midpoints and radii of coefficient 1 of every floating output, `sign` along a direction.
        Infinite where the derivative is, NaN where `forward` has no real value on that side."""
        found = referee.with_order_raising(lambda order: self._slopes(direction, sign, order))
        middles = {name: referee.midpoints(each) for name, each in found.items()}
        radii = {name: referee.radii(each) for name, each in found.items()}
        if any(np.isnan(each).any() for each in middles.values()):
            if not referee.numbering():
                raise Undecided("not a number, or the ball of zero by another name")
            beside = near(lambda step: self._slopes(direction, sign, 1, step))
            for name, middle in middles.items():
                for index in map(tuple, np.argwhere(np.isnan(middle))):
                    parts = [each[name].series.parts[0][index] for each in beside]
                    middle[index], radii[name][index] = float(limit_of(parts)), 0.0
        if any(np.isinf(each).any() for each in radii.values()):
            raise Undecided("an unbounded ball; raise the precision")
        return middles, radii

    def _slopes(
        self, direction: Mapping[str, BallArray], sign: int, order: int, step: float = 0.0
    ) -> dict[str, BallArray]:
        """Coefficient 1 of every floating output at `step` along a direction."""
        outputs = _floating(self.lifted.moved(direction, sign, order, step).trace)
        names = self.program.outputs
        return {names[place]: referee.coefficient(each, 1) for place, each in outputs.items()}

    def _claims(self, order: int) -> dict[str, BallArray]:
        """Coefficient 1 of what `backward` returns along the tangents. Raises Unsupported where it
        returns less than the gradients."""
        if self.program.backward_stages is None:
            raise Unsupported("the case has no `backward`")
        moved = self.lifted.moved(self.tangents, 1, order)
        returned, _ = self.program.backward(
            referee.xp, self.lifted.cotangents, moved.inputs, moved.trace
        )
        gradients = trees.by_path(returned, self.sample)
        found = {}
        for path, leaf in self.lifted.leaves.items():
            if path not in gradients:
                raise Unsupported(f"`backward` returned no gradient for `{path}`")
            found[path] = referee.coefficient(as_balls(gradients[path]), 1)
            if found[path].shape != leaf.shape:
                raise Unsupported(f"the gradient of `{path}` has shape {list(found[path].shape)}")
        return found

    def _disagreement(
        self, claims: Mapping[str, BallArray], w: Mapping[str, Array], truth: arb, last: bool
    ) -> str:
        """What is wrong with <claims, w>, which should be `truth`; "" for nothing. Raises Undecided
        where they agree to fewer digits than `NARROW` has."""
        terms = [claims[path] * referee.lift(each) for path, each in w.items()]
        claim, size = total(terms), total(map(abs, terms))
        if claim.is_nan():
            return "`backward` is not finite along the tangents"
        if not claim.overlaps(truth):
            return "the slope of `backward` is proved wrong, and there are too many elements"
        radius = float(claim.rad()) + float(truth.rad())
        scale = max(abs(float(size.mid())), abs(float(truth.mid())))
        # What is still zero to a thousand digits is zero, which has no digits of its own.
        if not radius <= NARROW * min(max(scale, 1.0) if last else scale, LARGEST):
            raise Undecided("the HVP is known to few digits; raise the precision")
        return ""

    def _element_by_element(self, path: str) -> BallArray:
        """H v of one leaf, from `forward` alone."""
        leaves = self.lifted.leaves
        none = {other: referee.lift(np.zeros(each.shape)) for other, each in leaves.items()}
        shape = leaves[path].shape
        found = [
            self._crossed({**none, path: referee.lift(referee.unit_direction(shape, index))})
            for index in np.ndindex(shape)
        ]
        flat: BallArray = referee.lift(found)
        return flat.mapped(lambda each: each.reshape(shape))

    def _crossed(self, w: Mapping[str, BallArray]) -> arb:
        """<w, H v>. Raises _Kink."""
        plus = self._curvature({path: v + w[path] for path, v in self.tangents.items()})
        minus = self._curvature({path: v - w[path] for path, v in self.tangents.items()})
        return (plus - minus) / 2

    def _curvature(self, direction: Mapping[str, BallArray]) -> arb:
        """Coefficient 2 of <cotangents, outputs> along the direction. Raises _Kink where it, the
        derivative or the value is another one in the opposite direction."""
        ahead, behind = (
            referee.with_order_raising(lambda order: self._coefficients(direction, sign, order), 2)  # noqa: B023
            for sign in (1, -1)
        )
        numbers = [*ahead, *behind]
        if not all(each.mid().is_finite() for each in numbers):
            raise _Kink("a singularity, or the edge of the domain")
        if not all(each.is_finite() for each in numbers):
            raise Undecided("an unbounded ball; raise the precision")
        behind[1] = -behind[1]
        if not all(one.overlaps(other) for one, other in zip(ahead, behind, strict=True)):
            raise _Kink("the gradient has no derivative along the tangents")
        return ahead[2]

    def _coefficients(self, direction: Mapping[str, BallArray], sign: int, order: int) -> list[arb]:
        """Coefficients 0, 1 and 2 of <cotangents, outputs>."""
        outputs = _floating(self.lifted.moved(direction, sign, order).trace)
        return [
            total(
                referee.coefficient(output, power) * self.lifted.cotangents[place]
                for place, output in outputs.items()
            )
            for power in (0, 1, 2)
        ]


def _sides(left: Array, right: Array, radius: Array) -> Sides:
    """The midpoints are rounded to float64, so the balls are wider by that."""
    largest = np.fmax(np.abs(left), np.abs(right))
    return Sides(left, right, radius + np.where(np.isfinite(largest), largest * 2.0**-53, 0.0))


def _added(one: Sides, other: Sides) -> Sides:
    with np.errstate(invalid="ignore"):
        return _sides(one.left + other.left, one.right + other.right, one.radius + other.radius)


def _floating(trace: Trace) -> dict[int, BallArray]:
    """The outputs that have derivatives, by position; integers and booleans have none."""
    return {
        place: as_balls(output)
        for place, output in enumerate(trace.outputs)
        if is_floating(np.dtype(getattr(output, "dtype", type(output))))
    }

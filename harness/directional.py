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

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from flint import arb

from harness import referee, trees
from harness.certificate import AXES, BITS, DIGITS, MOST_BITS, Sides, by_path
from harness.errors import HarnessError, Unsupported
from harness.model import Array, Sample
from harness.referee import BallArray, OrderExhausted, Undecided
from harness.staging import Program, Trace

#: Relative radius from which on a ball is narrow enough.
NARROW = 10.0**-DIGITS
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
    """The JVP of each floating output of a float64 `sample`, one-sided at a kink.

    Exceptions of the case's own code pass through.
    """
    return _proved(_Lines(program, sample).jvp)


def hvp(program: Program, sample: Sample) -> Directional:
    """The Hessian of <cotangents, outputs> times the tangents, by differentiable leaf of a float64
    `sample`.

    Exceptions of the case's own code pass through.
    """
    return _proved(_Lines(program, sample).hvp)


def _proved(attempt: Callable[[bool], dict[str, Sides]]) -> Directional:
    """`attempt` at twice the precision until it succeeds; it is told when it is the last one."""
    bits, reason = BITS, ""
    while bits <= MOST_BITS:
        last = bits == MOST_BITS
        try:
            return Directional(referee.with_precision(lambda: attempt(last), bits))  # noqa: B023
        except _Kink as error:
            return Directional(reason=str(error), kink=True)
        except (OrderExhausted, Unsupported) as error:  # more bits would not help
            return Directional(reason=str(error))
        except Undecided as error:
            reason = str(error)
        bits *= 2
    return Directional(reason=reason)


class _Lines:
    """`forward` along straight lines through a sample."""

    def __init__(self, program: Program, sample: Sample) -> None:
        self.program, self.sample = program, sample
        leaves = trees.flatten(sample.inputs)
        self.leaves = {path: leaves[path] for path in sample.differentiable}
        self.assemble = trees.assembler(sample, referee.lift)
        self.tangents = {path: referee.lift(sample.tangents[path]) for path in self.leaves}

    def jvp(self, last: bool) -> dict[str, Sides]:
        """Both sides of the derivative of every floating output. Raises Undecided where balls are
        too wide for `NARROW` unless this is the `last` attempt."""
        (right, above), (left, below) = self._one_sided(1), self._one_sided(-1)
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
        shapes = {path: leaf.shape for path, leaf in self.leaves.items()}
        rng = np.random.default_rng(len(shapes))
        w = {path: referee.dyadic_direction(rng, shape) for path, shape in shapes.items()}
        truth = self._crossed({path: referee.lift(each) for path, each in w.items()})
        try:
            claims = referee.with_order_raising(self._claims)
        except (OrderExhausted, Unsupported) as error:
            claims, wrong = {}, str(error)
        else:
            wrong = self._disagreement(claims, w, truth, last)
        if wrong:
            if sum(leaf.size for leaf in self.leaves.values()) > AXES:
                raise Unsupported(wrong)
            claims = {path: self._element_by_element(path) for path in shapes}
        found = {}
        for path, claim in claims.items():
            middle = referee.midpoints(claim)
            found[path] = _sides(middle, middle, referee.radii(claim))
        return found

    def _one_sided(self, sign: int) -> tuple[dict[str, Array], dict[str, Array]]:
        """Midpoints and radii of coefficient 1 of every floating output, `sign` along the tangents.
        Infinite where the derivative is, NaN where `forward` has no real value on that side."""
        found = referee.with_order_raising(lambda order: self._slopes(sign, order))
        middles = {name: referee.midpoints(each) for name, each in found.items()}
        radii = {name: referee.radii(each) for name, each in found.items()}
        if any(np.isnan(each).any() for each in middles.values()):
            steps = [2.0**-exponent for exponent in (64, 256, 1024)]
            # x + h takes 1024 bits more than x.
            near = referee.with_precision(
                lambda: [self._slopes(sign, 1, step) for step in steps], MOST_BITS
            )
            for name, middle in middles.items():
                unknown = np.isnan(middle)
                values = [referee.midpoints(each[name])[unknown] for each in near]
                middle[unknown], radii[name][unknown] = _limit(values), 0.0
        if any(np.isinf(each).any() for each in radii.values()):
            raise Undecided("an unbounded ball; raise the precision")
        return middles, radii

    def _slopes(self, sign: int, order: int, step: float = 0.0) -> dict[str, BallArray]:
        """Coefficient 1 of every floating output at `step` along the tangents."""
        outputs = _floating(self._moved(self.tangents, sign, order, step)[1])
        names = self.program.forward_code.returns
        return {names[place]: referee.coefficient(each, 1) for place, each in outputs.items()}

    def _claims(self, order: int) -> dict[str, BallArray]:
        """Coefficient 1 of what `backward` returns along the tangents. Raises Unsupported where it
        returns less than the gradients."""
        if self.program.backward_code is None:
            raise Unsupported("the case has no `backward`")
        inputs, trace = self._moved(self.tangents, 1, order)
        cotangents = tuple(referee.lift(each) for each in self.sample.cotangents)
        returned, _ = self.program.backward(referee.xp, cotangents, inputs, trace)
        gradients = by_path(returned, self.sample)
        found = {path: referee.coefficient(_balls(gradients[path]), 1) for path in self.leaves}
        for path, each in found.items():
            if each.shape != self.leaves[path].shape:
                raise Unsupported(f"the gradient of `{path}` has shape {list(each.shape)}")
        return found

    def _disagreement(
        self, claims: Mapping[str, BallArray], w: Mapping[str, Array], truth: arb, last: bool
    ) -> str:
        """What is wrong with <claims, w>, which should be `truth`; "" for nothing. Raises Undecided
        where they agree to fewer than DIGITS digits."""
        terms = [claims[path] * referee.lift(each) for path, each in w.items()]
        claim, size = _total(terms), _total(map(abs, terms))
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
        leaf = self.leaves[path]
        none = {other: referee.lift(np.zeros(each.shape)) for other, each in self.leaves.items()}
        found = [
            self._crossed({**none, path: referee.lift(referee.unit_direction(leaf.shape, index))})
            for index in np.ndindex(leaf.shape)
        ]
        flat: BallArray = referee.lift(found)
        return flat.mapped(lambda each: each.reshape(leaf.shape))

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
        outputs = _floating(self._moved(direction, sign, order)[1])
        return [
            _total(
                referee.coefficient(output, power) * referee.lift(self.sample.cotangents[place])
                for place, output in outputs.items()
            )
            for power in (0, 1, 2)
        ]

    def _moved(
        self, direction: Mapping[str, BallArray], sign: int, order: int, step: float = 0.0
    ) -> tuple[dict[str, Any], Trace]:
        """The inputs with each leaf moved by `step` + t along `sign` times the direction, and
        `forward` of them."""
        variables = []
        for path, leaf in self.leaves.items():
            along = direction[path] * sign
            moved = referee.lift_along(leaf, along, order)
            variables.append(moved + along * step if step else moved)
        inputs = self.assemble(variables)
        return inputs, self.program.forward(referee.xp, inputs)


def _limit(near: list[Array]) -> Array:
    """The limit of a one-sided derivative, from its values ever closer to a singularity: NaN where
    `forward` is not real, infinite where it grows without an end in sight, as 1/h and log h do."""
    grows = np.all([np.abs(b) > 2 * np.abs(a) for a, b in pairwise(near)], axis=0)
    nowhere = np.any([np.isnan(each) for each in near], axis=0)
    if not np.all(grows | nowhere):
        raise Unsupported("a singularity that balls do not resolve")
    return np.where(nowhere, np.nan, np.copysign(np.inf, near[-1]))


def _sides(left: Array, right: Array, radius: Array) -> Sides:
    """The midpoints are rounded to float64, so the balls are wider by that."""
    largest = np.fmax(np.abs(left), np.abs(right))
    return Sides(left, right, radius + np.where(np.isfinite(largest), largest * 2.0**-53, 0.0))


def _balls(value: Any) -> BallArray:
    return value if isinstance(value, BallArray) else referee.lift(np.asarray(value))


def _floating(trace: Trace) -> dict[int, BallArray]:
    """The outputs that have derivatives, by position; integers and booleans have none."""
    return {
        place: _balls(output)
        for place, output in enumerate(trace.outputs)
        if np.dtype(getattr(output, "dtype", type(output))).kind == "f"
    }


def _total(arrays: Iterable[BallArray]) -> arb:
    """The sum of all elements."""
    total = arb(0)
    for array in arrays:
        for element in array.series.parts[0].ravel():
            total += element
    return total

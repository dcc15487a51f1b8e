"""Is the hand-written backward right? Not to a tolerance: proved wrong, or verified to N digits.

The truth comes from `forward` alone. Every differentiable input is moved along a random direction
`v` as a truncated Taylor series, `x + t v`, and so is every intermediate whose cotangent `backward`
names; FLINT's arithmetic then gives the derivative of <cotangent, outputs> along `v` with a proved
bound and no derivative rule in between. The backward, run in the same balls, claims that this is
<gradient, v>. Balls that do not meet prove it wrong; balls that meet verify it to as many digits as
they are narrow. That is a handful of passes, whatever the number of inputs.

The derivative is taken along +v and -v. Where the two differ there is a kink: no gradient exists,
and what a method may return lies between the one-sided derivatives of each element.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from flint import arb

from harness import referee, trees
from harness.errors import Unsupported
from harness.model import Array, Sample
from harness.referee import BallArray, OrderExhausted, Undecided
from harness.staging import Program, Trace

State = Literal["verified", "close", "wrong", "kink", "undecided"]

#: Digits to which a backward has to be verified; the precision is raised until it is.
DIGITS = 30.0
#: Digits of agreement beyond which a difference may be the rounding of a literal to float64.
CLOSE = 14.7
#: Bits to start with, and beyond which nothing is tried.
BITS, MOST_BITS = 128, 4096
#: Elements up to which the derivative is taken along each axis.
AXES = 64


@dataclass(frozen=True)
class Certificate:
    """What was proved about a backward at one sample. Plain data.

    state:         `verified` to `digits`; `close`: not the exact formula, yet the same to `digits`
                   of them, as where a constant is written as a rounded decimal; `wrong`; `kink`:
                   no derivative along the direction; `undecided`: for `reason`.
    values:        output or intermediate -> float64 midpoints of certified balls.
    gradients:     leaf path or intermediate -> float64 midpoints of what `backward` says, in balls;
                   certified truth where the state is `verified`.
    radii:         the same keys -> bounds of the distance of the true number from its midpoint.
    wrong:         names whose gradient was proved wrong by itself, in the order of `backward`.
    right:         names whose gradient was verified by itself, where others are wrong.
    """

    state: State
    digits: float = 0.0
    bits: int = 0
    reason: str = ""
    values: Mapping[str, Array] = field(default_factory=dict)
    gradients: Mapping[str, Array] = field(default_factory=dict)
    radii: Mapping[str, Array] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()
    right: tuple[str, ...] = ()

    def trusts(self, name: str) -> bool:
        """Whether the gradient of `name` is verified, so that others can be judged by it."""
        verified = self.state == "verified" and self.digits >= DIGITS
        return name in self.gradients and (verified or name in self.right)


@dataclass(frozen=True)
class Sides:
    """The one-sided derivatives of <cotangents, outputs> with respect to each element of a leaf or
    an intermediate, from below (`left`) and from above, as float64 midpoints of balls of `radius`
    or less. Infinite where the derivative is; NaN where `forward` has no real value on that side.
    """

    left: Array
    right: Array
    radius: Array

    @property
    def smooth(self) -> bool:
        """Whether the two agree everywhere, so that there is a derivative."""
        with np.errstate(invalid="ignore"):
            return bool(np.all(np.abs(self.left - self.right) <= 2 * self.radius))

    @property
    def middle(self) -> Array:
        """The mean of the two, or the one that exists."""
        with np.errstate(invalid="ignore"):
            mean = (self.left + self.right) / 2
        return np.where(
            np.isnan(self.left), self.right, np.where(np.isnan(self.right), self.left, mean)
        )


def certify(program: Program, sample: Sample, wanted: Sequence[str] = ()) -> Certificate:
    """Certify the backward of `program` at the float64 (or narrower) numbers of `sample`.

    `wanted` names intermediates whose values are to be certified too.

    Never raises for a case that balls cannot follow: the certificate is then `undecided`, with the
    reason. Exceptions of the case's own code pass through.
    """
    attempt = _Attempt(program, sample, wanted)
    bits, last = BITS, Certificate("undecided", reason="not tried")
    while bits <= MOST_BITS:
        try:
            last = referee.with_precision(lambda: attempt.run(bits), bits)  # noqa: B023
        except OrderExhausted as error:  # more bits would not help
            return Certificate("undecided", bits=bits, reason=str(error))
        except Undecided as error:
            last = Certificate("undecided", bits=bits, reason=str(error))
        except Unsupported as error:
            return Certificate("undecided", bits=bits, reason=str(error))
        if last.state in ("wrong", "close", "kink") or last.digits >= DIGITS:
            return last
        bits *= 2
    return last


def certified_values(
    program: Program, sample: Sample, wanted: Sequence[str] = ()
) -> dict[str, tuple[Array, Array]]:
    """Midpoints and radii of outputs and wanted intermediates, for a case without a certificate;
    empty where balls cannot follow `forward`."""
    attempt = _Attempt(program, sample, wanted)
    try:
        found = referee.with_precision_doubling(attempt.values, BITS, MOST_BITS)
    except (Undecided, Unsupported):
        return {}
    return {name: (referee.midpoints(each), referee.radii(each)) for name, each in found.items()}


def along_axes(program: Program, sample: Sample, name: str) -> Sides | None:
    """The derivative from `forward` alone, element by element, in both directions of each axis.

    Two passes per element, so only up to AXES elements; None beyond, and where balls cannot follow.
    """
    shape = _shape(sample, name)
    if math.prod(shape) > AXES:
        return None
    bits = BITS
    while bits <= MOST_BITS:
        try:
            return referee.with_precision(lambda: _sides(program, sample, name, shape), bits)
        except Undecided:
            bits *= 2
        except Unsupported:
            return None
    return None


def _sides(program: Program, sample: Sample, name: str, shape: tuple[int, ...]) -> Sides:
    attempt = _Attempt(program, sample)
    left, right, radius = (np.zeros(shape) for _ in range(3))
    for index in np.ndindex(shape):
        axis = {name: referee.unit_direction(shape, index)}
        above, below = attempt.one_sided(axis, 1), -attempt.one_sided(axis, -1)
        right[index], left[index] = float(above.mid()), float(below.mid())
        for side in (above, below):
            if side.is_finite():
                # The midpoint is rounded to float64 besides.
                spread = float(side.rad()) + 2.0**-53 * abs(float(side.mid()))
                radius[index] = max(float(radius[index]), spread)
    return Sides(left, right, radius)


def _shape(sample: Sample, name: str) -> tuple[int, ...]:
    if name in sample.intermediates:
        return sample.intermediates[name]
    shape: tuple[int, ...] = trees.flatten(sample.inputs)[name].shape
    return shape


class _Attempt:
    """One certificate at one precision."""

    def __init__(self, program: Program, sample: Sample, wanted: Sequence[str] = ()) -> None:
        self.program, self.sample, self.wanted = program, sample, wanted
        self.leaves = trees.flatten(sample.inputs)
        self.assemble = trees.assembler(sample, referee.lift)

    def run(self, bits: int) -> Certificate:
        return referee.with_order_raising(lambda order: self._run(bits, order))

    def _run(self, bits: int, order: int) -> Certificate:
        names = self._names()
        directions = self._directions(names)
        trace = self._moved(directions, 1, order)
        truth, claims = self._slope(trace), self._claims(trace)
        state, digits = _compared(claims, directions, truth)
        behind, reason = -self.along(directions, -1, order), ""
        if truth.is_nan() or behind.is_nan():
            state, digits, reason = "undecided", 0.0, "a singularity, or the edge of the domain"
        elif not (truth.is_finite() and behind.is_finite() and behind.overlaps(truth)):
            state, digits = "kink", 0.0
        values = self.values()
        wrong: list[str] = []
        right: list[str] = []
        if state in ("wrong", "close"):
            # One bad name spoils the sum; now each by itself.
            state = "close"
            for name in names:
                alone = self._directions([name])
                verdict, agreed = _compared(claims, alone, self.along(alone, 1, order))
                if verdict == "verified":
                    right.append(name)
                elif verdict == "wrong":
                    wrong.append(name)
                    state = "wrong"
                digits = min(digits, agreed)
        return Certificate(
            state,
            digits,
            bits,
            reason,
            values={name: referee.midpoints(each) for name, each in values.items()},
            gradients={name: referee.midpoints(each) for name, each in claims.items()},
            radii={name: referee.radii(each) for name, each in (values | claims).items()},
            wrong=tuple(wrong),
            right=tuple(right),
        )

    def values(self) -> dict[str, BallArray]:
        """Outputs and wanted intermediates. Those of a moved trace will not do: where `forward`
        jumps, they are limits."""
        still = self._moved({}, 1)
        outputs = map(_balls, still.outputs)
        found = dict(zip(self.program.forward_code.returns, outputs, strict=True))
        return found | {name: _balls(still.saved[name]) for name in self.wanted}

    def along(self, directions: Mapping[str, Array], sign: int, order: int = 1) -> arb:
        """The derivative of <cotangents, outputs> along `sign` times the directions, by series
        known to t**order: the norm at zero is sqrt(t**2). Raises OrderExhausted."""
        return self._slope(self._moved(directions, sign, order))

    def one_sided(self, directions: Mapping[str, Array], sign: int) -> arb:
        """The same, to as many orders of t as it takes. Infinite where the derivative is, NaN where
        `forward` has no real value on that side."""
        found = referee.with_order_raising(lambda order: self.along(directions, sign, order))
        if found.is_nan():
            found = self._limit(directions, sign)
        elif not found.is_finite() and not found.rad().is_zero():
            raise Undecided("an unbounded ball; raise the precision")
        return found

    def _limit(self, directions: Mapping[str, Array], sign: int) -> arb:
        """The derivative a tiny step h along the directions, as h goes to 0: NaN where `forward`
        is not real, infinite where it grows without an end in sight, as 1/h and log h do."""

        steps = [2.0**-exponent for exponent in (64, 256, 1024)]
        # x + h takes 1024 bits more than x.
        near = referee.with_precision(
            lambda: [self._slope(self._moved(directions, sign, 1, step)) for step in steps],
            MOST_BITS,
        )
        sizes = [abs(float(each.mid())) for each in near]
        if any(each.is_nan() for each in near):
            return arb("nan")
        if all(later > 2 * earlier for earlier, later in pairwise(sizes)):
            return arb("inf") if near[-1] > 0 else arb("-inf")
        raise Unsupported("a singularity that balls do not resolve")

    def _names(self) -> list[str]:
        """The intermediates whose cotangents `backward` assigns, in its order, then the leaves."""
        code = self.program.backward_code
        if code is None:
            raise Unsupported("the case has no `backward`")
        locals_ = dict.fromkeys(stage.name for stage in code.stages)
        named = [name[1:] for name in locals_ if name[:1] == "d"]
        found = [name for name in named if name in self.sample.intermediates]
        return [*found, *self.sample.differentiable]

    def _directions(self, names: Sequence[str]) -> dict[str, Array]:
        rng = np.random.default_rng([len(names), *"/".join(names).encode()])
        return {name: referee.dyadic_direction(rng, _shape(self.sample, name)) for name in names}

    def _moved(
        self,
        directions: Mapping[str, Array],
        sign: int,
        order: int = 1,
        step: float = 0.0,
    ) -> Trace:
        """`forward` with each of the named leaves and intermediates moved along its direction, by
        `step` + t."""

        def move(x: Array, v: Array) -> BallArray:
            moved = referee.lift_along(x, v, order)
            return moved + referee.lift(v * step) if step else moved

        variables = [
            move(self.leaves[path], sign * directions[path])
            if path in directions
            else referee.lift(self.leaves[path])
            for path in self.sample.differentiable
        ]
        moved = {
            name: move(np.zeros(shape), sign * directions[name])
            for name, shape in self.sample.intermediates.items()
            if name in directions
        }
        return self.program.forward(referee.xp, self.assemble(variables), moved)

    def _slope(self, trace: Trace) -> arb:
        """Coefficient 1 of <cotangents, outputs>."""
        slopes = (referee.coefficient(_balls(output), 1) for output in trace.outputs)
        return _total(
            slope * referee.lift(cotangent)
            for slope, cotangent in zip(slopes, self.sample.cotangents, strict=True)
        )

    def _claims(self, trace: Trace) -> dict[str, BallArray]:
        """What `backward` says at t = 0, by the names of `_names`. Raises Unsupported where it
        says less."""
        saved = {
            name: referee.value(value) if isinstance(value, BallArray) else value
            for name, value in trace.saved.items()
        }
        lifted = [referee.lift(self.leaves[path]) for path in self.sample.differentiable]
        cotangents = tuple(referee.lift(each) for each in self.sample.cotangents)
        inputs = self.assemble(lifted)
        returned, recorded = self.program.backward(
            referee.xp, cotangents, inputs, Trace(trace.outputs, saved)
        )
        gradients = by_path(returned, self.sample)
        claims = {
            name: _balls(recorded[f"d{name}"] if name not in gradients else gradients[name])
            for name in self._names()
        }
        for name, claim in claims.items():
            if claim.shape != _shape(self.sample, name):
                raise Unsupported(f"the gradient of `{name}` has shape {list(claim.shape)}")
        return claims


def _compared(
    claims: Mapping[str, BallArray], directions: Mapping[str, Array], truth: arb
) -> tuple[State, float]:
    """<claims, directions> against the derivative of `forward` along them, and how many digits
    that verifies: relative to the sum of magnitudes, which no cancellation makes small."""
    terms = [claims[name] * referee.lift(each) for name, each in directions.items()]
    claim, size = _total(terms), _total(map(abs, terms))
    scale = max(float(size.mid()), abs(float(truth.mid())))
    if not claim.overlaps(truth):
        off = abs(float((claim - truth).mid()))
        digits = -math.log10(off / scale) if 0 < off < scale else 0.0
        return ("close" if digits >= CLOSE else "wrong"), digits
    if not (claim.is_finite() and truth.is_finite()):
        return "undecided", 0.0  # NaN overlaps everything, and may have radius zero
    radius = float(claim.rad()) + float(truth.rad())
    if radius == 0:
        return "verified", math.inf
    if scale == 0 or not math.isfinite(radius):
        return "undecided", 0.0
    return "verified", max(0.0, -math.log10(radius / scale))


def by_path(returned: Any, sample: Sample) -> dict[str, Any]:
    """What `backward` returned as leaf path -> balls. Raises Unsupported for a missing gradient."""
    names = list(dict.fromkeys(path.split(".")[0] for path in sample.differentiable))
    if not isinstance(returned, Mapping):
        items = returned if isinstance(returned, tuple | list) else [returned]
        returned = dict(zip(names, items, strict=False))
    found = trees.flatten(dict(returned))
    missing = [path for path in sample.differentiable if path not in found]
    if missing:
        raise Unsupported(f"`backward` returned no gradient for `{missing[0]}`")
    return found


def _balls(value: Any) -> BallArray:
    return value if isinstance(value, BallArray) else referee.lift(np.asarray(value))


def _total(arrays: Iterable[BallArray]) -> arb:
    """The sum of all elements."""
    total = arb(0)
    for array in arrays:
        for element in array.series.parts[0].ravel():
            total += element
    return total

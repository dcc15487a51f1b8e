"""Is the hand-written backward right? Not to a tolerance: proved wrong, or verified to N digits.

The truth comes from `forward` alone. Every differentiable input is moved along a random direction
`v` as a truncated Taylor series, `x + t v`, and so is every intermediate whose cotangent `backward`
names; FLINT's arithmetic then gives the derivative of <cotangent, outputs> along `v` with a proved
bound and no derivative rule in between. The backward, run in the same balls, claims that this is
<gradient, v>. Balls that do not meet prove it wrong; balls that meet verify it to as many digits as
they are narrow. That is a handful of passes, whatever the number of inputs. An error orthogonal to
`v` goes unseen: no exchange of two elements is, among up to `surface.POOL` of them, and hardly any
other error; every point has another `v`.

The derivative is taken along +v and -v. Where the two differ there is a kink: no gradient exists,
and what a method may return lies between the one-sided derivatives of each element.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from flint import arb

from harness import referee
from harness.errors import Unsupported
from harness.model import Array, Sample
from harness.referee import BallArray, OrderExhausted, Undecided
from harness.staging import Program
from harness.truth.lifted import BITS, MOST_BITS, Lifted, inner

State = Literal["verified", "close", "wrong", "kink", "undecided"]

#: Digits to which a backward has to be verified; the precision is raised until it is.
DIGITS = 30.0
TOO_WIDE = "the balls of `backward` are too wide to judge"
#: Digits of agreement beyond which a difference may be the rounding of a literal to float64.
CLOSE = 14.7


class Numbers(Mapping[str, Array]):
    """Balls by name, read as float64 arrays by `convert` when one is first asked for: who wants the
    verdict alone does not wait for them. Pickled as a dict of arrays."""

    def __init__(
        self, balls: Mapping[str, BallArray], convert: Callable[[BallArray], Array]
    ) -> None:
        self._balls, self._convert = balls, convert
        self._found: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._found:
            self._found[name] = self._convert(self._balls[name])
        return self._found[name]

    def __contains__(self, name: object) -> bool:
        return name in self._balls

    def __iter__(self) -> Iterator[str]:
        return iter(self._balls)

    def __len__(self) -> int:
        return len(self._balls)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


@dataclass(frozen=True)
class Certificate:
    """What was proved about a backward at one sample. Plain data, once it is pickled; until then
    its numbers are read from balls as they are asked for.

    state:         `verified` to `digits`; `close`: not the exact formula, yet the same to `digits`
                   of them, as where a constant is written as a rounded decimal; `wrong`; `kink`:
                   no derivative along the direction; `undecided`.
    reason:        why it is undecided, or `wrong` without a number that differs.
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


def certify(program: Program, sample: Sample, wanted: Sequence[str] = ()) -> Certificate:
    """Certify the backward of `program` at the numbers of `sample`, in whatever dtype.

    `wanted` names intermediates whose values are to be certified too.

    Never raises for a case that balls cannot follow: the certificate is then `undecided`, with the
    reason. Exceptions of the case's own code pass through.
    """
    bits, last = BITS, Certificate("undecided", reason="not tried")
    try:
        lifted = Lifted(program, sample)
        while bits <= MOST_BITS:
            try:
                last = referee.with_precision(lambda: _at_precision(lifted, bits, wanted), bits)  # noqa: B023
            except OrderExhausted:  # more bits would not help
                raise
            except Undecided as error:
                last = Certificate("undecided", bits=bits, reason=str(error))
            if last.state in ("wrong", "close", "kink") or last.digits >= DIGITS:
                return last
            bits *= 2
    except (OrderExhausted, Unsupported) as error:
        return Certificate("undecided", bits=bits, reason=str(error))
    return last


def certified_values(
    program: Program, sample: Sample, wanted: Sequence[str] = ()
) -> dict[str, tuple[Array, Array]]:
    """Midpoints and radii of outputs and wanted intermediates, for a case without a certificate;
    empty where balls cannot follow `forward`."""
    try:
        lifted = Lifted(program, sample)
        found = referee.with_precision_doubling(
            lambda: lifted.values(wanted, lifted.at_rest()), BITS, MOST_BITS
        )
    except (Undecided, Unsupported):
        return {}
    return {name: (referee.midpoints(each), referee.radii(each)) for name, each in found.items()}


def _at_precision(lifted: Lifted, bits: int, wanted: Sequence[str]) -> Certificate:
    return referee.with_order_raising(lambda order: _at_order(lifted, bits, wanted, order))


def _at_order(lifted: Lifted, bits: int, wanted: Sequence[str], order: int) -> Certificate:
    names = lifted.names()
    directions = lifted.directions(names)
    ahead = lifted.moved(directions, 1, order)
    here = lifted.at_rest(ahead)
    truth, claims = lifted.slope(ahead.trace), lifted.claims(here)
    behind = lifted.behind(directions, ahead, order)
    state, digits = _compared(claims, directions, truth)
    reason, undefined = "", set[str]()
    if truth.is_nan() or behind.is_nan():
        state, digits, reason = "undecided", 0.0, "a singularity, or the edge of the domain"
    elif not (truth.is_finite() and behind.is_finite() and behind.overlaps(truth)):
        state, digits = "kink", 0.0
    elif state == "undecided":
        undefined = lifted.undefined(here)
        state = "wrong" if undefined else state
        reason = "`backward` is not finite where the derivative is" if undefined else TOO_WIDE
    wrong: list[str] = []
    right: list[str] = []
    if state in ("wrong", "close"):
        # One bad name spoils the sum; now each by itself.
        state = "close"
        for name in names:
            alone = lifted.directions([name])
            verdict, agreed = _compared(claims, alone, lifted.along(alone, 1, order))
            if verdict == "verified":
                right.append(name)
            elif verdict == "wrong" or name in undefined:
                wrong.append(name)
                state = "wrong"
            digits = min(digits, agreed)
    values = lifted.values(wanted, here)
    return Certificate(
        state,
        digits,
        bits,
        reason,
        values=Numbers(values, referee.midpoints),
        gradients=Numbers(claims, referee.midpoints),
        radii=Numbers(values | claims, referee.radii),
        wrong=tuple(wrong),
        right=tuple(right),
    )


def _compared(
    claims: Mapping[str, BallArray], directions: Mapping[str, Array], truth: arb
) -> tuple[State, float]:
    """<claims, directions> against the derivative of `forward` along them, and how many digits
    that verifies: relative to the sum of magnitudes, which no cancellation makes small."""
    claim = sum((inner(claims[name], each) for name, each in directions.items()), start=arb(0))
    if not claim.overlaps(truth):
        off, scale = abs(float(claim - truth)), _scale(claims, directions, truth)
        digits = math.log10(scale / off) if 0 < off < scale < math.inf else 0.0
        return ("close" if digits >= CLOSE else "wrong"), digits
    if not (claim.is_finite() and truth.is_finite()):
        return "undecided", 0.0  # NaN overlaps everything, and may have radius zero
    radius = claim.rad() + truth.rad()
    if radius.is_zero():
        return "verified", math.inf
    scale = _scale(claims, directions, truth)
    if not 0 < scale < math.inf:
        return "undecided", 0.0
    return "verified", max(0.0, math.log10(scale) - math.log10(float(radius) or 5e-324))


def _scale(claims: Mapping[str, BallArray], directions: Mapping[str, Array], truth: arb) -> float:
    """The sum of the magnitudes of the terms, in floats."""
    with np.errstate(over="ignore", invalid="ignore"):
        size = sum(
            float(np.sum(np.abs(referee.midpoints(claims[name]) * each)))
            for name, each in directions.items()
        )
    return max(size, abs(float(truth)))

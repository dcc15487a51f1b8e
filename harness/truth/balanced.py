"""What each element of a claimed gradient is measured by, so that none hides behind a larger one.

A sum that agrees to 37 digits says nothing about a term 1e-38 times the largest. So a direction is
made to fit the claim g: v_i = m_i / s_i, with s_i the size of what g_i is made of, and every term
of <g, v> is about as large. If <g, v> and the derivative of `forward` along v agree to within R,
then sum m_i (g_i - true_i) / s_i is at most 2 R in size, and since the m_i are independent of all
that (`referee.mantissas`), each |g_i - true_i| <= 2**ODDS R s_i, with odds of 2**-ODDS or so
against an element that is further off. The number of elements enters through R alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from flint import arb

from harness import referee
from harness.dtypes import FORMATS
from harness.model import Array
from harness.referee import HUGE, BallArray
from harness.truth.lifted import inner

#: Bits by which an element may be further off than the whole, and of the odds against more.
ODDS = 20
#: Digits to which each element has to be known.
DIGITS = 17.0


@dataclass(frozen=True)
class Scale:
    """Of the elements of one claim, in binary exponents: |x| < 2**e.

    own:   of the element, or of the radius of its ball if that is larger.
    size:  of what it is made of: of itself or, where terms cancelled, of the largest of them, which
           is 2**precision times the radius; of the smallest number of the dtype where it is zero.
    zero:  exactly zero.
    vague: zero lies in its ball, or next to it: its own exponent says nothing.
    void:  not finite.
    floor: exponent of the smallest number of the dtype. What is less than half of it rounds to
           zero.
    """

    own: Array
    size: Array
    zero: Array
    vague: Array
    void: Array
    floor: int

    @classmethod
    def of(cls, claim: BallArray, dtype: str, bits: int) -> Scale:
        """The scale of balls made at a precision of `bits`."""
        floor = math.frexp(FORMATS[dtype].subnormal)[1] - 1
        own, radius = referee.magnitudes(claim)
        zero = (own == -HUGE) & (radius == -HUGE)
        void = (own == HUGE) | (radius == HUGE)
        size = np.where(zero | void, floor, np.maximum(own, radius + bits))
        vague = (own <= radius + 1) & ~zero & ~void
        return cls(np.maximum(own, radius), size, zero, vague, void, floor)

    def direction(self, rng: np.random.Generator, among: Array | None = None) -> BallArray:
        """A random direction, balanced; zero beside the elements `among`, and where the claim is
        not finite."""
        found = referee.mantissas(rng, self.own.shape)
        left_out = self.void if among is None else self.void | ~among
        return referee.scaled(np.where(left_out, 0.0, found), -self.size)

    def finite(self, claim: BallArray) -> BallArray:
        """The claim, with zeros for what is not finite."""
        if not self.void.any():
            return claim
        found: BallArray = referee.xp.where(self.void, referee.lift(np.zeros(())), claim)
        return found

    def bounds(self, error: int) -> Array:
        """How far each element may be from the truth, if all together are 2**`error` off."""
        exponents = np.clip(self.size + error, -2000, 2000)
        with np.errstate(over="ignore"):
            # Never zero: a bound may not be too small.
            bounds = np.maximum(np.ldexp(1.0, exponents), FORMATS["float64"].subnormal)
        return np.where(self.void, np.inf, bounds)

    def digits(self, error: int, among: Array | bool = True) -> float:
        """The fewest digits that an element then has, of those `among` that have any: infinitely
        many where the others are zero, or all is exact."""
        lost = (self.size - self.own + 1)[~(self.zero | self.vague | self.void) & among]
        if not lost.size or error == -HUGE:
            return math.inf
        return max(0.0, -(error + int(lost.max())) * math.log10(2))

    def lacking(self, error: int, among: Array | bool = True) -> int:
        """Bits that are missing until each element `among` them has DIGITS or is known to round to
        zero; none if not positive."""
        relative = self.size - self.own + 1 + math.ceil(DIGITS / math.log10(2))
        needs = np.where(self.zero | self.vague, self.size - self.floor + 2, relative)[
            ~self.void & among
        ]
        return int(needs.max()) + error if needs.size else 0


def agreement(
    claims: Mapping[str, BallArray], along: Mapping[str, BallArray], truth: arb
) -> int | None:
    """None where <claims, along> differs from the truth, which proves some claim wrong. Else the
    `error` of a Scale: -HUGE where both are exact, HUGE where one is not finite."""
    claim = total_along(claims, along)
    if not (claim.is_finite() and truth.is_finite()):
        return HUGE  # NaN overlaps everything, and may have radius zero
    if not claim.overlaps(truth):
        return None
    exponent = referee.exponent(2 * (claim.rad() + truth.rad()))
    return exponent if exponent == -HUGE else exponent + ODDS


def total_along(claims: Mapping[str, BallArray], along: Mapping[str, BallArray]) -> arb:
    """<claims, along>, over the names of `along`."""
    return sum((inner(claims[name], each) for name, each in along.items()), start=arb(0))

"""Where a function is evaluated for a difference quotient, and how far that is off.

All schemes are one: slopes over several distances, extrapolated to distance zero (Richardson;
Ridders takes the best of the table). One slope is the central quotient, two make a fourth order,
and of several entries the one with the smallest error estimate is taken. The estimate is what the
next one, over larger distances, makes of the same extrapolation; a kink at the center, which
both would call a derivative in the middle, shows in the second differences, extrapolated likewise.

In a complex step there is no difference at all: the imaginary part of f(x + ih) is h f'(x), for
any h, as long as everything on the way is analytic. It has no truncation error and no
cancellation, so that what is left is measured: how the derivative shakes from place to place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np

from harness.model import Array

#: The function on lines: (lanes, offsets), one of each per evaluation -> the places that the
#: offsets really led to, of shape (n, 1), the values there, of shape (n, m), and bounds of their
#: rounding errors. An imaginary offset gives complex values, with an error of either part.
Line: TypeAlias = Callable[[Array, Array], tuple[Array, Array, Array]]

#: Rounding error of one evaluation of a function, in units of eps times its magnitude.
ROUNDING = 16.0
#: Of the difference of two entries: kinks need 1.7 (wherever the kink is), asymptotics that have
#: not begun the rest.
DOUBT = 5.0
#: Of the jump of the slope at a kink: half of it is what the middle is off, the rest what the jump
#: is off.
JUMP = 0.55
#: How well a complex step agrees with the difference quotient, beyond the rounding of that: to a
#: part of the derivatives, and of their second difference, of which a sixth or a third is what the
#: quotient is off, and half what it is off at a kink.
AGREES, BENT = 1e-4, 0.4
#: By how many times its magnitude a function may change within the distance of that quotient.
REAL = 2.0**40


class Rule(Protocol):
    """A way to a derivative."""

    @property
    def reach(self) -> float:
        """How far it looks, in steps."""

    @property
    def root(self) -> float:
        """The power of eps that makes its step, relative to the magnitude of the argument."""

    def apply(
        self, line: Line, middle: Array, lanes: Array, steps: Array
    ) -> tuple[Array, Array, Array]:
        """Derivatives, error estimates, and how much of those is rounding alone, of shape
        (lanes, m): NaN, infinity and 0 where it cannot tell. `steps` has one per lane, negative
        ones for the other direction; the last is NaN where no other step would do better."""


def weights(ratios: Sequence[float], powers: Sequence[int]) -> Array:
    """Weights of quantities at these distances that cancel every power of the distance but the
    first, which is 0."""
    system = np.array([[ratio**power for ratio in ratios] for power in powers[: len(ratios)]])
    return np.linalg.solve(system, np.eye(len(ratios))[0])


#: Powers of the distance in a central slope, in a one-sided one, and in a second difference over
#: the step, whose power 0 is the jump of a kink.
_EVEN, _ALL, _ODD = tuple(range(0, 16, 2)), tuple(range(8)), (0, *range(1, 15, 2))


@dataclass(frozen=True)
class Stencil:
    """Slopes over the distances `ratios`, in steps, extrapolated from each number of neighbouring
    ones that is given in `orders`."""

    ratios: tuple[float, ...]
    orders: tuple[int, ...]
    sided: bool = False
    #: Of the slopes: an entry, the next one, the one of lower order; of the second differences: the
    #: jump.
    entries: tuple[tuple[Array, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        powers, count = _ALL if self.sided else _EVEN, len(self.ratios)

        def spread(first: int, last: int, powers: Sequence[int]) -> Array:
            whole = np.zeros(count)
            whole[first:last] = weights(self.ratios[first:last], powers)
            return whole

        found = [
            (
                spread(first, first + order, powers),
                spread(first + 1, first + 1 + order, powers),
                # Of several entries the luckiest is taken, so each must please one more.
                spread(first, first + order - (len(self.orders) > 1 and order > 1), powers),
                np.zeros(count) if self.sided else spread(first, first + 1 + order, _ODD),
            )
            for order in self.orders
            for first in range(count - order)
        ]
        object.__setattr__(self, "entries", tuple(found))

    @property
    def reach(self) -> float:
        """The largest distance, in steps."""
        return self.ratios[-1]

    @property
    def root(self) -> float:
        """As in Rule: an error of order p is as large as rounding with a step of eps**(1/(p+1)),
        and of several orders the last one makes the value and the last but one the estimate."""
        order = max(self.orders) - (len(self.orders) > 1) / 2
        return 1 / (order * (1 if self.sided else 2) + 1)

    def apply(
        self, line: Line, middle: Array, lanes: Array, steps: Array
    ) -> tuple[Array, Array, Array]:
        """As in Rule: the entry with the smallest error estimate, for each number by itself."""
        ratios = np.array(self.ratios)
        offsets = np.concatenate([ratios, [0.0] if self.sided else -ratios])
        places, values, errors = (
            each.reshape(len(offsets), len(lanes), -1)
            for each in line(np.tile(lanes, len(offsets)), np.outer(offsets, steps).ravel())
        )
        count = len(ratios)
        above, below = slice(0, count), slice(count, None)
        apart = places[above] - places[below]
        apart = np.where(
            np.any(apart == 0, axis=0), np.nan, apart
        )  # the step is below the spacing of the floats here
        slopes = (values[above] - values[below]) / apart
        rounding = (errors[above] + errors[below]) / np.abs(apart)
        seconds = 0.0 if self.sided else 2 * (values[above] - 2 * middle + values[below]) / apart
        best = np.full(slopes.shape[1:], np.nan)
        error, noise = np.full_like(best, np.inf), np.zeros_like(best)
        for fine, coarse, lower, jump in self.entries:
            entry = _weighted(fine, slopes)
            doubt = DOUBT * np.abs(entry - _weighted(coarse, slopes))
            doubt += np.abs(entry - _weighted(lower, slopes))
            lost = _weighted(np.abs(fine), rounding)
            doubt += JUMP * np.abs(_weighted(jump, seconds)) + lost
            better = np.isfinite(entry) & np.isfinite(doubt) & (doubt < error)
            best, error = np.where(better, entry, best), np.where(better, doubt, error)
            noise = np.where(better, lost, noise)
        return best, error, noise


def _weighted(weights: Array, arrays: Any) -> Any:
    """The weighted sum, without 0 * inf where a distance leads to infinity and has no weight."""
    return sum(weight * arrays[index] for index, weight in enumerate(weights) if weight)


@dataclass(frozen=True)
class ComplexStep:
    """A step so small that it has no error of its own, cross-checked at two neighbouring places.

    A step apart, the derivative shakes by as much as rounding does to it, and the real parts there
    give a quotient that the derivative agrees with, to its accuracy, if `forward` is analytic.
    """

    sided: bool = False

    @property
    def reach(self) -> float:
        """As in Rule."""
        return 2.0 if self.sided else 1.0

    @property
    def root(self) -> float:
        """As in Rule, of the distance at which it is checked."""
        return 0.5

    def apply(
        self, line: Line, middle: Array, lanes: Array, steps: Array
    ) -> tuple[Array, Array, Array]:
        """As in Rule."""
        eps = float(np.finfo(np.float64).eps)
        tiny = np.maximum(np.abs(steps) * 2.0**-80, 1e-280)
        offsets = np.array([0.0, 1.0, 2.0 if self.sided else -1.0])
        moved = np.outer(offsets, steps) + 1j * tiny
        places, values, errors = (
            each.reshape(3, len(lanes), -1) for each in line(np.tile(lanes, 3), moved.ravel())
        )
        slopes = values.imag / tiny[:, None]
        here, one, two = slopes
        x, (f0, f1, f2) = places.real, values.real
        if self.sided:
            shaken = np.abs(two - 2 * one + here)
            quotient = 2 * (f1 - f0) / (x[1] - x[0]) - (f2 - f0) / (x[2] - x[0])
            unsure = 4 * np.max(errors.real, axis=0) / np.abs(x[1] - x[0])
        else:
            shaken = np.abs(one - 2 * here + two)
            quotient = (f1 - f2) / (x[1] - x[2])
            unsure = 2 * np.max(errors.real, axis=0) / np.abs(x[1] - x[2])
        bend = np.abs((two - one) / (x[2] - x[1]))  # what rounding the argument does
        doubt = 8 * shaken + ROUNDING * eps * bend * np.abs(x[0])
        doubt += errors[0].imag / tiny[:, None]
        # Its terms may cancel unseen; they are seldom less than value over argument.
        doubt += errors[0].real / ROUNDING * np.sqrt(eps) / np.abs(steps[:, None])
        # Of what is not real, (-2)**x say, an imaginary part is left, however small the step.
        size = np.max(np.abs(values.real), axis=0)
        real = np.all(np.abs(slopes * steps[:, None]) <= REAL * size, axis=0)
        unsure += AGREES * np.max(np.abs(slopes), axis=0) + BENT * shaken
        agrees = np.abs(quotient - here) <= unsure
        known = real & agrees & np.isfinite(here) & np.isfinite(doubt)
        error = np.where(known, doubt, np.inf)
        return np.where(known, here, np.nan), error, np.full_like(error, np.nan)


@dataclass(frozen=True)
class Scheme:
    """A two-sided rule, the one-sided one of the edges of a domain, and `good`, the power of eps
    that makes a relative error estimate with which nothing else is tried."""

    title: str
    rule: Rule
    edge: Rule
    good: float


#: Relative error estimates with which nothing else is tried, as powers of eps: 5e-7 in float64 and
#: 2e-3 in float32, a thousand times what a well chosen central step leaves; 4e-10 where less is to
#: be had.
POOR, FINE = 0.4, 0.6
#: The second distance is not twice the first: a function with such a period (a quantizer, say)
#: would look constant to both. The fourth order is where "fourth" begins: of log(sum(exp(x))), two
#: slopes give no more than 1e-13, whatever the step, which is what the rounding of the sum leaves.
SCHEMES = {
    "central": Scheme(
        "central differences",
        Stencil((1.0, 1.75), (1,)),
        Stencil((1.0, 2.0, 4.0), (2,), sided=True),
        POOR,
    ),
    "fourth": Scheme(
        "fourth order",
        Stencil((1.0, 1.75, 3.0, 5.25, 9.0), (2, 3, 4)),
        Stencil((1.0, 2.0, 3.0, 4.5, 6.5), (4,), sided=True),
        FINE,
    ),
    "richardson": Scheme(
        "Richardson extrapolation",
        Stencil(tuple(1.625**k for k in range(6)), (1, 2, 3, 4)),
        Stencil(tuple(1.625**k for k in range(6)), (2, 3, 4), sided=True),
        FINE,
    ),
    "complex": Scheme("complex step", ComplexStep(), ComplexStep(sided=True), POOR),
}

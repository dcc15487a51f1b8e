"""The truth about a function from mpmath, in a way that shares nothing with the referee.

Derivatives along a direction come from central differences at 300 digits with a step of 1e-60:
their error is about 1e-120, and no rule of calculus is involved.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
from flint import arb

from harness import referee as r

DIGITS = 300
STEP = "1e-60"
#: Agreement that is asked for beyond the ball itself: the truth is good to far more.
CLOSE = mpmath.mpf("1e-55")


def exact(x: arb) -> mpmath.mpf:
    """The midpoint of a ball, or a ball's exact value, as it is."""
    mantissa, exponent = x.man_exp()
    with mpmath.workdps(5000):
        return mpmath.ldexp(mpmath.mpf(int(mantissa)), int(exponent))


def fraction(x: arb) -> Fraction:
    """The midpoint of a ball as a fraction."""
    mantissa, exponent = x.man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def numbers(array: Any) -> np.ndarray:
    """An object array of mpf (floats are taken exactly)."""
    plain = np.asarray(array, float)
    out = np.empty(plain.shape, object)
    for index in np.ndindex(plain.shape):
        out[index] = mpmath.mpf(float(plain[index]))
    return out


def flat(result: Any) -> list[Any]:
    """The numbers of a result of the truth, in C order."""
    if isinstance(result, mpmath.matrix):
        return [result[i, j] for i in range(result.rows) for j in range(result.cols)]
    if isinstance(result, np.ndarray):
        return list(result.ravel())
    if isinstance(result, list | tuple):
        return [each for part in result for each in flat(part)]
    return [result]


def taylor_of(
    function: Callable[..., Any], points: list[Any], directions: list[Any]
) -> list[list[Any]]:
    """Coefficients 0, 1, 2 of t in function(points + t directions), each a flat list."""
    with mpmath.workdps(DIGITS):
        h = mpmath.mpf(STEP)
        x, v = [numbers(each) for each in points], [numbers(each) for each in directions]

        def at(t: Any) -> list[Any]:
            return flat(function(*[a + t * b for a, b in zip(x, v, strict=True)]))

        before, middle, after = at(-h), at(mpmath.mpf(0)), at(h)
        first = [(b - a) / (2 * h) for a, b in zip(before, after, strict=True)]
        second = [
            (a - 2 * m + b) / (2 * h * h) for a, m, b in zip(before, middle, after, strict=True)
        ]
        return [middle, first, second]


def holds(ball: arb, truth: Any, slack: Any = CLOSE) -> bool:
    """Whether the ball contains the number, up to a slack relative to max(1, |truth|)."""
    if isinstance(truth, Fraction):
        # `arb.contains(fmpq)` rounds the fraction to a ball first, at the working precision.
        return not ball.is_finite() or abs(fraction(ball.mid()) - truth) <= fraction(ball.rad())
    if not ball.is_finite():
        return bool(ball.is_nan() or not ball.rad().is_zero() or not mpmath.isfinite(truth))
    with mpmath.workdps(DIGITS):
        distance = abs(exact(ball.mid()) - truth)
        return bool(distance <= exact(ball.rad().upper()) + slack * max(1, abs(truth)))


def sharp(ball: arb, digits: float = 40) -> bool:
    """Whether a ball says something: relative to max(1, |midpoint|)."""
    with mpmath.workdps(60):
        return bool(
            ball.is_finite()
            and exact(ball.rad().upper())
            <= mpmath.mpf(10) ** -digits * max(1, abs(exact(ball.mid())))
        )


def elements(x: r.BallArray, k: int) -> list[arb]:
    """Coefficient k of a result as a flat list of balls."""
    return list(r.coefficient(x, k).series.parts[0].ravel())

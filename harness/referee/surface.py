"""From numpy arrays to balls and back: all that the rest of the harness needs to know.

Lifting is exact, since every binary float is a ball of radius zero. The way back rounds, and says
by how much: `midpoints` with `radii`, or `relative_digits`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from flint import arb

from harness.referee import naming
from harness.referee.array import BallArray, balls
from harness.referee.elements import (
    ZERO,
    Booleans,
    Integers,
    Objects,
    balls_of,
    boxed,
    floats_of,
    full,
    zero_mask,
)
from harness.referee.shapes import asarray
from harness.referee.taylor import Taylor, constant
from harness.referee.undecided import OrderExhausted

Floats = npt.NDArray[np.float64]
#: Bits of the numbers of random directions.
BITS = 32
#: Beyond these an exponent is not told from the largest and the least there can be.
HUGE = 1 << 50
_radius = np.frompyfunc(arb.rad, 1, 1)


def lift(array: Any) -> Any:
    """`array` (numbers) as exact balls; integers stay integers, booleans become a `Truth`.

    Raises Unsupported for complex numbers.
    """
    return asarray(array)


def lift_along(array: Any, direction: Any, order: int = 1, bend: Any = None) -> BallArray:
    """`array + t direction + t**2 bend` as series known to t**order >= 1; all have one shape.

    Elements that do not move stay exact constants. Raises ValueError for shapes that differ.
    """
    x, v = balls(array), lift_direction(direction)
    if x.shape != v.shape:
        raise ValueError(f"array {x.shape} and direction {v.shape} differ in shape")
    if order < 1:
        raise ValueError(f"order {order}: a series along a direction needs at least 1")
    first, second = x.series.parts[0], v.series.parts[0]
    still = direction == 0 if isinstance(direction, np.ndarray) else zero_mask(second)
    degree, rest = np.where(still, 0, 1), [full(ZERO, x.shape)] * (order - 1)
    if bend is not None:
        degree = np.full(x.shape, 2)  # known to be there even if it is cut off
        rest[:1] = [balls(bend).series.parts[0]][: order - 1]
    return BallArray(Taylor((first, second, *rest), order, degree), x.dtype)


def lift_direction(direction: Any) -> BallArray:
    """As `lift`; multiples of 2**-10 in [-1, 1] share their balls, which is ten times faster than
    to make each."""
    if isinstance(direction, np.ndarray) and bool(np.all(np.abs(direction) <= 1)):
        numbers, shared = _steps()
        places = ((direction + 1) * ((len(numbers) - 1) / 2)).astype(np.int64)
        if bool(np.all(numbers[places] == direction)):
            return BallArray(constant(shared[places]))
    return balls(direction)


@cache
def _steps() -> tuple[Floats, Objects]:
    numbers = np.arange(-(1 << 10), (1 << 10) + 1) / (1 << 10)
    return numbers, balls_of(numbers)


def value(x: BallArray) -> BallArray:
    """Coefficient 0 of every element, as plain balls."""
    return coefficient(x, 0)


def coefficient(x: BallArray, k: int) -> BallArray:
    """The coefficient of t**k (the k-th derivative along the direction, over k!) as plain balls.

    Raises OrderExhausted where the order is not known.
    """
    if x.order is not None and k > x.order:
        raise OrderExhausted(f"coefficient {k} of a series known to order {x.order}")
    parts = x.series.parts
    found = constant(parts[k] if k < len(parts) else full(ZERO, x.shape))
    return BallArray(found if k else naming.at_rest(x.series, found), x.dtype)


def midpoints(x: BallArray) -> Floats:
    """The midpoints of coefficient 0, rounded to float64 (to the nearest, ties to even)."""
    return floats_of(x.series.parts[0])


def radii(x: BallArray) -> Floats:
    """Bounds of |true value - midpoint|; the midpoint as a ball has it, not as a float64."""
    parts = x.series.parts[0]
    found = floats_of(boxed(_radius(parts)))
    # A radius has 30 bits, so that its float is exact, unless it is too small for a normal float.
    small = np.asarray(found < np.finfo(np.float64).tiny)
    if small.any():
        inexact = np.array([not each.is_exact() for each in parts[small]])
        found[small] = np.where(inexact, np.nextafter(found[small], np.inf), 0.0)
    return found


def relative_digits(x: BallArray) -> Floats:
    """Decimal digits that each ball of coefficient 0 proves: inf if exact, 0 if it holds zero."""

    def digits(each: arb) -> float:
        if each.rad().is_zero() and each.is_finite():
            return math.inf
        if not each.is_finite():
            return 0.0
        return max(0.0, each.rel_accuracy_bits() * math.log10(2))

    return _floats(x, digits)


def _floats(x: BallArray, function: Any) -> Floats:
    parts = x.series.parts[0]
    found: Floats = np.array([function(each) for each in parts.ravel()], np.float64)
    return found.reshape(parts.shape)


def overlap(x: BallArray, y: BallArray) -> Booleans:
    """Where the balls of coefficient 0 have a point in common; False proves them different."""
    first, second = np.broadcast_arrays(x.series.parts[0], y.series.parts[0])
    pairs = zip(first.ravel(), second.ravel(), strict=True)
    found = np.array([bool(a.overlaps(b)) for a, b in pairs], bool)
    return found.reshape(first.shape)


def mantissas(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Independent odd multiples of 2**-BITS in (-1, -1/2) and (1/2, 1), as exact floats.

    A sum of errors times these hides none of them: whatever the others are, the mantissa of an
    error e brings it to |sum| <= d |e| for a part of 2 d + 2**(1 - BITS) of its values at most.
    """
    quarter = 1 << (BITS - 2)
    numerators = 2 * rng.integers(quarter, 2 * quarter, shape) + 1
    found: Floats = numerators * rng.choice([-(2.0**-BITS), 2.0**-BITS], shape)
    return found


def dyadic_directions(
    rng: np.random.Generator, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Floats]:
    """A random direction of several arrays together, made of `mantissas`."""
    return {name: mantissas(rng, shape) for name, shape in shapes.items()}


def dyadic_direction(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """The same of one array."""
    return mantissas(rng, shape)


def scaled(values: Floats, exponents: Integers) -> BallArray:
    """`values` times 2**`exponents`, exactly, whatever the exponents."""
    with np.errstate(all="ignore"):
        floats = np.ldexp(values, np.clip(exponents, -2000, 2000))
        found = balls_of(floats)
        # Neither a subnormal nor an infinity holds all the bits.
        far = np.asarray((np.abs(exponents) > 900) & (values != 0))
    if far.any():
        pairs = zip(values[far], exponents[far], strict=True)
        found[far] = [arb(float(value)) * arb((1, int(power))) for value, power in pairs]
    return BallArray(constant(found))


def magnitudes(x: BallArray) -> tuple[Integers, Integers]:
    """The e with m < 2**e <= 2 m of each midpoint m of coefficient 0, and that of each radius:
    -HUGE of a zero, HUGE for a ball that is not finite."""
    parts = x.series.parts[0]
    return _exponents(parts), _exponents(boxed(_radius(parts)))


def _exponents(parts: Objects) -> Integers:
    floats = np.abs(floats_of(parts))
    found = np.asarray(np.frexp(floats)[1]).astype(np.int64)
    zero = zero_mask(parts)
    found[zero] = -HUGE
    # FLINT's exponents have no bounds; and the midpoint of an infinite ball is a number.
    odd = np.asarray(~((floats > 1e-290) & (floats < np.inf) | zero))
    found[odd] = [exponent(each) for each in parts[odd]]
    return found


def exponent(ball: arb) -> int:
    """The e with m < 2**e <= 2 m for the midpoint m of a ball: -HUGE of zero, HUGE of what is not
    finite."""
    if not ball.mid().is_finite():
        return HUGE
    mantissa, exponent = ball.mid().man_exp()
    if mantissa == 0:
        return -HUGE
    return max(1 - HUGE, min(HUGE - 1, int(mantissa).bit_length() + int(exponent)))


def unit_direction(shape: tuple[int, ...], index: tuple[int, ...], sign: int = 1) -> Floats:
    """The direction along one axis, +e_index or -e_index."""
    out = np.zeros(shape)
    out[index] = sign
    return out

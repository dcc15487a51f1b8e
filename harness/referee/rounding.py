"""Rounding to whole numbers: piecewise constant, and undecided where a ball holds a jump.

At a jump (x(0) exactly whole) the series decides from which side t -> 0+ comes. Rounding to a float
format has no derivative that anybody means; what it may do to a value is a matter of radius.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import arb

from harness.dtypes import FORMATS, Format
from harness.referee import compare, taylor
from harness.referee.analytic import number
from harness.referee.elements import (
    ONE,
    ZERO,
    Booleans,
    Objects,
    balls_of,
    boxed,
    elementwise,
    floats_of,
    full,
    less_mask,
)
from harness.referee.taylor import Taylor, add, constant, divide, multiply, negative, subtract
from harness.referee.undecided import Undecided

_floor_values = elementwise(arb.floor)
_is_exact = np.frompyfunc(arb.is_exact, 1, 1)
_is_equal = np.frompyfunc(lambda a, b: bool(a == b), 2, 1)
_HALF = number(0.5)


def _where_equal(x: Objects, y: Objects) -> Booleans:
    return np.asarray(_is_equal(x, y), bool)


def floor(x: Taylor) -> Taylor:
    """The largest whole number that is not above x, for t -> 0+. Raises Undecided."""
    found = _floor_values(x.parts[0])
    open_ = ~np.asarray(_is_exact(found), bool)
    if open_.any():
        index = tuple(int(each) for each in np.argwhere(open_)[0])
        raise Undecided(f"`floor`: the ball at index {index} holds a jump; raise the precision")
    if x.degree is None:
        return constant(found)
    whole = _where_equal(found, x.parts[0])
    # A ball that only touches a whole number may be that number, and fall.
    touching = ~whole & ~less_mask(found, x.parts[0]) & (x.degrees() > 0)
    if touching.any():
        raise Undecided("`floor`: a ball touches a jump; raise the precision")
    if not whole.any():
        return constant(found)
    difference = compare.signs(x, constant(found))
    # At a whole number a tie to every known order may be a fall: the next order tells.
    compare.decided(difference, "floor", ties=True)
    return constant(np.where(difference.negative, elementwise(lambda a: a - 1)(found), found))


def ceil(x: Taylor) -> Taylor:
    """The smallest whole number that is not below x. Raises Undecided."""
    return negative(floor(negative(x)))


def trunc(x: Taylor) -> Taylor:
    """x rounded towards zero. Raises Undecided."""
    small = less_mask(np.abs(x.parts[0]), ONE)
    inner = taylor.select(small, number(0), x)
    signs = compare.decided(compare.sign(inner), "trunc")
    away = taylor.select(signs.negative, negative(inner), inner)
    found = floor(away)
    return taylor.select(signs.negative, negative(found), found)


def round_half_even(x: Taylor) -> Taylor:
    """The nearest whole number; the even one half way between two. Raises Undecided."""
    x = taylor.tightened(x)
    shifted = add(x, _HALF)
    found = floor(shifted)
    half = _where_equal(found.parts[0], shifted.parts[0])
    if not half.any():
        return found
    still = half & (x.degrees() == 0)
    values = found.parts[0].copy()
    for place in np.argwhere(still):
        each = values[tuple(place)]
        values[tuple(place)] = each - (int(each.unique_fmpz()) % 2)
    return constant(values)


def floor_divide(x: Taylor, y: Taylor) -> Taylor:
    """The floor of x / y. Raises Undecided."""
    return floor(divide(x, y))


def remainder(x: Taylor, y: Taylor) -> Taylor:
    """x - floor(x / y) y: the sign of y. Raises Undecided."""
    return subtract(x, multiply(floor(divide(x, y)), y))


def sign(x: Taylor) -> Taylor:
    """-1, 0 or 1, for t -> 0+. Raises Undecided."""
    found = compare.decided(compare.sign(x), "sign", ties=True)
    zeros: Any = full(ZERO, x.shape)
    one: Any = full(ONE, ())
    return constant(np.where(found.positive, one, np.where(found.negative, -one, zeros)))


def is_narrower(label: np.dtype[Any], other: np.dtype[Any]) -> bool:
    """Whether a float format lacks bits or range that the other has."""
    if label.name not in FORMATS or other.name not in FORMATS:
        return False
    one, two = FORMATS[label.name], FORMATS[other.name]
    return one.bits < two.bits or one.highest < two.highest


def narrowed(x: Taylor, label: np.dtype[Any]) -> Taylor:
    """The hull of all numbers of a float format that x(0) may be rounded to, and of x(0) itself;
    the higher coefficients as they are. What the format holds exactly stays exact."""
    known, value = FORMATS[label.name], x.parts[0]
    floats = floats_of(value)
    with np.errstate(over="ignore"):
        same = np.asarray(floats.astype(label).astype(np.float64) == floats)
    same[same] = _where_equal(value[same], balls_of(floats[same]))
    first = np.where(same, value, _hull(value, known))
    return Taylor((boxed(first), *x.parts[1:]), x.order, x.degree)


def _rounded(x: arb, known: Format) -> arb:
    if not abs(x) < known.largest:
        return arb(0, arb("inf"))
    return x + arb(0, (abs(x) * known.unit + known.underflow).upper())


def _hull(value: Objects, known: Format) -> Objects:
    return boxed(np.frompyfunc(lambda each: _rounded(each, known), 1, 1)(value))

"""Smooth functions of a series, all calculus done by FLINT.

A derivative rule written here could be wrong in the way the case under test is wrong. So a function
that `arb_series` has is called on the series of each element; any other is an algebraic identity
between such functions (`tanh x = 1 - 2 / (exp 2x + 1)`), whose series follows by polynomial
arithmetic. The value (coefficient 0) then comes from FLINT's own function of a ball, which stays
sharp where the identity cancels.

An element that does not move with t takes no part: its higher coefficients are exact zeros, even
at a point where the function has no derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from flint import arb, arb_series, ctx

from harness.referee import naming, taylor
from harness.referee.elements import (
    INFINITY,
    MINUS_INFINITY,
    NAN,
    ZERO,
    Booleans,
    Objects,
    elementwise,
    filled,
    full,
    greater_mask,
    less_mask,
)
from harness.referee.taylor import INFINITE, Taylor, add, constant, divide, multiply, subtract

Function: TypeAlias = Callable[[Taylor], Taylor]
Values: TypeAlias = Callable[..., Objects]
Moved: TypeAlias = Callable[[Objects, Objects], tuple[Objects, Objects]]


def series_results(
    method: Callable[[Any], Any], columns: list[list[Any]], order: int, length: int | None = None
) -> list[list[Any]]:
    """`method` applied to the series of every element; the result's columns of coefficients.

    `columns[k]` lists coefficient k of each element. FLINT truncates at the global `ctx.cap`, and
    answers 0 for a coefficient beyond it, so the cap is set to `order` + 1 (or `length`) here.
    """
    count = order + 1 if length is None else length
    cap = ctx.cap
    ctx.cap = count
    try:
        known = count if length is None else order + 1
        found: list[list[Any]] = [[] for _ in range(known)]
        if known == 2 and len(columns) == 2:
            # The common case, unrolled: a third of the general loop's time.
            first, second = found[0].append, found[1].append
            for a, b in zip(columns[0], columns[1], strict=True):
                result = method(arb_series([a, b]))
                first(result[0])
                second(result[1])
            _check_length(result if columns[0] else None, known)
            return found
        for each in zip(*columns, strict=True):
            result = method(arb_series([*each]))
            _check_length(result, known)
            for k, column in enumerate(found):
                column.append(result[k])
        return found
    finally:
        ctx.cap = cap


def _check_length(result: Any, known: int) -> None:
    if result is not None and result.prec < known:
        raise AssertionError(f"FLINT returned {result.prec} coefficients of {known}")


def native(
    method: Callable[[Any], Any],
    values: Values,
    *,
    replace_value: bool = False,
    moved: Moved | None = None,
) -> Function:
    """A function that FLINT has for series (`method`) and for balls (`values`).

    `replace_value` takes coefficient 0 from `values` too, for a method that gives NaN at an edge of
    its domain where the value exists. `moved` gives both coefficients of a series of order 1 where
    a functional equation is cheaper than a series per element (0.6 us against 1.6 for `exp`).
    """

    @naming.named
    def function(x: Taylor) -> Taylor:
        x = taylor.tightened(x)
        if x.degree is None or x.order == 0:
            return valued(x, values)
        moving = x.degree > 0
        count = int(moving.sum())
        if not count:
            return valued(x, values)
        whole = count == moving.size
        chosen = [each.ravel() if whole else each[moving] for each in x.parts]
        results: Sequence[Objects]
        if moved is not None and x.order == 1:
            results = moved(*chosen)
        else:
            columns = series_results(method, [each.tolist() for each in chosen], x.order)
            results = [filled(each, (count,)) for each in columns]
        if replace_value:
            results = [values(chosen[0]), *results[1:]]
        degree = np.where(moving, INFINITE, 0)
        if whole:
            return Taylor(tuple(each.reshape(x.shape) for each in results), x.order, degree)
        still = ~moving
        parts = []
        for k, column in enumerate(results):
            out = full(ZERO, x.shape)
            out[moving] = column
            if k == 0:
                out[still] = values(x.parts[0][still])
            parts.append(out)
        return Taylor(tuple(parts), x.order, degree)

    return function


def valued(x: Taylor, values: Values) -> Taylor:
    """A function of a series none of whose elements moves, or of which only the value is known."""
    first = values(x.parts[0])
    if x.degree is None:
        return constant(first)
    zeros = full(ZERO, x.shape)
    degree = np.where(x.degree == 0, 0, INFINITE)
    return Taylor((first, *[zeros] * x.order), x.order, degree)


def composed(formula: Function, values: Values) -> Function:
    """A function given by an identity between series, and by FLINT's function of a ball."""

    @naming.named
    def function(x: Taylor) -> Taylor:
        x = taylor.tightened(x)
        if x.degree is None or x.order == 0 or not x.degree.any():
            return valued(x, values)
        return settled(formula(x), values(x.parts[0]), x.degree == 0)

    return function


def settled(result: Taylor, values: Objects, still: Booleans) -> Taylor:
    """`result` with `values` as coefficient 0 and, where `still`, zeros above."""
    higher = list(result.parts[1:])
    if still.any():
        for k, each in enumerate(higher):
            out = each.copy()
            out[still] = ZERO
            higher[k] = out
    return Taylor((values, *higher), result.order, np.where(still, 0, INFINITE))


def number(value: Any) -> Taylor:
    """A 0-d constant; a Python number or a ball."""
    return constant(arb(value))


_ONE, _TWO, _HALF = number(1), number(2), number(0.5)

_exp_values = elementwise(arb.exp)


def _exp_moved(x: Objects, v: Objects) -> tuple[Objects, Objects]:
    """e**(x + t v) = e**x e**(t v), and e**(t v) = 1 + t v + O(t**2)."""
    value = _exp_values(x)
    return value, np.multiply(value, v)


def _beyond_one(x: Any) -> bool:
    return bool(x > 1 or x < -1)


exp = native(arb_series.exp, _exp_values, moved=_exp_moved)
# Of infinity FLINT says [-1, 1], floats say NaN.
sin = native(arb_series.sin, elementwise(lambda x: x.sin() if x.is_finite() else NAN))
cos = native(arb_series.cos, elementwise(lambda x: x.cos() if x.is_finite() else NAN))
tan = native(arb_series.tan, elementwise(arb.tan))
asin = native(arb_series.asin, elementwise(arb.asin, 1, _beyond_one), replace_value=True)
acos = native(arb_series.acos, elementwise(arb.acos, 1, _beyond_one), replace_value=True)
atan = native(arb_series.atan, elementwise(arb.atan))


def _log_value(x: Any) -> Any:
    """log 0 = -inf, as in IEEE arithmetic and in the limit t -> 0+."""
    return MINUS_INFINITY if x.is_zero() else x.log()


log = native(arb_series.log, elementwise(_log_value, 1, lambda x: bool(x <= 0)), replace_value=True)


def _tanh(x: Taylor) -> Taylor:
    # Odd, and exp(-2 |x|) does not overflow.
    plus = greater_mask(x.parts[0], ZERO)
    e = exp(multiply(_TWO, taylor.select(plus, taylor.negative(x), x)))
    result = divide(subtract(e, _ONE), add(e, _ONE))
    return taylor.select(plus, taylor.negative(result), result)


def _sinh(x: Taylor) -> Taylor:
    e = exp(x)
    return multiply(_HALF, subtract(e, divide(_ONE, e)))


def _cosh(x: Taylor) -> Taylor:
    # The slope of exp(x) + exp(-x) cancels near zero, that of a square does not.
    half = sinh(multiply(_HALF, x))
    return add(_ONE, multiply(_TWO, multiply(half, half)))


_root_values = elementwise(arb.sqrt, 1, lambda x: bool(x < 0))


#: The square root where x(0) is positive; NaN coefficients elsewhere (see `powers`).
root = native(arb_series.sqrt, _root_values, replace_value=True)


def _asinh(x: Taylor) -> Taylor:
    # The identity cancels for x < 0, and asinh is odd.
    minus = less_mask(x.parts[0], ZERO)
    y = taylor.select(minus, taylor.negative(x), x)
    result = log(add(y, root(add(multiply(y, y), _ONE))))
    return taylor.select(minus, taylor.negative(result), result)


def _acosh(x: Taylor) -> Taylor:
    return log(add(x, multiply(root(add(x, _ONE)), root(subtract(x, _ONE)))))


def _atanh_value(x: Any) -> Any:
    return INFINITY if x == 1 else MINUS_INFINITY if x == -1 else x.atanh()


def _atanh(x: Taylor) -> Taylor:
    return multiply(_HALF, log(divide(add(_ONE, x), subtract(_ONE, x))))


tanh = composed(_tanh, elementwise(arb.tanh))
sinh = composed(_sinh, elementwise(arb.sinh))
cosh = composed(_cosh, elementwise(arb.cosh))
asinh = composed(_asinh, elementwise(arb.asinh))
acosh = composed(_acosh, elementwise(arb.acosh, 1, lambda x: bool(x < 1)))
atanh = composed(_atanh, elementwise(_atanh_value, 1, _beyond_one))
expm1 = composed(lambda x: subtract(exp(x), _ONE), elementwise(arb.expm1))
log1p = composed(
    lambda x: log(add(x, _ONE)),
    elementwise(lambda x: MINUS_INFINITY if x == -1 else x.log1p(), 1, lambda x: bool(x <= -1)),
)


def log2(x: Taylor) -> Taylor:
    """Logarithm to base 2."""
    return divide(log(x), constant(arb.const_log2()))


def log10(x: Taylor) -> Taylor:
    """Logarithm to base 10."""
    return divide(log(x), constant(arb.const_log10()))

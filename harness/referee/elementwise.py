"""The standard's functions of each element, over BallArray and Truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb

from harness.errors import Unsupported
from harness.referee import (
    analytic,
    angle,
    compare,
    exponentials,
    powers,
    rounding,
    special,
    taylor,
    truth,
)
from harness.referee.analytic import number
from harness.referee.array import BallArray, balls, binary, dtype_of, held, real, real_binary, signs
from harness.referee.elements import Booleans
from harness.referee.taylor import Taylor, add, multiply
from harness.referee.truth import Truth


def _smooth(function: Callable[[Taylor], Taylor], name: str, summary: str) -> Callable[..., Any]:
    def of(x: Any) -> BallArray:
        array = balls(x)
        return real(BallArray(function(array.series), array.dtype))

    of.__name__, of.__doc__ = name, summary
    return of


def _stepped(function: Callable[[Taylor], Taylor], name: str, summary: str) -> Callable[..., Any]:
    def of(x: Any) -> BallArray:
        array = balls(x)
        return held(BallArray(function(array.series), array.dtype))

    of.__name__, of.__doc__ = name, summary
    return of


def _pair(function: Callable[[Taylor, Taylor], Taylor], name: str) -> Callable[..., Any]:
    def of(x1: Any, x2: Any) -> BallArray:
        return binary(function, x1, x2)

    of.__name__, of.__doc__ = name, f"`{name}` of two arrays, broadcasting."
    return of


def _real_pair(function: Callable[[Taylor, Taylor], Taylor], name: str) -> Callable[..., Any]:
    def of(x1: Any, x2: Any) -> BallArray:
        return real_binary(function, x1, x2)

    of.__name__, of.__doc__ = name, f"`{name}` of two arrays, broadcasting."
    return of


SMOOTH = {
    name: _smooth(getattr(analytic, name), name, f"`{name}` of each element; NaN off its domain.")
    for name in """
        exp expm1 log log1p log2 log10 sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh
    """.split()
}
SPECIAL = {
    name: _smooth(getattr(special, name), name, f"`{name}` of each element.")
    for name in ("erf", "erfc", "gamma", "lgamma", "digamma")
}
STEPPED = {
    name: _stepped(function, name, f"`{name}` of each element. Raises Undecided at a jump.")
    for name, function in {
        "floor": rounding.floor,
        "ceil": rounding.ceil,
        "trunc": rounding.trunc,
        "round": rounding.round_half_even,
        "sign": rounding.sign,
        "abs": compare.absolute,
        "negative": taylor.negative,
        "positive": lambda x: x,
        "square": powers.square,
    }.items()
}


def _hypot(x: Taylor, y: Taylor) -> Taylor:
    return powers.sqrt(add(multiply(x, x), multiply(y, y)))


def _copysign(x: Taylor, y: Taylor) -> Taylor:
    x, y = taylor.broadcast(x, y)
    size = compare.absolute(x)
    found = compare.decided(compare.sign(y), "copysign", ties=True)
    if found.zero.any():
        raise Unsupported("referee: `copysign` by a zero, whose sign balls do not have")
    return taylor.select(found.negative, taylor.negative(size), size)


PAIRS = {
    name: _pair(function, name)
    for name, function in {
        "add": taylor.add,
        "subtract": taylor.subtract,
        "multiply": taylor.multiply,
        "pow": powers.power,
        "maximum": compare.maximum,
        "minimum": compare.minimum,
        "floor_divide": rounding.floor_divide,
        "remainder": rounding.remainder,
        "copysign": _copysign,
    }.items()
}
REAL_PAIRS = {
    name: _real_pair(function, name)
    for name, function in {
        "divide": taylor.divide,
        "atan2": angle.atan2,
        "hypot": _hypot,
        "logaddexp": exponentials.logaddexp,
    }.items()
}


def sqrt(x: Any) -> BallArray:
    """Square root; at an exact zero the one-sided series, where there is one."""
    array = balls(x)
    return real(BallArray(powers.sqrt(array.series), array.dtype))


def reciprocal(x: Any) -> BallArray:
    """1 / x."""
    array = balls(x)
    return real(BallArray(taylor.divide(number(1), array.series), array.dtype))


def clip(x: Any, /, min: Any = None, max: Any = None) -> BallArray:
    """x between `min` and `max`, either of which may be None. Raises Undecided."""
    array = balls(x)
    result = array.series
    if min is not None:
        result = compare.maximum(result, balls(min).series)
    if max is not None:
        result = compare.minimum(result, balls(max).series)
    return BallArray(result, array.dtype)


def _truth_or_balls(x: Any) -> Any:
    if isinstance(x, Truth | bool | np.bool_):
        return truth.truth(x)
    if isinstance(x, np.ndarray) and x.dtype == bool:
        return truth.truth(x)
    return balls(x)


def equal(x1: Any, x2: Any) -> Truth:
    """x1 == x2; certain only where both are exact."""
    a, b = _truth_or_balls(x1), _truth_or_balls(x2)
    if isinstance(a, Truth) and isinstance(b, Truth):
        return ~(a ^ b)
    return truth.equal(signs(a, b))


def not_equal(x1: Any, x2: Any) -> Truth:
    """x1 != x2."""
    return ~equal(x1, x2)


def less(x1: Any, x2: Any) -> Truth:
    """x1 < x2."""
    return truth.less(signs(x1, x2))


def less_equal(x1: Any, x2: Any) -> Truth:
    """x1 <= x2."""
    return truth.less_equal(signs(x1, x2))


def greater(x1: Any, x2: Any) -> Truth:
    """x1 > x2."""
    return truth.less(signs(x2, x1))


def greater_equal(x1: Any, x2: Any) -> Truth:
    """x1 >= x2."""
    return truth.less_equal(signs(x2, x1))


def logical_and(x1: Any, x2: Any) -> Truth:
    """Kleene's conjunction."""
    return truth.truth(x1) & truth.truth(x2)


def logical_or(x1: Any, x2: Any) -> Truth:
    """Kleene's disjunction."""
    return truth.truth(x1) | truth.truth(x2)


def logical_xor(x1: Any, x2: Any) -> Truth:
    """Kleene's exclusive or."""
    return truth.truth(x1) ^ truth.truth(x2)


def logical_not(x: Any) -> Truth:
    """Negation."""
    return ~truth.truth(x)


def signbit(x: Any) -> Truth:
    """x < 0: the reals have no negative zero."""
    return less(x, 0)


def _class(x: Any, test: Callable[[Any], bool | None]) -> Truth:
    parts = balls(x).series.parts[0]
    answers = [test(each) for each in parts.ravel()]

    def mask(wanted: bool) -> Booleans:
        return np.array([each is wanted for each in answers], bool).reshape(parts.shape)

    return Truth(mask(True), mask(False))


def _finite(x: arb) -> bool | None:
    # An unbounded ball may stand for any number; an exact one is the infinity or NaN itself.
    return True if x.is_finite() else False if x.rad().is_zero() else None


def isfinite(x: Any) -> Truth:
    """Whether x(0) is a real number; undecided for an unbounded ball."""
    return _class(x, _finite)


def isnan(x: Any) -> Truth:
    """Whether x(0) is NaN, given as such; a function off its domain is undecided."""
    return _class(x, lambda each: None if _finite(each) is None else bool(each.is_nan()))


def isinf(x: Any) -> Truth:
    """Whether x(0) is an infinity; undecided for an unbounded ball."""
    return _class(
        x,
        lambda each: None if _finite(each) is None else not each.is_finite() and not each.is_nan(),
    )


def where(condition: Any, x1: Any, x2: Any) -> Any:
    """x1 where the condition holds, else x2; the three broadcast.

    Raises Undecided or OrderExhausted where the condition is unknown and the choice matters.
    """
    mask = truth.truth(condition)
    a, b = _truth_or_balls(x1), _truth_or_balls(x2)
    if isinstance(a, Truth) and isinstance(b, Truth):
        return (mask & a) | (~mask & b)
    x, y = balls(a).series, balls(b).series
    yes, unknown = mask.overlapping("where")
    result = taylor.select(yes, x, y)
    if unknown.any():
        result = compare.hulled(result, unknown, x, y, "where")
    return BallArray(result, dtype_of(x1, x2))


def itself(x: Any) -> BallArray:
    """The real part, and the conjugate, of a real number: itself."""
    return balls(x)


PLAIN: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        sqrt, reciprocal, clip, equal, not_equal, less, less_equal, greater, greater_equal,
        logical_and, logical_or, logical_xor, logical_not, signbit, isfinite, isnan, isinf, where,
    )
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **SMOOTH,
    **SPECIAL,
    **STEPPED,
    **PAIRS,
    **REAL_PAIRS,
    **PLAIN,
    "real": itself,
    "conj": itself,
}

"""Random expression trees, and two ways of evaluating them that know nothing of balls.

A tree is a number (an index of a variable, or a dyadic constant) or a tuple of a name and trees.
`rational` gives the power series over the rationals, exactly; `real` gives the value at one t at
many digits.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath
from hypothesis import strategies as st

VARIABLES = 3
LENGTH = 9

RATIONAL = ("add", "subtract", "multiply", "divide", "maximum", "minimum")
RATIONAL_UNARY = ("negative", "square", "abs", "sign", "cube", "floor", "reciprocal", "clip")
SMOOTH_UNARY = (
    "exp", "log", "sin", "cos", "tan", "tanh", "sinh", "cosh", "sqrt", "asin", "acos", "atan",
    "asinh", "acosh", "atanh", "expm1", "log1p", "erf", "erfc",
)  # fmt: skip
SMOOTH_BINARY = ("pow", "atan2", "hypot", "logaddexp")

dyadics = st.one_of(
    st.integers(-4, 4).map(float),
    st.integers(-64, 64).map(lambda n: n / 16),
    st.floats(-8, 8, allow_subnormal=False),
    st.floats(-1e-9, 1e-9, allow_subnormal=False),
)


class Outside(Exception):
    """The truth does not exist here, or this evaluation cannot tell it."""


def expressions(unary: tuple[str, ...], binary: tuple[str, ...]) -> st.SearchStrategy[Any]:
    leaves = st.one_of(st.integers(0, VARIABLES - 1), dyadics.map(lambda x: ("number", x)))

    def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(
            st.tuples(st.sampled_from(unary), inner),
            st.tuples(st.sampled_from(binary), inner, inner),
            st.tuples(st.just("where"), inner, inner, inner, inner),
        )

    return st.recursive(leaves, grown, max_leaves=8)


def balls(tree: Any, xp: Any, variables: list[Any]) -> Any:
    """The tree over the namespace."""
    if isinstance(tree, int):
        return variables[tree]
    name, *rest = tree
    if name == "number":
        return rest[0] * xp.ones_like(variables[0])
    parts = [balls(each, xp, variables) for each in rest]
    if name == "cube":
        return parts[0] ** 3
    if name == "clip":
        return xp.clip(parts[0], -1, 1)
    if name == "where":
        return xp.where(parts[0] > parts[1], parts[2], parts[3])
    return getattr(xp, name)(*parts)


# --- power series over the rationals -----------------------------------------------------------

Series = list[Fraction]


def product(a: Series, b: Series) -> Series:
    n = min(len(a), len(b))
    return [sum((a[i] * b[k - i] for i in range(k + 1)), Fraction(0)) for k in range(n)]


def quotient(a: Series, b: Series) -> Series:
    shift = next((k for k, each in enumerate(b) if each), None)
    if shift is None or any(a[:shift]):
        raise Outside
    a, b = a[shift:], b[shift:]
    out: Series = []
    for k in range(min(len(a), len(b))):
        rest = a[k] - sum((b[j] * out[k - j] for j in range(1, k + 1)), Fraction(0))
        out.append(rest / b[0])
    return out


def side(a: Series, b: Series) -> int:
    difference = [x - y for x, y in zip(a, b, strict=False)]
    leading = next((each for each in difference if each), Fraction(0))
    return (leading > 0) - (leading < 0)


def number(x: Fraction | float) -> Series:
    return [Fraction(x), *[Fraction(0)] * (LENGTH - 1)]


def rational(tree: Any, variables: list[Series]) -> Series:
    """The first coefficients in t of the tree, for t -> 0+. Raises Outside at a pole."""
    if isinstance(tree, int):
        return variables[tree]
    name, *rest = tree
    if name == "number":
        return number(rest[0])
    parts = [rational(each, variables) for each in rest]
    n = min(len(each) for each in parts)
    x, y = parts[0][:n], (parts[1] if len(parts) > 1 else parts[0])[:n]
    zero, one = number(0)[:n], number(1)[:n]
    match name:
        case "add":
            return [a + b for a, b in zip(x, y, strict=True)]
        case "subtract":
            return [a - b for a, b in zip(x, y, strict=True)]
        case "multiply":
            return product(x, y)
        case "divide":
            return quotient(x, y)
        case "reciprocal":
            return quotient(one, x)
        case "negative":
            return [-a for a in x]
        case "square":
            return product(x, x)
        case "cube":
            return product(product(x, x), x)
        case "abs":
            return [-a for a in x] if side(x, zero) < 0 else x
        case "sign":
            return number(side(x, zero))[:n]
        case "maximum":
            return y if side(x, y) < 0 else x
        case "minimum":
            return y if side(x, y) > 0 else x
        case "clip":
            low = number(-1)[:n] if side(x, number(-1)) < 0 else x
            return one if side(low, one) > 0 else low
        case "where":
            return (parts[2] if side(x, y) > 0 else parts[3])[:n]
        case "floor":
            whole = Fraction(x[0].__floor__())
            falls = x[0] == whole and side(x, number(whole)) < 0
            return number(whole - falls)[:n]
    raise AssertionError(name)


# --- values at one t, at many digits -------------------------------------------------------------


def real(tree: Any, variables: list[Any]) -> Any:
    """The value of the tree. Raises Outside near a kink or off a domain."""
    if isinstance(tree, int):
        return variables[tree]
    name, *rest = tree
    if name == "number":
        return mpmath.mpf(rest[0])
    parts = [real(each, variables) for each in rest]
    x, y = parts[0], parts[1] if len(parts) > 1 else mpmath.mpf(0)
    if any(abs(each) > 200 for each in parts):
        raise Outside
    if name in ("abs", "sign", "maximum", "minimum", "where") and abs(x - y) < 1e-40:
        raise Outside
    try:
        found = _real(name, x, y, parts)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise Outside from None
    if isinstance(found, mpmath.mpc) or not mpmath.isfinite(found):
        raise Outside
    return found


def _real(name: str, x: Any, y: Any, parts: list[Any]) -> Any:
    match name:
        case "add":
            return x + y
        case "subtract":
            return x - y
        case "multiply":
            return x * y
        case "divide":
            return x / y
        case "reciprocal":
            return 1 / x
        case "negative":
            return -x
        case "square":
            return x * x
        case "cube":
            return x * x * x
        case "abs":
            return abs(x)
        case "sign":
            return mpmath.sign(x)
        case "maximum":
            return max(x, y)
        case "minimum":
            return min(x, y)
        case "where":
            return parts[2] if x > y else parts[3]
        case "hypot":
            return mpmath.sqrt(x * x + y * y)
        case "logaddexp":
            return mpmath.log(mpmath.exp(x) + mpmath.exp(y))
        case "atan2":
            if abs(y) < 1e-40 or abs(x) < 1e-40:
                raise Outside
            return mpmath.atan2(x, y)
        case "pow":
            if x < 1e-40:
                raise Outside
            return x**y
        case "floor" | "clip":
            raise AssertionError(name)
        case "log1p":
            return mpmath.log(1 + x)
    return getattr(mpmath, name)(x)

"""Powers and roots, also where the base vanishes at t = 0.

`x ** p` is `exp(p log x)` only for x > 0. An integer power is a product, defined everywhere. And at
a base t**v u(t) the power is t**(v p) u**p: a series again when v p is whole (`sqrt(t**2) = t`, the
norm at zero), an infinite coefficient when it is not (`sqrt` at 0). FLINT's series functions return
NaN for all of these, so the leading power of t is split off here before they are called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb, arb_series, fmpq

from harness.referee import compare, names, naming, record, taylor
from harness.referee.analytic import exp, log, native, number, root, series_results, settled
from harness.referee.elements import (
    INFINITY,
    NAN,
    ONE,
    ZERO,
    Objects,
    boxed,
    elementwise,
    full,
    greater_mask,
    zero_mask,
)
from harness.referee.taylor import INFINITE, Taylor, constant, divide, multiply
from harness.referee.undecided import OrderExhausted


def _no_power(base: Any, exponent: Any) -> bool:
    """Whether base**exponent is certainly not real, or infinite."""
    if base.is_zero():
        return bool(exponent < 0)
    return bool(base < 0) and exponent.is_exact() and not exponent.is_integer()


_pow_values = elementwise(lambda a, b: a**b, 2, _no_power)
#: Above this exponent, exp(p log x) is cheaper than products and no base is left out that matters.
_LARGEST_PRODUCT = 1 << 20


@naming.named
def sqrt(x: Taylor) -> Taylor:
    """The square root; at an exact zero as `power` by 1/2."""
    return _vanishing(x, arb(0.5), root)


def square(x: Taylor) -> Taylor:
    """x x."""
    return multiply(x, x)


def integer_power(x: Taylor, exponent: int) -> Taylor:
    """x ** exponent by repeated squaring; x ** 0 is 1 everywhere, also at 0."""
    if exponent < 0:
        return divide(number(1), integer_power(x, -exponent))
    if x.degree is None and names.table() is None:
        return constant(_pow_values(x.parts[0], full(arb(exponent), ())))
    result: Taylor | None = None
    base = x
    while exponent:
        if exponent & 1:
            result = base if result is None else multiply(result, base)
        exponent >>= 1
        if exponent:
            base = multiply(base, base)
    return constant(full(ONE, x.shape)) if result is None else result


def power(x: Taylor, y: Taylor) -> Taylor:
    """x ** y, broadcasting. Each exact exponent has the domain it has over the reals."""
    if y.degree is None:
        exponents = y.parts[0].ravel().tolist()
        if exponents and all(each == exponents[0] for each in exponents):
            shape = np.broadcast_shapes(x.shape, y.shape)
            return _uniform_power(taylor.spread(x, shape), exponents[0])
    x, y = (taylor.tightened(each) for each in taylor.broadcast(x, y))
    if x.degree is None and y.degree is None:
        return _still_power(x, y)
    fixed = (y.degrees() == 0) & np.asarray(
        [each.is_exact() for each in y.parts[0].ravel()], bool
    ).reshape(y.shape)
    if not fixed.any():
        return _general_power(x, y)
    return _grouped_power(x, y, fixed)


@naming.named
def _still_power(x: Taylor, y: Taylor) -> Taylor:
    return constant(_pow_values(x.parts[0], y.parts[0]))


def _uniform_power(x: Taylor, exponent: arb) -> Taylor:
    whole = exponent.unique_fmpz() if exponent.is_exact() and exponent.is_finite() else None
    if whole is not None and abs(int(whole)) <= _LARGEST_PRODUCT:
        return integer_power(x, int(whole))
    if exponent == 0.5:
        return sqrt(x)
    return _fractional_power(x, constant(exponent))


@naming.named
def _fractional_power(x: Taylor, y: Taylor) -> Taylor:
    exponent: arb = y.parts[0].item()
    if x.degree is None:
        return constant(_pow_values(x.parts[0], y.parts[0]))
    return _vanishing(x, exponent, _real_power(exponent))


def _real_power(exponent: arb) -> Callable[[Taylor], Taylor]:
    values = elementwise(lambda each: each**exponent, 1, lambda each: _no_power(each, exponent))

    def method(series: Any) -> Any:
        return (series.log() * exponent).exp()

    return native(method, values, replace_value=True)


@naming.named
def _general_power(x: Taylor, y: Taylor) -> Taylor:
    values = _pow_values(x.parts[0], y.parts[0])
    still = (x.degrees() == 0) & (y.degrees() == 0)
    # 0 ** y is 0 for every y > 0 near this one.
    nothing = (x.degrees() == 0) & zero_mask(x.parts[0])
    still |= nothing & greater_mask(y.parts[0], ZERO)
    leaving = nothing & (y.degrees() > 0) & zero_mask(y.parts[0])
    if leaving.any():  # 0**0 is 1, but 0**t is 0, and 0**-t is infinite
        signs = compare.decided(compare.sign(y.at(leaving)), "pow", ties=True)
        values[leaving] = np.where(signs.positive, boxed(ZERO), boxed(NAN))
        still[leaving] = signs.positive
    return settled(exp(multiply(y, log(x))), values, still)


def _grouped_power(x: Taylor, y: Taylor, fixed: Any) -> Taylor:
    """Element by element where the exponent is an exact constant, together elsewhere."""
    shape = x.shape
    flat_x, flat_y = x.mapped(np.ravel), y.mapped(np.ravel)
    groups: dict[str, list[int]] = {}
    for index, (each, alone) in enumerate(zip(y.parts[0].ravel(), np.ravel(fixed), strict=True)):
        groups.setdefault(str(each.man_exp()) if alone and each.is_finite() else "", []).append(
            index
        )
    results = []
    for key, members in groups.items():
        base = flat_x.at(members)
        if key:
            results.append(_uniform_power(base, flat_y.parts[0][members[0]]))
        else:
            results.append(_general_power(base, flat_y.at(members)))
    joined = taylor.joined(results, np.concatenate)
    back = np.argsort(np.concatenate([np.asarray(each) for each in groups.values()]))
    return joined.mapped(lambda each: each[back].reshape(shape))


def _vanishing(x: Taylor, exponent: arb, regular: Callable[[Taylor], Taylor]) -> Taylor:
    """`regular` where x(0) is not zero, the leading power of t split off where it is."""
    x = taylor.tightened(x)
    if x.degree is None or x.order == 0:
        return regular(x)
    zeros = (x.degree > 0) & zero_mask(x.parts[0])
    if not zeros.any():
        return regular(x)
    record.take_limit()
    found = [
        _zero_power([part[tuple(place)] for part in x.parts], int(x.degree[tuple(place)]), exponent)
        for place in np.argwhere(zeros)
    ]
    order = min(len(each) for each in found) - 1
    usual = taylor.truncated(regular(taylor.select(zeros, number(1), x)), order)
    parts: list[Objects] = []
    for k, each in enumerate(usual.parts):
        out = each.copy()
        for place, coefficients in zip(np.argwhere(zeros), found, strict=True):
            out[tuple(place)] = coefficients[k]
        parts.append(out)
    return Taylor(tuple(parts), order, np.where(zeros, INFINITE, usual.degrees()))


def _zero_power(coefficients: list[arb], degree: int, exponent: arb) -> list[arb]:
    """The known coefficients of c(t)**p for c(0) = 0 and an exact p that is not whole."""
    order = len(coefficients) - 1
    if not (exponent > 0) or not exponent.is_exact() or not exponent.is_finite():
        return [NAN] * (order + 1)
    mantissa, binary = exponent.man_exp()
    p = fmpq(mantissa) * fmpq(2) ** int(binary)
    shift = next((k for k, each in enumerate(coefficients) if not each.is_zero()), None)
    if shift is None:
        if degree <= order:
            return [ZERO] * (order + 1)
        # Nothing says that it rises; a falling one has no such power.
        raise OrderExhausted("a power of a series of a higher order in t, of unknown sign")
    leading = coefficients[shift]
    start = p * shift
    if not (leading > 0):
        return [ZERO, *[NAN] * order]
    if start.q != 1:
        first = int(start.ceil())
        return ([ZERO] * first + [INFINITY] + [NAN] * order)[: order + 1]
    columns = [[each] for each in coefficients[shift:]]
    if len(columns) == 1:
        rest = [leading.sqrt() if exponent == 0.5 else leading**exponent]
    else:
        method = arb_series.sqrt if exponent == 0.5 else lambda s: (s.log() * exponent).exp()
        rest = [each[0] for each in series_results(method, columns, len(columns) - 1)]
    return ([ZERO] * int(start) + rest)[: order + 1]

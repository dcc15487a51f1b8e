"""The error and gamma functions, which FLINT knows as balls and as series.

They are not part of the array API standard, but activations (GELU) and likelihoods need them, and
each framework offers them outside its standard namespace. `lgamma` is log |gamma(x)|, real for
every x, as `scipy.special.gammaln` and `torch.lgamma` are.
"""

from __future__ import annotations

from typing import Any

from flint import arb, arb_series

from harness.referee import naming, taylor
from harness.referee.analytic import native, series_results, settled, valued
from harness.referee.elements import INFINITY, MINUS_INFINITY, ONE, ZERO, elementwise, filled, full
from harness.referee.taylor import Taylor, add, constant, multiply


@naming.named
def digamma(x: Taylor) -> Taylor:
    """The logarithmic derivative of the gamma function: FLINT's series of log |gamma|, derived."""
    values = elementwise(arb.digamma)
    x = taylor.tightened(x)
    if x.degree is None or x.order == 0 or not x.degree.any():
        return valued(x, values)
    columns = [x.parts[0].ravel().tolist(), [ONE] * x.size, *[[ZERO] * x.size] * x.order]
    logarithms = series_results(_log_gamma, columns, x.order + 1)
    taylor_at = [
        filled([arb(k) * each for each in logarithms[k]], x.shape) for k in range(1, x.order + 2)
    ]
    step = Taylor((full(ZERO, x.shape), *x.parts[1:]), x.order, x.degree)
    result = constant(taylor_at[-1])
    for coefficient in reversed(taylor_at[:-1]):
        result = add(constant(coefficient), multiply(result, step))
    return settled(result, values(x.parts[0]), x.degree == 0)


def _log_gamma(x: Any) -> Any:
    """log |gamma(x)| of a series; FLINT's lgamma is complex, hence NaN, left of zero."""
    if x[0] > 0:
        return x.lgamma()
    reciprocal = x.rgamma()
    return -(reciprocal if reciprocal[0] > 0 else -reciprocal).log()


def _log_gamma_value(x: Any) -> Any:
    if _is_pole(x) or x == INFINITY:
        return INFINITY
    return x.lgamma() if x > 0 else -abs(x.rgamma()).log()


def _is_pole(x: Any) -> bool:
    return bool(x <= 0 and x.is_integer())


def _with_limits(function: Any, below: arb, above: arb) -> Any:
    """A function with its limits at the infinities."""

    def value(x: Any) -> Any:
        return above if x == INFINITY else below if x == MINUS_INFINITY else function(x)

    return elementwise(value)


erf = native(arb_series.erf, _with_limits(arb.erf, -ONE, ONE))
erfc = native(arb_series.erfc, _with_limits(arb.erfc, 2 * ONE, ZERO))
gamma = native(arb_series.gamma, elementwise(arb.gamma))
lgamma = native(_log_gamma, elementwise(_log_gamma_value, 1, _is_pole))

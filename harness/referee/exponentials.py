"""Sums of exponentials along axes, without a maximum.

Floats need a shift by the largest element lest they overflow. Any shift leaves the result what it
is, so balls take the float that is nearest to the largest midpoint: an exact constant, for which
nothing has to be compared and no tie is left by one side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.referee.analytic import exp, log
from harness.referee.array import BallArray, balls, real
from harness.referee.elements import Booleans, balls_of, floats_of
from harness.referee.reductions import Axis, axes_of, sum_series
from harness.referee.taylor import Taylor, add, constant, divide, subtract

Floats = npt.NDArray[np.float64]


def _constant(floats: Floats) -> Taylor:
    return constant(balls_of(np.asarray(np.where(np.isfinite(floats), floats, 0.0))))


def _shifted(x: Taylor, axes: tuple[int, ...]) -> tuple[Taylor, Taylor]:
    """x less a constant for each row along `axes`, and that constant."""
    floats = floats_of(x.parts[0])
    usable: Booleans = np.isfinite(floats)
    shift = _constant(np.max(floats, axis=axes, keepdims=True, initial=-np.inf, where=usable))
    return subtract(x, shift), shift


def logaddexp(x: Taylor, y: Taylor) -> Taylor:
    """log(exp(x) + exp(y)), broadcasting."""
    shift = _constant(np.fmax(floats_of(x.parts[0]), floats_of(y.parts[0])))
    return add(log(add(exp(subtract(x, shift)), exp(subtract(y, shift)))), shift)


def logsumexp(x: Any, /, axis: Axis = None, keepdims: bool = False) -> BallArray:
    """log(sum(exp(x))) along `axis`; -inf of no element."""
    array = real(balls(x))
    axes = axes_of(axis, array.ndim)
    below, shift = _shifted(array.series, axes)
    found = BallArray(add(log(sum_series(exp(below), axes, True)), shift), array.dtype)
    shape = tuple(n for index, n in enumerate(found.shape) if keepdims or index not in axes)
    return found.reshape(shape)


def softmax(x: Any, /, axis: int = -1) -> BallArray:
    """exp(x) / sum(exp(x)) along `axis`."""
    array = real(balls(x))
    axes = axes_of(axis, array.ndim)
    powers = exp(_shifted(array.series, axes)[0])
    return BallArray(divide(powers, sum_series(powers, axes, True)), array.dtype)


def log_softmax(x: Any, /, axis: int = -1) -> BallArray:
    """The logarithm of `softmax`, finite where that underflows in floats."""
    array = real(balls(x))
    axes = axes_of(axis, array.ndim)
    below, _ = _shifted(array.series, axes)
    return BallArray(subtract(below, log(sum_series(exp(below), axes, True))), array.dtype)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (logsumexp, softmax, log_softmax)
}

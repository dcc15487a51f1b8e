"""Sums of exponentials, shifted by their maximum so that none overflows."""

from __future__ import annotations

from typing import Any


def logsumexp(xp: Any, x: Any, /, axis: Any = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) over `axis`: one axis, several, or all of them (None). Where every element
    is -inf, so is the result."""
    if 0 in x.shape:  # of nothing there is no maximum, but a sum
        return xp.log(xp.sum(x, axis=axis, keepdims=keepdims))
    top = xp.max(x, axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    result = xp.log(xp.sum(xp.exp(x - top), axis=axis, keepdims=True)) + top
    if keepdims or not x.ndim:
        return result
    return xp.squeeze(result, axis=tuple(range(x.ndim)) if axis is None else axis)


def softmax(xp: Any, x: Any, /, axis: int = -1) -> Any:
    """exp(x) / sum(exp(x)) along `axis`, of the shape of `x`."""
    if 0 in x.shape:
        return x
    exponential = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    return exponential / xp.sum(exponential, axis=axis, keepdims=True)


def log_softmax(xp: Any, x: Any, /, axis: int = -1) -> Any:
    """The logarithm of `softmax`, of the shape of `x`."""
    if 0 in x.shape:
        return x
    below = x - xp.max(x, axis=axis, keepdims=True)
    return below - xp.log(xp.sum(xp.exp(below), axis=axis, keepdims=True))

"""What a wrong gradient looks like: the fault that would turn the right one into it.

The usual mistakes leave marks that can be read off the two arrays: a sign, a factor, a transpose, a
sum over an axis too few or too many, a mask left out or turned round, elements out of order.
"""

from __future__ import annotations

import numpy as np

from harness.model import Array


def signature(got: Array, expected: Array, rtol: float = 1e-6) -> str:
    """The fault in words, or "" where none of the known ones explains `got`.

    `rtol`, relative to the largest element, is what counts as equal.
    """
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    if got.shape != expected.shape:
        return _shape_signature(got, expected, rtol)
    if not np.all(np.isfinite(got)):
        return "not finite" if np.all(~np.isfinite(got)) else "not finite in some elements"
    if _close(got, expected, rtol):
        return ""
    if not np.any(got):
        return "zero"
    if _close(got, -expected, rtol):
        return "wrong sign"
    for check in (_factor, _transposed, _mask, _axis_sum, _order, _offset):
        found = check(got, expected, rtol)
        if found:
            return found
    wrong = np.abs(got - expected) > rtol * _scale(expected)
    if 0 < np.count_nonzero(wrong) <= got.size // 4:
        return f"wrong in {np.count_nonzero(wrong)} of {got.size} elements"
    return ""


def _scale(array: Array) -> float:
    return float(np.max(np.abs(array), initial=0.0)) or 1.0


def _close(one: Array, other: Array, rtol: float) -> bool:
    return one.shape == other.shape and bool(
        np.all(np.abs(one - other) <= rtol * max(_scale(one), _scale(other)))
    )


def _factor(got: Array, expected: Array, rtol: float) -> str:
    """One constant factor everywhere; a scalar has too little to tell by, except round numbers."""
    support = expected != 0
    if not np.any(support) or np.any(got[~support]):
        return ""
    factor = float(np.vdot(expected, got) / np.vdot(expected, expected))
    if not _close(got, factor * expected, rtol):
        return ""
    named = _round_factor(factor)
    if np.count_nonzero(support) > 1 or named:
        return f"wrong by a constant factor of {named or f'{factor:.6g}'}"
    return ""


def _round_factor(factor: float) -> str:
    """A factor that somebody might have forgotten or doubled, as a fraction."""
    for numerator in range(1, 13):
        for denominator in range(1, 13):
            for sign in (1, -1):
                if abs(factor - sign * numerator / denominator) < 1e-9 * abs(factor):
                    top = sign * numerator
                    return f"{top}/{denominator}" if denominator > 1 else str(top)
    return ""


def _transposed(got: Array, expected: Array, rtol: float) -> str:
    if got.ndim < 2:
        return ""
    turned = np.swapaxes(expected, -1, -2)
    if _close(got, turned, rtol):
        return "transposed"
    return "transposed, with the wrong sign" if _close(got, -turned, rtol) else ""


def _mask(got: Array, expected: Array, rtol: float) -> str:
    """Right where the truth is not zero, and not zero where it is; or the other way round."""
    tiny = rtol * max(_scale(got), _scale(expected))
    zero, none = np.abs(expected) <= tiny, np.abs(got) <= tiny
    if np.any(zero) and not np.all(zero):
        if _close(got[~zero], expected[~zero], rtol):
            return "a mask is missing: right where the truth is not zero"
        if np.all(none[~zero]) and not np.any(none[zero]):
            return "the mask is inverted: zero exactly where the truth is not"
    extra = none & ~zero
    if np.any(extra) and not np.all(none) and _close(got[~none], expected[~none], rtol):
        return "a mask too many: zero in some elements, right in the others"
    return ""


def _axis_sum(got: Array, expected: Array, rtol: float) -> str:
    for axis in range(got.ndim):
        total = np.broadcast_to(np.sum(expected, axis=axis, keepdims=True), got.shape)
        if got.shape[axis] > 1 and _close(got, total, rtol):
            return f"an extra sum over axis {axis}"
        mean = total / got.shape[axis]
        if got.shape[axis] > 1 and _close(got, mean, rtol):
            return f"an extra mean over axis {axis}"
    return ""


def _order(got: Array, expected: Array, rtol: float) -> str:
    """The same elements in another order."""
    if got.size < 2 or not _close(np.sort(got.ravel()), np.sort(expected.ravel()), rtol):
        return ""
    for axis in range(got.ndim):
        if _close(got, np.flip(expected, axis), rtol):
            return f"flipped along axis {axis}"
        for shift in range(1, min(got.shape[axis], 8)):
            for step in (shift, -shift):
                if _close(got, np.roll(expected, step, axis), rtol):
                    return f"rolled by {step} along axis {axis} (an index is off)"
    return "the right elements in another order"


def _offset(got: Array, expected: Array, rtol: float) -> str:
    difference = got - expected
    if got.size > 2 and _close(difference, np.full_like(difference, difference.flat[0]), rtol):
        return f"off by the constant {difference.flat[0]:.6g}"
    return ""


def _shape_signature(got: Array, expected: Array, rtol: float) -> str:
    """What turned one shape into the other."""
    if got.size == expected.size and got.shape == expected.shape[::-1]:
        return "transposed" if _close(got, expected.T, rtol) else "the shape is transposed"
    if got.size == expected.size:
        return (
            "the right numbers in the wrong shape"
            if _close(got.ravel(), expected.ravel(), rtol)
            else ""
        )
    for axis in range(got.ndim):
        for keep in (True, False):
            if _close(np.sum(got, axis=axis, keepdims=keep), expected, rtol):
                return f"a sum over axis {axis} is missing"
    for axis in range(expected.ndim):
        for keep in (True, False):
            if _close(got, np.sum(expected, axis=axis, keepdims=keep), rtol):
                return f"an extra sum over axis {axis}"
    if _close(np.asarray(np.sum(got)), expected, rtol):
        return "a sum over all axes is missing"
    return ""

"""Object arrays that hold FLINT balls, and nothing that numpy could misread.

numpy treats an object array of `arb` well: `np.multiply` calls `arb.__mul__` per element in a C
loop (0.11 us at 128 bits, as fast as a list), and reductions, `where`, `concatenate` and fancy
indexing only move references. Conversions cost as much as arithmetic, so their routes are measured
ones (`np.fromiter` 0.01 us per element against 0.1 us for a slice assignment; `frompyfunc(arb)`
0.12 us against 0.18 us for a mapped list).

What numpy gets wrong is `arb_series` (a sequence to it, split into its coefficients), 0-d results
(handed back as a bare `arb`) and its own scalars on the left of an operator. So only `arb` ever
enters an array, each array is made here, and every result of numpy passes through `boxed`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from flint import arb

from harness.errors import Unsupported
from harness.referee import record

Objects: TypeAlias = npt.NDArray[np.object_]
Booleans: TypeAlias = npt.NDArray[np.bool_]
Integers: TypeAlias = npt.NDArray[np.int64]
Shape: TypeAlias = tuple[int, ...]

ZERO, ONE, NAN = arb(0), arb(1), arb("nan")
INFINITY, MINUS_INFINITY = arb("inf"), arb("-inf")


def boxed(value: Any) -> Objects:
    """What a numpy function returned as an object array: a bare ball becomes a 0-d array."""
    if isinstance(value, np.ndarray):
        return value
    out: Objects = np.empty((), object)
    out[()] = value
    return out


def filled(elements: Sequence[Any], shape: Shape) -> Objects:
    """An array of `shape` from its balls in C order."""
    return np.fromiter(elements, object, len(elements)).reshape(shape)


def full(value: arb, shape: Shape) -> Objects:
    """An array of `shape`, every element the same (immutable) ball."""
    out: Objects = np.empty(shape, object)
    out.fill(value)
    return out


def balls_of(array: npt.NDArray[Any]) -> Objects:
    """Balls of radius zero: every binary float, integer or boolean of `array`, exactly.

    Raises Unsupported for complex numbers, objects, and floats wider than float64.
    """
    kind = array.dtype.kind
    if kind in "cOSUM" or (kind == "f" and array.dtype.itemsize > 8):
        raise Unsupported(f"referee: balls are real and exact; got an array of `{array.dtype}`")
    if kind not in "iub":  # float16, float32 and bfloat16 (of kind V) widen exactly
        array = array.astype(np.float64)
    elif kind == "b":
        array = array.astype(np.int64)
    return boxed(_exactly(array))


def floats_of(array: Objects) -> npt.NDArray[np.float64]:
    """The midpoints, rounded to float64 (to the nearest, ties to even; NaN of a NaN)."""
    return array.astype(np.float64)


def elementwise(
    function: Callable[..., Any], inputs: int = 1, undefined: Callable[..., bool] | None = None
) -> Callable[..., Objects]:
    """A function of balls as a broadcasting function of object arrays.

    `undefined` of the same balls is True only if the function has no finite value at any of their
    points; what is lost otherwise is a matter of doubt.
    """
    ufunc = np.frompyfunc(function, inputs, 1)

    def of(*arrays: Any) -> Objects:
        found = boxed(ufunc(*arrays))
        if record.scrutiny():
            _scrutinise(found, arrays, undefined)
        return found

    return of


def _scrutinise(found: Objects, arrays: Any, undefined: Callable[..., bool] | None) -> None:
    operands = zip(*[each.ravel() for each in np.broadcast_arrays(*arrays)], strict=True)
    for result, balls in zip(found.ravel(), operands, strict=True):
        # A NaN comes from elsewhere; from infinity, as from a wide ball, a float may come back.
        if result.is_finite() or any(ball.is_nan() for ball in balls):
            continue
        if undefined is None or not undefined(*balls):
            record.doubt()


def divide(x: Any, y: Any) -> Objects:
    """x / y of object arrays, broadcasting; NaN where y holds zero."""
    sign = record.scrutiny()
    return _signed_quotient(sign)(x, y) if sign else boxed(_divide(x, y))


def _signed_quotient(sign: int) -> Callable[..., Objects]:
    """As floats divide, zeros having this sign: a quotient by an exact zero can be infinite."""

    def quotient(a: Any, b: Any) -> Any:
        if b.is_zero() and (a > 0 or a < 0):
            return INFINITY if (a > 0) == (sign > 0) else MINUS_INFINITY
        return a / b

    return elementwise(quotient, 2, lambda _, b: bool(b.is_zero()))


_exactly = np.frompyfunc(arb, 1, 1)
# Typed loosely: the stubs of numpy know no ball as an operand.
_greater: Any = np.greater
_less: Any = np.less
_divide: Any = np.divide
_is_zero = np.frompyfunc(arb.is_zero, 1, 1)


def zero_mask(array: Objects) -> Booleans:
    """Where the ball is exactly zero."""
    # The float of every zero is zero, and half the price.
    mask = np.asarray(floats_of(array) == 0)
    if mask.any():
        mask[mask] = _is_zero(array[mask])
    return mask


def greater_mask(x: Any, y: Any) -> Booleans:
    """Where x > y is certain, broadcasting."""
    return np.asarray(_greater(x, y), np.bool_)


def less_mask(x: Any, y: Any) -> Booleans:
    """Where x < y is certain, broadcasting."""
    return np.asarray(_less(x, y), np.bool_)


def size_of(shape: Shape) -> int:
    """The number of elements of an array of this shape."""
    return math.prod(shape)

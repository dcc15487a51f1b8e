"""Object arrays that hold FLINT balls, and nothing that numpy could misread.

numpy treats an object array of `arb` well: `np.multiply` calls `arb.__mul__` per element in a C
loop (0.11 us at 128 bits, as fast as a list), and reductions, `where`, `concatenate` and fancy
indexing only move references. What it gets wrong is `arb_series` (a sequence to numpy, split into
its coefficients), 0-d results (handed back as a bare `arb`) and its own scalars on the left of an
operator. So only `arb` ever enters an array, each array is made here, and every result of numpy
passes through `boxed`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from flint import arb

from harness.errors import Unsupported

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
    out: Objects = np.empty(len(elements), object)
    out[:] = elements
    return out.reshape(shape)


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
    return filled(list(map(arb, array.ravel().tolist())), array.shape)


def elementwise(function: Callable[..., Any], inputs: int = 1) -> Callable[..., Objects]:
    """A function of balls as a broadcasting function of object arrays."""
    ufunc = np.frompyfunc(function, inputs, 1)
    return lambda *arrays: boxed(ufunc(*arrays))


# Typed loosely: the stubs of numpy know no ball as an operand.
_greater: Any = np.greater
_less: Any = np.less
_is_zero = np.frompyfunc(arb.is_zero, 1, 1)


def zero_mask(array: Objects) -> Booleans:
    """Where the ball is exactly zero."""
    return np.asarray(_is_zero(array), np.bool_)


def greater_mask(x: Any, y: Any) -> Booleans:
    """Where x > y is certain, broadcasting."""
    return np.asarray(_greater(x, y), np.bool_)


def less_mask(x: Any, y: Any) -> Booleans:
    """Where x < y is certain, broadcasting."""
    return np.asarray(_less(x, y), np.bool_)


def size_of(shape: Shape) -> int:
    """The number of elements of an array of this shape."""
    return math.prod(shape)

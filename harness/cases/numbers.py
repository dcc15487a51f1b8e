"""The numbers of a sample as every method gets them: in the dtype, inside the domain, read-only."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from harness.dtypes import convert, is_floating
from harness.errors import Unsupported
from harness.model import Array


def rounded(values: Any, dtype: str, kind: str = "f") -> Array:
    """Floats rounded to `dtype`; integers and booleans keep their kind, and floats that are of
    `kind` `i` or `b` get it. Raises Unsupported for a number beyond the range of `dtype`."""
    array = np.asarray(values)
    if kind != "f":
        return array.astype(np.int64 if kind == "i" else np.bool_)
    if not is_floating(array.dtype):
        return array.copy()
    result = convert(array, dtype)
    if result.dtype == array.dtype:
        return result
    lost = np.isinf(result) & np.isfinite(array)
    if np.any(lost):
        number = float(array[lost].flat[0])
        raise Unsupported(f"the sample holds {number:g}, which is beyond the range of {dtype}")
    return result


def clipped(values: Array, domain: tuple[float, float]) -> Array:
    """Undo what rounding to a narrow dtype may do: push a number out of its domain. Raises
    Unsupported where no number of the dtype is inside."""
    low, high = _inside(domain, values.dtype)
    # Not `clip`, which makes a bfloat16 float32.
    return np.asarray(np.minimum(np.maximum(values, low), high))


@lru_cache
def _inside(domain: tuple[float, float], dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """The smallest and the largest number of a dtype that lie in a domain."""
    low, high = convert(np.array(domain), dtype.name)
    # `float`, since numpy would first round a Python number to the narrow dtype.
    low = np.nextafter(low, dtype.type(np.inf)) if float(low) < domain[0] else low
    high = np.nextafter(high, dtype.type(-np.inf)) if float(high) > domain[1] else high
    if not domain[0] <= float(low) <= domain[1]:
        raise Unsupported(
            f"no {dtype.name} number lies in the domain [{domain[0]:g}, {domain[1]:g}]"
        )
    return low, high


@lru_cache
def bounds(domain: tuple[float, float], dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """The ends of a domain, rounded to a dtype where that is a float."""
    low, high = convert(np.array(domain), dtype.name) if is_floating(dtype) else domain
    return low, high


def locked(array: Array) -> Array:
    """Every method and the referee see the same numbers, so nobody may write into them."""
    array.flags.writeable = False
    return array

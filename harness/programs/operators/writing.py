"""What writing into an array means where arrays are values: a new array, with some elements other.

numpy and torch write in place, jax and tensorflow have no such thing, and each reads an index in
its own way. Here numpy alone reads it: it writes *addresses* instead of numbers. The new array is
then the old elements and the new ones in a row, taken in the order of those addresses, which is
exact and differentiable wherever `concat` and `take` are. Of an element that is written twice the
last one stays, as numpy has it.
"""

from __future__ import annotations

import math
from typing import Any

from harness.errors import Unsupported


def set_at(xp: Any, x: Any, key: Any, value: Any, /) -> Any:
    """A copy of `x` with `x[key] = value`, in the dtype of `x`."""
    value = _values(xp, x, value)
    mask = whole_mask(x, key)
    if mask is not None and not value.ndim:
        return xp.where(mask, value, x)
    addresses, index = _addresses(x.shape), xp.plain_index(key)
    written = _spread(xp, value, addresses[index].shape)
    addresses[index] = addresses.size + _addresses(written.shape)
    numbers = xp.concat([xp.reshape(x, (-1,)), xp.reshape(written, (-1,))], axis=0)
    taken = xp.take(numbers, xp.asarray(addresses.reshape(-1)), axis=0)
    return xp.reshape(taken, tuple(x.shape))


def add_at(xp: Any, x: Any, key: Any, value: Any, /) -> Any:
    """A copy of `x` with `value` added at `key`: once for each time that `key` names an element, as
    `numpy.add.at` does, where `x[key] += value` adds the last one only."""
    value = _values(xp, x, value)
    mask = whole_mask(x, key)
    if mask is not None and not value.ndim:
        return xp.where(mask, x + value, x)
    addresses = _addresses(x.shape)
    places = addresses[xp.plain_index(key)]
    added = xp.reshape(_spread(xp, value, places.shape), (-1,))
    sums = xp.segment_sum(added, xp.asarray(places.reshape(-1)), addresses.size)
    return x + xp.reshape(sums, tuple(x.shape))


def get_at(xp: Any, x: Any, key: Any, /) -> Any:
    """`x[key]`, for arrays whose own brackets do not know every index that numpy knows."""
    addresses = _addresses(x.shape)
    places = addresses[xp.plain_index(key)]
    taken = xp.take(xp.reshape(x, (-1,)), xp.asarray(places.reshape(-1)), axis=0)
    return xp.reshape(taken, places.shape)


def _addresses(shape: Any) -> Any:
    """The numbers of the elements of an array of that shape, in C order."""
    import numpy as np  # here, since the names of operators are known without it

    return np.arange(math.prod(shape)).reshape(shape)


def _values(xp: Any, x: Any, value: Any) -> Any:
    """What is written, as an array in the dtype of `x`."""
    if not hasattr(value, "dtype"):
        return xp.asarray(value, dtype=x.dtype)
    return value if value.dtype == x.dtype else xp.astype(value, x.dtype)


def whole_mask(x: Any, key: Any) -> Any:
    """`key` as a mask that broadcasts against `x`, where it is one and nothing else. It need not be
    known by its values then, which a framework that compiles does not tell."""
    if isinstance(key, tuple) and len(key) == 1:
        (key,) = key
    if "bool" not in str(getattr(key, "dtype", "")) or tuple(key.shape) != tuple(
        x.shape[: key.ndim]
    ):
        return None
    return key[(..., *(None,) * (x.ndim - key.ndim))] if key.ndim < x.ndim else key


def _spread(xp: Any, value: Any, shape: tuple[int, ...]) -> Any:
    """`value` broadcast to the shape of what it is written to; more axes of length 1 than that has
    are dropped, as numpy drops them."""
    given = tuple(value.shape)
    extra = len(given) - len(shape)
    if extra > 0 and all(length == 1 for length in given[:extra]):
        value = xp.reshape(value, given[extra:])
    return xp.broadcast_to(value, shape)


def plain_index(key: Any) -> Any:
    """An index as numpy reads it: arrays of a framework become numpy's.

    Raises Unsupported for an index that is not known by its values.
    """
    if isinstance(key, tuple):
        return tuple(map(plain_index, key))
    if isinstance(key, list):
        return [plain_index(each) for each in key]
    if isinstance(key, slice):
        return slice(*map(plain_index, (key.start, key.stop, key.step)))
    if hasattr(key, "as_index"):
        return key.as_index()
    if not hasattr(key, "dtype"):
        return key
    import numpy as np

    found = np.asarray(key)
    if found.dtype.kind not in "biu":
        raise Unsupported(f"an index must be of integers or booleans, not of {found.dtype}")
    return found

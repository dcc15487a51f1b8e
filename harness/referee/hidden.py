"""What an array needs so that numpy keeps its hands off it, and code finds its shape.

Without `__array_ufunc__ = None`, `np.float64 * x` and `ndarray + x` would walk over `x` element by
element and rebuild it as an object array; without a failing `__array__`, `np.asarray(x)` would.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Self

import numpy as np


class Hidden(ABC):
    """An array whose data only this package touches: shape, indexing and iteration."""

    __slots__ = ()
    __array_ufunc__ = None
    __array_priority__ = 1000.0
    __hash__ = None  # type: ignore[assignment]

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape, a tuple of ints."""

    @abstractmethod
    def mapped(self, function: Callable[[Any], Any]) -> Self:
        """The same array with its elements moved, copied or selected by `function`."""

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def device(self) -> str:
        """`cpu`."""
        return "cpu"

    @property
    def T(self) -> Self:
        """The axes reversed, as numpy has it; for a matrix, the transpose."""
        return self.mapped(np.transpose)

    @property
    def mT(self) -> Self:
        """The last two axes swapped."""
        return self.mapped(lambda each: np.swapaxes(each, -1, -2))

    def reshape(self, *shape: Any) -> Self:
        """The same elements in C order under another shape."""
        wanted = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        return self.mapped(lambda each: each.reshape(wanted))

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d array")
        return self.shape[0]

    def __iter__(self) -> Iterator[Self]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, key: Any) -> Self:
        chosen = index_of(key)
        return self.mapped(lambda each: each[chosen])

    def __array__(self, *_arguments: Any, **_keywords: Any) -> NoReturn:
        raise TypeError(
            f"a `{type(self).__name__}` is no numpy array; take `midpoints(x)` for its numbers"
        )


def index_of(key: Any) -> tuple[Any, ...]:
    """An index whose result is an array even where a single element is chosen (hence the `...`)."""
    keys = key if isinstance(key, tuple) else (key,)
    plain = tuple(_plain_index(each) for each in keys)
    if any(each is Ellipsis for each in plain):
        return plain
    return (*plain, Ellipsis)


def _plain_index(key: Any) -> Any:
    if isinstance(key, Hidden):
        return key.as_index()  # type: ignore[attr-defined]
    if isinstance(key, slice):
        return slice(*[_bound(each) for each in (key.start, key.stop, key.step)])
    if isinstance(key, list):
        return [_plain_index(each) for each in key]
    return key


def _bound(value: Any) -> Any:
    return int(value) if isinstance(value, Hidden) else value  # type: ignore[call-overload]

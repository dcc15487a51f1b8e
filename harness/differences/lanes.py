"""An array that stands for many of its shape, one lane each, behind the operators of the standard.

What its functions do is in `batched`. As long as lanes differ in one element each, which is
how numeric differences begin, they are kept as what they have in common and that element, so that
1000 sines of 1000 elements are 2000.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from harness.errors import Unsupported
from harness.model import Array
from harness.programs.namespace import Namespace

_OPERATORS = """
    add:add sub:subtract mul:multiply truediv:divide floordiv:floor_divide mod:remainder pow:pow
    matmul:matmul and:bitwise_and or:bitwise_or xor:bitwise_xor
    """
_OTHERS = """
    neg:negative pos:positive abs:abs invert:bitwise_invert
    lt:less le:less_equal gt:greater ge:greater_equal eq:equal ne:not_equal
    """


#: Elements of all lanes together beyond which they are not written out, unless it is one lane: 1
#: MiB, since what fits the cache is three times as fast.
MOST = 2**17


class Wide(Unsupported):
    """Too many lanes to be written out."""


class _Missing(Unsupported, AttributeError):
    """What an array lacks. An AttributeError too, so that `hasattr` says no."""


class Batched:
    """Many arrays of one shape, a lane each: either `stacked`, of shape (lanes, *shape), or
    `common` to all but for one element: in lane i, that at flat index `spots[i]` is `own[i]`."""

    __slots__ = ("_stacked", "common", "own", "spots")
    # An ndarray left of an operator leaves it to us.
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]
    #: The functions of such arrays, which `harness.differences.batched` puts here.
    xp: ClassVar[Namespace]

    def __init__(
        self,
        stacked: Array | None,
        common: Array | None = None,
        spots: Array | None = None,
        own: Array | None = None,
    ) -> None:
        self._stacked, self.common, self.spots, self.own = stacked, common, spots, own

    @classmethod
    def moved(cls, common: Array, spots: Array, own: Array) -> Batched:
        """Copies of `common`; in lane i, the element at flat index `spots[i]` is `own[i]`."""
        return cls(None, common.astype(own.dtype), spots, own)

    @property
    def stacked(self) -> Array:
        """All lanes, as an array of shape (lanes, *shape)."""
        if self._stacked is None:
            assert self.common is not None
            assert self.own is not None
            if self.own.size > 1 and self.own.size * self.common.size > MOST:
                raise Wide(f"{self.own.size} lanes of {self.common.size} elements")
            found = np.empty((self.own.size, self.common.size), self.own.dtype)
            found[:] = self.common.reshape(-1)
            found[np.arange(self.own.size), self.spots] = self.own
            self._stacked = found.reshape(self.own.size, *self.common.shape)
        return self._stacked

    @property
    def change(self) -> Array | None:
        """What the one element of each lane adds to the sum over `common`; None where lanes differ
        in more than one."""
        if self.common is None or self.own is None:
            return None
        found: Array = self.own - self.common.reshape(-1)[self.spots]
        return found

    @property
    def _any(self) -> Array:
        return self.common if self.common is not None else self.stacked[0]

    @property
    def dtype(self) -> Any:
        """That of a lane; an imaginary part is none of the case's business."""
        found = self._any.dtype
        return np.empty(0, found).real.dtype if found.kind == "c" else found

    @property
    def complex(self) -> bool:
        """Whether the lanes have an imaginary part."""
        return (self.stacked if self.own is None else self.own).dtype.kind == "c"

    def _refuse(self, name: str) -> Any:
        raise Unsupported(f"batched: `.{name}` of {self.ndim} axes")

    lanes = property(lambda self: len(self.stacked if self.own is None else self.own))
    shape = property(lambda self: self._any.shape)
    ndim = property(lambda self: self._any.ndim)
    size = property(lambda self: self._any.size)
    device = property(lambda self: "cpu")
    T = property(
        lambda self: self.xp.matrix_transpose(self) if self.ndim == 2 else self._refuse("T")
    )
    mT = property(lambda self: self.xp.matrix_transpose(self))

    def __getitem__(self, key: Any) -> Batched:
        keys = key if isinstance(key, tuple) else (key,)
        if any(isinstance(each, Batched) for each in keys):
            raise Unsupported("batched: such an index")
        arrays = [each for each in keys if isinstance(each, np.ndarray | list)]
        if arrays and len(keys) > 1 and not all(isinstance(each, slice) for each in keys[1:]):
            # Of several, numpy may put the axis first, where it would be taken for the lanes'.
            found: Batched = self.xp.gathered(self, key)
            return found
        return Batched(np.asarray(self.stacked[(slice(None), *keys)]))

    def __setitem__(self, key: Any, value: Any) -> None:
        raise Unsupported("batched: writing into an array")

    def __len__(self) -> int:
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Batched]:
        return (self[index] for index in range(len(self)))

    def _one(self) -> Any:
        """What every lane says, for code that decides by a number."""
        numbers = self.stacked
        if self.size != 1 or numbers.dtype.kind == "c" or np.any(numbers != numbers[:1]):
            raise Unsupported("batched: a number that differs from lane to lane")
        return numbers.flat[0]

    def __bool__(self) -> bool:
        return bool(self._one())

    def __int__(self) -> int:
        return int(self._one())

    def __float__(self) -> float:
        return float(self._one())

    def __index__(self) -> int:
        return operator.index(self._one())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        raise Unsupported("batched: an array of `xp` as one of numpy")

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise Unsupported(f"batched: `np.{function.__name__}` of an array of `xp`")

    def __array_namespace__(self, *, api_version: str | None = None) -> Namespace:
        return self.xp

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _Missing(f"batched: an array has no `.{name}`")


def _method(name: str) -> Callable[..., Any]:
    return lambda self, *other: getattr(self.xp, name)(self, *other)


def _reflected(name: str) -> Callable[..., Any]:
    return lambda self, other: getattr(self.xp, name)(other, self)


for _pair in (_OPERATORS + _OTHERS).split():
    _name, _, _function = _pair.partition(":")
    setattr(Batched, f"__{_name}__", _method(_function))
    if _pair in _OPERATORS:
        setattr(Batched, f"__r{_name}__", _reflected(_function))

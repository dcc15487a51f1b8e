"""Reverse mode over any array namespace: what `forward` did is written down and gone through again,
backwards.

A framework does the same in its own arithmetic. Here it happens in whatever arrays the namespace
has: in balls it gives a gradient that can be certified though nobody wrote a backward, in arrays
that err it says how far an operation-by-operation backward may be off. The rules are in
`harness.derived.rules`; what only moves or selects numbers needs none: the same function, applied
to the addresses of the elements, says where each came from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import array_api_compat.numpy
import numpy as np

from harness.errors import Unsupported
from harness.model import Array
from harness.programs.namespace import Namespace

numpy_namespace: Any = array_api_compat.numpy

#: From the cotangent of a result to that of one of its arguments.
Pull: TypeAlias = Callable[[Any], Any]

_OPERATORS = """
    add:add sub:subtract mul:multiply truediv:divide floordiv:floor_divide mod:remainder pow:pow
    matmul:matmul and:bitwise_and or:bitwise_or xor:bitwise_xor
    """
_OTHERS = """
    neg:negative pos:positive abs:abs invert:bitwise_invert
    lt:less le:less_equal gt:greater ge:greater_equal eq:equal ne:not_equal
    """


class _Missing(Unsupported, AttributeError):
    """What an array lacks. An AttributeError too, so that `hasattr` says no."""


class Tracked:
    """An array whose origin is known: `value`, of the namespace below, and its place on the tape;
    None for one that depends on nothing that is differentiated."""

    __slots__ = ("place", "tape", "value")
    # An ndarray left of an operator leaves it to us.
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: Any, tape: Tape, place: int | None = None) -> None:
        self.value, self.tape, self.place = value, tape, place

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    dtype = property(lambda self: self.value.dtype)
    device = property(lambda self: "cpu")
    T = property(lambda self: self.tape.xp.permute_dims(self, tuple(range(self.ndim))[::-1]))
    mT = property(lambda self: self.tape.xp.matrix_transpose(self))

    def __getitem__(self, key: Any) -> Tracked:
        return self.tape.moved(lambda x: x[indices(key)], self.value[plain(key)], [self])

    def __setitem__(self, key: Any, value: Any) -> None:
        raise Unsupported("derived: writing into an array")

    def __len__(self) -> int:
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Tracked]:
        return (self[index] for index in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __index__(self) -> int:
        found: int = self.value.__index__()
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        raise Unsupported("derived: an array of `xp` as one of numpy")

    def __array_namespace__(self, *, api_version: str | None = None) -> Namespace:
        return self.tape.xp

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _Missing(f"derived: an array has no `.{name}`; use `xp.{name}`")


def _method(name: str) -> Callable[..., Any]:
    return lambda self, *other: getattr(self.tape.xp, name)(self, *other)


def _reflected(name: str) -> Callable[..., Any]:
    return lambda self, other: getattr(self.tape.xp, name)(other, self)


for _pair in (_OPERATORS + _OTHERS).split():
    _name, _, _function = _pair.partition(":")
    setattr(Tracked, f"__{_name}__", _method(_function))
    if _pair in _OPERATORS:
        setattr(Tracked, f"__r{_name}__", _reflected(_function))


def plain(value: Any) -> Any:
    """What the namespace below gets in place of what a case passes."""
    if isinstance(value, Tracked):
        return value.value
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value))
    return value


def indices(key: Any) -> Any:
    """An index for numpy."""
    key = plain(key)
    if isinstance(key, tuple):
        return tuple(map(indices, key))
    if hasattr(key, "as_index"):
        return key.as_index()
    return np.asarray(key) if hasattr(key, "__array_namespace__") else key


@dataclass(frozen=True)
class _Node:
    """One operation: the places of what it depends on, and how a cotangent goes back to each."""

    edges: tuple[tuple[int, Pull], ...]


class Planted(Protocol):
    """Errors to be planted in the operations that are written down."""

    def factor(self, name: str, shape: tuple[int, ...]) -> Array | None:
        """What to multiply the result of a function by, elementwise; None for nothing."""

    def terms(self, shape: tuple[int, ...], axis: Any) -> Array | None:
        """What to multiply the terms of a sum over `axis` by."""


class Tape:
    """What was done to the leaves, in order.

    below:  the namespace of the arrays; `xp` does the same to tracked ones.
    exact:  whether to avoid rules that lose digits.
    errors: what is planted in `forward`, and differentiated with it: the gradient is then that of
            a program nearby.
    """

    def __init__(self, below: Any, exact: bool = False, errors: Planted | None = None) -> None:
        # Here, since the rules are written in terms of the tape.
        from harness.derived.rules import namespace

        self.below, self.exact, self.errors = below, exact, errors
        self._nodes: list[_Node] = []
        self.xp = namespace(self)

    def leaf(self, value: Any) -> Tracked:
        """An array to differentiate with respect to."""
        return self._added(value, _Node(()))

    def operation(
        self, name: str, value: Any, parents: Sequence[Any], pulls: Sequence[Pull]
    ) -> Tracked:
        """The result of a function, with one of `pulls` for each of `parents`; those that are not
        tracked have no cotangent."""
        factor = None
        if self.errors is not None:
            factor = self.errors.factor(name, tuple(value.shape))
            value = value if factor is None else value * factor
        edges = []
        for parent, pull in zip(parents, pulls, strict=True):
            if isinstance(parent, Tracked) and parent.place is not None:
                edges.append((parent.place, pull if factor is None else _scaled(pull, factor)))
        return self._added(value, _Node(tuple(edges))) if edges else Tracked(value, self)

    def moved(self, function: Callable[..., Any], value: Any, parents: Sequence[Any]) -> Tracked:
        """The result of a function that only moves, repeats or selects the elements of `parents`,
        given as a function of numpy arrays."""
        if not any(isinstance(each, Tracked) and each.place is not None for each in parents):
            return Tracked(value, self)
        addresses, ends = [], [1]  # 0 is what comes from nowhere
        for each in parents:
            shape = tuple(getattr(each, "shape", ()))
            addresses.append(ends[-1] + np.arange(math.prod(shape)).reshape(shape))
            ends.append(ends[-1] + math.prod(shape))
        origins = np.asarray(function(*addresses)).ravel()

        def pull(start: int, shape: tuple[int, ...]) -> Pull:
            return lambda g: self.scattered(g, origins - start, shape)

        pulls = [pull(*each) for each in zip(ends, map(np.shape, addresses), strict=False)]
        return self.operation("moved", value, parents, pulls)

    def scattered(self, g: Any, targets: Array, shape: tuple[int, ...]) -> Any:
        """An array of `shape` to whose element `targets[i]` the i-th element of `g` is added; out
        of range, it is left out."""
        xp, size = self.below, math.prod(shape)
        places = np.flatnonzero((targets >= 0) & (targets < size))
        targets = targets[places]
        order = np.argsort(targets, kind="stable")
        counts = np.bincount(targets, minlength=size)
        most = int(counts.max(initial=0))
        flat = xp.reshape(g, (-1,))
        nothing = xp.zeros((1,), dtype=flat.dtype)
        padded = xp.concat([flat, nothing])
        # Row i holds the places of what is added to element i, and then the place of the zero.
        table = np.full((size, max(most, 1)), len(padded) - 1)
        within = np.arange(len(targets)) - np.repeat(np.cumsum(counts) - counts, counts)
        table[targets[order], within] = places[order]
        gathered = xp.reshape(padded[table.ravel()], table.shape)
        summed = gathered[:, 0] if table.shape[1] == 1 else xp.sum(gathered, axis=1)
        return xp.reshape(summed, shape)

    def pulled(
        self, outputs: Sequence[Any], cotangents: Sequence[Any], wanted: Sequence[Any]
    ) -> list[Any]:
        """The cotangents of the `wanted` arrays; None for one that no output depends on."""
        found: dict[int, Any] = {}

        def add(place: int, g: Any) -> None:
            found[place] = found[place] + g if place in found else g

        for output, cotangent in zip(outputs, cotangents, strict=True):
            if isinstance(output, Tracked) and output.place is not None:
                add(output.place, cotangent)
        for place in range(len(self._nodes) - 1, -1, -1):
            if place in found:
                for parent, pull in self._nodes[place].edges:
                    add(parent, pull(found[place]))
        places = (each.place if isinstance(each, Tracked) else None for each in wanted)
        return [None if place is None else found.get(place) for place in places]

    def _added(self, value: Any, node: _Node) -> Tracked:
        self._nodes.append(node)
        return Tracked(value, self, len(self._nodes) - 1)


def _scaled(pull: Pull, factor: Array) -> Pull:
    return lambda g: pull(g * factor)

"""Three-valued truth: what a comparison of balls yields, and what a mask is made of.

Kleene's logic: `True | unknown` is True, so an unknown element hurts only where it matters. It
raises when a decision is drawn from it: in `where`, an index, `if`, or arithmetic on the mask.
Two masks are compared by the same logic.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from harness.errors import Unsupported
from harness.referee.compare import Signs
from harness.referee.elements import Booleans
from harness.referee.hidden import Hidden
from harness.referee.undecided import OrderExhausted, Undecided


class Truth(Hidden):
    """An array of True, False and undecided. `&`, `|`, `^`, `~` follow Kleene's logic."""

    __slots__ = ("_no", "_short", "_yes")

    def __init__(self, yes: Booleans, no: Booleans, short: bool = False) -> None:
        """`yes` and `no` mark what is certain. `short`: an order of t is lacking, not bits."""
        self._yes, self._no, self._short = yes, no, short

    @classmethod
    def known(cls, mask: Any) -> Truth:
        """Every element decided."""
        yes = np.asarray(mask, bool)
        return cls(yes, ~yes)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._yes.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """`bool`."""
        return np.dtype(bool)

    def mapped(self, function: Callable[[Any], Any]) -> Truth:
        """The same array with its elements moved, copied or selected by `function`."""
        return Truth(np.asarray(function(self._yes)), np.asarray(function(self._no)), self._short)

    def decided(self, name: str) -> Booleans:
        """The plain mask. Raises Undecided or OrderExhausted where an element is unknown."""
        unknown = ~(self._yes | self._no)
        if unknown.any():
            index = tuple(int(each) for each in np.argwhere(unknown)[0])
            if self._short:
                raise OrderExhausted(
                    f"`{name}`: a comparison is equal to every known order of t at index {index}; "
                    "raise the order"
                )
            raise Undecided(
                f"`{name}`: a comparison of overlapping balls at index {index}; raise the precision"
            )
        return self._yes

    def overlapping(self, name: str) -> tuple[Booleans, Booleans]:
        """The plain mask, and where more bits are needed to tell. Raises OrderExhausted where a
        higher order is."""
        unknown = np.asarray(~(self._yes | self._no))
        return (self._yes, unknown) if not self._short else (self.decided(name), unknown)

    def as_index(self) -> Booleans:
        """The mask as numpy indexes with. Raises Undecided."""
        return self.decided("index")

    def certain(self) -> tuple[Booleans, Booleans]:
        """Where it is certainly true, and where certainly false."""
        return self._yes, self._no

    def all(self, axis: Any = None, keepdims: bool = False) -> Truth:
        """Whether all elements along `axis` are true."""
        return Truth(
            np.asarray(np.all(self._yes, axis=axis, keepdims=keepdims)),
            np.asarray(np.any(self._no, axis=axis, keepdims=keepdims)),
            self._short,
        )

    def any(self, axis: Any = None, keepdims: bool = False) -> Truth:
        """Whether some element along `axis` is true."""
        return ~(~self).all(axis, keepdims)

    def __bool__(self) -> bool:
        return bool(self.decided("if"))

    def __invert__(self) -> Truth:
        return Truth(self._no, self._yes, self._short)

    def __and__(self, other: Any) -> Truth:
        y = truth(other)
        return Truth(
            np.asarray(self._yes & y._yes), np.asarray(self._no | y._no), self._short or y._short
        )

    def __or__(self, other: Any) -> Truth:
        return ~(~self & ~truth(other))

    def __xor__(self, other: Any) -> Truth:
        y = truth(other)
        return (self & ~y) | (~self & y)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __eq__(self, other: Any) -> Truth:  # type: ignore[override]
        found: Truth = ~(self ^ other) if _is_truth(other) else _numbers(self) == other
        return found

    def __ne__(self, other: Any) -> Truth:  # type: ignore[override]
        different: Truth = ~(self == other)
        return different

    __hash__ = None

    def __abs__(self) -> Truth:
        return self


# Arithmetic on a mask is no part of the standard, but all frameworks know `(x > 0) * y`.

#: Of two masks, numpy makes `+` an `or`, and some frameworks nothing at all.
_OF_NUMBERS = "add sub truediv floordiv mod pow matmul"


def _numbers(mask: Truth) -> Any:
    from harness.referee.array import balls  # an array's comparisons are made of this module

    return balls(mask)


def _operator(name: str) -> Callable[..., Any]:
    operation = getattr(operator, name)

    def of(self: Truth, *other: Any) -> Any:
        if name in _OF_NUMBERS.split() and _is_truth(other[0]):
            raise Unsupported(f"referee: `{name}` of two masks; make them numbers by `xp.astype`")
        return operation(_numbers(self), *other)

    return of


def _reflected(name: str) -> Callable[..., Any]:
    operation = getattr(operator, name)
    return lambda self, other: operation(other, _numbers(self))


for _name in f"{_OF_NUMBERS} mul lt le gt ge neg pos".split():
    setattr(Truth, f"__{_name}__", _operator(_name))
for _name in f"{_OF_NUMBERS} mul".split():
    setattr(Truth, f"__r{_name}__", _reflected(_name))


def truth(value: Any) -> Truth:
    """`value` as truth values: a Truth, a boolean or a numpy mask. Raises TypeError otherwise."""
    if not _is_truth(value):
        raise TypeError(f"expected booleans, got `{type(value).__name__}`")
    return value if isinstance(value, Truth) else Truth.known(value)


def _is_truth(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return bool(value.dtype == bool)
    return isinstance(value, Truth | bool | np.bool_)


def _answer(yes: Booleans, no: Booleans, tied: Booleans) -> Truth:
    return Truth(yes, no, bool(tied.any()))


def less(found: Signs) -> Truth:
    """x < y, from the signs of x - y."""
    return _answer(found.negative, found.positive | found.zero, found.tied)


def less_equal(found: Signs) -> Truth:
    """x <= y."""
    return _answer(found.negative | found.zero, found.positive, found.tied)


def equal(found: Signs) -> Truth:
    """x == y; certain only where both balls are exact."""
    return _answer(found.zero, found.positive | found.negative, found.tied)

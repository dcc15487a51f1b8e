"""Value numbers: the same operation on the same numbers is the same number.

Two balls of one real number overlap at any precision, so `u == max(u)`, `|y - y|` and
`minimum(r * a, clip(r, 0.8, 1.2) * a)` stay undecided for ever if nothing but balls is looked at.
Within `numbered`, every element also has a name, an integer, and two elements of one name are equal
(Cocke and Schwartz' value numbering, 1970, over the reals instead of machine words). Names cost
twice what the balls do, so that they are for a second attempt, after an overlap.

An element has two names. `germ` stands for it as a function of t for small t > 0; `rest` for its
value at t = 0. Names of one number differ where nobody knows that it is one: whatever has no rule
here gets a name of its own. Minus a name is the name of the negative, 0 that of zero. Numbers that
are not finite have names of their own each: infinity minus infinity is not zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from flint import arb

from harness.referee.elements import ONE, Booleans, Integers, Objects, boxed, zero_mask

if TYPE_CHECKING:
    from harness.referee.taylor import Taylor

Rule: TypeAlias = Callable[..., Integers]


class Names:
    """The names of the elements of an array, given out by one table."""

    __slots__ = ("germ", "rest", "table")

    def __init__(self, germ: Integers, rest: Integers, table: Table) -> None:
        self.germ, self.rest, self.table = germ, rest, table

    def mapped(self, function: Callable[[Any], Any]) -> Names:
        """The names after the same movement of the elements."""
        rest = np.asarray(function(self.rest))
        germ = rest if self.germ is self.rest else np.asarray(function(self.germ))
        return Names(germ, rest, self.table)


class _Known(dict[Any, int]):
    """Keys and their names; a key that is asked for gets one."""

    def __init__(self, numbers: Iterator[int]) -> None:
        super().__init__()
        self._numbers = numbers

    def __missing__(self, key: Any) -> int:
        name = self[key] = next(self._numbers)
        return name


class Table:
    """What is known under which name, by operation; a key is anything hashable that determines the
    number. Arrays of names are looked up at 0.3 us per element."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._known: dict[Any, _Known] = {}
        self.multiples: dict[tuple[int, int], int] = {}
        self.one = int(self.exact(boxed(ONE), np.asarray(True)))

    def known(self, operation: Any) -> _Known:
        """The names of what `operation` made."""
        found = self._known.get(operation)
        if found is None:
            found = self._known[operation] = _Known(self._numbers)
        return found

    def each(self, operation: Any, keys: Integers) -> Integers:
        """The names of what `operation` made of each key."""
        made = map(self.known(operation).__getitem__, keys.ravel().tolist())
        return np.fromiter(made, np.int64, keys.size).reshape(keys.shape)

    def fresh(self, where: Booleans) -> Integers:
        """For each element of the mask a name that nothing else has."""
        return np.fromiter(self._numbers, np.int64, int(where.sum()))

    def exact(self, part: Objects, where: Booleans) -> Integers:
        """The names of finite balls of radius zero, `where` they are; 0 elsewhere."""
        names = np.zeros(part.shape, np.int64)
        where = where & ~zero_mask(part)
        known = self.known("exact")
        pairs = [each.man_exp() for each in part[where]]
        names[where] = [known[m, e] if m > 0 else -known[-m, e] for m, e in pairs]
        return names

    def line(self, value: Integers, slope: Integers) -> Integers:
        """The names of value + t slope."""
        sign = np.sign(slope)
        names = sign * self.each("line", pairs(np.abs(slope), sign * value))
        return np.where(slope == 0, value, names)

    def sum(self, terms: Sequence[int]) -> int:
        """The name of a sum, in whatever order."""
        terms = sorted((each for each in terms if each), key=lambda each: (abs(each), each))
        if terms and terms[0] == terms[-1]:
            return self.multiple(len(terms), terms[0])
        if len(terms) < 3:
            x, y = (np.asarray(each) for each in (*terms, 0, 0)[:2])
            return int(sum_of_two(self, x, y))
        known = self.known("sum")
        return known[tuple(terms)] if terms[0] > 0 else -known[tuple(-each for each in terms)]

    def multiple(self, times: int, name: int) -> int:
        """The name of a number added up so many times; a mean that divides by that finds it."""
        count = int(self.exact(boxed(arb(times)), np.asarray(True)))
        found = int(product(self, np.asarray(count), np.asarray(name)))
        self.multiples[abs(found), count] = abs(name)
        return found

    def limit(self, germ: Integers) -> Integers:
        """The names of the values for t -> 0+."""
        return np.sign(germ) * self.each("limit", np.abs(germ))

    def of(self, x: Taylor) -> Names:
        """The names of the elements, which are kept with them."""
        if x.names is None or x.names.table is not self:
            fresh = self.fresh(np.ones(x.shape, bool)).reshape(x.shape)
            x.names = self._settled(x, fresh, fresh)
        return x.names

    def given(self, x: Taylor, germ: Integers, rest: Integers) -> Taylor:
        """x under the names that its operation determines. What is named zero becomes zero."""
        names = self._settled(x, germ, rest)
        result = x.vanishing(names.germ == 0, names.rest == 0)
        result.names = names
        return result

    def _settled(self, x: Taylor, germ: Integers, rest: Integers) -> Names:
        """Numbers that are known exactly go by their value, infinite ones by names of their own."""
        exact = [_exact(part) for part in x.parts]
        bounded = [_finite(part) for part in x.parts]
        values = self.exact(x.parts[0], exact[0])
        rest = np.where(exact[0], values, rest)
        rest[~bounded[0]] = self.fresh(~bounded[0])
        if x.degree is None:
            return Names(rest, rest, self)
        lost = ~np.logical_and.reduce(bounded)
        germ = np.where(x.degree == 0, rest, germ)
        germ[lost] = self.fresh(lost)
        known = np.logical_and.reduce(exact) & x.exact()
        if known.any():
            made = np.zeros(x.shape, np.int64)
            for part in reversed(x.parts):
                made = self.line(self.exact(part, known), made)
            germ = np.where(known, made, germ)
        return Names(germ, rest, self)


_is_exact = np.frompyfunc(arb.is_exact, 1, 1)
_is_finite = np.frompyfunc(arb.is_finite, 1, 1)


def _finite(part: Objects) -> Booleans:
    return np.asarray(_is_finite(part), bool)


def _exact(part: Objects) -> Booleans:
    return np.asarray(_is_exact(part), bool) & _finite(part)


_open: ContextVar[Table | None] = ContextVar("names", default=None)


@contextmanager
def numbered() -> Iterator[None]:
    """Within it, every element has names, and elements of one name are equal."""
    token = _open.set(Table())
    try:
        yield
    finally:
        _open.reset(token)


@contextmanager
def unnumbered() -> Iterator[None]:
    """Within it, nobody wants names: the inside of an operation that names its result itself."""
    token = _open.set(None)
    try:
        yield
    finally:
        _open.reset(token)


def table() -> Table | None:
    """The table that names are looked up in; None where nobody wants them."""
    return _open.get()


def numbering() -> bool:
    """Whether somebody wants names."""
    return _open.get() is not None


def alike(x: Taylor, y: Taylor) -> tuple[Booleans, Booleans] | None:
    """Where two series of one shape are the same function of t, and where they have the same value
    at t = 0, as far as names tell; None where nobody wants names."""
    found = _open.get()
    if found is None:
        return None
    a, b, finite = found.of(x), found.of(y), _finite(x.parts[0])  # NaN is not equal to itself
    return np.asarray(finite & (a.germ == b.germ)), np.asarray(finite & (a.rest == b.rest))


def pairs(x: Integers, y: Integers) -> Integers:
    """One number for each pair of names, of which there are fewer than 2**31."""
    return (x << 32) + y + (1 << 31)


def sum_of_two(found: Table, x: Integers, y: Integers) -> Integers:
    """The names of x + y, which commutes, and turns its sign with both."""
    turned = np.abs(x) > np.abs(y)
    x, y = np.where(turned, y, x), np.where(turned, x, y)
    sign = np.where(x < 0, -1, 1)
    names = np.array(sign * found.each("sum of two", pairs(sign * x, sign * y)))
    for place in np.flatnonzero((x == y) & (x != 0)):
        names.flat[place] = found.multiple(2, int(x.flat[place]))
    return np.where(x == 0, y, np.where(x == -y, 0, names))


def difference(found: Table, x: Integers, y: Integers) -> Integers:
    """The names of x - y: the sum of x and -y."""
    return sum_of_two(found, x, -y)


def product(found: Table, x: Integers, y: Integers) -> Integers:
    """The names of x y, which commutes, and turns its sign with either."""
    a, b = np.minimum(np.abs(x), np.abs(y)), np.maximum(np.abs(x), np.abs(y))
    names = found.each("product", pairs(a, b))
    names = np.where(a == found.one, b, np.where(b == found.one, a, names))
    return np.sign(x) * np.sign(y) * names


def quotient(found: Table, x: Integers, y: Integers) -> Integers:
    """The names of x / y, which turns its sign with either."""
    a, b = np.abs(x), np.abs(y)
    names = np.where(b == found.one, a, found.each("quotient", pairs(a, b)))
    if found.multiples:
        shared = zip(a.ravel().tolist(), b.ravel().tolist(), names.ravel().tolist(), strict=True)
        whole = [found.multiples.get((i, j), k) for i, j, k in shared]
        names = np.array(whole, np.int64).reshape(names.shape)
    return np.sign(x) * np.where(y < 0, -names, names)

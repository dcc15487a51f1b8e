"""Truncated power series over an array, coefficient by coefficient: structure of arrays.

An array of `arb_series` objects would cost an allocation per element and operation (0.6 us for an
addition, against 0.15 us per coefficient here), and numpy would split each into its coefficients.
So a series is kept as one array of balls per power of t. Linear operations act on each of them,
products and quotients are the exact polynomial recurrences. No rule of calculus is written here;
transcendental functions go through FLINT's own series (`analytic`).

`order` K says that coefficients 0..K are known, the rest being O(t^(K+1)). A constant is known to
every order. `degree` bounds the degree of each element where that element is a polynomial (what
`x + t v` and sums and products of it are), and is INFINITE otherwise: an element with degree <= K
is known *exactly*, which is what lets two of them be found equal. What was chosen among series that
agree as far as they are known is not (`compare.chosen`), whatever the degree of the chosen one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from harness.referee import names, naming, record
from harness.referee.elements import (
    NAN,
    ZERO,
    Booleans,
    Integers,
    Objects,
    Shape,
    boxed,
    full,
    zero_mask,
)
from harness.referee.elements import divide as divided

INFINITE = 1 << 30
_ZERO = boxed(ZERO)
Ufunc: TypeAlias = Callable[..., Any]


class Taylor:
    """`parts[k]` holds the coefficients of t**k, each an object array of balls of one shape.

    A constant has one part, order INFINITE and degree None. Any other series has `order` + 1 parts
    and an integer array `degree` of the same shape. `names` are kept where `names.numbered` asked
    for them.
    """

    __slots__ = ("degree", "names", "order", "parts")

    def __init__(
        self,
        parts: tuple[Objects, ...],
        order: int = INFINITE,
        degree: Integers | None = None,
        names: names.Names | None = None,
    ) -> None:
        self.parts = parts
        self.order = order
        self.degree = degree
        self.names = names

    @property
    def shape(self) -> Shape:
        return self.parts[0].shape

    @property
    def size(self) -> int:
        return self.parts[0].size

    def mapped(self, function: Callable[[Any], Any]) -> Taylor:
        """The same series with its elements moved, copied or selected by `function`."""
        degree = None if self.degree is None else np.asarray(function(self.degree))
        moved = None if self.names is None else self.names.mapped(function)
        return Taylor(
            tuple(boxed(function(part)) for part in self.parts), self.order, degree, moved
        )

    def at(self, key: Any) -> Taylor:
        """The elements at a numpy index."""
        return self.mapped(lambda each: each[key])

    def degrees(self) -> Integers:
        """The degree bound of every element, zero for a constant."""
        if self.degree is None:
            return np.zeros(self.shape, np.int64)
        return self.degree

    def exact(self) -> Booleans:
        """Where no term was cut off."""
        return self.degrees() <= self.order

    def vanishing(self, whole: Booleans, first: Booleans) -> Taylor:
        """The same series with exact zeros: of every power where `whole`, of t**0 where `first`."""
        if not (whole.any() or first.any()):
            return self
        masks = [first | whole, *[whole] * (len(self.parts) - 1)]
        pairs = zip(masks, self.parts, strict=True)
        parts = tuple(boxed(np.where(mask, _ZERO, part)) for mask, part in pairs)
        degree = None if self.degree is None else np.where(whole, 0, self.degree)
        return Taylor(parts, self.order, degree)


def tightened(x: Taylor) -> Taylor:
    """The same series, with degree 0 for each polynomial whose higher coefficients are all zero.

    A product with a zero keeps the bound of its factors; a function of it would lose exactness.
    """
    if x.degree is None or x.order == 0:
        return x
    still = np.asarray((x.degree > 0) & (x.degree <= x.order))
    for each in x.parts[1:]:
        if not still.any():
            return x
        still[still] = zero_mask(each[still])
    return Taylor(x.parts, x.order, np.where(still, 0, x.degree), x.names) if still.any() else x


def constant(values: Any) -> Taylor:
    """A series that does not depend on t."""
    return Taylor((boxed(values),))


def part(x: Taylor, k: int) -> Objects:
    """Coefficient k <= order; a 0-d zero stands for those that a constant does not store."""
    return x.parts[k] if k < len(x.parts) else _ZERO


def truncated(x: Taylor, order: int) -> Taylor:
    """The same series known to at most `order`; a constant stays one."""
    if x.degree is None or order >= x.order:
        return x
    return Taylor(x.parts[: order + 1], order, x.degree, x.names)


def extended(x: Taylor, order: int) -> list[Objects]:
    """Coefficients 0..order, each of the full shape."""
    zeros = full(ZERO, x.shape) if len(x.parts) <= order else _ZERO
    return [x.parts[k] if k < len(x.parts) else zeros for k in range(order + 1)]


def merged(order: int, degree: Integers, parts: list[Any], shape: Shape) -> Taylor:
    """A series from computed parts, each broadcast to `shape`."""
    whole = tuple(
        each if each.shape == shape else np.broadcast_to(each, shape)
        for each in map(boxed, parts[: order + 1])
    )
    bounds = degree if degree.shape == shape else np.broadcast_to(degree, shape)
    return Taylor(whole, order, bounds)


@partial(naming.named, rule=names.sum_of_two)
def add(x: Taylor, y: Taylor) -> Taylor:
    """Sum, broadcasting."""
    return _linear(np.add, x, y)


@partial(naming.named, rule=names.difference)
def subtract(x: Taylor, y: Taylor) -> Taylor:
    """Difference, broadcasting."""
    return _linear(np.subtract, x, y)


def _linear(operation: Ufunc, x: Taylor, y: Taylor) -> Taylor:
    first = boxed(operation(x.parts[0], y.parts[0]))
    if x.degree is None and y.degree is None:
        return Taylor((first,))
    order = min(x.order, y.order)
    parts: list[Any] = [first]
    for k in range(1, order + 1):
        if k >= len(y.parts):
            parts.append(x.parts[k])
        elif k >= len(x.parts) and operation is np.add:
            parts.append(y.parts[k])
        else:
            parts.append(operation(part(x, k), y.parts[k]))
    return merged(order, np.maximum(x.degrees(), y.degrees()), parts, first.shape)


def negative(x: Taylor) -> Taylor:
    """Minus x."""
    parts = tuple(boxed(np.negative(each)) for each in x.parts)
    return naming.negated(x, Taylor(parts, x.order, x.degree))


@partial(naming.named, rule=names.product)
def multiply(x: Taylor, y: Taylor) -> Taylor:
    """Cauchy product, broadcasting: c_k = sum_i a_i b_(k-i)."""
    first = boxed(np.multiply(x.parts[0], y.parts[0]))
    if x.degree is None and y.degree is None:
        return Taylor((first,))
    order = min(x.order, y.order)
    parts: list[Any] = [first]
    for k in range(1, order + 1):
        total: Any = None
        for i in range(k + 1):
            if i < len(x.parts) and k - i < len(y.parts):
                term = np.multiply(x.parts[i], y.parts[k - i])
                total = term if total is None else np.add(total, term)
        parts.append(total)
    degree = np.minimum(x.degrees() + y.degrees(), INFINITE)
    return merged(order, degree, parts, first.shape)


@partial(naming.named, rule=names.quotient)
def divide(x: Taylor, y: Taylor) -> Taylor:
    """Quotient, broadcasting, from q y = x: q_k = (a_k - sum_(j>0) b_j q_(k-j)) / b_0.

    A denominator whose leading coefficients are exactly zero while the numerator's are too is
    divided by the common power of t (a removable singularity), which costs that many orders of the
    whole array; other zeros give NaN.
    """
    if y.degree is None:
        parts = [divided(each, y.parts[0]) for each in x.parts]
        if x.degree is None:
            return Taylor((parts[0],))
        return merged(x.order, x.degree, parts, parts[0].shape)
    order = min(x.order, y.order)
    x, y = broadcast(x, y)
    degree = np.where(y.degrees() == 0, x.degrees(), INFINITE)
    zeros = zero_mask(y.parts[0])
    if not zeros.any():
        return Taylor(tuple(_quotient(extended(x, order), extended(y, order))), order, degree)
    return _removed(x, y, zeros, order, degree)


def _quotient(a: list[Objects], b: list[Objects]) -> list[Objects]:
    quotient: list[Objects] = []
    for k in range(len(a)):
        rest: Any = a[k]
        for j in range(1, k + 1):
            rest = np.subtract(rest, np.multiply(b[j], quotient[k - j]))
        quotient.append(divided(rest, b[0]))
    return quotient


def _removed(x: Taylor, y: Taylor, zeros: Booleans, order: int, degree: Integers) -> Taylor:
    """The quotient where some denominators vanish at t = 0."""
    record.take_limit()
    above = [each[zeros] for each in extended(x, order)]
    below = [each[zeros] for each in extended(y, order)]
    known = np.full(len(above[0]), order)
    results: list[list[Any]] = []
    for index in range(len(above[0])):
        a = [each[index] for each in above]
        b = [each[index] for each in below]
        shift = next((k for k, each in enumerate(b) if not each.is_zero()), None)
        if shift is None or not all(each.is_zero() for each in a[:shift]):
            results.append([NAN] * (order + 1))
            continue
        known[index] = order - shift
        columns = [[boxed(each) for each in side[shift:]] for side in (a, b)]
        results.append([each[()] for each in _quotient(columns[0], columns[1])])
    least = int(known.min())
    regular = ~zeros
    parts: list[Objects] = []
    usual = _quotient(
        [each[regular] for each in extended(x, least)],
        [each[regular] for each in extended(y, least)],
    )
    for k in range(least + 1):
        out = full(ZERO, x.shape)
        out[regular] = usual[k]
        for place, result in zip(np.argwhere(zeros), results, strict=True):
            out[tuple(place)] = result[k]
        parts.append(out)
    return Taylor(tuple(parts), least, degree)


def broadcast(x: Taylor, y: Taylor) -> tuple[Taylor, Taylor]:
    """Both with the shape that they broadcast to."""
    if x.shape == y.shape:
        return x, y
    shape = np.broadcast_shapes(x.shape, y.shape)
    return spread(x, shape), spread(y, shape)


def spread(x: Taylor, shape: Shape) -> Taylor:
    """x broadcast to `shape`."""
    return x if x.shape == shape else x.mapped(lambda each: np.broadcast_to(each, shape))


def select(mask: Booleans, x: Taylor, y: Taylor) -> Taylor:
    """x where `mask`, else y; the three broadcast."""

    def selected(members: list[Any]) -> Any:
        return np.where(mask, *members)

    parts0 = boxed(selected([x.parts[0], y.parts[0]]))
    if x.degree is None and y.degree is None:
        return Taylor((parts0,), names=naming.moved([x, y], selected))
    order = min(x.order, y.order)
    parts = [selected([part(x, k), part(y, k)]) for k in range(order + 1)]
    result = merged(order, selected([x.degrees(), y.degrees()]), parts, parts0.shape)
    result.names = naming.moved([x, y], selected)
    return result


def joined(arrays: list[Taylor], function: Callable[[list[Any]], Any]) -> Taylor:
    """Several series made one by `function` (a concatenation or a stack of arrays)."""
    moved = naming.moved(arrays, function)
    if all(each.degree is None for each in arrays):
        return Taylor((boxed(function([each.parts[0] for each in arrays])),), names=moved)
    order = min(each.order for each in arrays)
    columns = [extended(each, order) for each in arrays]
    parts = tuple(boxed(function([column[k] for column in columns])) for k in range(order + 1))
    degree = np.asarray(function([each.degrees() for each in arrays]))
    return Taylor(parts, order, degree, moved)

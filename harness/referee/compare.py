"""Comparisons that know what they do not know.

FLINT answers `a < b` with True when it is certain, and with False otherwise; two overlapping balls
are False in both directions, so a `max` or `where` built on plain comparisons picks a branch at
random. Here an answer is positive, negative, zero, or none of them.

The sign of a series is that of its first non-zero coefficient: what holds for t -> 0+. Lifting
along +e_i and -e_i so selects the two sides of a kink.

A larger of two needs less than an order. Two analytic functions of t are identical or ordered on
some (0, e), so the larger is one of them; where they overlap in every known coefficient, the hull
of both contains it, hardly wider than either. Where slopes differ, that would be no answer.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from flint import arb

from harness.referee import names, naming, record, taylor
from harness.referee.elements import ZERO, Booleans, boxed, greater_mask, less_mask
from harness.referee.taylor import INFINITE, Taylor, constant, part
from harness.referee.undecided import OrderExhausted, Undecided


class Signs(NamedTuple):
    """What is certain about the signs of a difference, element by element.

    `tied` marks elements whose known coefficients all agree exactly although terms were cut off:
    either branch is right to the known order, but the sign itself is not known.
    """

    positive: Booleans
    negative: Booleans
    zero: Booleans
    tied: Booleans

    @property
    def unknown(self) -> Booleans:
        """Where the balls overlap: more bits are needed."""
        return ~(self.positive | self.negative | self.zero | self.tied)


def signs(x: Taylor, y: Taylor) -> Signs:
    """The signs of x - y for t -> 0+, broadcasting; otherwise where `record.tied` says so."""
    if record.ties() == "rest":
        x, y = constant(x.parts[0]), constant(y.parts[0])
    if x.degree is not None or y.degree is not None or names.table() is not None:
        x, y = taylor.broadcast(x, y)
    alike = names.alike(x, y)
    positive = greater_mask(x.parts[0], y.parts[0])
    negative, zero, tied = (np.zeros_like(positive) for _ in range(3))
    shape = positive.shape
    order = min(x.order, y.order) if x.degree is not None or y.degree is not None else 0
    same = np.array(~positive)
    for k in range(order + 1):
        a = np.broadcast_to(part(x, k), shape)[same]
        b = np.broadcast_to(part(y, k), shape)[same]
        if k:
            positive[same] = greater_mask(a, b)
        negative[same] = less_mask(a, b)
        if k and (positive | negative)[same].any():
            record.take_limit()
        same &= ~(positive | negative)
        a, b = (np.broadcast_to(part(each, k), shape)[same] for each in (x, y))
        equal = np.fromiter((_equal(p, q) for p, q in zip(a, b, strict=True)), bool, len(a))
        if alike is not None and not k:
            equal |= alike[1][same]
        same[same] = equal
        if not k:
            level = same.copy()
        if not same.any():
            break
    if x.degree is None and y.degree is None:
        return Signs(positive, negative, same, tied)
    identical = zero if alike is None else alike[0]
    known = identical | (same & x.exact() & y.exact())
    if (same & ~known).any():
        record.take_limit()
    if record.ties() == "open":
        apart = ~(level & ~known)
        return Signs(positive & apart, negative & apart, known, tied)
    return Signs(positive, negative, known, same & ~known)


def _equal(p: arb, q: arb) -> bool:
    """Whether two balls are one number: both exact and the same, or one and the same result of an
    operation, which stands for one number."""
    return bool(p == q) or (p is q and p.is_finite())


def sign(x: Taylor) -> Signs:
    """The signs of x for t -> 0+."""
    return signs(x, constant(ZERO))


def decided(found: Signs, name: str, *, ties: bool = False) -> Signs:
    """`found`, where every element has a sign. With `ties`, a tie of truncated series matters.

    Raises Undecided where balls overlap, OrderExhausted where only a cut-off term could tell.
    """
    unknown = found.unknown
    if unknown.any():
        index = tuple(int(each) for each in np.argwhere(unknown)[0])
        raise Undecided(f"`{name}`: overlapping balls at index {index}; raise the precision")
    if ties and found.tied.any():
        index = tuple(int(each) for each in np.argwhere(found.tied)[0])
        raise OrderExhausted(
            f"`{name}`: equal to every known order of t at index {index}; raise the order"
        )
    return found


def chosen(first: Booleans, found: Signs, x: Taylor, y: Taylor) -> Taylor:
    """x where `first`, else y, by the signs of x - y. Where the two are tied, either is right to
    the known order, and neither is exact."""
    return loosened(taylor.select(first, x, y), found.tied)


def loosened(x: Taylor, where: Booleans) -> Taylor:
    """x, of which the elements `where` are right to the known order, and no further."""
    if not where.any():
        return x
    result = Taylor(x.parts, x.order, np.where(where, INFINITE, x.degrees()))
    return naming.loosened(x, result, where)


def _extreme(first: Booleans, found: Signs, x: Taylor, y: Taylor, name: str) -> Taylor:
    result = chosen(first, found, x, y)
    return hulled(result, found.unknown, x, y, name) if found.unknown.any() else result


def hulled(result: Taylor, unknown: Booleans, x: Taylor, y: Taylor, name: str) -> Taylor:
    """`result`, which is x or y for t -> 0+, broadcast; where it is `unknown` which of them, the
    hull of both.

    Raises Undecided where the two differ in a coefficient.
    """
    if record.narrows():
        raise Undecided(f"`{name}`: the choice hangs on the rounding of a cast")
    x, y = (taylor.spread(each, result.shape) for each in (x, y))
    unknown = np.broadcast_to(unknown, result.shape)
    parts = []
    for k, each in enumerate(result.parts):
        a, b = (np.broadcast_to(part(operand, k), result.shape)[unknown] for operand in (x, y))
        opened = record.ties() == "open"
        apart = [
            not ((opened or p.overlaps(q)) and p.union(q).is_finite())
            for p, q in zip(a, b, strict=True)
        ]
        if any(apart):
            index = tuple(int(i) for i in np.argwhere(unknown)[apart.index(True)])
            raise Undecided(f"`{name}`: overlapping balls at index {index}; raise the precision")
        whole = each.copy()
        whole[unknown] = [p.union(q) for p, q in zip(a, b, strict=True)]
        parts.append(whole)
    degree = result.degree
    if degree is not None:
        degree = np.where(unknown, np.maximum(x.degrees(), y.degrees()), degree)
    hull = Taylor(tuple(parts), result.order, degree)
    return naming.loosened(result, hull, unknown, same=names.alike(x, y))


def maximum(x: Taylor, y: Taylor) -> Taylor:
    """The larger for t -> 0+. Raises Undecided."""
    found = signs(x, y)
    return _extreme(~found.negative, found, x, y, "maximum")


def minimum(x: Taylor, y: Taylor) -> Taylor:
    """The smaller for t -> 0+. Raises Undecided."""
    found = signs(x, y)
    return _extreme(~found.positive, found, x, y, "minimum")


def absolute(x: Taylor) -> Taylor:
    """|x| for t -> 0+. Raises Undecided."""
    if x.degree is None and names.table() is None and not record.narrows():
        return constant(boxed(np.abs(x.parts[0])))  # half the price
    found = sign(x)
    return _extreme(found.negative, found, taylor.negative(x), x, "abs")

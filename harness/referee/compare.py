"""Comparisons that know what they do not know.

FLINT answers `a < b` with True when it is certain, and with False otherwise; two overlapping balls
are False in both directions, so a `max` or `where` built on plain comparisons picks a branch at
random. Here an answer is positive, negative, zero, or none of them.

The sign of a series is that of its first non-zero coefficient: what holds for t -> 0+. Lifting
along +e_i and -e_i so selects the two sides of a kink.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from harness.referee import record, taylor
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
    """The signs of x - y for t -> 0+, broadcasting."""
    if x.degree is not None or y.degree is not None:
        x, y = taylor.broadcast(x, y)
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
        # `==` of balls: both are exact and the same number.
        same[same] = np.fromiter((p == q for p, q in zip(a, b, strict=True)), bool, len(a))
        if not same.any():
            return Signs(positive, negative, zero, tied)
    if x.degree is None and y.degree is None:
        return Signs(positive, negative, same, tied)
    known = x.exact() & y.exact()
    if (same & ~known).any():
        record.take_limit()
    return Signs(positive, negative, same & known, same & ~known)


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
    result = taylor.select(first, x, y)
    if not found.tied.any():
        return result
    return Taylor(result.parts, result.order, np.where(found.tied, INFINITE, result.degrees()))


def maximum(x: Taylor, y: Taylor) -> Taylor:
    """The larger for t -> 0+. Raises Undecided."""
    found = decided(signs(x, y), "maximum")
    return chosen(~found.negative, found, x, y)


def minimum(x: Taylor, y: Taylor) -> Taylor:
    """The smaller for t -> 0+. Raises Undecided."""
    found = decided(signs(x, y), "minimum")
    return chosen(~found.positive, found, x, y)


def absolute(x: Taylor) -> Taylor:
    """|x| for t -> 0+.

    A constant needs no decision: FLINT's `abs` of a ball contains both signs. Raises Undecided.
    """
    if x.degree is None:
        return constant(boxed(np.abs(x.parts[0])))
    found = decided(sign(x), "abs")
    return chosen(found.negative, found, taylor.negative(x), x)

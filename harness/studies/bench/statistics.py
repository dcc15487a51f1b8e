"""What times say, and what they do not: one number from many, how sure it is, who is faster.

Times are neither normal nor symmetric: a mean follows the one call that an interrupt prolonged, and
a standard deviation says nothing about a median. So everything here rests on order alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

#: The probability with which an interval contains what it is an interval of.
LEVEL = 0.95
#: Observations below which no interval reaches that: with five, the true median is outside of all
#: of them once in sixteen times.
FEWEST = 6
#: Sizes below which no exponent is fitted: through two points there is a line without an error.
SIZES = 3

Interval = tuple[float, float]


def median_interval(observed: Sequence[float]) -> Interval:
    """Two of the observations between which the median of their distribution lies with probability
    `LEVEL` or more, whatever the distribution; (0, inf) where there are too few of them.

    Each observation is below the median with probability 1/2, so that the k-th smallest is above
    it with the probability of fewer than k heads in n tosses (David and Nagaraja, Order
    Statistics, section 7.1). The observations must be independent.
    """
    number, outside, rank = len(observed), 0.0, 0
    while rank < number // 2:
        outside += math.comb(number, rank) / 2**number
        if 1 - 2 * outside < LEVEL:
            break
        rank += 1
    if rank == 0:
        return 0.0, math.inf
    ordered = sorted(observed)
    return ordered[rank - 1], ordered[number - rank]


def told_apart(one: Interval, other: Interval) -> bool:
    """Whether two intervals have nothing in common, and so their order is known."""
    return one[1] < other[0] or other[1] < one[0]


def exponent(lengths: Sequence[float], seconds: Sequence[float]) -> tuple[float, float] | None:
    """The p of `seconds ~ length**p` and its standard error, by least squares in the logarithms.

    Only the larger half of the lengths is taken, and at least three: at small ones a call costs
    what calling costs, whatever the length. None where fewer are known.
    """
    known = sorted(zip(lengths, seconds, strict=True))
    if len({length for length, _ in known}) < SIZES:
        return None
    x, y = np.log(np.array(known[-max(SIZES, math.ceil(len(known) / 2)) :])).T
    x, y = x - x.mean(), y - y.mean()
    square = float(x @ x)
    slope = float(x @ y) / square
    rest = y - slope * x
    return slope, math.sqrt(float(rest @ rest) / (len(x) - 2) / square)

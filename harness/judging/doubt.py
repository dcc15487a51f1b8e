"""Where a comparison decides nothing, because what it allows is as large as what it compares.

A number that is within its tolerance is right only if a wrong one would not have been: a tolerance
of 228 % lets half of the number pass, twice the number, and zero. So agreement counts where the
doubt about an element is at most a quarter of it. The exception is a zero up to rounding, what is
left where terms cancel. No digit of it can be right; but it has to be a small remainder of
something, or anything would be a remainder of a tolerance that is large enough.

A tolerance has room for the worst of millions of numbers. What an element is doubted by is as much
of it as the element needs.
"""

from __future__ import annotations

import numpy as np

from harness.dtypes import FORMATS, dtype_digits
from harness.model import Array

#: Doubt about an element, relative to it, beyond which agreement proves nothing.
DECIDING = 0.25
#: The part of a tolerance that most elements of right code are within, and how many times its error
#: an element is doubted by where that is more.
MOST, MARGIN = 1 / 8, 4.0
#: Below which part of what counts a number is a zero, where a quarter of the digits of the dtype is
#: not less: in bfloat16 that would be a quarter of the number.
SMALL = 2.0**-6


def negligible(dtype: str) -> float:
    """Below which part of what counts a number is a zero."""
    return float(min(10 ** (-dtype_digits(dtype) / 4), SMALL))


def needed(error: Array, tolerance: Array) -> Array:
    """How much of a tolerance these errors leave in doubt."""
    return np.asarray(np.minimum(np.maximum(MOST * tolerance, MARGIN * error), tolerance))


def undecided(
    magnitude: Array, doubt: Array, zero: Array, size: Array | float, dtype: str
) -> Array:
    """The elements of which agreement proves nothing, as a mask.

    magnitude: of the true numbers; at a kink, of the larger one-sided derivative.
    doubt:     how far a number may be off that is taken for right.
    zero:      how large a true number is at most that rounding cannot tell from zero.
    size:      how large a number would have to be to count.
    """
    with np.errstate(invalid="ignore"):
        decided = doubt <= DECIDING * magnitude
        known = FORMATS[dtype]
        # Below the range of the dtype, zero and the number itself are both right.
        remainder = np.maximum(negligible(dtype) * np.asarray(size), 4 * known.underflow)
        zeros = (magnitude <= np.maximum(zero, known.underflow)) & (doubt <= remainder)
    return np.asarray(~(decided | zeros))


def in_words(magnitude: float, doubt: float) -> str:
    """Why one element is undecided."""
    if not magnitude:
        return f"the tolerance is {doubt:.2g} where the value is 0"
    return f"the tolerance is {_percent(100 * doubt / magnitude)} % of the value"


def _percent(number: float) -> str:
    return f"{number:.0f}" if number < 1e4 else f"{number:.0e}"

"""A large array against its derivatives along a few directions, which no element escapes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.directions import Slopes
from harness.dtypes import dtype_digits
from harness.judging.verdict import Allows, Truth, Verdict
from harness.model import Array, Status


def along(
    got: Array,
    sampled: Array | None,
    slopes: Slopes | None,
    truth: Truth,
    tolerance: Allows,
    dtype: str,
) -> tuple[Verdict, Array] | None:
    """The worst of <got, v> against the derivatives along some directions v, and how large an error
    of each element has to be to be seen in them; None where one of the two is known in no
    direction. Which is known as a whole is summed along those of the other.

    Each element may be off by its tolerance; of many, independent errors add up like a random walk,
    which has not gone eight standard deviations.
    """
    directions = truth.slopes if truth.slopes is not None else slopes
    if directions is None:
        return None
    said = _Side(got, sampled, slopes, directions)
    true = _Side(truth.value, truth.sampled, truth.slopes, directions)
    if not (said.knows and true.knows):
        return None
    worst: Verdict | None = None
    widest, count = 0.0, 0
    whole = got if sampled is None else truth.value if truth.sampled is None else None
    elements = np.zeros(()) if whole is None else tolerance.array(whole, dtype)
    for index in directions.known():
        if not (said.has(index) and true.has(index)):
            continue
        v = directions.direction(index).reshape(got.shape)
        walk = 8 * float(np.linalg.norm((elements * v).ravel()))
        (claim, doubt, size), (expected, unsure, _) = said.along(index, v), true.along(index, v)
        if not np.isfinite(expected):
            continue
        if not np.isfinite(claim):
            bad = Verdict(Status.FAIL, error_over_tolerance=np.inf, detail="not finite")
            return bad, np.full(got.shape, np.inf)
        error, allowed = abs(claim - expected), doubt + unsure + walk
        widest, count = max(widest, allowed), count + 1
        ratio = error / allowed if allowed else (np.inf if error else 0.0)
        if worst is None or ratio > worst.error_over_tolerance:
            half = error <= 10 ** (-dtype_digits(dtype) / 2) * size
            status = Status.IMPRECISE if half else Status.FAIL
            relative = error / size if size else (np.inf if error else 0.0)
            digits = -np.log10(relative) if relative else np.inf
            worst = Verdict(
                Status.PASS if error <= allowed else status,
                error,
                relative,
                digits=float(np.clip(digits, 0, dtype_digits(dtype))),
                error_over_tolerance=ratio,
                got=repr(claim),
                expected=repr(expected),
                detail=f"along random direction {index}" if error > allowed else "",
            )
    return None if worst is None else (worst, directions.seen(widest, count))


@dataclass(frozen=True)
class _Side:
    """One of two that are compared along `directions`, given as in `judge`."""

    values: Array
    sampled: Array | None
    slopes: Slopes | None
    directions: Slopes

    @property
    def knows(self) -> bool:
        """Whether it has all elements, or slopes along these very directions."""
        if self.sampled is None:
            return True
        return self.slopes is not None and self.slopes.same_directions(self.directions)

    def has(self, index: int) -> bool:
        """Whether it knows what it is along this direction."""
        return self.sampled is None or (self.slopes is not None and index in self.slopes.known())

    def along(self, index: int, direction: Array) -> tuple[float, float, float]:
        """What it says, how far that may be off, and the size of its terms."""
        if self.sampled is not None and self.slopes is not None:
            slope = float(self.slopes.midpoints[index])
            return slope, float(self.slopes.radii[index]), abs(slope)
        terms = (self.values * direction).ravel()
        total, lost = _sum(terms)
        return total, lost, float(np.linalg.norm(terms))


def _sum(terms: Array) -> tuple[float, float]:
    """A sum and a bound of its rounding error. Exact sums of 1e7 terms take a second each; pairwise
    ones lose half a unit for each halving."""
    half_units = 2.0**-53 * float(np.abs(terms).sum())
    if terms.size <= 2**16:
        return (math.fsum(terms) if np.all(np.isfinite(terms)) else math.nan), half_units
    return float(terms.sum(dtype=np.float64)), half_units * (16 + math.log2(terms.size))

"""What a comparison is made of: a reference, a tolerance, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from harness.directions import Slopes
from harness.dtypes import unit_roundoff
from harness.model import Array, Status

#: Relative tolerance where a case declares none and rounding could not be measured. When it still
#: judged everything, over 20 draws of every notebook case, the worst error of a framework was 0.007
#: of it in float64 and 0.07 of it in float32. In 16 bits it is some thirty roundings: there is no
#: room for more.
DEFAULT_RTOL = {"float64": 1e-10, "float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}

#: Cancellation: an element far smaller than its neighbours is only as good as they are. In units
#: of u times the largest element of the quantity, and never more than its own tolerance.
NEIGHBOURS = 64.0


@dataclass(frozen=True)
class Truth:
    """What a quantity is judged by.

    value:       float64.
    source:      whose numbers they are: `certified`, `manual`, `numeric`, `printed`.
    uncertainty: bounds of the absolute error, elementwise; None where there is none.
    sampled:     flat indices of the elements that are known; None for all of them.
    sides:       the derivatives from below and from above where some element has a kink; anything
                 between them is valid there.
    slopes:      the derivatives along a few directions of a large array.
    size:        how large an element would have to be to count, elementwise or for all: a change of
                 its argument by the argument's own size changes the function by its own size. What
                 is far smaller is zero to whoever uses it; 0 where that is not known.
    """

    value: Array
    source: str
    uncertainty: Array | None = None
    sampled: Array | None = None
    sides: tuple[Array, Array] | None = None
    slopes: Slopes | None = None
    size: Array | float = 0.0


class Allows(Protocol):
    """A tolerance: `Tolerance`, or one that knows how the numbers were made."""

    def array(self, expected: Array, dtype: str) -> Array:
        """The absolute tolerance of each element."""

    def zero(self, expected: Array, dtype: str) -> Array | None:
        """How large a true number is at most that rounding cannot tell from zero, elementwise; None
        where somebody has declared what is good enough, so that no doubt is left."""


@dataclass(frozen=True)
class Tolerance:
    """|got - expected| <= atol + rtol |expected|; `None` stands for the default of the dtype,
    which allows for cancellation besides."""

    rtol: float | None = None
    atol: float = 0.0

    def array(self, expected: Array, dtype: str) -> Array:
        """As in Allows."""
        magnitude = np.abs(expected)
        if self.rtol is not None:
            return np.asarray(self.atol + self.rtol * magnitude)
        slack = self._slack(magnitude, dtype)
        return np.asarray(self.atol + DEFAULT_RTOL[dtype] * magnitude + slack)

    def zero(self, expected: Array, dtype: str) -> Array | None:
        """As in Allows."""
        if self.rtol is not None or self.atol:
            return None
        return np.full(np.shape(expected), self._slack(np.abs(expected), dtype))

    def _slack(self, magnitude: Array, dtype: str) -> float:
        finite = magnitude[np.isfinite(magnitude)]
        largest = float(finite.max()) if finite.size else 0.0
        return min(NEIGHBOURS * unit_roundoff(dtype), DEFAULT_RTOL[dtype]) * largest


@dataclass(frozen=True)
class Verdict:
    """Status and measures of one comparison; the fields of the same names in `Row`."""

    status: Status
    max_abs_error: float = float("nan")
    max_rel_error: float = float("nan")
    max_ulp_error: float = float("nan")
    digits: float = float("nan")
    error_over_tolerance: float = float("nan")
    worst_index: str = ""
    got: str = ""
    expected: str = ""
    detail: str = ""

    def measures(self) -> dict[str, Any]:
        """The fields that a row takes over; it puts more than this into `detail`."""
        return {name: value for name, value in vars(self).items() if name != "detail"}

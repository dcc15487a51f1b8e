"""A number against its reference: how far off, and whether that is good.

One rule for every method and quantity. What is not an array of the right shape and dtype with
finite numbers is a `fail` before anything is subtracted: nothing is coerced, and NaN never equals
NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Protocol

import numpy as np

from harness.directions import Slopes
from harness.dtypes import FORMATS, dtype_digits, numpy_dtype, unit_roundoff
from harness.model import Array, Status

#: Relative tolerance where a case declares none and rounding could not be measured, the backward
#: not being verified. When it still judged everything, over 20 draws of every notebook case, the
#: worst error of a framework was 0.007 of it in float64 and 0.07 of it in float32. In 16 bits it is
#: some thirty roundings: there is no room for more.
DEFAULT_RTOL = {"float64": 1e-10, "float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}

#: Cancellation: an element far smaller than its neighbours is only as good as they are. In units
#: of u times the largest element of the quantity, and never more than its own tolerance.
NEIGHBOURS = 64.0


@dataclass(frozen=True)
class Truth:
    """What a quantity is judged by.

    `value` is float64. `uncertainty` bounds its absolute error elementwise; `sampled` lists the
    flat indices of the elements that are known, None for all of them. `sides` are the derivatives
    from below and from above where some element has a kink; anything between them is valid there.
    `slopes` are the derivatives along a few directions of a large array.
    """

    value: Array
    source: str
    uncertainty: Array | None = None
    sampled: Array | None = None
    sides: tuple[Array, Array] | None = None
    slopes: Slopes | None = None


@dataclass(frozen=True)
class Tolerance:
    """|got - expected| <= atol + rtol |expected|; `None` stands for the default of the dtype,
    which allows for cancellation besides."""

    rtol: float | None = None
    atol: float = 0.0

    def array(self, expected: Array, dtype: str) -> Array:
        """The absolute tolerance of each element."""
        magnitude = np.abs(expected)
        if self.rtol is not None:
            return np.asarray(self.atol + self.rtol * magnitude)
        finite = magnitude[np.isfinite(magnitude)]
        largest = float(finite.max()) if finite.size else 0.0
        slack = min(NEIGHBOURS * unit_roundoff(dtype), DEFAULT_RTOL[dtype]) * largest
        return np.asarray(self.atol + DEFAULT_RTOL[dtype] * magnitude + slack)


class Allows(Protocol):
    """A tolerance: `Tolerance`, or one that knows how the numbers were made."""

    def array(self, expected: Array, dtype: str) -> Array:
        """The absolute tolerance of each element."""


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


def judge(
    got: Array | None,
    truth: Truth,
    tolerance: Allows,
    dtype: str,
    *,
    uncertainty: Array | None = None,
    sampled: Array | None = None,
    slopes: Slopes | None = None,
    allowance: Array | float = 0.0,
) -> Verdict:
    """Compare one array with its truth.

    `uncertainty`, `sampled` and `slopes` describe `got` as they do for a Truth. `allowance` is
    added to the tolerance: the half unit of a printed digit, say.
    """
    expected = np.asarray(truth.value)
    if got is None:
        return Verdict(Status.FAIL, detail="missing: the method returned no such gradient")
    if got.shape != expected.shape:
        return Verdict(
            Status.FAIL,
            got=f"shape {list(got.shape)}",
            expected=f"shape {list(expected.shape)}",
            detail=f"wrong shape: got {list(got.shape)}, expected {list(expected.shape)}",
        )
    if got.dtype != numpy_dtype(dtype):
        return Verdict(
            Status.FAIL,
            got=str(got.dtype),
            expected=dtype,
            detail=f"wrong dtype: got {got.dtype}, expected {dtype}",
        )
    if truth.sides is not None:
        # The nearest valid number; NaN stays far from all of them.
        # A side that is NaN does not exist; one may be infinite.
        low, high = np.fmin(*truth.sides), np.fmax(*truth.sides)
        number = got.astype(np.float64)
        expected = np.clip(np.where(np.isnan(number), 0.0, number), low, high)
    allowed = np.broadcast_to(tolerance.array(expected, dtype) + allowance, expected.shape) + sum(
        each for each in (uncertainty, truth.uncertainty) if each is not None
    )
    # An infinite uncertainty would let anything pass. Nothing is better than the nearest number of
    # the dtype, which is zero for the smallest.
    allowed = np.where(np.isfinite(allowed), allowed, 0.0) + FORMATS[dtype].subnormal / 2
    indices = _known(expected.size, sampled, truth.sampled)
    got_flat = got.astype(np.float64).ravel()[indices]
    want_flat = expected.astype(np.float64).ravel()[indices]
    allowed_flat = np.asarray(allowed, dtype=np.float64).ravel()[indices]
    if indices.size == 0 and expected.size:
        return Verdict(Status.UNDECIDED, detail="no element of it is known")
    if indices.size == 0:
        return Verdict(Status.PASS, 0.0, 0.0, 0.0, dtype_digits(dtype), 0.0)
    verdict = _measure(got_flat, want_flat, allowed_flat, indices, expected.shape, dtype)
    along = _along(got, sampled, slopes, truth, tolerance, dtype)
    if along is not None:
        # A pass is a pass of both; else the one that is further off says why.
        verdict = max(along, verdict, key=lambda each: each.error_over_tolerance)
    if truth.sides is not None and verdict.status == Status.PASS:
        return _at_a_kink(verdict, got.astype(np.float64), truth, dtype)
    if truth.sampled is not None:
        note = f"judged at {indices.size} of {expected.size} elements"
        if along is not None and truth.slopes is not None:
            note += f" and along {len(truth.slopes)} random directions"
        verdict = replace(verdict, detail="; ".join(filter(None, (verdict.detail, note))))
    if verdict.status == Status.PASS:
        # Where the reference is zero, what it was compared with tells what counts as large.
        scale = want_flat if np.any(want_flat) else got_flat
        text = "{} knows less than a quarter of the digits"
        if _knows_too_little(truth.uncertainty, scale, indices, dtype):
            text = text.format(f"the reference ({truth.source})")
            return replace(verdict, status=Status.UNDECIDED, digits=float("nan"), detail=text)
        if _knows_too_little(uncertainty, want_flat, indices, dtype):
            return replace(verdict, status=Status.UNDECIDED, detail=text.format("the method"))
    return verdict


def exactly(got: Array | None, truth: Truth) -> Verdict:
    """Compare integers or booleans, which no rounding excuses, with their truth."""
    if got is None:
        return Verdict(Status.FAIL, detail="missing: the method returned no such output")
    want = np.asarray(truth.value)
    if np.issubdtype(got.dtype, np.inexact):
        text = f"wrong dtype: got {got.dtype}, expected integers or booleans"
        return Verdict(Status.FAIL, got=str(got.dtype), detail=text)
    if got.shape != want.shape:
        text = f"wrong shape: got {list(got.shape)}, expected {list(want.shape)}"
        return Verdict(Status.FAIL, detail=text)
    wrong = np.flatnonzero(got.ravel() != want.ravel())
    if not wrong.size:
        return Verdict(Status.PASS, 0.0, 0.0, 0.0, error_over_tolerance=0.0)
    first = wrong[0]
    return Verdict(
        Status.FAIL,
        worst_index=str([int(each) for each in np.unravel_index(first, want.shape)]),
        got=str(got.ravel()[first]),
        expected=str(int(want.ravel()[first])),
        detail=f"{wrong.size} of {want.size} differ",
    )


@np.errstate(invalid="ignore")  # a side may be infinite
def _at_a_kink(verdict: Verdict, got: Array, truth: Truth, dtype: str) -> Verdict:
    """A valid subgradient, with the convention by which it was chosen."""
    assert truth.sides is not None
    left, right = truth.sides
    slack = np.zeros_like(left) if truth.uncertainty is None else 4 * truth.uncertainty
    relative = max(1e-6, 4 * unit_roundoff(dtype))
    slack = slack + relative * np.maximum(np.abs(left), np.abs(right))
    slack = np.where(np.isfinite(slack), slack, 0.0)
    kinked = np.abs(left - right) > slack
    if not np.any(kinked):
        return verdict
    conventions = {
        "left": left,
        "right": right,
        "mid": (left + right) / 2,
        "zero": np.zeros_like(left),
    }
    agreeing = (
        name
        for name, choice in conventions.items()
        if np.all((np.abs(got - choice) <= slack)[kinked])
    )
    return replace(verdict, status=Status.KINK, detail=f"kink: {next(agreeing, 'between')}")


def _along(
    got: Array,
    sampled: Array | None,
    slopes: Slopes | None,
    truth: Truth,
    tolerance: Allows,
    dtype: str,
) -> Verdict | None:
    """The worst of <got, v> against the derivatives along some directions v; None where one of the
    two is known in no direction. Which is known as a whole is summed along those of the other.

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
            return Verdict(Status.FAIL, error_over_tolerance=np.inf, detail="not finite")
        error, allowed = abs(claim - expected), doubt + unsure + walk
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
    return worst


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


def _knows_too_little(uncertainty: Array | None, values: Array, indices: Array, dtype: str) -> bool:
    """Whether a side is so uncertain, compared with the largest of `values`, that agreeing with it
    proves nothing."""
    if uncertainty is None:
        return False
    doubt = float(np.max(np.asarray(uncertainty).ravel()[indices], initial=0.0))
    largest = float(np.max(np.abs(values), initial=0.0))
    return doubt > 10 ** (-dtype_digits(dtype) / 4) * largest > 0


def _known(size: int, *sampled: Array | None) -> Array:
    """Flat indices that every side knows."""
    given = [each for each in sampled if each is not None]
    return reduce(np.intersect1d, given) if given else np.arange(size)


def _measure(
    got: Array,
    expected: Array,
    allowed: Array,
    indices: Array,
    shape: tuple[int, ...],
    dtype: str,
) -> Verdict:
    with np.errstate(all="ignore"):
        # Infinity is right where a number within the tolerance rounds to it; a tolerance that holds
        # every number is none for that.
        size = np.abs(expected)
        reached = size + np.minimum(allowed, size / 2) >= FORMATS[dtype].overflow
        beyond = np.isinf(got) & np.isfinite(expected) & reached & (got * expected > 0)
        same_infinity = np.isinf(expected) & (got == expected)
        error = np.where(same_infinity | beyond, 0.0, np.abs(got - expected))
        relative = np.where(error == 0, 0.0, error / np.abs(expected))
        finite = np.where(np.isfinite(expected), expected, 0.0)
        ulps = np.where(error == 0, 0.0, error / FORMATS[dtype].ulp(finite))
        ratio = np.where(error == 0, 0.0, error / allowed)
    # A tolerance that is not a number allows nothing.
    ratio = np.where(np.isnan(ratio), np.inf, ratio)
    undefined = ~np.isfinite(error)
    ratio = np.where(undefined, np.inf, ratio)
    worst = int(np.argmax(ratio))
    index = tuple(int(i) for i in np.unravel_index(int(indices[worst]), shape))
    full = dtype_digits(dtype)
    with np.errstate(divide="ignore"):
        correct = -np.log10(relative[worst]) if relative[worst] > 0 else full
    digits = 0.0 if undefined[worst] else float(np.clip(correct, 0.0, full)) + 0.0
    detail = f"beyond the range of {dtype}, where infinity is right" if np.any(beyond) else ""
    if undefined[worst]:
        status = Status.FAIL
        detail = "not finite where the reference is"
        if not np.isfinite(expected[worst]):
            detail = "the reference is not finite here"
    elif ratio[worst] <= 1:
        status = Status.PASS
    else:
        bad = ratio > 1
        half = bool(np.all(relative[bad] <= 10 ** (-full / 2)))
        status = Status.IMPRECISE if half else Status.FAIL
    return Verdict(
        status,
        _largest(error),
        _largest(relative),
        _largest(ulps),
        digits,
        float(ratio[worst]),
        "[" + ", ".join(map(str, index)) + "]" if index else "",
        _number(got[worst], dtype),
        repr(float(expected[worst])),
        detail,
    )


def _largest(values: Array) -> float:
    """The maximum, NaN where any element is."""
    return float(np.max(values)) if values.size else 0.0


def _number(value: float, dtype: str) -> str:
    """The shortest text that gives the number back in its dtype."""
    return str(numpy_dtype(dtype).type(value))

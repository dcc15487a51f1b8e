"""A number against its reference: how far off, and whether that is good.

One rule for every method and quantity. What is not an array of the right shape and dtype with
finite numbers is a `fail` before anything is subtracted: nothing is coerced, and NaN never equals
NaN. What is within its tolerance is a `pass` only where that decides something (see `doubt`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from harness.directions import Slopes
from harness.dtypes import FORMATS, dtype_digits, numpy_dtype, unit_roundoff
from harness.judging import doubt
from harness.judging.slopes import along
from harness.judging.verdict import Allows, Truth, Verdict
from harness.model import Array, Status


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
    formal = misshapen(got, np.shape(truth.value), dtype)
    if formal is not None:
        return formal
    assert got is not None
    indices = _known(got.size, sampled, truth.sampled)
    if indices.size == 0 and got.size:
        return Verdict(Status.UNDECIDED, detail="no element of it is known")
    if indices.size == 0:
        return Verdict(Status.PASS, 0.0, 0.0, 0.0, dtype_digits(dtype), 0.0)
    pairs = _pairs(got, truth, tolerance, dtype, uncertainty, allowance)
    verdict = _measure(pairs.at(indices), indices, got.shape, dtype)
    summed = along(got, sampled, slopes, truth, tolerance, dtype)
    if summed is not None:
        # A pass is a pass of both; else the one that is further off says why.
        worst = max(summed[0], verdict, key=lambda each: each.error_over_tolerance)
        verdict = replace(worst, digits=float(np.fmin(worst.digits, verdict.digits)))
    if truth.sampled is not None:
        note = f"judged at {indices.size} of {got.size} elements"
        if summed is not None and truth.slopes is not None:
            note += f" and along {len(truth.slopes)} random directions"
        verdict = replace(verdict, detail="; ".join(filter(None, (verdict.detail, note))))
    if verdict.status != Status.PASS:
        return verdict
    reason = _indecision(pairs, indices, truth, dtype)
    if not reason and truth.sampled is not None and sampled is None:
        reason = _uncovered(pairs, indices, None if summed is None else summed[1], dtype)
    if reason:
        detail = "; ".join(filter(None, (reason, verdict.detail)))
        return replace(verdict, status=Status.UNDECIDED, digits=float("nan"), detail=detail)
    return verdict if truth.sides is None else _at_a_kink(verdict, pairs.got, truth, dtype)


def misshapen(got: Array | None, shape: tuple[int, ...], dtype: str) -> Verdict | None:
    """The verdict on what is no array of this shape and dtype; None for one that is."""
    if got is None:
        return Verdict(Status.FAIL, detail="missing: the method returned no such gradient")
    if got.shape != shape:
        return Verdict(
            Status.FAIL,
            got=f"shape {list(got.shape)}",
            expected=f"shape {list(shape)}",
            detail=f"wrong shape: got {list(got.shape)}, expected {list(shape)}",
        )
    if got.dtype != numpy_dtype(dtype):
        return Verdict(
            Status.FAIL,
            got=str(got.dtype),
            expected=dtype,
            detail=f"wrong dtype: got {got.dtype}, expected {dtype}",
        )
    return None


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
        worst_index=_place(int(first), want.shape),
        got=str(got.ravel()[first]),
        expected=str(int(want.ravel()[first])),
        detail=f"{wrong.size} of {want.size} differ",
    )


@dataclass(frozen=True)
class _Pairs:
    """Numbers and what they are compared with, element by element; float64 arrays of one shape.

    got, want:  the two; `want` is the nearest valid number at a kink.
    magnitude:  of the true number; of the larger one-sided derivative at a kink.
    allowed:    the tolerance.
    own:        the part of it that is the method's own error estimate, where it is needed.
    doubt:      the part of it that nobody has declared to be good enough.
    zero:       how large a true number is at most that cannot be told from zero.
    size:       how large a number would have to be to count.
    """

    got: Array
    want: Array
    magnitude: Array
    allowed: Array
    own: Array
    doubt: Array
    zero: Array
    size: Array

    def at(self, indices: Array) -> _Pairs:
        """The elements at some flat indices."""
        return _Pairs(*(each.ravel()[indices] for each in vars(self).values()))

    def undecided(self, dtype: str) -> Array:
        """The elements of which agreement proves nothing."""
        return doubt.undecided(self.magnitude, self.doubt, self.zero, self.size, dtype)


@np.errstate(invalid="ignore")  # infinity is compared with itself
def _pairs(
    got: Array,
    truth: Truth,
    tolerance: Allows,
    dtype: str,
    uncertainty: Array | None,
    allowance: Array | float,
) -> _Pairs:
    number, want = got.astype(np.float64), np.asarray(truth.value, np.float64)
    magnitude = np.abs(want)
    if truth.sides is not None:
        # The nearest valid number; NaN stays far from all of them.
        # A side that is NaN does not exist; one may be infinite.
        low, high = np.fmin(*truth.sides), np.fmax(*truth.sides)
        want = np.clip(np.where(np.isnan(number), 0.0, number), low, high)
        magnitude = np.fmax(np.abs(low), np.abs(high))
    rounding, zero = tolerance.array(want, dtype), tolerance.zero(want, dtype)
    unsure = _finite(truth.uncertainty)
    error = np.where(number == want, 0.0, np.abs(number - want))
    doubted = unsure if zero is None else unsure + doubt.needed(error, _finite(rounding))
    # What a method itself says of its error is no reason to doubt a number that needs no excuse.
    excused = error > _finite(rounding) + unsure + allowance
    own = np.where(excused, _finite(uncertainty), 0.0)
    largest = np.max(magnitude, initial=0.0, where=np.isfinite(magnitude))
    size = np.maximum(largest, truth.size)
    nothing = unit_roundoff(dtype) * size  # a reference that is as sure as that may be zero
    # Nothing is better than the nearest number of the dtype, which is zero for the smallest.
    nearest = FORMATS[dtype].subnormal / 2
    fields = (
        number,
        want,
        magnitude,
        _finite(rounding + allowance) + unsure + _finite(uncertainty) + nearest,
        own,
        doubted + own,
        (0.0 if zero is None else zero) + allowance + np.minimum(unsure, nothing),
        size,
    )
    return _Pairs(*(np.broadcast_to(np.asarray(each, np.float64), got.shape) for each in fields))


def _finite(bounds: Array | None) -> Array:
    """Bounds of errors; an infinite one would let anything pass, so it allows nothing."""
    return np.zeros(()) if bounds is None else np.where(np.isfinite(bounds), bounds, 0.0)


def _indecision(pairs: _Pairs, indices: Array, truth: Truth, dtype: str) -> str:
    """Why the agreement of these elements proves nothing; empty where it proves something."""
    known = pairs.at(indices)
    undecided = known.undecided(dtype)
    if undecided.any():
        with np.errstate(all="ignore"):
            share = np.where(undecided, known.doubt / known.magnitude, -np.inf)
        worst = int(np.argmax(share))
        place, count = _place(int(indices[worst]), pairs.got.shape), np.count_nonzero(undecided)
        where = f" at {place}" if place else ""
        others = f", and too large in {count} of {indices.size} elements" if count > 1 else ""
        why = doubt.in_words(float(known.magnitude[worst]), float(known.doubt[worst]))
        return f"{why}{where}{others}"
    text = "{} knows less than a quarter of the digits"
    if _knows_too_little(truth.uncertainty, known, indices, dtype):
        return text.format(f"the reference ({truth.source})")
    if _knows_too_little(pairs.own, known, indices, dtype):
        return text.format("the method")
    return ""


def _uncovered(pairs: _Pairs, indices: Array, seen: Array | None, dtype: str) -> str:
    """Why the elements that are not at `indices` are not judged: no direction covers them, or an
    error in them would have to be larger than `seen`, by element, to be noticed."""
    if seen is None:
        return "the others are not judged"
    rest = np.setdiff1d(np.arange(pairs.got.size), indices)
    others = replace(pairs, magnitude=np.abs(pairs.got), doubt=seen).at(rest)
    count = np.count_nonzero(others.undecided(dtype))
    if not count:
        return ""
    shown = float(np.max(others.doubt))
    return f"{count} of the others are too small for directions that show errors of {shown:.1g}"


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
    text = f"kink: {next(agreeing, 'between')}"
    detail = "; ".join(filter(None, (text, verdict.detail)))
    return replace(verdict, status=Status.KINK, detail=detail)


def _knows_too_little(uncertainty: Array | None, pairs: _Pairs, indices: Array, dtype: str) -> bool:
    """Whether a side is so uncertain, compared with the largest of the numbers, that agreeing with
    it proves nothing. Where all are zero, what they were compared with tells what is large."""
    if uncertainty is None:
        return False
    unsure = float(np.max(np.asarray(uncertainty).ravel()[indices], initial=0.0))
    if unsure <= unit_roundoff(dtype) * float(np.max(pairs.size, initial=0.0)):
        return False  # of what is zero up to rounding nobody knows a digit
    scale = pairs.want if np.any(pairs.want) else pairs.got
    largest = float(np.max(np.abs(scale), initial=0.0))
    return unsure > doubt.negligible(dtype) * largest > 0


def _known(size: int, *sampled: Array | None) -> Array:
    """Flat indices that every side knows."""
    given = [each for each in sampled if each is not None]
    return reduce(np.intersect1d, given) if given else np.arange(size)


def _measure(pairs: _Pairs, indices: Array, shape: tuple[int, ...], dtype: str) -> Verdict:
    """How far off these numbers are, which are at `indices` of an array of `shape`; a pass where
    all are within their tolerance."""
    got, expected, allowed = pairs.got, pairs.want, pairs.allowed
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
    full = dtype_digits(dtype)
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
        _fewest_digits(pairs, relative, ratio, dtype),
        float(ratio[worst]),
        _place(int(indices[worst]), shape),
        _number(got[worst], dtype),
        repr(float(expected[worst])),
        detail,
    )


def _fewest_digits(pairs: _Pairs, relative: Array, ratio: Array, dtype: str) -> float:
    """Of any element but those that are zero up to rounding, of which no digit can be right; NaN
    where there are no others, unless every number is exact."""
    counted = (pairs.magnitude > pairs.zero) | (ratio > 1)
    full = dtype_digits(dtype)
    if not np.any(counted):
        return full if not np.any(relative) else float("nan")
    most = float(np.max(relative[counted]))
    if np.isnan(most):
        return 0.0
    return full if most == 0 else float(np.clip(-np.log10(most), 0.0, full)) + 0.0


def _largest(values: Array) -> float:
    """The maximum, NaN where any element is."""
    return float(np.max(values)) if values.size else 0.0


def _place(index: int, shape: tuple[int, ...]) -> str:
    """A flat index as a row shows it; empty for an array without axes."""
    place = ", ".join(str(int(each)) for each in np.unravel_index(index, shape))
    return f"[{place}]" if shape else ""


def _number(value: float, dtype: str) -> str:
    """The shortest text that gives the number back in its dtype."""
    return str(numpy_dtype(dtype).type(value))

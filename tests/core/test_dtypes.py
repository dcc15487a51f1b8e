"""The table of float formats against exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from builders import numerical
from hypothesis import given
from hypothesis import strategies as st

from harness import dtypes
from harness.dtypes import DTYPES, FORMATS, convert, finfo, is_floating, isdtype, numpy_dtype

NARROW = ("float32", "float16", "bfloat16")


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_table_says_what_the_libraries_say(dtype: str) -> None:
    known, theirs = FORMATS[dtype], ml_dtypes.finfo(numpy_dtype(dtype))
    assert known.unit == float(theirs.eps) / 2 == dtypes.unit_roundoff(dtype)
    assert known.tiny == float(theirs.smallest_normal)
    assert known.subnormal == float(theirs.smallest_subnormal)
    assert known.largest == float(theirs.max)
    assert known.digits == pytest.approx(-math.log10(known.unit))


def rounded_exactly(value: float, dtype: str) -> float:
    """The nearest number of a format, ties to even, in rational arithmetic."""
    known, exact = FORMATS[dtype], abs(Fraction(value))
    exponent = known.lowest
    while Fraction(2) ** (exponent + 1) <= exact:
        exponent += 1
    ulp = Fraction(2) ** (exponent - known.bits + 1)
    nearest = round(exact / ulp) * ulp  # Python rounds halves of a Fraction to even
    magnitude = math.inf if nearest > Fraction(known.largest) else float(nearest)
    return math.copysign(magnitude, value)


@st.composite
def near_a_tie(draw: st.DrawFn) -> tuple[str, float]:
    """A float64 at, just above or just below the middle of two neighbours of a format."""
    dtype = draw(st.sampled_from(NARROW))
    known = FORMATS[dtype]
    exponent = draw(st.integers(max(known.lowest, -200), known.highest))
    whole = draw(st.integers(2 ** (known.bits - 1), 2**known.bits - 1))
    nudge = draw(st.sampled_from([-1, 0, 1])) * 2.0**-20
    return dtype, math.ldexp(whole + 0.5 + nudge, exponent - known.bits + 1)


@numerical
@given(st.tuples(st.sampled_from(NARROW), st.floats(allow_nan=False, width=64)) | near_a_tie())
def test_a_number_is_rounded_once_to_the_nearest(given: tuple[str, float]) -> None:
    dtype, value = given
    got = convert(np.array([value]), dtype)
    assert got.dtype == numpy_dtype(dtype)
    want = value if math.isinf(value) else rounded_exactly(value, dtype)
    assert float(got[0]) == want == float(FORMATS[dtype].nearest(value))
    assert math.copysign(1, float(got[0])) == math.copysign(1, value)


def test_rounding_by_way_of_float32_would_be_seen() -> None:
    above_the_tie = np.array([1 + 2.0**-8 + 2.0**-40])
    assert float(above_the_tie.astype(ml_dtypes.bfloat16)[0]) == 1.0, "else `nearest` can go"
    assert float(convert(above_the_tie, "bfloat16")[0]) == 1 + 2.0**-7


@numerical
@given(st.sampled_from(NARROW), st.data())
def test_an_ulp_is_the_distance_to_the_next_number(dtype: str, data: st.DataObject) -> None:
    known = FORMATS[dtype]
    value = convert(np.array(data.draw(st.floats(0, known.largest / 2))), dtype)
    following = np.nextafter(value, numpy_dtype(dtype).type(np.inf))
    assert float(known.ulp(float(value))) == float(following) - float(value)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_half_survives_the_way_to_float64_and_back(dtype: str) -> None:
    every = np.arange(2**16, dtype=np.uint16).view(numpy_dtype(dtype))
    with np.errstate(invalid="ignore"):
        every = every[np.isfinite(every)]
    again = convert(every.astype(np.float64), dtype)
    assert np.array_equal(again.view(np.uint16), every.view(np.uint16))


def test_bfloat16_is_a_real_float_whatever_numpy_says() -> None:
    narrow = numpy_dtype("bfloat16")
    assert is_floating(narrow) and is_floating(np.dtype("float16"))
    assert not is_floating(np.dtype("int16")) and not is_floating(np.dtype("complex64"))
    assert isdtype(narrow, "real floating") and not isdtype(narrow, "integral")
    assert isdtype(narrow, narrow) and not isdtype(narrow, np.dtype("float32"))
    assert isdtype(np.dtype("float16"), "real floating")
    assert float(finfo(narrow).eps) == 2.0**-7 and finfo(np.dtype("float32")).eps == 2.0**-23

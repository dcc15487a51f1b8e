"""A printed number stands for everything that rounds to it: the digits are the tolerance."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from builders import numerical
from hypothesis import given
from hypothesis import strategies as st

from harness.printed import half_unit, is_number, to_arrays

FINITE = st.floats(-1e12, 1e12)


@pytest.mark.parametrize(
    ("text", "half"),
    [
        ("0.26", 0.005),
        ("12.0", 0.05),
        ("12.", 0.5),
        ("12", 0.5),
        ("-9.57e-03", 0.005e-3),
        ("1e5", 0.5e5),
        (" 0.5 ", 0.05),
        ("0.", 0.5),
        (".5", 0.05),
        ("24.9989554697", 0.5e-10),
        ("+1.50", 0.005),
    ],
)
def test_half_a_unit_of_the_last_digit(text: str, half: float) -> None:
    assert half_unit(text) == pytest.approx(half, rel=1e-15)


def within(value: float, text: str) -> bool:
    """|value - text| <= half a unit, exactly but for the rounding of half a unit itself."""
    distance = abs(Fraction(value) - Fraction(text))
    return distance <= Fraction(half_unit(text)) * (1 + Fraction(1, 10**15))


@numerical
@given(value=FINITE, digits=st.integers(0, 20))
def test_a_float_is_within_half_a_unit_of_its_fixed_point_text(value: float, digits: int) -> None:
    assert within(value, f"{value:.{digits}f}")


@numerical
@given(value=st.floats(allow_nan=False, allow_infinity=False), digits=st.integers(0, 16))
def test_a_float_is_within_half_a_unit_of_its_exponent_text(value: float, digits: int) -> None:
    text = f"{value:.{digits}e}"
    if is_number(text) and abs(value) > 1e-280:  # below, half a unit is itself subnormal
        assert within(value, text)


@numerical
@given(value=FINITE, digits=st.integers(0, 12))
def test_a_number_off_by_a_whole_unit_is_not_within(value: float, digits: int) -> None:
    text = f"{value:.{digits}f}"
    unit = Fraction(1, 10**digits)
    assert abs(Fraction(text) + unit - Fraction(text)) > Fraction(half_unit(text))


@numerical
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_what_python_and_numpy_print_is_a_number(value: float) -> None:
    assert is_number(repr(value))
    assert is_number(str(np.float64(value)))
    assert is_number(np.format_float_positional(value))


@pytest.mark.parametrize(
    "text",
    ["", "nan", "inf", "-inf", "1,5", "1 000", "0x10", "1e", "e5", ".", "1.5f", "1_0", "--1"],
)
def test_what_is_no_number(text: str) -> None:
    assert not is_number(text)


def test_a_number_beyond_every_float_is_none() -> None:
    assert not is_number("1e400")
    assert not is_number("-1e99999999")
    assert is_number("1e-400")
    assert half_unit("1e-400") == 0


def test_a_quoted_number_has_a_half_unit_and_another_has_none() -> None:
    values, half = to_arrays([["0.26", 1], [2.5, "-3."]])
    np.testing.assert_array_equal(values, [[0.26, 1], [2.5, -3]])
    np.testing.assert_allclose(half, [[0.005, 0], [0, 0.5]], rtol=1e-15)
    assert values.dtype == half.dtype == np.float64


def test_a_scalar_is_an_array_without_axes() -> None:
    values, half = to_arrays("1.25")
    assert values.shape == half.shape == ()


def test_lists_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="inhomogeneous"):
        to_arrays([[1, 2], [3]])

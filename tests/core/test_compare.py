"""The judge: what it must let pass, what it must not, and that its numbers mean what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from builders import numerical
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.dtypes import DTYPES, FORMATS, convert, dtype_digits, numpy_dtype, unit_roundoff
from harness.judging.compare import judge
from harness.judging.verdict import DEFAULT_RTOL, Tolerance, Truth, Verdict
from harness.model import Status
from harness.rounding.deviation import RoundingTolerance

DTYPE = st.sampled_from(DTYPES)
SHAPES = st.sampled_from([(), (1,), (7,), (3, 4), (2, 1, 3)])


def numbers(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """Between 1 and 2 in magnitude, so that no element hides behind another."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(1, 2, shape) * rng.choice([-1.0, 1.0], shape)
    return convert(np.asarray(values), dtype)


def verdict(got: Any, expected: Any, dtype: str = "float64", **options: Any) -> Verdict:
    tolerance = options.pop("tolerance", Tolerance())
    got = None if got is None else np.asarray(got)
    return judge(got, Truth(np.float64(expected), "test"), tolerance, dtype, **options)


@numerical
@given(shape=SHAPES, dtype=DTYPE, seed=st.integers(0, 1000))
def test_identical_arrays_pass_with_every_digit(
    shape: tuple[int, ...], dtype: str, seed: int
) -> None:
    array = numbers(shape, dtype, seed)
    rounding = RoundingTolerance(np.zeros(shape))
    found = verdict(array, array.astype(np.float64), dtype, tolerance=rounding)
    assert found.status == Status.PASS
    assert found.max_abs_error == found.max_rel_error == found.max_ulp_error == 0
    assert found.error_over_tolerance == 0
    assert found.digits == dtype_digits(dtype)


@numerical
@given(
    shape=SHAPES,
    seed=st.integers(0, 1000),
    exponent=st.floats(-14, 0),
    rtol=st.sampled_from([1e-12, 1e-9, 1e-6, 1e-3]),
    data=st.data(),
)
def test_one_wrong_element_passes_if_and_only_if_it_is_within_tolerance(
    shape: tuple[int, ...], seed: int, exponent: float, rtol: float, data: st.DataObject
) -> None:
    expected = numbers(shape, "float64", seed)
    got = expected.copy()
    position = data.draw(st.integers(0, got.size - 1))
    index = tuple(int(i) for i in np.unravel_index(position, shape))
    got[index] *= 1 + 10**exponent
    relative = abs(got[index] - expected[index]) / abs(expected[index])
    assume(abs(relative - rtol) > 1e-6 * rtol)
    found = verdict(got, expected, tolerance=Tolerance(rtol))
    assert (found.status == Status.PASS) == (relative <= rtol)
    assert (found.error_over_tolerance <= 1) == (relative <= rtol)
    if relative > 0:
        assert found.error_over_tolerance == pytest.approx(relative / rtol, rel=1e-9)
        assert found.max_rel_error == pytest.approx(relative)
        assert found.digits == pytest.approx(min(-np.log10(relative), dtype_digits("float64")))
        assert found.worst_index == ("[" + ", ".join(map(str, index)) + "]" if shape else "")
        assert float(found.got) == got[index]
        assert float(found.expected) == expected[index]


@numerical
@given(
    shape=SHAPES,
    dtype=DTYPE,
    bad=st.sampled_from([np.nan, np.inf, -np.inf]),
    data=st.data(),
)
def test_one_number_that_is_not_finite_fails(
    shape: tuple[int, ...], dtype: str, bad: float, data: st.DataObject
) -> None:
    expected = numbers(shape, dtype, 0)
    got = expected.copy()
    got.reshape(-1)[data.draw(st.integers(0, got.size - 1))] = bad
    found = verdict(got, expected, dtype, tolerance=Tolerance(1.0, 1e300))
    assert found.status == Status.FAIL
    assert found.digits == 0
    assert "not finite" in found.detail


@pytest.mark.parametrize(
    ("got", "expected", "status"),
    [
        (np.nan, np.nan, Status.FAIL),
        (np.inf, np.inf, Status.PASS),
        (-np.inf, -np.inf, Status.PASS),
        (np.inf, -np.inf, Status.FAIL),
        (1.0, np.inf, Status.FAIL),
        (np.inf, 1.0, Status.FAIL),
        (1.0, np.nan, Status.FAIL),
        (np.nan, 1.0, Status.FAIL),
        (np.nan, np.inf, Status.FAIL),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_that_are_not_finite(got: float, expected: float, status: str, dtype: str) -> None:
    arrays = np.array([1.0, got], dtype=numpy_dtype(dtype)), np.array([1.0, expected])
    assert verdict(*arrays, dtype).status == status
    assert verdict(*arrays, dtype, uncertainty=np.full(2, 1e300)).status == status


def test_all_nan_does_not_equal_all_nan() -> None:
    found = verdict(np.full(3, np.nan), np.full(3, np.nan))
    assert found.status == Status.FAIL
    assert "the reference is not finite" in found.detail


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((3, 1), (1, 3)), ((3,), (3, 1)), ((), (1,)), ((1,), ()), ((2, 2), (4,)), ((0,), (0, 2))],
)
def test_a_wrong_shape_is_not_broadcast(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    found = verdict(np.ones(shape), np.ones(expected), tolerance=Tolerance(1e9, 1e9))
    assert found.status == Status.FAIL
    assert found.got == f"shape {list(shape)}"
    assert found.expected == f"shape {list(expected)}"
    assert "wrong shape" in found.detail


@pytest.mark.parametrize(
    ("got", "dtype"),
    [
        ("float32", "float64"),
        ("float64", "float32"),
        ("int64", "float64"),
        ("complex128", "float64"),
        ("object", "float64"),
        ("bool", "float64"),
    ],
)
def test_a_wrong_dtype_is_not_cast(got: str, dtype: str) -> None:
    found = verdict(np.ones(2).astype(got), np.ones(2), dtype)
    assert found.status == Status.FAIL
    assert (found.got, found.expected) == (got, dtype)
    assert "wrong dtype" in found.detail


def test_what_is_missing_fails() -> None:
    found = verdict(None, np.ones(2))
    assert found.status == Status.FAIL
    assert "missing" in found.detail


@pytest.mark.parametrize("shape", [(0,), (3, 0)])
def test_arrays_without_elements_agree(shape: tuple[int, ...]) -> None:
    found = verdict(np.zeros(shape), np.zeros(shape))
    assert found.status == Status.PASS
    assert found.error_over_tolerance == 0


def test_an_array_without_axes_has_no_index() -> None:
    found = verdict(np.array(1.5), 1.0)
    assert found.status == Status.FAIL
    assert found.worst_index == ""
    assert (found.got, found.expected) == ("1.5", "1.0")
    assert found.max_abs_error == 0.5


@numerical
@given(known=st.sets(st.integers(0, 9), min_size=1), wrong=st.integers(0, 9), side=st.booleans())
def test_only_the_sampled_elements_are_compared(known: set[int], wrong: int, side: bool) -> None:
    indices = np.array(sorted(known), dtype=np.int64)
    partial = np.full(10, np.nan)
    partial[indices] = 1.0
    whole = np.ones(10)
    (partial if wrong in known else whole)[wrong] = 2.0
    if side:
        found = verdict(partial.reshape(2, 5), whole.reshape(2, 5), sampled=indices)
    else:
        truth = Truth(partial.reshape(2, 5), "test", np.zeros((2, 5)), indices)
        found = judge(whole.reshape(2, 5), truth, Tolerance(), "float64")
    right = Status.PASS if side or len(known) == 10 else Status.UNDECIDED
    assert found.status == (Status.FAIL if wrong in known else right)
    if wrong in known:
        assert found.worst_index == f"[{wrong // 5}, {wrong % 5}]"


@numerical
@given(error=st.floats(1e-6, 1.0), uncertainty=st.floats(1e-6, 1.0), side=st.booleans())
def test_uncertainty_of_either_side_widens_the_tolerance(
    error: float, uncertainty: float, side: bool
) -> None:
    assume(abs(error - uncertainty) > 1e-6)
    expected = np.array([1.0, 2.0])
    got = np.add(expected, [0, error])
    each = np.array([0.0, uncertainty])
    truth = Truth(expected, "test", None if side else each)
    found = judge(got, truth, Tolerance(0.0), "float64", uncertainty=each if side else None)
    assert (found.status not in (Status.FAIL, Status.IMPRECISE)) == (error < uncertainty)


@numerical
@given(uncertainty=st.floats(1e-3, 1e300))
def test_agreeing_with_a_reference_that_knows_nothing_proves_nothing(uncertainty: float) -> None:
    expected = np.array([1.0, 2.0])
    truth = Truth(expected, "test", np.array([0.0, uncertainty]))
    assert judge(expected, truth, Tolerance(), "float64").status == Status.UNDECIDED


@pytest.mark.parametrize("infinite", [np.inf, np.nan])
def test_an_infinite_uncertainty_allows_nothing(infinite: float) -> None:
    expected = np.ones(2)
    found = verdict(np.zeros(2), expected, uncertainty=np.array([infinite, infinite]))
    assert found.status == Status.FAIL


def test_where_no_element_is_known_nothing_is_compared() -> None:
    found = verdict(np.full(3, np.nan), np.ones(3), sampled=np.array([], dtype=np.int64))
    assert found.status == Status.UNDECIDED


def test_uncertainty_of_one_element_does_not_excuse_another() -> None:
    expected = np.ones(2)
    found = verdict(np.add(expected, [0, 0.1]), expected, uncertainty=np.array([1.0, 0.0]))
    assert found.status == Status.FAIL
    assert found.worst_index == "[1]"


def test_an_allowance_may_be_a_number_or_an_array() -> None:
    expected = np.ones(2)
    got = np.add(expected, [0.0, 0.1])
    assert verdict(got, expected, allowance=0.11).status == Status.PASS
    assert verdict(got, expected, allowance=np.array([0.0, 0.11])).status == Status.PASS
    assert verdict(got, expected, allowance=np.array([0.11, 0.0])).status == Status.FAIL
    assert verdict(got, expected, allowance=0.09).status == Status.FAIL


@numerical
@given(dtype=DTYPE, exponent=st.floats(-15, 0))
def test_imprecise_lies_between_the_tolerance_and_half_of_the_digits(
    dtype: str, exponent: float
) -> None:
    expected = np.array([3.0])
    got = convert(expected * (1 + 10**exponent), dtype)
    error = abs(float(got[0]) - 3.0) / 3.0
    half = 10 ** (-dtype_digits(dtype) / 2)
    allowed = DEFAULT_RTOL[dtype] + min(64 * unit_roundoff(dtype), DEFAULT_RTOL[dtype])
    assume(abs(error / half - 1) > 1e-3 and abs(error / allowed - 1) > 1e-3)
    status = verdict(got, expected, dtype).status
    if error < allowed:
        assert status == Status.PASS
    else:
        assert status == (Status.IMPRECISE if error < half else Status.FAIL)


def test_one_element_without_half_of_the_digits_makes_it_a_failure() -> None:
    expected = np.array([1.0, 1.0])
    assert verdict(np.add(expected, [1e-9, 0]), expected).status == Status.IMPRECISE
    assert verdict(np.add(expected, [1e-9, 1e-7]), expected).status == Status.FAIL


def test_the_worst_index_is_that_of_the_largest_ratio_not_of_the_largest_error() -> None:
    expected = np.array([[1e6, 1.0], [1.0, 1e-3]])
    got = np.add(expected, [[1e-3, 0.0], [0.0, 1e-4]])
    found = verdict(got, expected, tolerance=Tolerance(1e-6))
    assert found.worst_index == "[1, 1]"
    assert found.max_abs_error == pytest.approx(1e-3)
    assert found.max_rel_error == pytest.approx(0.1)
    assert found.error_over_tolerance == pytest.approx(1e5)
    assert found.digits == pytest.approx(1)


@numerical
@given(dtype=DTYPE, seed=st.integers(0, 1000), steps=st.integers(1, 5))
def test_the_neighbouring_float_is_one_ulp_away(dtype: str, seed: int, steps: int) -> None:
    expected = numbers((1,), dtype, seed)
    got = expected.copy()
    for _ in range(steps):
        got = np.nextafter(got, (np.inf * np.sign(expected)).astype(got.dtype))
    assume(abs(got[0]) < 2)  # from there on an ulp is twice as large
    found = verdict(got, expected, dtype)
    assert found.max_ulp_error == steps
    assert found.status == Status.PASS


def test_a_zero_gradient_where_the_truth_is_tiny_fails() -> None:
    """autograd's `check_grads` lets it pass: `abs < tol or rel < tol`."""
    assert verdict(np.array(0.0), 1e-9).status == Status.FAIL
    assert verdict(np.zeros(5), np.full(5, 1e-300)).status == Status.FAIL
    assert verdict(np.zeros(1, np.float32), np.full(1, 1e-9), "float32").status == Status.FAIL


def test_a_tiny_number_where_the_truth_is_zero_fails() -> None:
    assert verdict(np.array(1e-300), 0.0).status == Status.FAIL


def test_one_element_of_a_thousand_is_caught() -> None:
    """autograd's `check_grads` catches it 2 times in 3."""
    expected = numbers((1000,), "float64", 3)
    for position in (0, 500, 999):
        got = expected.copy()
        got[position] *= 1 + 1e-4
        found = verdict(got, expected)
        assert found.status == Status.FAIL
        assert found.worst_index == f"[{position}]"


def test_an_error_of_a_tenth_in_one_of_a_hundred_is_caught() -> None:
    """torch's fast `gradcheck` lets it pass."""
    expected = numbers((10, 10), "float32", 4)
    got = expected.copy()
    got[4, 2] *= np.float32(1.1)
    assert verdict(got, expected, "float32").status == Status.FAIL


def test_numbers_of_opposite_sign_fail() -> None:
    """GradBench lets 4e-5 pass for -4e-5."""
    assert verdict(np.array(4e-5), -4e-5).status == Status.FAIL


@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_the_tolerance_does_not_grow_with_the_size(size: int) -> None:
    """jax's `check_grads` lets a factor of 1.5 pass at 1e5 elements."""
    expected = numbers((size,), "float64", 5)
    assert verdict(expected * (1 + 1e-9), expected).status == Status.IMPRECISE
    assert verdict(expected * 1.5, expected).status == Status.FAIL


def test_cancellation_is_allowed_for_up_to_the_rounding_of_the_largest_element() -> None:
    expected = np.array([1.0, 0.0])
    u = unit_roundoff("float64")
    assert verdict(np.add(expected, [0, 10 * u]), expected).status == Status.PASS
    assert verdict(np.add(expected, [0, 100 * u]), expected).status == Status.FAIL
    strict = Tolerance(rtol=DEFAULT_RTOL["float64"])
    assert verdict(np.add(expected, [0, 10 * u]), expected, tolerance=strict).status == Status.FAIL


def test_a_declared_tolerance() -> None:
    expected = np.array([1.0, 0.0])
    got = np.add(expected, [0.0, 1e-3])
    assert verdict(got, expected, tolerance=Tolerance(0.0, atol=2e-3)).status == Status.PASS
    assert verdict(got, expected, tolerance=Tolerance(0.0, atol=5e-4)).status == Status.FAIL
    assert verdict(got, expected, tolerance=Tolerance(None, atol=2e-3)).status == Status.PASS


def test_a_measure_without_a_reference_is_not_a_number() -> None:
    measures = verdict(None, np.ones(2)).measures()
    assert measures["status"] == Status.FAIL
    assert np.isnan(measures["max_abs_error"])
    assert np.isnan(measures["digits"])


HALVES = pytest.mark.parametrize("dtype", ["float16", "bfloat16"])


def one(got: float, expected: float, dtype: str) -> Verdict:
    """The verdict of one number, with the tolerance of correct code without any deviation."""
    return verdict(
        convert(np.array([got]), dtype),
        [expected],
        dtype,
        tolerance=RoundingTolerance(np.zeros(1)),
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_infinity_is_right_where_the_truth_rounds_to_it(dtype: str) -> None:
    over = FORMATS[dtype].overflow
    found = one(np.inf, 1.5 * over, dtype)
    assert found.status == Status.PASS
    assert found.detail == f"beyond the range of {dtype}, where infinity is right"
    assert one(-np.inf, -1.5 * over, dtype).status == Status.PASS
    assert one(-np.inf, 1.5 * over, dtype).status == Status.FAIL
    assert one(np.inf, over / 2, dtype).status == Status.FAIL
    assert one(np.nan, 1.5 * over, dtype).status == Status.FAIL
    assert one(FORMATS[dtype].largest, 1.5 * over, dtype).status != Status.PASS


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_nearest_number_is_right_however_small_the_truth(dtype: str) -> None:
    for tolerance in (Tolerance(0.0), Tolerance(unit_roundoff(dtype))):
        for truth in (0.4, 1.4):
            expected = np.array([truth * FORMATS[dtype].subnormal])
            if expected[0] == 0:  # float64 carries the truth
                continue
            got = convert(expected, dtype)
            assert verdict(got, expected, dtype, tolerance=tolerance).status == Status.PASS
            assert verdict(-got, 9 * expected, dtype, tolerance=tolerance).status == Status.FAIL


def test_a_float16_that_is_not_flushed_is_judged_below_the_smallest_normal_number() -> None:
    """A gradient of 3e-5 has nine bits in float16; zero in its place is wrong."""
    assert one(3e-5, 3e-5, "float16").status == Status.PASS
    assert one(0.0, 3e-5, "float16").status == Status.FAIL
    assert one(0.0, FORMATS["bfloat16"].tiny / 2, "bfloat16").status == Status.PASS


@HALVES
def test_the_digits_of_a_half_are_those_of_its_significand(dtype: str) -> None:
    found = one(1.0, 1.0, dtype)
    assert found.digits == dtype_digits(dtype) == FORMATS[dtype].bits * np.log10(2)
    assert one(1.0 + 2 * unit_roundoff(dtype), 1.0, dtype).max_ulp_error == 1.0

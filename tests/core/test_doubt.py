"""A number within a tolerance as large as itself is not thereby right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from builders import numerical
from hypothesis import assume, given
from hypothesis import strategies as st

import harness
from harness.cases.case import Case
from harness.dtypes import DTYPES, convert, dtype_digits, unit_roundoff
from harness.judging.compare import judge
from harness.judging.verdict import Tolerance, Truth, Verdict
from harness.model import Row, Status
from harness.quantity import CERTIFICATE
from harness.rounding.deviation import K, RoundingTolerance
from harness.runs.engine import Engine
from harness.runs.plan import Request, cells

MakeCase = Callable[..., Case]


def ran(case: Case, *backends: str, **options: Any) -> list[Row]:
    request = Request(backends=backends, **options)
    return [row for _, rows in Engine([case], request).run(cells([case], request)) for row in rows]


def within(got: Any, expected: Any, deviation: Any, **about: Any) -> Verdict:
    truth = Truth(np.asarray(expected, np.float64), "test", **about)
    tolerance = RoundingTolerance(np.asarray(deviation, np.float64))
    return judge(np.asarray(got, np.float64), truth, tolerance, "float64")


@numerical
@given(share=st.floats(1e-6, 1e6), off=st.floats(-1, 1))
def test_a_tolerance_beyond_a_quarter_of_the_value_decides_nothing(
    share: float, off: float
) -> None:
    """Unless the number would do with less of it."""
    found = within([3.0 + off * 3.0 * share], [3.0], [3.0 * share / K])
    doubt = min(max(share / 8, 4 * abs(off) * share), share)
    assume(abs(doubt - 0.25) > 1e-6)
    assert found.status == (Status.PASS if doubt < 0.25 else Status.UNDECIDED)
    if found.status != Status.PASS:
        assert found.detail.startswith("the tolerance is ")
        assert np.isnan(found.digits)


def test_the_reason_says_how_much_and_where() -> None:
    found = within([1.0, 2.2, 3.0], [1.0, 1.1, 3.0], [0.0, 2.28 * 1.1 / K, 0.0])
    assert found.status == Status.UNDECIDED
    assert found.detail == "the tolerance is 228 % of the value at [1]"
    both = within([1.0, 2.2], [1.0, 1.1], [0.5, 2.28 * 1.1 / K])
    assert both.detail.endswith(", and too large in 2 of 2 elements")


def test_a_zero_up_to_rounding_may_pass_and_has_no_digits() -> None:
    u = unit_roundoff("float64")
    found = within([1.0 + 1e-12, 7 * u], [1.0, 0.5 * u], [1e-12, u])
    assert found.status == Status.PASS
    assert found.digits == pytest.approx(12, abs=0.1)
    assert within([1.0, 100 * u], [1.0, 0.5 * u], [0.0, u]).status == Status.FAIL
    # What is more than the tolerance is no zero, and a quarter of it may be wrong.
    assert within([1.0, 60 * u], [1.0, 40 * u], [0.0, u]).status == Status.UNDECIDED


def test_a_zero_has_to_be_small_compared_with_something() -> None:
    """Else every number were a zero where rounding is let loose."""
    assert within([30.0], [1.0], [2.0]).status == Status.UNDECIDED
    assert within([1e-15], [0.0], [1e-16]).status == Status.UNDECIDED
    assert within([1e-15], [0.0], [1e-16], size=1.0).status == Status.PASS
    assert within([1e-15], [0.0], [1e-16], size=1e-14).status == Status.UNDECIDED


@numerical
@given(errors=st.lists(st.floats(1e-14, 1e-11), min_size=2, max_size=5))
def test_the_digits_are_the_fewest_of_any_element(errors: list[float]) -> None:
    """Also of one that has more room: the worst ratio is that of another."""
    expected = np.ones(len(errors))
    deviation = np.array([1e-10, *([1e-12] * (len(errors) - 1))])
    got = expected + errors
    found = within(got, expected, deviation)
    assert found.status == Status.PASS
    assert found.digits == pytest.approx(-np.log10(np.max(got - expected)))


def test_what_a_source_printed_or_an_author_declared_is_no_doubt() -> None:
    truth = Truth(np.array([0.2, 0.0]), "printed")
    found = judge(np.array([0.24, 0.04]), truth, Tolerance(0.0), "float64", allowance=0.05)
    assert found.status == Status.PASS
    assert found.digits == pytest.approx(-np.log10(0.2))
    declared = judge(np.array([1.3]), Truth(np.ones(1), "test"), Tolerance(0.5), "float64")
    assert declared.status == Status.PASS


def test_a_method_that_says_it_may_be_off_as_far_as_it_is_decides_nothing() -> None:
    for got, expected in ((40.5, 0.0), (1.4, 1.0)):
        truth = Truth(np.array([expected]), "test")
        error = np.array([2 * abs(got - expected)])
        found = judge(np.array([got]), truth, Tolerance(), "float64", uncertainty=error)
        assert found.status == Status.UNDECIDED, found


def test_a_method_that_is_right_though_it_doubts_itself_is_right() -> None:
    """At a kink numeric differences know no more than that: 0.5 between 0 and 1, give or take."""
    sides = np.zeros(1), np.ones(1)
    truth = Truth(np.full(1, 0.5), "test", sides=sides)
    for got, status in ((0.5, Status.KINK), (1.5, Status.UNDECIDED), (3.0, Status.FAIL)):
        found = judge(np.array([got]), truth, Tolerance(), "float64", uncertainty=np.ones(1))
        assert found.status == status, found


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_pass_of_any_dtype_is_a_third_off(dtype: str) -> None:
    """In bfloat16 a gradient that was 34 % wrong had 0.5 digits and passed."""
    rng = np.random.default_rng(0)
    expected = rng.normal(size=200)
    for factor in (0.1, 1.0, 10.0, 100.0):
        tolerance = RoundingTolerance(factor * unit_roundoff(dtype) * np.abs(expected))
        got = convert(expected * (1 + rng.choice([0, 0.34], 200)), dtype)
        found = judge(got, Truth(expected, "test"), tolerance, dtype)
        assert found.status != Status.PASS
        right = judge(convert(expected, dtype), Truth(expected, "test"), tolerance, dtype)
        assert right.status in (Status.PASS, Status.UNDECIDED)
        assert not right.digits < min(dtype_digits(dtype), 2)


CHAOS = """
def forward(xp, x):
    f = x
    for _ in range(80):
        f = 3.9 * f * (1 - f)
    return f


def backward(xp, df, x):
    orbit = [x]
    for _ in range(79):
        orbit.append(3.9 * orbit[-1] * (1 - orbit[-1]))
    for each in reversed(orbit):
        df = df * 3.9 * (1 - 2 * each)
    return {"x": df}
"""


def test_after_eighty_steps_of_the_logistic_map_nobody_is_right(case: MakeCase) -> None:
    made = case(CHAOS, "inputs: {x: {shape: [2], domain: [0.2, 0.4]}}")
    for row in ran(made, "numeric", "manual", dtypes=("float64",), modes=("value", "vjp")):
        if row.quantity != CERTIFICATE:
            assert row.status == Status.UNDECIDED, row
            assert "% of the value" in row.detail


def test_what_the_report_had_as_a_pass_and_a_kink_is_undecided() -> None:
    """40.47 for 0 at the origin of atan2, 21.8 between 2 and 3 at a jump."""
    for name in ("kink_atan2", "kink_floor"):
        report = harness.run(name, backends=["numeric"], modes=["vjp"], jobs=0)
        declared = [row for row in report.rows if not row.point.startswith("draw")]
        assert declared
        for row in declared:
            assert row.status == Status.UNDECIDED, row

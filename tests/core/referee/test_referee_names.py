"""Equal things: what is made in the same way is equal, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st
from referee_truth import elements

from harness import referee as r
from harness.referee import names, xp

F = Callable[..., Any]
X, V = np.array([0.3, 0.3, -0.7, 1.1]), np.array([0.5, -0.25, 1.0, 0.125])


def along(x: Any = X, v: Any = V, order: int = 2) -> Any:
    return r.lift_along(np.asarray(x), np.asarray(v), order)


def second_attempt(function: Callable[[], Any]) -> Any:
    """What is undecided by balls alone, under value numbers."""
    with pytest.raises(r.Undecided) as error:
        r.with_precision(function, 256)
    assert not isinstance(error.value, r.OrderExhausted)
    return r.with_precision(function, 128, numbered=True)


EQUAL: dict[str, tuple[F, F]] = {
    "function": (xp.sin, xp.sin),
    "sum": (lambda x: xp.sin(x) + xp.exp(x), lambda x: xp.exp(x) + xp.sin(x)),
    "difference": (lambda x: xp.sin(x) - xp.exp(x), lambda x: -(xp.exp(x) - xp.sin(x))),
    "product": (lambda x: xp.sin(x) * xp.exp(x), lambda x: -(-xp.exp(x) * xp.sin(x))),
    "quotient": (lambda x: -xp.sin(x) / xp.exp(x), lambda x: xp.sin(x) / -xp.exp(x)),
    "neutral": (xp.sin, lambda x: (xp.sin(x) * 1.0 + 0) / 1),
    "exact parts": (lambda x: xp.exp(x + x), lambda x: xp.exp(2 * x)),
    "square": (lambda x: xp.sin(x) ** 2, lambda x: xp.square(xp.sin(x))),
    "power": (lambda x: xp.exp(x) ** 1.5, lambda x: xp.pow(xp.exp(x), 1.5)),
    "powers": (lambda x: xp.exp(x) ** xp.sin(x), lambda x: xp.exp(x) ** xp.sin(x)),
    "root": (lambda x: xp.sqrt(xp.exp(x)), lambda x: xp.exp(x) ** 0.5),
    "two": (lambda x: xp.sum(xp.sin(x[:2])), lambda x: xp.sin(x[1]) + xp.sin(x[0])),
    "order of a sum": (lambda x: xp.sum(xp.sin(x)), lambda x: xp.sum(xp.sin(x)[::-1])),
    "mean of equals": (lambda x: xp.mean(xp.sin(0 * x + 0.3)), lambda x: xp.sin(0.3 + 0 * x[1])),
    "twice": (lambda x: xp.sin(x) + xp.sin(x), lambda x: 2 * xp.sin(x)),
    "twice a negative": (lambda x: -2 * xp.sin(x), lambda x: -xp.sin(x) - xp.sin(x)),
    "mean": (lambda x: xp.mean(xp.sin(x)), lambda x: xp.mean(xp.flip(xp.sin(x)))),
    "dot": (lambda x: xp.sin(x) @ xp.cos(x), lambda x: xp.cos(x) @ xp.sin(x)),
    "matrix": (
        lambda x: xp.sin(x)[None, :] @ x[:, None],
        lambda x: x[None, :] @ xp.sin(x)[:, None],
    ),
    "determinant": (
        lambda x: xp.linalg.det(xp.reshape(xp.sin(x), (2, 2))),
        lambda x: xp.linalg.det(xp.reshape(xp.sin(x), (2, 2))),
    ),
    "cumulative": (lambda x: xp.cumulative_sum(xp.sin(x))[1], lambda x: xp.sum(xp.sin(x[:2]))),
    "largest": (lambda x: xp.max(xp.sin(x)), lambda x: xp.sin(x)[3]),
    "moved": (lambda x: xp.concat([xp.sin(x), xp.cos(x)])[2], lambda x: xp.sin(x[2])),
    "clipped": (lambda x: xp.clip(xp.sin(x), -1, 1), xp.sin),
    "chosen": (lambda x: xp.where(x > -9, xp.sin(x), x), xp.sin),
    "angle": (lambda x: xp.atan2(xp.sin(x), xp.exp(x)), lambda x: xp.atan2(xp.sin(x), xp.exp(x))),
    "absolute": (
        lambda x: abs(xp.sin(x) - xp.cos(x)),
        lambda x: abs(xp.cos(x) - xp.sin(x)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EQUAL)
@pytest.mark.parametrize("order", [0, 2])
def test_what_is_made_in_the_same_way_is_equal(name: str, order: int) -> None:
    one, other = EQUAL[name]

    def sign() -> Any:
        x = along(order=order) if order else r.lift(X)
        return xp.sign(one(x) - other(x)), xp.all(one(x) == other(x))

    difference, same = second_attempt(sign)
    assert bool(same)
    assert all(each.is_zero() for each in elements(difference, 0))


DIFFERENT: dict[str, tuple[F, F]] = {
    "functions": (xp.sin, xp.tan),
    "operands": (lambda x: xp.sin(x), lambda x: xp.sin(2 * x)),
    "exponents": (lambda x: xp.exp(x) ** 1.5, lambda x: xp.exp(x) ** 2.5),
    "identities": (xp.expm1, xp.log1p),
    "signs": (lambda x: xp.sin(x) - xp.exp(x), lambda x: xp.exp(x) - xp.sin(x)),
    "quotients": (lambda x: xp.sin(x) / xp.exp(x), lambda x: xp.exp(x) / xp.sin(x)),
    "factor": (lambda x: -xp.sin(x) * xp.exp(x), lambda x: xp.sin(x) * xp.exp(x)),
    "parts": (lambda x: xp.sum(xp.sin(x)), lambda x: xp.sum(xp.sin(x[:3]))),
    "rows": (lambda x: xp.sin(x) @ x, lambda x: xp.sin(x) @ x[::-1]),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_is_made_otherwise_is_not(name: str) -> None:
    one, other = DIFFERENT[name]
    with r.numbered():
        x = along()
        assert not bool(xp.any(one(x) == other(x)))


def test_the_same_value_may_leave_with_another_slope() -> None:
    """x[0] == x[1], and so sin(x[0]) == sin(x[1]) at t = 0, a tie like that of exact numbers."""

    def largest() -> Any:
        return xp.max(xp.sin(along()[:2]))

    found = second_attempt(largest)
    assert elements(r.coefficient(found, 1), 0)[0].overlaps(arb(0.3).cos() * 0.5)
    with r.recorded() as record, r.numbered():
        assert bool(xp.sin(along()[0]) > xp.sin(along()[1]))
    assert record.limit


def test_a_difference_of_equal_values_is_zero_and_a_norm_of_it_has_its_limit() -> None:
    def norm(sign: float) -> Any:
        x = along()
        y = r.lift_along(X, sign * V[::-1].copy(), 2)
        return xp.sqrt(xp.sum((xp.sin(x) - xp.sin(y)) ** 2))

    assert r.value(norm(1.0)).series.parts[0].item().is_nan()  # of a ball around zero
    found = r.with_precision(lambda: norm(1.0), 128, numbered=True)
    assert elements(found, 0)[0].is_zero()
    slope = np.sqrt(np.sum((np.cos(X) * (V - V[::-1])) ** 2))
    assert r.midpoints(r.coefficient(found, 1)) == pytest.approx(slope)


def test_a_value_that_is_a_limit_is_named_by_the_function_of_t() -> None:
    """x / x and x**2 / x are both 0 / 0 at rest."""
    x = r.lift_along(np.zeros(2), np.array([1.0, -0.5]), 3)
    with r.numbered():
        one, other = xp.sin(x) / x, xp.sin(x) * x / x
        assert not bool(xp.any(one == other))
        assert bool(xp.all(one == xp.sin(x) / x))


def test_truncated_series_that_agree_are_not_the_same() -> None:
    x = r.lift_along(np.float64(0), np.float64(1.0), 1)
    with r.numbered():
        for one, other in ((x * x, 2 * x * x), (xp.sin(x * x), xp.sin(x * x * 2))):
            with pytest.raises(r.OrderExhausted):
                bool(one == other)
        assert bool(xp.sin(x * x) == xp.sin(x**2))
        tied = xp.maximum(x * x, 2 * x * x)
        with pytest.raises(r.OrderExhausted):
            bool(tied == x * x)


def test_nan_and_infinity_are_not_equal_by_name() -> None:
    x = r.lift(np.array([-1.0, 0.0]))
    with r.numbered():
        y = xp.log(x)
        assert all(each.is_nan() for each in elements(y - y, 0))
        with pytest.raises(r.Undecided):
            bool(y[0] == y[0])


def test_names_of_one_table_are_unknown_to_another() -> None:
    x = r.lift(X)
    with r.numbered():
        y = xp.sin(x)
        assert y.series.names is not None
    with r.numbered():
        z = xp.cos(x)
        assert not bool(xp.any(y == z))
    assert names.table() is None
    assert xp.sin(x).series.names is None


def test_the_value_of_a_series_keeps_its_name() -> None:
    with r.numbered():
        assert bool(xp.all(r.value(xp.sin(along())) == xp.sin(r.lift(X))))


def test_clipped_surrogate_of_a_policy_gradient() -> None:
    """min(r a, clip(r, 1 - e, 1 + e) a): equal expressions wherever r is inside."""
    a = np.array([1.5, -0.5, 2.0, -1.0])

    def objective(order: int = 1) -> Any:
        ratio = xp.exp(along(order=order) * 0.1)
        return xp.minimum(ratio * a, a * xp.clip(ratio, 0.8, 1.2)), ratio

    def mask() -> Any:
        ratio = objective()[1]
        return xp.where(ratio * a <= xp.clip(ratio, 0.8, 1.2) * a, 1.0, 0.0)

    found = r.with_precision(objective, 128)[0]  # the hull of equal balls needs no names
    assert r.midpoints(r.coefficient(found, 1)) == pytest.approx(0.1 * V * a * np.exp(0.1 * X))
    assert (r.relative_digits(r.coefficient(found, 1)) > 30).all()
    assert r.midpoints(second_attempt(mask)).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("function", "truth"),
    [
        (lambda x, y: xp.where(x > y, x, y), 0),
        (xp.maximum, 0),
        (xp.minimum, 0),
        (lambda x, y: xp.max(xp.stack([x, y])), 0),
        (lambda x, y: xp.clip(x, y, 9), 0),
        (lambda x, y: abs(x - y), 1),
    ],
)
def test_of_overlapping_series_the_hull_is_right_whichever_is_larger(
    function: F, truth: int
) -> None:
    third = r.lift(1.0) / 3
    t = r.lift_along(np.float64(0), np.float64(1))
    x, y = third + t, 1 - third * 2 + t
    found = function(x, y)
    wanted = ([arb(1) / 3, arb(1)], [arb(0), arb(0)])[truth]
    for k in (0, 1):
        assert elements(found, k)[0].overlaps(wanted[k])
        assert elements(found, k)[0].rad() < 1e-15
    with pytest.raises(r.Undecided):
        function(x, y + t)
    with pytest.raises(r.Undecided):
        function(xp.log(-third), y)


def test_a_tie_that_is_rounded_to_even_although_a_product_with_zero_moves() -> None:
    x = r.lift_along(np.array([1.7, -1.7]), np.array([1.0, -0.5]))
    assert elements(x * xp.round(0 * x + 2.5), 1) == [2, -1]


TERMS: dict[str, F] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "maximum": xp.maximum,
    "negative": lambda a, b: -a,
    "exp": lambda a, b: xp.exp(a / (1 + abs(a))),
    "sin": lambda a, b: xp.sin(a),
    "square": lambda a, b: a * a,
    "rolled": lambda a, b: xp.roll(a, 1),
    "sum": lambda a, b: xp.sum(a, axis=0, keepdims=True) + 0 * a,
    "dot": lambda a, b: xp.reshape(xp.reshape(a, (2, 2)) @ xp.reshape(b, (2, 2)), (4,)),
}


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(TERMS)), st.integers(0, 9), st.integers(0, 9)), max_size=7
    ),
    st.lists(st.sampled_from([0.0, 0.5, 1.0, -1.0, 0.3]), min_size=4, max_size=4),
    st.lists(st.sampled_from([0.0, 1.0, -1.0, 0.25]), min_size=4, max_size=4),
)
def test_a_program_under_names_contains_what_it_contains_without(
    steps: list[tuple[str, int, int]], x: list[float], v: list[float]
) -> None:
    """At 300 bits, where two numbers that are named equal by mistake are told apart."""

    def run() -> list[Any]:
        made = [along(x, v), r.lift(np.array([0.5, 0.3, -1.0, 1.0]))]
        for name, i, j in steps:
            made.append(TERMS[name](made[i % len(made)], made[j % len(made)]))
        return made

    try:
        plain = r.with_precision(run, 300)
        under = r.with_precision(run, 300, numbered=True)
    except r.Undecided:
        return
    for one, other in zip(plain, under, strict=True):
        for k in range(min(each.order if each.order is not None else 2 for each in (one, other))):
            for p, q in zip(elements(one, k), elements(other, k), strict=True):
                assert p.overlaps(q)
    # Equal names are equal numbers.
    with r.numbered():
        every = xp.concat(r.with_precision(run, 300))
        known = names.table()
        assert known is not None
        given_ = known.of(every.series)
        for kind, parts in (
            (given_.rest, every.series.parts[:1]),
            (given_.germ, every.series.parts),
        ):
            for k in range(len(kind)):
                same = np.flatnonzero(kind == kind[k])
                for part in parts:
                    assert all(part[k].overlaps(part[i]) for i in same)

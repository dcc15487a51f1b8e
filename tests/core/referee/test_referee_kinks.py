"""Ties, kinks, exact zeros and undecided comparisons: the sign of a series is that for t -> 0+."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx
from referee_truth import elements

from harness import dtypes
from harness import referee as r
from harness.errors import Unsupported
from harness.referee import xp
from harness.referee.array import BallArray

F = Callable[[Any], Any]


def slopes(function: F, x: Any, index: tuple[int, ...] = (), order: int = 1) -> tuple[Any, Any]:
    """The right and the left derivative along one axis, as flat lists of exact balls."""
    point = np.asarray(x, float)
    found = []
    for sign in (1, -1):
        along = r.lift_along(point, r.unit_direction(point.shape, index, sign), order)
        first = r.coefficient(function(along), 1) * sign
        found.append(elements(first, 0))
    return found[0], found[1]


@pytest.mark.parametrize(
    ("function", "x", "right", "left", "order"),
    [
        (lambda x: xp.maximum(x, 0.0), 0, 1, 0, 1),
        (lambda x: xp.maximum(x, xp.zeros_like(x)), 0, 1, 0, 1),
        (lambda x: xp.where(x > 0, x, 0.01 * 0 * x), 0, 1, 0, 1),
        (lambda x: xp.where(x >= 0, x, xp.zeros_like(x)), 0, 1, 0, 1),
        (xp.abs, 0, 1, -1, 1),
        (abs, 0, 1, -1, 1),
        (lambda x: x * xp.sign(x), 0, 1, -1, 1),
        (lambda x: xp.minimum(x, 1.0), 1, 0, 1, 1),
        (lambda x: xp.clip(x, -1, 1), 1, 0, 1, 1),
        (lambda x: xp.clip(x, -1, 1), -1, 1, 0, 1),
        (lambda x: xp.sqrt(x**2), 0, 1, -1, 2),
        (lambda x: xp.hypot(x, 0 * x), 0, 1, -1, 2),
        (lambda x: (x**2) ** 0.5, 0, 1, -1, 2),
        (lambda x: xp.sqrt(xp.square(x) * 4), 0, 2, -2, 2),
        (lambda x: xp.sin(x) / x * x, 0, 1, 1, 2),
        (lambda x: (1 - xp.cos(x)) / x, 0, arb(0.5), arb(0.5), 2),
        (lambda x: xp.maximum(x, 0.0) ** 2, 0, 0, 0, 1),
        (lambda x: x - xp.floor(x), 2, 1, 1, 1),
        (lambda x: x**1.5, 0, 0, None, 1),
        (lambda x: x**0.0, 0, 0, 0, 1),
        (lambda x: x**0, 0, 0, 0, 1),
        (lambda x: x**1.0, 0, 1, 1, 1),
        (lambda x: (-2.0 + 0 * x) ** 2, 0, 0, 0, 1),
        (lambda x: xp.where(x**3 > 0, 2 * x, 3 * x), 0, 2, 3, 3),
    ],
)
def test_one_sided_derivatives_are_exact(
    function: F, x: float, right: Any, left: Any, order: int
) -> None:
    after, before = slopes(function, x, order=order)
    assert after[0] == right
    assert before[0] == left if left is not None else before[0].is_nan()


def test_an_infinite_slope_is_infinite() -> None:
    after, before = slopes(xp.sqrt, 0)
    assert after[0] == arb("inf")
    assert before[0].is_nan()
    assert elements(r.lift(np.float64(0)) ** 0.5, 0) == [0]


@pytest.mark.parametrize("reduce", [xp.max, lambda x: xp.sort(x)[-1], lambda x: -xp.min(-x)])
def test_a_tie_of_the_maximum_has_one_sided_slopes(reduce: F) -> None:
    after, before = slopes(reduce, [3.0, 3.0, 1.0], (1,))
    assert (after[0], before[0]) == (1, 0)


@pytest.mark.parametrize("ord", [1, 2, math.inf])
def test_norms_at_zero(ord: float) -> None:
    after, before = slopes(lambda x: xp.linalg.vector_norm(x, ord=ord), [0.0, 0.0], (0,), 2)
    assert (after[0], before[0]) == (1, -1)


def test_nothing_to_a_power_that_leaves_zero() -> None:
    """0**0 is 1, and 0**t is 0."""
    zero = r.lift(np.zeros(3))
    found = zero ** r.lift_along(np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, -1.0]), 2)
    assert elements(found, 0) == [0, 1, 0] and elements(found, 1) == [0, 0, 0]
    falling = zero ** r.lift_along(np.zeros(3), -np.ones(3), 2)
    assert all(each.is_nan() for each in elements(falling, 0))


def test_std_of_a_constant() -> None:
    after, before = slopes(xp.std, [2.0, 2.0], (0,), 2)
    assert (after[0], before[0]) == (arb(0.5), arb(-0.5))
    after, before = slopes(xp.std, [0.1, 0.1, 0.1], (0,), 2)  # of which the mean is inexact
    assert float(after[0]) == -float(before[0]) == pytest.approx(math.sqrt(2) / 3)
    assert elements(xp.std(r.lift(np.full((2, 3), 0.1)), axis=1), 0) == [0, 0]
    assert elements(xp.var(r.lift(np.zeros((2, 0))), axis=0), 0) == []


def test_products_with_zeros() -> None:
    for index, slope in enumerate([6, 0, 0]):
        after, before = slopes(xp.prod, [0.0, 2.0, 3.0], (index,))
        assert after == before == [slope]
    after, _ = slopes(xp.cumulative_prod, [0.0, 2.0, 3.0], (0,))
    assert after == [1, 2, 6]


def test_the_determinant_of_a_singular_matrix_has_its_derivative() -> None:
    after, before = slopes(xp.linalg.det, [[1.0, 2.0], [2.0, 4.0]], (0, 0))
    assert after == before == [4]
    after, _ = slopes(xp.linalg.det, np.zeros((2, 2)), (0, 0))
    assert after == [0]


def test_the_angle_at_the_cut_and_at_the_origin() -> None:
    along = r.lift_along(np.zeros(2), np.array([1.0, -1.0]))
    angle = xp.atan2(along[0], along[1])
    assert r.midpoints(angle) == pytest.approx(3 * math.pi / 4)
    assert angle.order == 0
    for sign in (1.0, -1.0):
        y = r.lift_along(np.float64(0), np.float64(sign))
        found = xp.atan2(y, -1.0)
        assert r.midpoints(found) == pytest.approx(sign * math.pi)
        assert elements(found, 1) == [-sign]
    with pytest.raises(r.OrderExhausted):
        xp.atan2(y * y, y * y * y)


def test_floats_of_an_expression_stay_exact() -> None:
    x = r.lift_along(np.array([0.5, -0.25, 0.0]), np.array([1.0, 0.0, -1.0]), 2)
    y = (x + 1) * (x - 1) - x * x + 1
    assert all(each.is_zero() for k in range(3) for each in elements(y, k))
    z = xp.matmul(xp.reshape(x, (1, 3)), xp.zeros((3, 2)))
    assert all(each.is_zero() for k in range(3) for each in elements(z, k))
    assert bool(xp.all(xp.tanh(x * 0) == 0))


def test_elements_that_do_not_move_are_exact_constants() -> None:
    """Not even the edge of a domain gives them a derivative."""
    x = r.lift_along(np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0]), 2)
    for function in (xp.sqrt, xp.log, xp.acosh, xp.asin, lambda x: x**0.3, xp.atanh):
        y = function(x[:2])
        assert all(each.is_zero() for k in (1, 2) for each in elements(y, k))
    assert elements(xp.log(x), 0)[0] == arb("-inf")


# --- what cannot be decided ---------------------------------------------------------------------


def third() -> BallArray:
    return r.lift(1.0) / 3


OVERLAPPING: dict[str, Callable[[BallArray, BallArray], Any]] = {
    "where": lambda x, y: xp.where(x > y, x, -y),
    "where_equal": lambda x, y: xp.where(x == y, 1.0, y),
    "argmax": lambda x, y: xp.argmax(xp.stack([x, y])),
    "argmin": lambda x, y: xp.argmin(xp.stack([x, y])),
    "sort": lambda x, y: xp.sort(xp.stack([x, y])),
    "argsort": lambda x, y: xp.argsort(xp.stack([x, y])),
    "searchsorted": lambda x, y: xp.searchsorted(x[None], y),
    "sign": lambda x, y: xp.sign(x - y),
    "copysign": lambda x, y: xp.copysign(x, x - y),
    "floor": lambda x, y: xp.floor(x + y + x),
    "ceil": lambda x, y: xp.ceil(x + y + x),
    "round": lambda x, y: xp.round((x + y + x) / 2),
    "trunc": lambda x, y: xp.trunc(x + y + x),
    "floor_divide": lambda x, y: x // y,
    "remainder": lambda x, y: x % y,
    "if": lambda x, y: x if x > y else y,
    "index": lambda x, y: xp.stack([x, y])[xp.stack([x, y]) > x],
    "mask times": lambda x, y: (x > y) * x,
    "count_nonzero": lambda x, y: xp.count_nonzero(x - y),
    "any": lambda x, y: bool(xp.any(x - y)),
    "inv": lambda x, y: xp.linalg.inv(xp.stack([xp.stack([x, y]), xp.stack([y, x])])),
    "slogdet": lambda x, y: xp.linalg.slogdet(xp.stack([xp.stack([x, y]), xp.stack([y, x])])),
}


@pytest.mark.parametrize("name", OVERLAPPING)
@pytest.mark.parametrize("order", [0, 1])
def test_overlapping_balls_are_undecided(name: str, order: int) -> None:
    x, y = third(), r.lift(1.0) - third() * 2
    if order:
        x, y = (each + r.lift_along(np.float64(0), np.float64(1)) for each in (x, y))
    with pytest.raises(r.Undecided) as error:
        OVERLAPPING[name](x, y)
    assert not isinstance(error.value, r.OrderExhausted)


def test_the_absolute_value_of_a_ball_needs_no_decision() -> None:
    x = abs(third() - (1 - third() * 2))
    (ball,) = elements(x, 0)
    assert ball.contains(0)
    along = r.lift_along(np.float64(0), np.float64(1)) + third() - (1 - third() * 2)
    with pytest.raises(r.Undecided):
        abs(along)
    still = along - r.lift_along(np.float64(0), np.float64(1))
    assert [each.contains(0) for k in (0, 1) for each in elements(abs(still), k)] == [True, True]


def test_more_bits_decide() -> None:
    seen = []

    def compare() -> bool:
        seen.append(ctx.prec)
        tiny = xp.exp(r.lift(np.float64(-300.0)))
        return bool((1 + tiny) > 1)

    before = ctx.prec
    assert r.with_precision_doubling(compare, start=64)
    assert seen == [64, 64, 128, 256, 512]
    assert ctx.prec == before


def test_precision_is_not_doubled_for_ever() -> None:
    with pytest.raises(r.Undecided, match="raise the precision"):
        r.with_precision_doubling(lambda: xp.sign(third() - (1 - third() * 2)), limit=512)


def test_a_higher_order_decides() -> None:
    orders = []

    def branch(order: int) -> Any:
        orders.append(order)
        x = r.lift_along(np.float64(0), np.float64(1), order)
        return r.coefficient(xp.where(x**3 > 0, 5 * x, x), 1)

    assert elements(r.with_order_raising(branch), 0) == [5]
    assert orders == [1, 2, 3]


def test_a_coefficient_beyond_the_order_is_not_zero_but_unknown() -> None:
    x = r.lift_along(np.float64(0), np.float64(1), 2)
    root = xp.sqrt(x * x)
    assert root.order == 1
    with pytest.raises(r.OrderExhausted):
        r.coefficient(root, 2)
    assert elements(r.coefficient(r.lift(np.float64(2)), 5), 0) == [0]


def test_truth_follows_kleene() -> None:
    unknown = third() > 1 - third() * 2
    assert bool(unknown | (r.lift(2.0) > 1))
    assert not bool(unknown & (r.lift(2.0) < 1))
    assert bool(xp.any(xp.stack([unknown, r.lift(2.0) > 1])))
    for undecided in (unknown, ~unknown, unknown | unknown, unknown ^ True, xp.all(unknown)):
        with pytest.raises(r.Undecided):
            bool(undecided)


MASKS = np.array([True, True, False, False]), np.array([True, False, True, False])


@pytest.mark.parametrize("name", ["eq", "ne", "and_", "or_", "xor", "mul", "lt", "le", "gt", "ge"])
def test_two_masks_are_compared_as_booleans(name: str) -> None:
    operation = getattr(operator, name)
    ours = operation(*[r.lift(each) for each in MASKS])
    assert xp.astype(ours, xp.bool).decided("test").tolist() == operation(*MASKS).tolist()


def test_an_unknown_mask_is_neither_equal_nor_different() -> None:
    unknown = third() > 1 - third() * 2
    for answer in (unknown == unknown, unknown != unknown, unknown == True, unknown != False):  # noqa: E712
        with pytest.raises(r.Undecided):
            bool(answer)
    for answer in (
        bool((r.lift(2.0) > 1) == (r.lift(3.0) > 1)),
        bool((r.lift(2.0) > 1) == 1),
        bool((r.lift(2.0) > 1) != 2.0),
    ):
        assert answer
    with pytest.raises(TypeError):
        hash(unknown)


@pytest.mark.parametrize(
    "name", ["add", "sub", "mul", "truediv", "pow", "mod", "floordiv", "lt", "le", "eq", "ne"]
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_mask_beside_a_number_is_a_number(name: str, turned: bool) -> None:
    mask, number = np.array([True, True]), 2.0
    operation = getattr(operator, name)
    ours, plain = ((number, each) if turned else (each, number) for each in (r.lift(mask), mask))
    found = xp.astype(operation(*ours), xp.float64)
    assert r.midpoints(found).tolist() == operation(*plain).astype(float).tolist()


@pytest.mark.parametrize(
    "expression",
    [
        lambda mask, k: mask + mask,
        lambda mask, k: mask - mask,
        lambda mask, k: mask / mask,
        lambda mask, k: k & 1,
        lambda mask, k: 1 | k,
        lambda mask, k: k ^ k,
        lambda mask, k: k << 1,
        lambda mask, k: 2 >> k,
        lambda mask, k: ~k,
    ],
)
def test_what_frameworks_disagree_about_and_bits_are_unsupported(expression: Any) -> None:
    with pytest.raises(Unsupported):
        expression(r.lift(np.array([True, False])), r.lift(np.array([1, 2])))


def test_the_absolute_value_of_a_mask_is_itself() -> None:
    assert abs(r.lift(MASKS[0])).decided("test").tolist() == MASKS[0].tolist()


# --- numpy stays outside --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (np.float64(2), None),
        (np.float32(0.5), None),
        (np.array([1.0, 2.0]), None),
        (np.array([1, 2]), None),
        (3, None),
        (0.1, None),
        (np.int64(3), None),
    ],
)
def test_numpy_on_either_side(left: Any, right: Any) -> None:
    x = r.lift_along(np.array([0.5, 0.25]), np.array([1.0, -1.0]))
    exact = r.lift(left)
    for ours, plain in (
        (left + x, exact + x), (x - left, x - exact), (left - x, exact - x), (left * x, exact * x),
        (left / x, exact / x), (x / left, x / exact), (x**left, x**exact),
    ):  # fmt: skip
        assert isinstance(ours, BallArray)
        for k in (0, 1):
            for a, b in zip(elements(ours, k), elements(plain, k), strict=True):
                assert a.overlaps(b)
    assert isinstance(left < x, r.Truth)
    if isinstance(left, np.ndarray):
        assert isinstance(left @ x, BallArray)


def test_numpy_may_not_look_inside() -> None:
    x = r.lift(np.ones(3))
    for function in (np.asarray, np.sin, np.mean, np.array, lambda x: np.maximum(x, 0), float):
        with pytest.raises(TypeError):
            function(x)
    with pytest.raises(TypeError):
        hash(x)


def test_a_decimal_is_the_binary_float_it_stands_for() -> None:
    tenth = r.with_precision(lambda: r.lift(0.1) * 10 - 1, 200)
    assert r.midpoints(tenth) == 10 * (2.0**-54 * 0.4) or r.midpoints(tenth) != 0
    assert r.radii(tenth) == 0


@pytest.mark.parametrize(
    "name", ["bitwise_and", "nextafter", "imag", "fft", "complex64", "unique_values"]
)
def test_what_makes_no_sense_over_the_reals(name: str) -> None:
    with pytest.raises(Unsupported, match=name):
        getattr(xp, name)
    with pytest.raises(Unsupported, match="real"):
        r.lift(np.array([1j]))
    with pytest.raises(Unsupported, match="svd"):
        xp.linalg.svd  # noqa: B018
    with pytest.raises(Unsupported, match="singular values"):
        xp.linalg.matrix_norm(r.lift(np.eye(2)), ord=2)


def test_infinities_and_nan() -> None:
    x = r.lift(np.array([-np.inf, 1.0, np.nan]))
    assert xp.isfinite(x).decided("").tolist() == [False, True, False]
    assert xp.isinf(x).decided("").tolist() == [True, False, False]
    assert xp.isnan(x).decided("").tolist() == [False, False, True]
    assert elements(xp.exp(x), 0)[0] == 0
    with pytest.raises(r.Undecided):
        bool(xp.isfinite(xp.log(r.lift(-1.0))))


@pytest.mark.parametrize(
    ("function", "x", "wanted"),
    [
        (xp.sin, np.inf, np.nan),
        (xp.cos, -np.inf, np.nan),
        (xp.erf, -np.inf, -1),
        (xp.erfc, np.inf, 0),
        (xp.erfc, -np.inf, 2),
        (xp.lgamma, -3.0, np.inf),
        (xp.lgamma, 0.0, np.inf),
        (xp.lgamma, np.inf, np.inf),
        (xp.atanh, 1.0, np.inf),
        (xp.atanh, -1.0, -np.inf),
        (xp.tanh, np.inf, 1),
        (xp.exp, -np.inf, 0),
        (xp.log, 0.0, -np.inf),
    ],
)
def test_values_at_poles_and_infinities_are_those_of_floats(
    function: F, x: float, wanted: float
) -> None:
    (ball,) = elements(function(r.lift(x)), 0)
    assert ball.rad().is_zero() or ball.is_nan()
    np.testing.assert_equal(float(ball), wanted)


def test_surface() -> None:
    x = r.lift(np.float32(0.1))
    assert x.dtype == np.float32 and r.midpoints(x) == np.float32(0.1)
    assert r.relative_digits(x) == np.inf
    y = r.with_precision(lambda: xp.exp(r.lift(np.array([1.0, 2.0]))), 128)
    assert r.midpoints(y).tolist() == pytest.approx([math.e, math.e**2], rel=1e-15)
    assert (r.relative_digits(y) > 37).all() and (r.radii(y) < 1e-37).all()
    rng = np.random.default_rng(1)
    direction = r.dyadic_direction(rng, (1000,))
    assert (abs(direction) > 0.5).all() and (abs(direction) < 1).all()
    assert (direction * 2**32 % 2 == 1).all()
    assert r.overlap(y, y).all() and not r.overlap(y, y + 1).any()
    with pytest.raises(ValueError, match="shape"):
        r.lift_along(np.ones(3), np.ones(2))


@pytest.mark.parametrize("x", [1e-300, -1e-300, 1e-30, 30.0, -30.0, 700.0])
@pytest.mark.parametrize("name", ["tanh", "sinh", "cosh", "expm1", "asinh", "atan", "erf", "sin"])
def test_tiny_and_large_arguments_stay_sharp(name: str, x: float) -> None:
    along = r.with_precision(
        lambda: getattr(xp, name)(r.lift_along(np.float64(x), np.float64(1))), 256
    )
    assert r.relative_digits(along) > 60
    if abs(x) <= 30 and name not in ("erf",):
        assert r.relative_digits(r.coefficient(along, 1)) > 40


def test_a_mask_is_a_number_where_the_frameworks_have_it_so() -> None:
    x = r.lift_along(np.array([0.0, -1.0, 2.0]), np.ones(3))
    mask = x > 0
    for product in (mask * x, x * mask, (1 - mask) * 0 + mask * x, xp.astype(mask, xp.float64) * x):
        assert r.midpoints(product).tolist() == [0, 0, 2]
        assert r.midpoints(r.coefficient(product, 1)).tolist() == [1, 0, 1]
    assert int(xp.sum(mask)) == 2


# --- casts to a narrower format -------------------------------------------------------------------


def cast(x: Any, dtype: Any = np.float32) -> Any:
    return xp.astype(x, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_cast_is_the_identity_and_within_narrowing_holds_what_it_rounds_to(dtype: str) -> None:
    label = dtypes.numpy_dtype(dtype)
    x = np.array([0.1, -3.3, 1e-7, 0.5, 0.0, 1e-60])
    rounded = x.astype(label).astype(float)
    along = r.lift_along(x, np.ones(6))
    with r.recorded() as record:
        plain = cast(along, label)
        assert r.midpoints(plain).tolist() == x.tolist() and plain.dtype == label
    assert record.narrow
    with r.narrowing():
        wide = cast(along, label)
    for ball, one, other in zip(elements(wide, 0), x, rounded, strict=True):
        assert ball.contains(one) and ball.contains(other)
    assert (r.radii(wide) <= 2 * (dtypes.FORMATS[dtype].unit * abs(x) + 2.0**-24)).all()
    assert r.radii(wide)[[3, 4]].tolist() == [0, 0]
    assert elements(wide, 1) == [1] * 6
    with r.narrowing():
        assert r.radii(cast(r.lift(1e300), label)) == np.inf


def test_a_cast_that_is_none_is_not_recorded() -> None:
    with r.recorded() as record, r.narrowing():
        x = r.lift(np.float32(0.1))
        assert r.radii(cast(x)) == 0 and r.radii(cast(x, np.float64)) == 0
    assert not record.narrow


@pytest.mark.parametrize(
    "function",
    [
        lambda x: xp.floor(cast(x)),
        lambda x: xp.where(cast(x) < 3, x, -x),
        lambda x: xp.maximum(cast(x), 3.0),
        lambda x: abs(cast(x) - 3),
        lambda x: xp.sort(xp.stack([cast(x), 3 + 0 * x])),
    ],
)
def test_what_hangs_on_the_rounding_of_a_cast_is_undecided(function: F) -> None:
    """The float64 next to 3 is 3 in float32."""
    x = r.lift(np.nextafter(3.0, 0))
    function(x)
    with r.narrowing():
        with pytest.raises(r.Undecided):
            function(x)
        function(r.lift(2.5000001))


def test_hyperbolic_slopes_neither_overflow_nor_cancel() -> None:
    """At 128 bits: each lost all of its digits to exp(x) + exp(-x) or its like."""
    for function, x, slope in (
        (xp.cosh, 1e-30, 1e-30),
        (xp.tanh, 1e-30, 1.0),
        (xp.tanh, 1e300, 0.0),
        (xp.tanh, -1e300, 0.0),
    ):
        found = r.with_precision(
            lambda function=function, x=x: r.coefficient(  # type: ignore[misc]
                function(r.lift_along(np.float64(x), np.float64(1))), 1
            ),
            128,
        )
        assert r.midpoints(found) == pytest.approx(slope, rel=1e-15, abs=0)
        assert r.radii(found) <= 1e-30 * slope + 1e-300

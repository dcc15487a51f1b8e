"""Where no limit is taken, one pass says what three would; where one is, the record tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from builders import numerical
from flint import arb, arb_series, ctx
from hypothesis import given
from hypothesis import strategies as st

from harness import referee as r
from harness.cases.case import load
from harness.cases.registry import builtin_folder
from harness.cases.sampling import draw_sample
from harness.errors import Unsupported
from harness.referee import xp
from harness.truth.lifted import Lifted

CASES = sorted(file.stem for file in builtin_folder().glob("*.yaml"))
F = Callable[[Any], Any]
ALONG = np.array([1.0, -0.5])


@pytest.mark.parametrize("name", CASES)
def test_a_pass_without_a_limit_is_its_own_mirror_image_and_its_own_value(name: str) -> None:
    case = load(builtin_folder() / f"{name}.yaml")
    for point in [*case.declared.points, "draw0"]:
        lifted = Lifted(case.program, draw_sample(case, point, "default", "float64"))
        directions = lifted.directions(case_names(lifted))
        try:
            moved = lifted.moved(directions)
            slope = lifted.slope(moved.trace)
        except (r.Undecided, Unsupported):
            continue
        if moved.limit or not slope.is_finite():
            continue
        assert slope.overlaps(-lifted.along(directions, -1)), point
        here = lifted.values((), lifted.at_rest())
        for output, still in zip(moved.trace.outputs, here.values(), strict=True):
            assert r.overlap(r.value(output), still).all(), point


def case_names(lifted: Lifted) -> list[str]:
    try:
        return lifted.names()
    except Unsupported:
        return list(lifted.leaves)


KINKS: list[tuple[F, list[float]]] = [
    (lambda x: xp.maximum(x, 0.0), [0, 1]),
    (lambda x: xp.max(x), [1, 1]),
    (lambda x: xp.min(x), [1, 1]),
    (lambda x: xp.sort(x), [1, 1]),
    (xp.abs, [0, 1]),
    (xp.sign, [0, 1]),
    (xp.floor, [2, 0.5]),
    (xp.ceil, [2, 0.5]),
    (xp.trunc, [2, 0.5]),
    (xp.round, [1.5, 0.2]),
    (lambda x: xp.remainder(x, 2.0), [4, 0.5]),
    (lambda x: x // 2.0, [4, 0.5]),
    (lambda x: xp.clip(x, 0.0, 1.0), [1, 0.5]),
    (lambda x: xp.where(x > 1, x, 2 * x), [1, 0.5]),
    (lambda x: xp.where(x == 0, 1.0, xp.sin(x) / x), [0, 0.5]),
    (lambda x: (x != 0) * x, [0, 0.5]),
    (lambda x: xp.sin(x) / x, [0, 0.5]),
    (lambda x: xp.sqrt(x * x), [0, 0.5]),
    (lambda x: xp.linalg.vector_norm(x), [0, 0]),
    (lambda x: xp.hypot(x, x), [0, 1]),
    (lambda x: xp.pow(x * x, 1.5), [0, 1]),
    (lambda x: xp.atan2(x, -xp.ones_like(x)), [0, 1]),
    (lambda x: xp.atan2(x, 2 * x), [0, 1]),
    (lambda x: xp.copysign(xp.ones_like(x), x), [0, 1]),
    (lambda x: xp.astype(x, xp.bool) * 1.0, [0, 1]),
    (lambda x: r.with_precision(lambda: xp.abs(x), 256), [0, 1]),
]


@pytest.mark.parametrize(("function", "at"), KINKS)
def test_a_limit_is_known_to_every_record_around_it(function: F, at: list[float]) -> None:
    with r.recorded() as outer:
        with r.recorded() as inner:
            r.with_order_raising(lambda n: function(r.lift_along(np.array(at), ALONG, n)))
        with r.recorded() as later:
            pass
    assert (outer.limit, inner.limit, later.limit) == (True, True, False)


@pytest.mark.parametrize(("function", "at"), KINKS)
def test_away_from_it_no_limit_is_taken(function: F, at: list[float]) -> None:
    with r.recorded() as record:
        function(r.lift_along(np.array(at) + np.array([0.3, 0.1]), ALONG))
    assert not record.limit


def test_what_stands_still_takes_no_limit() -> None:
    along = r.lift_along(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    with r.recorded() as record:
        xp.abs(along), xp.floor(along[0]), xp.maximum(along, along), xp.max(xp.zeros(3) + along[1])
    assert not record.limit


def test_floor_of_a_ball_that_touches_a_jump_is_undecided() -> None:
    """The ball [0, 2e-16] may be 0, which falls along -1; still, its floor is 0."""
    third = r.with_precision(lambda: arb(1) / 3, 53)
    ball = r.lift(np.array([0.0])) + r.with_precision(
        lambda: third - (third.mid() - third.rad()), 53
    )
    assert r.overlap(ball, r.lift(0.0)).all()
    assert r.midpoints(xp.floor(ball)) == 0
    with pytest.raises(r.Undecided, match="touches"):
        xp.floor(ball + r.lift_along(np.zeros(1), -np.ones(1)))


@numerical
@given(st.floats(-300, 300), st.floats(-1, 1))
def test_the_exponential_along_a_line_is_that_of_flint(x: float, v: float) -> None:
    found = xp.exp(r.lift_along(np.array([x]), np.array([v])))
    cap, ctx.cap = ctx.cap, 2
    try:
        truth = arb_series([x, v]).exp()
    finally:
        ctx.cap = cap
    for k in range(2):
        assert found.series.parts[k][0].overlaps(truth[k])


def scrutinised(function: F, *numbers: float, sign: int = 1) -> tuple[bool, list[float]]:
    with r.recorded(scrutiny=sign) as record:
        found = function(*map(r.lift, map(np.asarray, numbers)))
    return record.doubt, r.midpoints(found).ravel().tolist()


@pytest.mark.parametrize(
    ("function", "numbers"),
    [
        (lambda x: x / x, (0.0,)),
        (lambda x: xp.sqrt(x), (-2.0,)),
        (lambda x: xp.sqrt(-xp.exp(x)), (1.0,)),
        (lambda x: xp.log(-xp.exp(x)), (1.0,)),
        (lambda x: xp.log1p(x), (-2.0,)),
        (lambda x: xp.acos(x), (1.5,)),
        (lambda x: xp.acosh(x), (0.5,)),
        (lambda x: xp.atanh(x), (2.0,)),
        (lambda x: x**0.5, (-1.0,)),
        (lambda x, y: xp.pow(x, y), (-1.0, 0.5)),
    ],
)
def test_what_is_certainly_undefined_leaves_no_doubt(function: F, numbers: Any) -> None:
    doubt, (value,) = scrutinised(function, *numbers)
    assert not doubt
    assert np.isnan(value)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: 1 / (xp.sin(x) ** 2 + xp.cos(x) ** 2 - 1),
        lambda x: xp.log(xp.sin(x) ** 2 + xp.cos(x) ** 2 - 1),
        lambda x: xp.sqrt(xp.sin(x) ** 2 + xp.cos(x) ** 2 - 1),
        lambda x: (xp.sin(x) ** 2 + xp.cos(x) ** 2 - 1) ** -0.5,
        lambda x: xp.exp(xp.exp(xp.exp(xp.exp(xp.exp(xp.exp(x)))))),
    ],
)
def test_a_ball_that_is_too_wide_or_too_large_is_a_matter_of_doubt(function: F) -> None:
    doubt, _ = scrutinised(function, 1.3)
    assert doubt


def test_under_scrutiny_zeros_have_a_sign() -> None:
    assert scrutinised(lambda x: 3 / x, 0.0) == (False, [np.inf])
    assert scrutinised(lambda x: 3 / x, 0.0, sign=-1) == (False, [-np.inf])
    assert scrutinised(lambda x: 1 / (1 / x), 0.0) == (False, [0.0])
    assert np.isnan(r.midpoints(3 / r.lift(np.zeros(()))))


@numerical
@given(st.floats(-1e300, 1e300), st.integers(-1200, 0))
def test_radii_bound_and_midpoints_are_nearest(x: float, exponent: int) -> None:
    ball = (arb(x) + 1).exp().sin() * arb(2) ** exponent
    array = r.value(r.lift(np.zeros(()))) + ball
    radius = float(r.radii(array))
    assert arb(radius) >= ball.rad()
    assert radius <= 1.0000001 * float(ball.rad()) + 1e-323
    assert float(r.midpoints(array)) == float(ball.mid())
    assert r.radii(r.lift(np.array([x]))) == 0

"""Each scheme knows how far it is off, on smooth functions, at kinks and at the edge of a domain,
and what it cannot do it refuses."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from builders import numerical, program_from, sample_for
from hypothesis import given
from hypothesis import strategies as st

from harness.backends.numeric import NumericBackend
from harness.differences.derivative import NEAR, scales_in
from harness.differences.stencils import SCHEMES, weights
from harness.directions import Slopes
from harness.errors import Unsupported
from harness.judging.compare import judge
from harness.judging.verdict import Tolerance, Truth
from harness.model import Gradients, Status, Task
from harness.truth.lifted import MOST, Lifted

REAL = ("central", "fourth", "richardson")
ALL = (*REAL, "complex", "auto")
#: A random smooth function of t: its value in the text, its derivative here.
SMOOTH = """
    def forward(xp, x, a, k):
        t = xp.expand_dims(x, axis=-1) * k
        q = a[0] * xp.sin(t) + a[1] * xp.exp(-t * t) + a[2] * t ** 3 + a[3] / (2 + xp.cos(t))
        f = xp.sum(q)
        return f
"""


def slope(x: np.ndarray, a: np.ndarray, k: np.ndarray) -> np.ndarray:
    t = x[:, None] * k
    terms = a[0] * np.cos(t) - 2 * a[1] * t * np.exp(-t * t) + 3 * a[2] * t**2
    return np.sum(k * (terms + a[3] * np.sin(t) / (2 + np.cos(t)) ** 2), axis=1)


def run(text: str, scheme: str, x: object, **more: object) -> Gradients:
    program = program_from(text)
    with np.errstate(all="ignore"):
        sample = sample_for(program, {"x": np.asarray(x)}, **more)  # type: ignore[arg-type]
    return NumericBackend(numeric=scheme).differentiate(program, sample)


@pytest.mark.parametrize("scheme", ALL)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@numerical
@given(seed=st.integers(0, 2**31), low=st.sampled_from([-math.inf, 0.0]))
def test_the_true_error_is_within_the_estimate(
    scheme: str, dtype: str, seed: int, low: float
) -> None:
    program, rng = program_from(SMOOTH), np.random.default_rng(seed)
    # Some elements are at the edge of their domain, or very near to it.
    x = np.concatenate([rng.normal(size=4), [0.0, 1e-9, 1e-5]])
    x = (np.abs(x) if low == 0 else x).astype(dtype)
    a, k = (rng.normal(size=size).astype(dtype) for size in (4, 3))
    inputs = {"x": x, "a": a, "k": k}
    sample = sample_for(
        program, inputs, dtype=dtype, differentiable=("x",), domains={"x": (low, math.inf)}
    )
    found = NumericBackend(numeric=scheme).differentiate(program, sample)
    truth = slope(*(each.astype(np.float64) for each in (x, a, k)))
    error = np.abs(found.gradients["x"] - truth)
    rounding = np.finfo(dtype).eps * (np.abs(truth) + 1e-300)
    assert np.all(error <= found.uncertainty["x"] + rounding)
    useful = {"float64": 1e-4, "float32": 0.5}[dtype]
    assert np.all(found.uncertainty["x"] <= useful * (1 + np.max(np.abs(truth))))


@pytest.mark.parametrize("scheme", [*REAL, "auto"])
@numerical
@given(distance=st.floats(1e-12, 0.3), sign=st.sampled_from([1, -1]), center=st.floats(-2, 2))
def test_a_kink_anywhere_within_the_stencil_is_seen(
    scheme: str, distance: float, sign: int, center: float
) -> None:
    kink = center + sign * distance
    text = f"""
        def forward(xp, x):
            f = xp.sum(xp.abs(x - {kink!r}) + xp.sin(x))
            return f
    """
    found = run(text, scheme, [center])
    truth = np.sign(center - kink) + math.cos(center)
    assert np.abs(found.gradients["x"] - truth) <= found.uncertainty["x"]


@pytest.mark.parametrize("scheme", REAL)
@pytest.mark.parametrize("body", ["xp.abs(x)", "xp.maximum(x, 0.0)", "xp.sqrt(x * x)"])
def test_a_kink_at_the_center_is_as_uncertain_as_its_slopes_differ(scheme: str, body: str) -> None:
    text = f"def forward(xp, x):\n    f = xp.sum({body})\n    return f\n"
    assert run(text, scheme, [0.0, 1.0]).uncertainty["x"][0] >= 0.5


def test_a_higher_order_is_worth_it() -> None:
    """Of one function, near the same points."""
    text = "def forward(xp, x):\n    f = xp.sum(xp.exp(xp.sin(x)))\n    return f\n"
    x = np.linspace(0.5, 3, 50)
    truth, errors = np.exp(np.sin(x)) * np.cos(x), []
    for scheme in ("central", "fourth", "richardson", "complex"):
        found = run(text, scheme, x)
        assert found.detail == SCHEMES[scheme].title
        errors.append(np.max(np.abs(found.gradients["x"] - truth)))
    assert errors[0] > 100 * max(errors[1:3])
    assert min(errors[1:3]) > 10 * errors[3]
    assert errors[3] < 1e-14


@pytest.mark.parametrize("scheme", ["fourth", "richardson"])
@pytest.mark.parametrize("seed", range(3))
def test_a_small_part_of_a_large_sum_gets_a_longer_step(scheme: str, seed: int) -> None:
    """scipy's eighth order, with steps of half a unit, is 5e-14 off."""
    text = "def forward(xp, x):\n    f = xp.log(xp.sum(xp.exp(x)))\n    return f\n"
    x = np.random.default_rng(seed).normal(size=1000)
    found = run(text, scheme, x)
    assert np.max(np.abs(found.gradients["x"] - np.exp(x) / np.sum(np.exp(x)))) <= 4e-14


@pytest.mark.parametrize("scheme", [*REAL, "auto"])
@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4])
def test_a_function_that_changes_on_a_small_scale_gets_a_shorter_step(
    scheme: str, scale: float
) -> None:
    text = f"def forward(xp, x):\n    f = xp.sum(abs(xp.sin(x / {scale!r})))\n    return f\n"
    x = np.linspace(0.5, 2.5, 9)
    found = run(text, scheme, x)
    truth = np.sign(np.sin(x / scale)) * np.cos(x / scale) / scale
    assert np.all(np.abs(found.gradients["x"] - truth) <= found.uncertainty["x"])
    assert np.all(found.uncertainty["x"] <= 1e-5 / scale)


def test_automatic_is_complex_where_it_can_be_and_real_where_not() -> None:
    text = "def forward(xp, x):\n    f = xp.sum({})\n    return f\n"
    x = np.linspace(0.5, 3, 20)
    assert run(text.format("xp.exp(x)"), "auto", x).detail == "complex step"
    assert run(text.format("xp.abs(x)"), "auto", x).detail == "fourth order"
    assert "central" in run(text.format("xp.abs(x)"), "auto", [-1e-5, 2.0]).detail


@pytest.mark.parametrize(
    "body",
    [
        *("xp.abs(x)", "xp.maximum(x, 0.0)", "xp.sort(x)", "xp.where(x > 0, x, 2 * x)"),
        *("xp.max(x)", "xp.floor(x) * x", "xp.sign(x) * x", "xp.var(x)", "xp.hypot(x, x)"),
        "xp.astype(x, xp.float32)",
    ],
)
def test_a_complex_step_refuses_what_is_not_analytic(body: str) -> None:
    text = f"def forward(xp, x):\n    f = xp.sum({body})\n    return f\n"
    with pytest.raises(Unsupported):
        run(text, "complex", [0.5, -1.5])


def test_a_complex_step_is_checked_by_a_real_difference() -> None:
    """The principal root of a square is no analytic function of what was squared, at zero."""
    text = "def forward(xp, x):\n    f = xp.sum(xp.sqrt(x * x))\n    return f\n"
    np.testing.assert_allclose(run(text, "complex", [0.5, -1.5]).gradients["x"], [1, -1])
    with pytest.raises(Unsupported, match="not analytic"):
        run(text, "complex", [0.0, 1.0])
    assert run(text, "auto", [0.0, 1.0]).uncertainty["x"][0] >= 1


def test_a_complex_step_is_none_where_the_function_is_not_real() -> None:
    """(-2)**x is real at 2 and nowhere near it: what is left there is no derivative."""
    text = "def forward(xp, x, base):\n    f = xp.sum(xp.pow(base, x))\n    return f\n"
    for base, real in ((2.0, True), (-2.0, False)):
        sample = sample_for(
            program := program_from(text),
            {"x": np.array([2.0, 3.0]), "base": np.array(base)},
            differentiable=("x",),
        )
        found = NumericBackend().differentiate(program, sample).gradients["x"]
        assert np.all(np.isfinite(found)) == np.any(np.isfinite(found)) == real
        named = NumericBackend(numeric="complex")
        if real:
            truth = np.log(2) * np.array([4.0, 8.0])
            np.testing.assert_allclose(named.differentiate(program, sample).gradients["x"], truth)
        else:
            with pytest.raises(Unsupported, match="not real"):
                named.differentiate(program, sample)


def test_a_root_of_a_function_is_no_reason_against_a_complex_step() -> None:
    text = "def forward(xp, x):\n    f = xp.sum({})\n    return f\n"
    for body, slope in (("1e20 * x", 1e20), ("x ** 3", 0.0), ("0 * x", 0.0), ("xp.sin(x)", 1.0)):
        found = run(text.format(body), "complex", [0.0]).gradients["x"]
        assert found == pytest.approx([slope], rel=1e-15, abs=1e-60)


@pytest.mark.parametrize("scheme", ALL)
def test_no_scheme_leaves_a_domain(scheme: str) -> None:
    text = """
        def forward(xp, x):
            f = xp.sum(xp.sqrt(x) * xp.sqrt(1 - x))
            return f
    """
    x = np.array([1e-3, 0.25, 0.75, 1 - 1e-3])
    found = run(text, scheme, x, domains={"x": (0.0, 1.0)})
    truth = (1 - 2 * x) / (2 * np.sqrt(x * (1 - x)))
    assert np.all(np.abs(found.gradients["x"] - truth) <= found.uncertainty["x"])


@pytest.mark.parametrize("scheme", REAL)
def test_weights_give_polynomials_exactly(scheme: str) -> None:
    for powers in ((0, 2, 4, 6), (0, 1, 2, 3)):
        ratios = SCHEMES[scheme].edge.ratios[:4]  # type: ignore[attr-defined]
        found = weights(ratios, powers)
        for place, power in enumerate(powers[: len(ratios)]):
            total = sum(w * ratio**power for w, ratio in zip(found, ratios, strict=True))
            assert total == pytest.approx(float(place == 0), abs=1e-9)


def test_a_jvp_has_no_complex_step() -> None:
    program = program_from("def forward(xp, x):\n    f = x * x\n    return f\n")
    sample = sample_for(program, {"x": np.ones(2)})
    sample.tangents["x"] = np.ones(2)
    with pytest.raises(Unsupported, match="axes only"):
        NumericBackend(numeric="complex").differentiate(program, sample, Task("jvp"))


BIG, WRONG = 5000, 18


def big(gradient_error: float = 0.0) -> tuple[Gradients, np.ndarray]:
    text = "def forward(xp, x):\n    f = xp.sum(xp.sin(x) * x)\n    return f\n"
    x = np.random.default_rng(1).normal(size=BIG)
    truth = np.cos(x) * x + np.sin(x)
    truth[WRONG] += gradient_error
    return run(text, "auto", x), truth


def test_what_is_not_computed_is_known_along_directions() -> None:
    found, truth = big()
    slopes = found.slopes["x"]
    assert len(found.sampled["x"]) < BIG
    assert slopes.known() == list(range(8))
    expected = [float(np.sum(slopes.direction(index) * truth)) for index in range(8)]
    assert np.all(np.abs(slopes.midpoints - expected) <= slopes.radii)
    assert "8 random directions: an error of one part in" in found.detail
    assert "with probability 0.99" in found.detail


@pytest.mark.parametrize("wrong", [0.0, 1e-4])
def test_slopes_are_a_reference_and_are_judged(wrong: float) -> None:
    """One wrong element of thousands, which is not among the sampled ones."""
    found, claimed = big(wrong)
    assert WRONG not in found.sampled["x"]
    reference = Truth(
        found.gradients["x"],
        "numeric",
        found.uncertainty["x"],
        found.sampled["x"],
        slopes=found.slopes["x"],
    )
    expected = Status.PASS if not wrong else Status.IMPRECISE
    verdict = judge(claimed, reference, Tolerance(1e-12), "float64")
    assert (verdict.status == Status.PASS) == (not wrong), verdict
    assert not wrong or "random direction" in verdict.detail
    back = judge(
        found.gradients["x"],
        Truth(claimed, "certified"),
        Tolerance(1e-12),
        "float64",
        uncertainty=found.uncertainty["x"],
        sampled=found.sampled["x"],
        slopes=found.slopes["x"],
    )
    assert (back.status == Status.PASS) == (expected == Status.PASS), back


NEARLY = 1e-12


def beside_an_edge() -> tuple[Gradients, np.ndarray]:
    """A large input of a logarithm with one element that nearly touches the edge of its domain."""
    x = np.random.default_rng(1).uniform(0.5, 3.0, BIG)
    x[7] = NEARLY
    text = "def forward(xp, x):\n    f = xp.sum(xp.log(x))\n    return f\n"
    return run(text, "auto", x, domains={"x": (0.0, math.inf)}), 1 / x


def numeric_truth(found: Gradients, slopes: Slopes) -> Truth:
    """What the numeric method found of `x`, with these slopes, as a reference."""
    return Truth(
        found.gradients["x"],
        "numeric",
        found.uncertainty["x"],
        found.sampled["x"],
        slopes=slopes,
    )


@pytest.mark.parametrize("scaled", [True, False])
def test_an_element_beside_an_edge_hides_no_other(
    scaled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With plain directions, all of which it keeps from moving, nothing can be said of another."""
    if not scaled:
        monkeypatch.setattr("harness.differences.derivative.NEAR", 0.0)
    found, claimed = beside_an_edge()
    slopes = found.slopes["x"]
    assert len(slopes.known()) == 8
    reference = numeric_truth(found, slopes)
    right = judge(claimed, reference, Tolerance(1e-12), "float64")
    assert right.status == (Status.PASS if scaled else Status.UNDECIDED), right
    claimed[np.setdiff1d(np.arange(BIG), found.sampled["x"])[WRONG]] *= 1 + 1e-4
    wrong = judge(claimed, reference, Tolerance(1e-12), "float64")
    assert (wrong.status in (Status.FAIL, Status.IMPRECISE)) == scaled, wrong


def test_what_is_said_of_elements_beside_an_edge_is_true() -> None:
    """They are seen that much less along the directions, and are looked at one by one."""
    found, truth = beside_an_edge()
    slopes = found.slopes["x"]
    assert 7 in found.sampled["x"]
    assert abs(found.gradients["x"][7] - truth[7]) <= found.uncertainty["x"][7] <= 1e-3 * truth[7]
    weights = np.array([slopes.direction(index) for index in slopes.known()])
    assert np.all(np.abs(weights[:, 7]) <= NEARLY / 2)
    assert np.all(np.abs(weights @ truth - slopes.midpoints) <= slopes.radii + 1e-9)
    assert "or one up to 4e+12 times as large in 1 near the domain's edge" in found.detail
    plain = Slopes(slopes.name, slopes.shape, slopes.midpoints, slopes.radii)
    assert slopes.same_directions(pickle.loads(pickle.dumps(slopes)))
    assert not slopes.same_directions(plain)
    assert not plain.same_directions(slopes)


@numerical
@given(
    low=st.floats(-10, 10),
    width=st.floats(1e-3, 10),
    rooms=st.lists(st.floats(1e-14, 0.5), min_size=1, max_size=8),
)
def test_scaled_directions_leave_room(low: float, width: float, rooms: list[float]) -> None:
    """Where no element is at the edge, none allows less than a small part of what others do."""
    x = np.clip(low + width * np.array([*rooms, 0.5]), low, low + width)
    scales = scales_in((low, low + width), x)
    room = np.minimum(x - low, low + width - x)
    inside = room > 0
    unit = min(np.max(np.abs(x)), np.max(room))
    assert np.all((scales <= 1) & (scales > 0))
    assert np.all(room[inside] >= NEAR * unit * scales[inside])
    assert np.all(scales[room >= NEAR * unit] == 1)
    assert np.all(scales_in((-math.inf, math.inf), x) == 1)


def test_slopes_along_other_directions_are_not_compared() -> None:
    found, _ = big()
    mine = found.slopes["x"]
    other = Slopes(mine.name, mine.shape, mine.midpoints + 1, mine.radii, seed=1)
    for slopes, status in (
        (other, Status.PASS),
        (Slopes(mine.name, mine.shape, mine.midpoints + 1, mine.radii), Status.FAIL),
    ):
        reference = numeric_truth(found, slopes)
        verdict = judge(
            found.gradients["x"],
            reference,
            Tolerance(1e-9),
            "float64",
            sampled=found.sampled["x"],
            slopes=mine,
        )
        assert (verdict.status == Status.PASS) == (status == Status.PASS), verdict


def test_the_stated_power_is_what_directions_have() -> None:
    """Of the elements that are wrong by as much as a row says is seen, 99 in 100 are seen."""
    shape, radius = (400,), 1e-3
    slopes = Slopes("x", shape, np.full(3, 10.0), np.full(3, radius))
    assert "3 random directions" in slopes.power()
    smallest = radius / 0.01 ** (1 / 3)
    weights = np.array([slopes.direction(index) for index in range(3)])
    seen = np.any(np.abs(weights) * smallest > radius, axis=0)
    assert 0.97 <= np.mean(seen) <= 1.0
    assert "too uncertain" in Slopes("x", shape, np.zeros(3), np.full(3, radius)).power()
    assert Slopes.empty("x", shape, 3).power() == ""


def test_too_many_numbers_are_no_balls() -> None:
    program = program_from("def forward(xp, x):\n    f = xp.sum(x)\n    return f\n")
    sample = sample_for(program, {"x": np.zeros(MOST + 1)})
    with pytest.raises(Unsupported, match="too many for balls"):
        Lifted(program, sample)

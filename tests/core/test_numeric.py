"""Numeric differences are worth what their error estimate is worth: it must be true and useful."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from builders import numerical, program_from, sample_for
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.backends.numeric import FULL, FULL_INTERMEDIATE, NumericBackend
from harness.model import Gradients, Task
from harness.programs.program import Program

#: body, derivative, and where it is smooth on the scale of 1
FUNCTIONS: dict[str, tuple[str, Callable[[float], float], float, float]] = {
    "sin": ("xp.sin(z)", math.cos, -5, 5),
    "exp": ("xp.exp(z)", math.exp, -5, 5),
    "tanh": ("xp.tanh(z)", lambda t: 1 / math.cosh(t) ** 2, -3, 3),
    "cube": ("z * z * z", lambda t: 3 * t * t, -5, 5),
    "log": ("xp.log(z)", lambda t: 1 / t, 0.5, 5),
    "sqrt": ("xp.sqrt(z)", lambda t: 0.5 / math.sqrt(t), 0.5, 5),
    "reciprocal": ("1 / z", lambda t: -1 / (t * t), 0.5, 5),
    "logistic": (
        "1 / (1 + xp.exp(-z))",
        lambda t: math.exp(-t) / (1 + math.exp(-t)) ** 2,
        -5,
        5,
    ),
    "gaussian": ("xp.exp(-z * z)", lambda t: -2 * t * math.exp(-t * t), -2, 2),
    "linear": ("3 * z + 1", lambda t: 3.0, -5, 5),
    "constant": ("0 * z + 1", lambda t: 0.0, -5, 5),
}
NAMES = st.sampled_from(sorted(FUNCTIONS))
PROGRAMS: dict[str, Program] = {
    name: program_from(
        f"def forward(xp, x, scale):\n    z = x / scale\n    f = {body}\n    return f\n"
    )
    for name, (body, _, _, _) in FUNCTIONS.items()
}


def differentiate(
    name: str, points: list[float], scale: float, dtype: str = "float64"
) -> tuple[Gradients, np.ndarray]:
    """The result at `scale * points`, and the truth there."""
    program = PROGRAMS[name]
    x = np.array([point * scale for point in points]).astype(dtype)
    sample = sample_for(
        program,
        {"x": x, "scale": np.array(scale).astype(dtype)},
        dtype=dtype,
        differentiable=("x",),
    )
    there = sample.inputs["x"].astype(np.float64) / float(sample.inputs["scale"])
    truth = [FUNCTIONS[name][1](t) / float(sample.inputs["scale"]) for t in there.tolist()]
    return NumericBackend().differentiate(program, sample), np.array(truth)


@numerical
@given(name=NAMES, position=st.floats(0, 1), exponent=st.integers(-6, 6))
def test_the_true_error_is_within_the_uncertainty_and_that_is_useful(
    name: str, position: float, exponent: int
) -> None:
    _, derivative, low, high = FUNCTIONS[name]
    point = low + position * (high - low)
    scale = 10.0**exponent
    found, truth = differentiate(name, [point], scale)
    error = np.abs(found.gradients["x"] - truth)
    uncertainty = found.uncertainty["x"]
    assert np.all(error <= uncertainty + 4e-16 * np.abs(truth))
    if abs(point) > 0.1:
        # relative to the function where its derivative happens to vanish
        size = max(abs(derivative(point)), 1.0) / scale
        assert np.all(uncertainty <= 1e-5 * size)


@numerical
@given(name=NAMES, position=st.floats(0, 1), exponent=st.integers(-3, 3))
def test_in_float32_too(name: str, position: float, exponent: int) -> None:
    _, derivative, low, high = FUNCTIONS[name]
    point = low + position * (high - low)
    assume(abs(point) > 0.1)
    scale = 2.0**exponent  # exact, so that the truth is that of the same function
    found, truth = differentiate(name, [point], scale, "float32")
    gradient = found.gradients["x"]
    assert gradient.dtype == np.float32
    error = np.abs(gradient.astype(np.float64) - truth)
    uncertainty = found.uncertainty["x"]
    assert np.all(error <= uncertainty + 2.0**-23 * np.abs(truth))
    assert np.all(uncertainty <= 0.2 * max(abs(derivative(point)), 1.0) / scale)


@numerical
@given(exponents=st.lists(st.integers(-6, 6), min_size=2, max_size=6))
def test_elements_of_different_magnitude_do_not_spoil_each_other(exponents: list[int]) -> None:
    program = program_from("def forward(xp, x):\n    f = xp.sum(x ** 3)\n    return f\n")
    x = np.array([1.5 * 10.0**exponent for exponent in exponents])
    found = NumericBackend().differentiate(program, sample_for(program, {"x": x}))
    error = np.abs(found.gradients["x"] - 3 * x**2)
    assert np.all(error <= found.uncertainty["x"])


RECORDED = """
    seen = []

    def forward(xp, x):
        seen.extend(x.ravel().tolist())
        f = xp.sum({body})
        return f
"""


@numerical
@given(
    low=st.floats(-10, 10),
    width=st.floats(1e-3, 10),
    position=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1)),
    near=st.sampled_from([0.0, 1e-12, 1e-6]),
)
def test_no_evaluation_leaves_a_declared_domain(
    low: float, width: float, position: float, near: float
) -> None:
    high = low + width
    x = min(max(low + position * width + near, low), high)
    program = program_from(RECORDED.format(body="xp.exp(x)"))
    sample = sample_for(program, {"x": np.array([x])}, domains={"x": (low, high)})
    seen = program.functions["seen"]
    seen.clear()
    found = NumericBackend().differentiate(program, sample)
    assert len(seen) > 3
    assert low <= min(seen) <= max(seen) <= high
    truth = math.exp(x)
    error = abs(float(found.gradients["x"][0]) - truth)
    assert error <= float(found.uncertainty["x"][0]) <= 1e-4 * truth


@pytest.mark.parametrize("x", [1e-7, 2e-7, 0.5, 1 - 1e-9, 1.0])
def test_log_near_the_edge_of_its_domain(x: float) -> None:
    """torch's `gradcheck` fails it at 1e-7, since the step leaves the domain."""
    program = program_from(RECORDED.format(body="xp.log(x)"))
    sample = sample_for(program, {"x": np.array([x])}, domains={"x": (1e-7, 1.0)})
    found = NumericBackend().differentiate(program, sample)
    assert min(program.functions["seen"]) >= 1e-7
    assert max(program.functions["seen"]) <= 1
    assert found.gradients["x"][0] == pytest.approx(1 / x, rel=1e-6)


def test_a_domain_too_narrow_for_any_step_gives_no_number() -> None:
    program = program_from("def forward(xp, x):\n    f = xp.sum(x)\n    return f\n")
    domain = (1.0, 1.0 + 1e-14)
    sample = sample_for(program, {"x": np.array([1.0])}, domains={"x": domain})
    found = NumericBackend().differentiate(program, sample)
    assert np.isnan(found.gradients["x"][0])
    assert found.uncertainty["x"][0] == np.inf


RELU = "def forward(xp, x):\n    f = xp.sum(xp.maximum(x, xp.zeros_like(x)))\n    return f\n"


@numerical
@given(offset=st.sampled_from([0.0, 1e-12, -1e-12, 1e-9, -1e-9, 3e-9, -5e-9]))
def test_a_kink_within_the_step_is_seen(offset: float) -> None:
    """scipy and numdifftools report 0.5 at relu's kink, with an error of 0."""
    program = program_from(RELU)
    found = NumericBackend().differentiate(
        program, sample_for(program, {"x": np.array([offset, 1.0, -1.0])})
    )
    truths = [0.0, 1.0] if offset == 0 else [float(offset > 0)]
    for truth in truths:
        error = abs(found.gradients["x"][0] - truth)
        assert error <= found.uncertainty["x"][0] + 1e-9
    np.testing.assert_allclose(found.gradients["x"][1:], [1, 0], atol=1e-9)
    assert np.all(found.uncertainty["x"][1:] < 1e-8)


def test_the_kink_itself_is_as_uncertain_as_its_slopes_differ() -> None:
    program = program_from(RELU)
    found = NumericBackend().differentiate(program, sample_for(program, {"x": np.zeros(2)}))
    np.testing.assert_allclose(found.gradients["x"], 0.5)
    assert np.all(found.uncertainty["x"] >= 0.5)
    assert np.all(found.uncertainty["x"] < 0.6)


def test_an_uncertain_number_is_never_infinitely_so() -> None:
    """Beside an infinite uncertainty every other gradient would look right."""
    program = program_from("def forward(xp, x):\n    f = xp.sum(xp.sqrt(x))\n    return f\n")
    for tiny in (1e-13, 2e-12, 5e-12, 1e-11, 5e-11):
        sample = sample_for(program, {"x": np.array([tiny, 1.0])})
        with np.errstate(invalid="ignore"):
            found = NumericBackend().differentiate(program, sample)
        unknown = np.isnan(found.gradients["x"])
        assert np.all(np.isfinite(found.uncertainty["x"]) | unknown)


@pytest.mark.parametrize("x", [0.0, 1.5, -1e-8, 1e8])
def test_a_scalar(x: float) -> None:
    program = program_from("def forward(xp, x):\n    f = x * x\n    return f\n")
    found = NumericBackend().differentiate(program, sample_for(program, {"x": np.array(x)}))
    assert found.gradients["x"].shape == ()
    assert abs(found.gradients["x"] - 2 * x) <= found.uncertainty["x"]
    assert found.values["f"] == x * x


@pytest.mark.parametrize("x", [1e-9, -1e-12, 1e-20, 1e-120, 5e-324])
def test_a_tiny_input_of_a_function_that_is_not_tiny(x: float) -> None:
    """A step in proportion would be lost in rounding, and leave 0 with a useless uncertainty."""
    program = program_from("def forward(xp, x):\n    f = xp.exp(x)\n    return f\n")
    found = NumericBackend().differentiate(program, sample_for(program, {"x": np.array(x)}))
    assert found.gradients["x"] == pytest.approx(1, rel=1e-8)
    assert found.uncertainty["x"] < 1e-6


@pytest.mark.parametrize("x", [1.0, 1e-40, -1e-45])
def test_tiny_inputs_in_float32(x: float) -> None:
    program = program_from("def forward(xp, x):\n    f = xp.exp(x)\n    return f\n")
    sample = sample_for(program, {"x": np.array(x)}, dtype="float32")
    found = NumericBackend().differentiate(program, sample)
    assert found.gradients["x"] == pytest.approx(math.exp(x), rel=1e-2)


@pytest.mark.parametrize("domain", [None, (1.0, 2.0)])
def test_a_fixed_step_below_the_spacing_of_the_floats_gives_no_number(
    domain: tuple[float, float] | None,
) -> None:
    program = program_from("def forward(xp, x):\n    f = xp.exp(x)\n    return f\n")
    sample = sample_for(program, {"x": np.array(1.0)}, domains={"x": domain} if domain else {})
    numeric = NumericBackend(step=1e-20)
    found = numeric.differentiate(program, sample)
    assert np.isnan(found.gradients["x"])
    assert found.uncertainty["x"] == np.inf
    assert np.isnan(numeric.gradient_function(program, sample)([np.array(1.0)])[0])


@pytest.mark.parametrize("shape", [(0,), (2, 0)])
def test_no_elements(shape: tuple[int, ...]) -> None:
    program = program_from("def forward(xp, x):\n    f = xp.sum(x * x)\n    return f\n")
    found = NumericBackend().differentiate(program, sample_for(program, {"x": np.zeros(shape)}))
    assert found.gradients["x"].shape == shape
    assert not found.sampled


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_layout_in_memory_does_not_matter(order: str) -> None:
    program = program_from("def forward(xp, x):\n    f = xp.sum(x ** 3)\n    return f\n")
    x = np.asarray(np.arange(1.0, 7.0).reshape(2, 3), order=order)
    for array in (x, x[:, ::-1], x.T):
        sample = sample_for(program, {"x": array})
        found = NumericBackend().differentiate(program, sample)
        np.testing.assert_allclose(found.gradients["x"], 3 * array**2, rtol=1e-8)
        (trained,) = NumericBackend().gradient_function(program, sample)([array])
        np.testing.assert_allclose(trained, 3 * array**2, rtol=1e-6)


def test_the_sample_is_left_as_it_was() -> None:
    program = program_from("def forward(xp, x):\n    f = xp.sum(x ** 3)\n    return f\n")
    x = np.array([1.0, 2.0])
    sample = sample_for(program, {"x": x.copy()})
    NumericBackend().differentiate(program, sample)
    np.testing.assert_array_equal(sample.inputs["x"], x)


@numerical
@given(
    cotangent=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    other=st.floats(-3, 3),
)
def test_several_outputs_with_any_cotangent(cotangent: list[float], other: float) -> None:
    program = program_from("""
        def forward(xp, x, w):
            q = xp.sin(x)
            f = q * w
            g = xp.sum(q * q)
            return f, g
    """)
    x, w = np.array([0.3, 1.0, -2.0]), np.array([1.0, 2.0, 3.0])
    df = np.array(cotangent)
    sample = sample_for(program, {"x": x, "w": w}, cotangents=(df, other))
    found = NumericBackend().differentiate(program, sample, Task("vjp", ("q",)))
    dq = df * w + 2 * other * np.sin(x)
    for got, key, truth in (
        (found.gradients, "x", dq * np.cos(x)),
        (found.gradients, "w", df * np.sin(x)),
        (found.intermediates, "q", dq),
    ):
        error = np.abs(got[key] - truth)
        assert np.all(error <= found.uncertainty[key] + 1e-15)
        assert np.all(error < 1e-7)
    np.testing.assert_array_equal(found.values["q"], np.sin(x))


def test_a_large_input_is_sampled_and_says_so() -> None:
    program = program_from("def forward(xp, x):\n    f = xp.sum(x * x)\n    return f\n")
    x = np.linspace(1, 2, FULL + 100).reshape(-1, 4)
    found = NumericBackend().differentiate(program, sample_for(program, {"x": x}))
    again = NumericBackend().differentiate(program, sample_for(program, {"x": x}))
    indices = found.sampled["x"]
    np.testing.assert_array_equal(indices, again.sampled["x"])
    assert len(indices) == len(set(indices.tolist())) == FULL
    flat = found.gradients["x"].ravel()
    np.testing.assert_allclose(flat[indices], 2 * x.ravel()[indices], rtol=1e-6)
    assert np.isnan(np.delete(flat, indices)).all()
    assert f"sampled: {FULL} of {FULL + 100} elements of x and 8 random" in found.detail


def test_a_large_intermediate_is_sampled_more_thinly() -> None:
    program = program_from(
        "def forward(xp, x):\n    q = x * x\n    f = xp.sum(q * q)\n    return f\n"
    )
    sample = sample_for(program, {"x": np.ones(FULL_INTERMEDIATE + 10)})
    found = NumericBackend().differentiate(program, sample, Task("vjp", ("q",)))
    assert len(found.sampled["q"]) == FULL_INTERMEDIATE
    assert "x" not in found.sampled


@numerical
@given(x=st.floats(-2, 2), exponent=st.integers(-6, -1))
def test_a_fixed_step_is_the_plain_quotient(x: float, exponent: int) -> None:
    step = 10.0**exponent
    program = program_from("def forward(xp, x):\n    f = xp.exp(x)\n    return f\n")
    found = NumericBackend(step=step).differentiate(
        program, sample_for(program, {"x": np.array(x)})
    )
    above, below = x + step, x - step
    assert found.gradients["x"] == (np.exp(above) - np.exp(below)) / (above - below)


def test_the_value_alone_needs_one_evaluation() -> None:
    program = program_from(RECORDED.format(body="x"))
    sample = sample_for(program, {"x": np.array([1.0])})
    program.functions["seen"].clear()
    found = NumericBackend().differentiate(program, sample, Task("value"))
    assert program.functions["seen"] == [1.0]
    assert not found.gradients


def test_an_intermediate_that_is_zero_has_a_gradient() -> None:
    program = program_from("""
        def forward(xp, x):
            q = x - x
            f = xp.sum(xp.exp(q) * x)
            return f
    """)
    x = np.array([2.0, 3.0])
    sample = sample_for(program, {"x": x})
    found = NumericBackend().differentiate(program, sample, Task("vjp", ("q",)))
    np.testing.assert_allclose(found.intermediates["q"], x, rtol=1e-8)


HARD = [
    # the function, the point, the derivative: it hides from a step, or in rounding
    ("x * xp.floor(x)", 1000.3, 1000.0),
    ("xp.log(1 + x**2)", 1e-6, 2e-6 / (1 + 1e-12)),
    ("xp.log(1 + x**2)", 1e-8, 2e-8),
    ("xp.log(1 + x**2)", 1e-20, 2e-20),
    ("xp.log(xp.cosh(x))", 1e-7, math.tanh(1e-7)),
    ("1 - xp.cos(x)", 1e-7, math.sin(1e-7)),
    ("xp.sign(x) * xp.abs(x) ** (1 / 3)", 1e-30, 1e20 / 3),
    ("xp.minimum(xp.cosh(x) ** 3, 1.0)", 1e-9, 0.0),
    ("xp.where(x > 1, x * x, 3 * x)", 1 + 1e-9, 2 + 2e-9),
    ("xp.sin(x) + 1e3 * xp.round(50 * x)", 0.3333, math.cos(0.3333)),
    ("(x + 1e8) - 1e8", 0.3, 1.0),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("body", "at", "truth"), HARD, ids=[each[0] for each in HARD])
def test_the_error_is_no_more_than_the_estimate_where_it_is_hard_to_see(
    body: str, at: float, truth: float, dtype: str
) -> None:
    program = program_from(f"def forward(xp, x):\n    f = {body}\n    return f\n")
    sample = sample_for(program, {"x": np.array([at])}, dtype=dtype)
    if float(sample.inputs["x"][0]) == 1:  # 1 + 1e-9 as float32 has it
        truth = 3.0
    with np.errstate(all="ignore"):
        found = NumericBackend().differentiate(program, sample)
    got, error = found.gradients["x"][0], found.uncertainty["x"][0]
    if math.isfinite(error):
        assert abs(got - truth) <= 1.01 * error + 1e-4 * abs(truth) * (dtype == "float32")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_has_no_finite_estimate_is_not_known() -> None:
    program = program_from("def forward(xp, x):\n    f = xp.exp(xp.exp(x))\n    return f\n")
    found = NumericBackend().differentiate(program, sample_for(program, {"x": np.array([8.0])}))
    assert found.sampled["x"].tolist() == []


def test_where_a_library_refuses_a_place_nearby_there_is_no_value() -> None:
    """A matrix that is barely positive has no Cholesky decomposition a step further."""
    program = program_from("""
        def forward(xp, a):
            f = xp.sum(xp.linalg.cholesky(a))
            return f
    """)
    matrix = np.array([[1.0, 1.0], [1.0, 1.0 + 2.0**-52]])
    found = NumericBackend().differentiate(program, sample_for(program, {"a": matrix}))
    assert not np.isfinite(found.uncertainty["a"][1, 1])

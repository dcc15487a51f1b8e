"""JVPs and HVPs by differences: what they say of their own error is true, and is useful."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import numerical, program_from, sample_for
from hypothesis import given
from hypothesis import strategies as st

from harness.backends.manual import ManualBackend
from harness.backends.numeric import FULL_HESSIAN, NumericBackend
from harness.errors import Unsupported
from harness.model import Gradients, Sample, Task
from harness.programs.program import Program

#: f(x, y) over vectors, smooth everywhere, with everything that its derivatives need.
FORWARD = """
def forward(xp, x, y):
    q = xp.sin(x) * y
    f = q * q + xp.exp(y)
    s = xp.sum(q)
    return f, s
"""
BACKWARD = """
def backward(xp, df, ds, x, y, q):
    dq = 2 * q * df + ds
    return {"x": dq * xp.cos(x) * y, "y": dq * xp.sin(x) + df * xp.exp(y)}
"""


def truth(sample: Sample) -> dict[str, np.ndarray]:
    """JVP and HVP of FORWARD in float64, by hand."""
    x, y = (sample.inputs[name].astype(np.float64) for name in "xy")
    v, w = (sample.tangents[name].astype(np.float64) for name in "xy")
    df, ds = (each.astype(np.float64) for each in sample.cotangents)
    q, moved = np.sin(x) * y, np.cos(x) * y * v + np.sin(x) * w
    dq, ddq = 2 * q * df + ds, 2 * moved * df
    return {
        "f": 2 * q * moved + np.exp(y) * w,
        "s": np.sum(moved),
        "x": ddq * np.cos(x) * y + dq * (np.cos(x) * w - np.sin(x) * y * v),
        "y": ddq * np.sin(x) + dq * np.cos(x) * v + df * np.exp(y) * w,
    }


def moving(program: Program, inputs: dict[str, Any], dtype: str = "float64", **more: Any) -> Sample:
    with np.errstate(all="ignore"):
        sample = sample_for(program, inputs, dtype=dtype, **more)
    rng = np.random.default_rng(11)
    tangents = {
        path: np.asarray(rng.normal(size=np.shape(sample.inputs[path]))).astype(dtype)
        for path in sample.differentiable
    }
    return replace(sample, tangents=tangents)


def along(body: str, x: Any, v: Any, mode: str = "jvp", **more: Any) -> Gradients:
    """The derivative of one line along `v`."""
    program = program_from(f"def forward(xp, x):\n    f = {body}\n    return f\n")
    sample = moving(program, {"x": np.asarray(x, np.float64)}, **more)
    sample = replace(sample, tangents={"x": np.asarray(v, np.float64)})
    return NumericBackend().differentiate(program, sample, Task(mode))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("backward", [BACKWARD, ""], ids=["backward", "none"])
@pytest.mark.parametrize("mode", ["jvp", "hvp"])
@numerical
@given(
    numbers=st.lists(st.floats(-3, 3, width=32), min_size=6, max_size=6),
    exponent=st.integers(-3, 0),
)
def test_the_true_error_is_within_the_uncertainty_and_that_is_useful(
    mode: str, backward: str, dtype: str, numbers: list[float], exponent: int
) -> None:
    program = program_from(FORWARD + backward)
    x, y = np.array(numbers[:3]) * 10.0**exponent, np.array(numbers[3:])
    sample = moving(program, {"x": x, "y": y}, dtype)
    found = NumericBackend().differentiate(program, sample, Task(mode))  # type: ignore[arg-type]
    got, expected = found.jvps if mode == "jvp" else found.hvps, truth(sample)
    assert list(got) == (["f", "s"] if mode == "jvp" else ["x", "y"])
    # The largest derivatives here are around 100. A second difference in float32 is nearly nothing.
    twice = mode == "hvp" and not backward
    useful = {"float64": 0.05 if twice else 1e-5, "float32": np.inf if twice else 2.0}[dtype]
    for name, array in got.items():
        assert array.dtype == np.dtype(dtype)
        assert array.shape == expected[name].shape == found.uncertainty[name].shape
        error = np.abs(array - expected[name])
        assert np.all(error <= found.uncertainty[name] + np.spacing(np.abs(array)))
        assert np.all(found.uncertainty[name] <= useful)
    assert found.gradients == {}
    if mode == "hvp":
        assert found.detail == f"differences of {'`backward`' if backward else 'differences'}"


def test_an_hvp_is_that_of_the_backward_where_there_is_one() -> None:
    """A wrong one included, which is how it is found out."""
    wrong = FORWARD + BACKWARD.replace("df * xp.exp(y)", "3 * df * xp.exp(y)")
    program = program_from(wrong)
    sample = moving(program, {"x": np.array([0.5, 1.0]), "y": np.array([0.2, -0.4])})
    found = NumericBackend().differentiate(program, sample, Task("hvp")).hvps
    expected = truth(sample)
    np.testing.assert_allclose(found["x"], expected["x"], rtol=1e-6)
    assert np.all(np.abs(found["y"] - expected["y"]) > 0.1)


def test_the_rounding_of_the_arguments_is_part_of_the_uncertainty() -> None:
    """`x + t v` is off by half a unit in the last place, which a million of times over is seen."""
    rng = np.random.default_rng(2)
    for _ in range(50):
        x, v = rng.uniform(1, 2, (2, 3))
        found = along("xp.sin(1e6 * (x - 1.5))", x, v)
        expected = 1e6 * np.cos(1e6 * (x - 1.5)) * v
        assert np.all(np.abs(found.jvps["f"] - expected) <= found.uncertainty["f"])
        assert np.all(found.uncertainty["f"] <= 1e-2 * 1e6)


@pytest.mark.parametrize(
    ("body", "x", "v"),
    [
        ("xp.log(x)", [1e-7, 1.0], [0.5, -2.0]),
        ("xp.sqrt(x) * xp.sum(x)", [1e-9, 4.0], [1.0, 1.0]),
        ("1 / x", [1e-3, 1e3], [1.0, -1.0]),
        ("x * x", [0.0, 1e8], [3.0, 1e-3]),
    ],
)
@np.errstate(divide="ignore")
def test_arguments_of_very_different_sizes(body: str, x: list[float], v: list[float]) -> None:
    found = along(body, x, v)
    a, b = np.array(x), np.array(v)
    expected = {
        "xp.log(x)": b / a,
        "xp.sqrt(x) * xp.sum(x)": b / (2 * np.sqrt(a)) * a.sum() + np.sqrt(a) * b.sum(),
        "1 / x": -b / a**2,
        "x * x": 2 * a * b,
    }[body]
    assert np.all(np.abs(found.jvps["f"] - expected) <= found.uncertainty["f"])
    assert np.all(found.uncertainty["f"] <= 1e-3 * np.max(np.abs(expected)))


def test_no_evaluation_leaves_the_domain() -> None:
    program = program_from(
        "def forward(xp, x):\n    assert xp.all((x >= 0) & (x <= 1))\n"
        "    f = xp.exp(x)\n    return f\n"
    )
    x = np.array([0.0, 0.5, 0.25])
    sample = moving(program, {"x": x}, domains={"x": (0.0, 1.0)})
    v = np.array([1.0, -2.0, 0.5])
    for sign in (1, -1):  # towards the inside, one-sided either way
        there = replace(sample, tangents={"x": sign * v})
        found = NumericBackend().differentiate(program, there, Task("jvp"))
        assert np.all(np.abs(found.jvps["f"] - sign * np.exp(x) * v) <= found.uncertainty["f"])
        assert np.all(found.uncertainty["f"] <= 1e-6)
        assert found.sampled == {}


def test_where_every_step_leaves_the_domain_nothing_is_known() -> None:
    found = along("xp.exp(x)", [0.0, 0.0], [1.0, -1.0], domains={"x": (0.0, 1.0)})
    assert np.isnan(found.jvps["f"]).all()
    assert found.sampled["f"].size == 0


@pytest.mark.parametrize("body", ["xp.abs(x)", "xp.maximum(x, 0.0)", "xp.floor(x) * x"])
def test_a_kink_makes_it_uncertain(body: str) -> None:
    found = along(body, [0.0, 2.5], [1.5, 1.5])
    assert found.uncertainty["f"][0] > 0.1
    assert found.uncertainty["f"][1] < 1e-6


def test_a_derivative_of_zero_is_zero() -> None:
    found = along("xp.ones((2,)) + 0 * x", [3.0, -4.0], [1.0, 1.0])
    np.testing.assert_array_equal(found.jvps["f"], [0.0, 0.0])
    found = along("3 * x", [3.0, -4.0], [1.0, 1.0], "hvp")
    assert np.all(np.abs(found.hvps["x"]) <= found.uncertainty["x"])


def test_an_infinite_argument_stays_where_it_is() -> None:
    found = along("xp.exp(x)", [-np.inf, 1.0], [1.0, 2.0])
    np.testing.assert_allclose(found.jvps["f"], [0.0, 2 * np.e], rtol=1e-8)


def test_a_fixed_step_is_the_only_one() -> None:
    program = program_from("def forward(xp, x):\n    f = x * x * x\n    return f\n")
    sample = moving(program, {"x": np.array(1.0)})
    sample = replace(sample, tangents={"x": np.array(2.0)})
    found = NumericBackend(step=0.125).differentiate(program, sample, Task("jvp"))
    assert found.jvps["f"] == ((1.25**3) - (0.75**3)) / 0.25


def test_integer_outputs_have_no_jvp() -> None:
    program = program_from(
        "def forward(xp, x):\n    a = xp.argmax(x)\n    f = x * x\n    return a, f\n"
    )
    sample = moving(program, {"x": np.array([1.0, 2.0])})
    assert list(NumericBackend().differentiate(program, sample, Task("jvp")).jvps) == ["f"]


def test_without_a_backward_many_elements_are_too_many() -> None:
    many = np.ones(FULL_HESSIAN + 1)
    with pytest.raises(Unsupported, match="no `backward`"):
        along("x * x", many, many, "hvp")
    assert along("x * x", many[1:], many[1:], "hvp").hvps["x"].shape == (FULL_HESSIAN,)


def test_a_backward_that_leaves_a_gradient_out() -> None:
    program = program_from(FORWARD + BACKWARD.replace('"x": dq * xp.cos(x) * y, ', ""))
    sample = moving(program, {"x": np.ones(2), "y": np.ones(2)})
    with pytest.raises(Unsupported, match="no gradient for `x`"):
        NumericBackend().differentiate(program, sample, Task("hvp"))


@pytest.mark.parametrize("mode", ["jvp", "hvp"])
def test_intermediates_are_recorded(mode: str) -> None:
    program = program_from(FORWARD + BACKWARD)
    sample = moving(program, {"x": np.ones(2), "y": np.ones(2)})
    task = Task(mode, ("q",))  # type: ignore[arg-type]
    found = NumericBackend().differentiate(program, sample, task)
    np.testing.assert_array_equal(found.values["q"], np.sin(np.ones(2)))
    assert found.intermediates == {}


@pytest.mark.parametrize("mode", ["jvp", "hvp"])
def test_a_backward_is_a_vjp_and_nothing_else(mode: str) -> None:
    program = program_from(FORWARD + BACKWARD)
    sample = moving(program, {"x": np.ones(2), "y": np.ones(2)})
    with pytest.raises(Unsupported, match=f"no {mode.upper()}"):
        ManualBackend().differentiate(program, sample, Task(mode))  # type: ignore[arg-type]


def test_the_sample_is_left_alone() -> None:
    program = program_from(FORWARD + BACKWARD)
    sample = moving(program, {"x": np.ones(2), "y": np.ones(2)})
    for array in (*sample.inputs.values(), *sample.tangents.values(), *sample.cotangents):
        array.flags.writeable = False
    for mode in ("jvp", "hvp"):
        NumericBackend().differentiate(program, sample, Task(mode))  # type: ignore[arg-type]

"""What becomes a certified reference, and what does not."""

from __future__ import annotations

import numpy as np
import pytest
from builders import program_from, sample_for

from harness.judging.compare import judge
from harness.judging.evidence import Evidence
from harness.judging.verdict import Tolerance
from harness.model import Status

DISTANCE = """
def forward(xp, x, y):
    f = xp.sqrt(xp.sum((xp.sin(x) - xp.sin(y))**2))
    return f
"""


def evidence(text: str, dtype: str = "float64", **inputs: object) -> Evidence:
    program = program_from(text)
    arrays = {name: np.asarray(each, np.float64) for name, each in inputs.items()}
    return Evidence(program, sample_for(program, arrays, dtype=dtype))


def test_a_distance_of_zero_is_zero_and_not_nan() -> None:
    """Balls alone find the root of a ball around zero, which is none; every backend finds 0."""
    found = evidence(DISTANCE, x=[0.3, 0.7], y=[0.3, 0.7])
    value = found.value("f")
    assert (value.source, value.value) == ("certified", 0.0)
    slope = found.derivative("x")
    assert slope.source == "certified"
    assert slope.sides is not None
    np.testing.assert_allclose(slope.sides, [-np.cos([0.3, 0.7]), np.cos([0.3, 0.7])], rtol=1e-15)
    assert judge(np.zeros(2), slope, Tolerance(), "float64").status == Status.KINK


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("backward", [True, False])
def test_what_is_not_a_number_is_no_reference(backward: bool) -> None:
    text = "def forward(xp, x):\n    f = xp.log(x)\n    return f\n"
    if backward:
        text += '\n\ndef backward(xp, df, x):\n    return {"x": df / x}\n'
    found = evidence(text, x=[-1.0, 2.0])
    value = found.value("f")
    assert value.sampled is not None
    assert value.sampled.tolist() == [1]
    verdict = judge(np.array([np.nan, np.log(2.0)]), value, Tolerance(), "float64")
    assert verdict.status == Status.UNDECIDED
    assert "judged at 1 of 2 elements" in verdict.detail
    assert judge(np.array([np.nan, 1.0]), value, Tolerance(), "float64").status == Status.FAIL
    nothing = evidence(text, x=[-1.0]).value("f")
    assert judge(np.array([np.nan]), nothing, Tolerance(), "float64").status == Status.UNDECIDED
    slope = evidence(text, x=[-1.0]).derivative("x")
    assert judge(np.array([-1.0]), slope, Tolerance(), "float64").status == Status.UNDECIDED


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_value_is_a_reference_once_its_ball_is_narrow() -> None:
    """At 128 bits exp(exp(100)) is a ball around zero; it is beyond the range of float64."""
    text = "def forward(xp, x):\n    f = xp.exp(xp.exp(x))\n    return f\n"
    backward = '\n\ndef backward(xp, df, x, f):\n    return {"x": df * f * xp.exp(x)}\n'
    for whole in (text, text + backward):
        assert evidence(whole, x=100.0).value("f").value == np.inf


def test_a_cast_to_a_narrower_format_may_round() -> None:
    text = """
def forward(xp, x):
    f = xp.astype(xp.astype(xp.sin(x), xp.float32), xp.float64)
    return f


def backward(xp, df, x):
    return {"x": df * xp.cos(x)}
"""
    found = evidence(text, x=0.7)
    assert found.certificate.state == "verified"
    got = np.asarray(np.float64(np.float32(np.sin(0.7))))
    truth = found.value("f")
    assert truth.source == "certified"
    assert abs(float(got - truth.value)) <= float(truth.uncertainty) < 1e-7
    hangs = text.replace("xp.sin(x), xp.float32)", "x, xp.float32)").replace(
        "xp.float64)\n", "xp.float64)\n    f = xp.where(f > x, 2 * x, x)\n"
    )
    assert evidence(hangs, x=0.7).certificate.state == "undecided"

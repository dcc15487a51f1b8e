"""What is deliberately no part of a gradient is none in any method."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from builders import program_from, sample_for

from harness.backends.numeric import NumericBackend
from harness.cases.case import Case
from harness.model import Task
from harness.runs.engine import Engine
from harness.runs.plan import Request, cells
from harness.truth.certificate import certify

#: Body of `forward`, and the gradient with respect to x, both of numbers without ties.
PROGRAMS = {
    "straight through": ("f = x + xp.stop_gradient(xp.round(x) - x)", "df"),
    "reversed": ("f = 2 * xp.stop_gradient(x) - x", "-df"),
    "detached scale": (
        "s = xp.stop_gradient(xp.max(xp.abs(x)))\n    f = xp.tanh(x / s) * s",
        "df * (1 - xp.tanh(x / xp.max(xp.abs(x))) ** 2)",
    ),
    "two of them": ("f = x * xp.stop_gradient(x) + xp.stop_gradient(x) ** 2", "df * x"),
    "an intermediate": ("q = xp.exp(x)\n    f = q * xp.stop_gradient(q)", "df * xp.exp(x) ** 2"),
}
YAML = "inputs: {x: {value: [0.3, -1.2, 2.6, 0.7]}}\n"


def text(name: str, wrong: str = "") -> str:
    body, gradient = PROGRAMS[name]
    return (
        f"def forward(xp, x):\n    {body}\n    return f\n\n\n"
        f"def backward(xp, df, x):\n    return {{'x': {gradient}{wrong}}}\n"
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_stopped_gradient_is_verified_and_agreed_on(case: Callable[..., Case], name: str) -> None:
    made = case(text(name), YAML)
    request = Request(backends=("manual", "numeric"), draws=1, modes=("vjp",))
    rows = [row for _, some in Engine([made], request).run(cells([made], request)) for row in some]
    assert {row.status for row in rows} == {"pass"}
    assert {row.reference for row in rows} == {"certified"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_gradient_that_would_flow_is_proved_wrong(name: str) -> None:
    program = program_from(text(name, " + df * x"))
    found = certify(program, sample_for(program, {"x": np.array([0.3, -1.2, 2.6, 0.7])}))
    assert found.state == "wrong"


@pytest.mark.parametrize("mode", ["vjp", "jvp", "hvp"])
def test_differences_do_not_see_it_move(mode: str) -> None:
    program = program_from(text("two of them"))
    x = np.array([0.3, -1.2])
    sample = sample_for(program, {"x": x})
    sample.tangents["x"] = np.array([1.0, 2.0])
    found = NumericBackend().differentiate(program, sample, Task(mode))  # type: ignore[arg-type]
    got = {**found.gradients, **found.jvps, **found.hvps}
    want = {"vjp": x, "jvp": x * [1.0, 2.0], "hvp": np.zeros(2)}[mode]
    np.testing.assert_allclose(next(iter(got.values())), want, atol=1e-6)
    train = NumericBackend().gradient_function(program, sample)
    np.testing.assert_allclose(train([x])[0], x, atol=1e-6)

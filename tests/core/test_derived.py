"""The derived backward against numeric differences and in balls: every rule, and what is moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from builders import program_from, sample_for

from harness.backends.manual import ManualBackend
from harness.backends.numeric import NumericBackend
from harness.cases.sampling import NUMPY
from harness.derived.program import Derived
from harness.errors import Unsupported
from harness.truth.certificate import certify

BODIES = [
    *(
        f"xp.{name}(x)"
        for name in """
        abs acos asin asinh atan atanh cos cosh exp expm1 log log1p log2 log10 negative reciprocal
        sin sinh sqrt square tan tanh prod max min std var mean
        """.split()
    ),
    "xp.acosh(1 + x)",
    "xp.cumulative_sum(x, axis=1) ** 3",
    "xp.cumulative_prod(x, axis=0)",
    "xp.prod(x) * xp.prod(x - x[0, 0], axis=0, keepdims=True)",
    "x + y * x - x / y + 2 * x - 3 / x",
    "x**y + x**3 + 2.0**x",
    "xp.atan2(x, y) + xp.hypot(x, y) + xp.logaddexp(x, y)",
    "xp.maximum(x, y) * xp.minimum(x, 0.5) + xp.clip(x, 0.3, 0.6)",
    "xp.where(x > y, x * x, y) + xp.copysign(x, y - 0.5) + xp.remainder(3 * x, y)",
    "xp.matmul(x, xp.matrix_transpose(y)) @ x[:, 0]",
    "y[0] @ xp.matmul(xp.matrix_transpose(x), x)",
    "xp.tensordot(x, y, axes=[[0, 1], [0, 1]]) * xp.vecdot(x, y)",
    "xp.linalg.solve(x @ xp.matrix_transpose(x), y @ y.T) + xp.linalg.det(x @ x.T)",
    "xp.linalg.inv(x @ y.T) * xp.linalg.slogdet(x @ x.T)[1]",
    "xp.linalg.cholesky(x @ x.T + xp.eye(2)) + xp.linalg.trace(x @ y.T)",
    "xp.linalg.vector_norm(x, axis=1) + xp.linalg.outer(x[0], y[1])[0, :2]",
    "xp.linalg.cross(x, y) + xp.linalg.matrix_power(x @ y.T, 2)[0, 0]",
    "xp.concat([x, y * x], axis=0) * xp.reshape(xp.stack([x, x]), (4, 3))",
    "xp.roll(x, 1, axis=0) * xp.flip(x) + xp.tile(x[:1], (2, 1)) + xp.tril(x)",
    "xp.take(x, xp.asarray([0, 0, 2]), axis=1) * xp.broadcast_to(x[:, :1], (2, 3))",
    "xp.sort(x, axis=1) * xp.permute_dims(x, (1, 0)).T + xp.expand_dims(x, axis=0)[0]",
    "xp.diff(x, axis=1) * x[:, 1:] + xp.repeat(x[:, :1], 2, axis=1) * x[1, ::2]",
    "xp.sum(xp.mean(x, axis=0) * xp.max(x, axis=0)) * xp.squeeze(x[:, :1], axis=1)",
    "sum(xp.unstack(x)) * xp.std(x, axis=0, correction=1) + xp.moveaxis(x, 0, 1)[:, 0]",
]


def case(body: str) -> tuple[Any, Any]:
    text = f"def forward(xp, a, y):\n    x = 1 * a\n    f = {body}\n    return f\n"
    program = program_from(text)
    rng = np.random.default_rng(3)
    a, y = rng.uniform(0.1, 0.9, (2, 2, 3))
    shape = np.shape(program.forward(NUMPY, {"a": a, "y": y}).outputs[0])
    return program, sample_for(program, {"a": a, "y": y}, cotangents=(rng.normal(size=shape),))


@pytest.mark.parametrize("body", BODIES)
def test_a_rule_agrees_with_numeric_differences(body: str) -> None:
    program, sample = case(body)
    numeric = NumericBackend().differentiate(program, sample)
    for exact in (False, True):
        found = ManualBackend().differentiate(Derived(program, sample, exact), sample)
        for path, want in numeric.gradients.items():
            error = np.abs(found.gradients[path] - want)
            assert np.all(error <= numeric.uncertainty[path] + 1e-11 * np.abs(want)), path
        np.testing.assert_array_equal(found.intermediates["x"], found.gradients["a"])


@pytest.mark.parametrize("body", BODIES[::4])
def test_a_derived_backward_is_verified_in_balls(body: str) -> None:
    program, sample = case(body)
    found = certify(Derived(program, sample), sample)
    assert found.state in ("verified", "kink"), found


def test_nested_inputs_keep_their_structure() -> None:
    program = program_from("""
        def forward(xp, p, n):
            f = xp.sum(p["w"] * p["b"][0]) * n
            return f
    """)
    inputs = {"p": {"w": np.ones(3), "b": [np.array(2.0)]}, "n": np.asarray(3)}
    sample = sample_for(program, inputs)
    found = ManualBackend().differentiate(Derived(program, sample), sample)
    np.testing.assert_array_equal(found.gradients["p.w"], np.full(3, 6.0))
    assert found.gradients["p.b.0"] == 9.0


def test_what_has_no_rule_is_unsupported() -> None:
    program = program_from("def forward(xp, x):\n    f = xp.linalg.svdvals(x)\n    return f\n")
    sample = sample_for(program, {"x": np.eye(2)})
    with pytest.raises(Unsupported, match="svdvals"):
        ManualBackend().differentiate(Derived(program, sample), sample)

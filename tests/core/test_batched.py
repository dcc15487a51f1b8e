"""Many inputs at once must be what one after the other is, or refuse."""

from __future__ import annotations

from typing import Any

import array_api_compat.numpy as array_numpy
import numpy as np
import pytest
from builders import numerical, program_from, sample_for
from hypothesis import given
from hypothesis import strategies as st

from harness.backends.numeric import NumericBackend
from harness.differences.batched import xp
from harness.differences.lanes import MOST, Batched
from harness.differences.perturbed import Perturbed
from harness.errors import Unsupported

#: Functions of x, of shape (3, 4), with numbers w of the same shape, v (4,), and m (2, 3).
BODIES = """
    x + w * v - 2 / (3 + x * x)
    v - x; x ** 2; 2.0 ** x; -x; abs(x)
    x > 0; (x > 0) & (w > 0); xp.where(x > w, x, 0.0)
    xp.clip(x, -0.5, 0.5); xp.clip(x, min=0.1, max=None); xp.maximum(x, w); xp.hypot(x, v)
    xp.sum(x); xp.sum(x, axis=0); xp.sum(x, axis=-1, keepdims=True); xp.sum(x, axis=(0, 1))
    xp.mean(x); xp.mean(x, axis=1); xp.prod(x, axis=1); xp.max(x); xp.min(x, axis=0)
    xp.var(x); xp.std(x, axis=1, correction=1); xp.any(x > 1); xp.all(x < 1, axis=1)
    xp.argmax(x, axis=1); xp.sort(x); xp.sort(x, axis=0); xp.argsort(x); xp.take(x, ids, axis=1)
    xp.cumulative_sum(x, axis=1); xp.cumulative_prod(x, axis=-1); xp.flip(x); xp.flip(x, axis=0)
    xp.roll(x, 1, axis=1); xp.diff(x); xp.repeat(x, 2, axis=0)
    xp.reshape(x, (2, 6)); xp.reshape(x * w, (-1,)); xp.expand_dims(x, axis=1)
    xp.squeeze(xp.expand_dims(x, axis=0), axis=0); xp.broadcast_to(x, (2, 3, 4))
    xp.permute_dims(x, (1, 0)); xp.moveaxis(x, 0, 1); x.T; x.mT; xp.matrix_transpose(x)
    xp.stack([x, w]); xp.stack([w, x], axis=-1); xp.concat([x, w], axis=1); xp.concat([w, x])
    xp.unstack(x, axis=1)[2]; xp.broadcast_arrays(x, v)[1] * x; xp.tril(x); xp.triu(x, k=1)
    xp.matmul(x, w.T); xp.matmul(m, x); x @ v; m @ x @ v; x @ x.T; w.T @ x; xp.matmul(x.T, w)
    x[0]; x[1, 2]; x[:, 1]; x[..., 0]; x[None, :, 1:3]; x[[0, 2]]; x[ids]; x[w > 0]; sum(list(x))
    xp.zeros_like(x) + x; xp.full_like(x, 2.0) * x; xp.astype(x > 0, xp.float64); xp.asarray(x)
    xp.linalg.det(x @ w.T); xp.linalg.inv(x @ x.T); xp.linalg.trace(x @ w.T)
    xp.log(xp.sum(xp.exp(x), axis=1)); x if xp.sum(w) > 0 else -x; x * x.shape[0] + x.ndim + x.size
    xp.sin(xp.reshape(x, (4, 3))) @ x
"""
FIXED = {
    "w": np.linspace(-1, 1.2, 12).reshape(3, 4) ** 3,
    "v": np.array([0.3, -1.0, 2.0, 0.7]),
    "m": np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]]),
    "ids": np.array([2, 0, 1]),
}


def lanes(count: int = 5, seed: int = 0) -> tuple[Batched, list[np.ndarray]]:
    """Lanes that differ in one element, and the same arrays one by one."""
    rng = np.random.default_rng(seed)
    common, spots, own = rng.normal(size=(3, 4)), rng.integers(0, 12, count), rng.normal(size=count)
    alone = []
    for spot, number in zip(spots, own, strict=True):
        alone.append(common.copy())
        alone[-1].flat[spot] = number
    return Batched.moved(common, spots, own), alone


@pytest.mark.parametrize(
    "body", [each.strip() for each in BODIES.replace("\n", ";").split(";") if each.strip()]
)
@pytest.mark.parametrize("written", [False, True], ids=["one element", "written out"])
def test_each_lane_is_what_it_is_alone(body: str, written: bool) -> None:
    many, alone = lanes()
    many = Batched(many.stacked) if written else many
    found = eval(body, {"xp": xp, "x": many, **FIXED})
    expected = [eval(body, {"xp": array_numpy, "x": each, **FIXED}) for each in alone]
    assert isinstance(found, Batched)
    assert found.shape == np.shape(expected[0])
    assert found.dtype == np.asarray(expected[0]).dtype
    np.testing.assert_allclose(found.stacked, np.array(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "body",
    """
    float(x[0, 0]); x if x[0, 0] > 0 else -x; xp.linalg.svd(x); xp.fft.fft(x); np.sin(x)
    np.asarray(x); x.ravel(); x[x > 0]; x[:, [0, 1], 0]; xp.take(x, ids); xp.sum(x, axis=2)
    xp.linalg.eigh(x @ x.T); xp.tensordot(x, w); x.__setitem__(0, 1.0); xp.cumulative_sum(x)
    xp.concat([x, w], axis=None); np.sum(x); w.__setitem__((0, 0), x[0, 0])
    """.replace("\n", ";")
    .strip(" ;")
    .split(";"),
)
def test_what_it_cannot_do_it_refuses(body: str) -> None:
    many, _ = lanes(40)
    with pytest.raises((Unsupported, TypeError, ValueError, IndexError)):
        eval(body.strip() or "x.missing", {"xp": xp, "np": np, "x": many, **FIXED})


def test_lanes_that_agree_may_decide() -> None:
    many, _ = lanes()
    assert bool(xp.sum(many * 0) == 0)
    assert int(xp.sum(many * 0)) == 0


@pytest.mark.parametrize(
    "body",
    """
    abs(x); xp.maximum(x, 0.0); x > 0; xp.where(x > 0, x, -x); xp.sort(x); xp.max(x); xp.var(x)
    xp.floor(x); xp.sign(x); xp.atan2(x, v); xp.hypot(x, v); xp.argmax(x); x % 2
    xp.astype(x, xp.int64); xp.linalg.cholesky(x @ x.T); bool(x[0, 0]); xp.std(x)
    xp.round(x); xp.clip(x, 0.0, 1.0); xp.real(x); xp.conj(x); xp.imag(x)
    xp.linalg.vector_norm(x); xp.linalg.eigvalsh(x @ x.T)
    """.replace("\n", ";")
    .strip(" ;")
    .split(";"),
)
def test_what_is_not_analytic_refuses_complex_numbers(body: str) -> None:
    many, _ = lanes()
    moved = Batched.moved(many.common, many.spots, many.own + 1e-30j)
    for each in (moved, Batched(moved.stacked)):
        assert each.dtype == np.float64
        with pytest.raises(Unsupported):
            eval(body.strip(), {"xp": xp, "x": each, **FIXED})


@numerical
@given(seed=st.integers(0, 2**31), count=st.integers(1, 40))
def test_a_whole_gradient_is_the_same_either_way(seed: int, count: int) -> None:
    text = """
        def forward(xp, x, w):
            q = xp.tanh(xp.matmul(w, x)) + xp.max(x)
            f = xp.sum(q * q, axis=0)
            return f
    """
    program, rng = program_from(text), np.random.default_rng(seed)
    inputs = {"x": rng.normal(size=count), "w": rng.normal(size=(3, count))}
    sample = sample_for(program, inputs)
    found = []
    for batches in (True, False):
        made = Perturbed(program, sample, ("q",), array_numpy)
        made.batches = batches
        found.append([made.line(p)(*where(each)) for p, each in enumerate(made.variables)])
        assert made.batches is batches
    for one, other in zip(*found, strict=True):
        for each, alone, bound in zip(one, other, (0, one[2], one[2]), strict=True):
            assert np.all(np.abs(each - alone) <= bound)


def where(variable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    indices = np.arange(variable.size)
    return np.tile(indices, 3), np.repeat([0.0, 1e-3, -1e-3], variable.size)


def test_a_batch_that_says_something_else_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    program = program_from("def forward(xp, x):\n    f = xp.sum(xp.sin(x))\n    return f\n")
    sample = sample_for(program, {"x": np.linspace(1, 2, 50)})
    monkeypatch.setitem(xp.__dict__, "sin", lambda x: xp.cos(x))
    made = Perturbed(program, sample, (), array_numpy)
    _, values, _ = made.line(0)(np.arange(50), np.zeros(50))
    assert not made.batches
    np.testing.assert_allclose(values[:, 0], np.sum(np.sin(sample.inputs["x"])), rtol=1e-14)


def test_more_lanes_than_can_be_written_out_are_taken_in_turn() -> None:
    program = program_from("def forward(xp, x):\n    f = xp.sum(xp.flip(x) * x)\n    return f\n")
    x = np.linspace(1, 2, 900)
    found = NumericBackend(numeric="central").differentiate(program, sample_for(program, {"x": x}))
    error = np.abs(found.gradients["x"] - 2 * x[::-1])
    assert np.all(error <= found.uncertainty["x"])


@pytest.mark.parametrize("size", [MOST // 2, MOST + 3])
def test_an_array_too_large_for_two_lanes_has_one(size: int) -> None:
    program = program_from(
        "def forward(xp, x, w):\n    f = xp.sum(xp.flip(x) * x * w)\n    return f\n"
    )
    sample = sample_for(program, {"x": np.ones(size), "w": np.ones(size)}, differentiable=("x",))
    made = Perturbed(program, sample, (), array_numpy)
    places, values, _ = made.line(0)(np.array([1, 5, 7]), np.full(3, 1e-30j))
    assert np.all(places.real == 1)
    np.testing.assert_allclose(values.imag[:, 0], 2e-30, rtol=1e-12)


def test_one_after_the_other_is_left_where_case_code_needs_it() -> None:
    seen: list[Any] = []
    program = program_from("""
        def forward(xp, x):
            seen.append(type(x).__name__)
            f = sum(x.tolist())
            return f
    """)
    program.functions["forward"].__globals__["seen"] = seen
    sample = sample_for(program, {"x": np.linspace(1, 2, 9)})
    found = NumericBackend().differentiate(program, sample)
    np.testing.assert_allclose(found.gradients["x"], 1, rtol=1e-8)
    assert seen.count("Batched") <= 3

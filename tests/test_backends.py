"""Every framework backend, against central differences of the same text run by numpy.

The table is the coverage: one line per function of the namespace, or per way of calling it. A
framework that cannot do a line stands in `LACKS`, which is strict: what is listed there must be
reported as unsupported, and everything else must be right.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import subprocess
import sys
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from harness.backends.base import FrameworkBackend
from harness.errors import Unsupported
from harness.model import Sample, Task
from harness.programs import trees
from harness.programs.namespace import of_numpy
from harness.programs.program import Program
from harness.programs.source import parse
from harness.programs.staging import StagedProgram

NAMES = ("autograd", "torch", "jax", "tensorflow")
INSTALLED = tuple(
    name
    for name in NAMES
    if importlib.import_module(f"harness.backends.{name}").BACKEND.installed()
)
MADE: dict[str, FrameworkBackend] = {}


numpy_xp = of_numpy()


def backend(label: str) -> FrameworkBackend:
    """One backend per label and session, so that each framework is imported once."""
    if label not in MADE:
        name, _, variant = label.partition(":")
        MADE[label] = importlib.import_module(f"harness.backends.{name}").BACKEND(variant)
    return MADE[label]


RNG = np.random.default_rng(20240612)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def positive(*shape: int) -> np.ndarray:
    return RNG.uniform(0.5, 2.0, size=shape)


def unit(*shape: int) -> np.ndarray:
    return RNG.uniform(-0.8, 0.8, size=shape)


def spd(n: int) -> np.ndarray:
    root = normal(n, n)
    return root @ root.T + n * np.eye(n)


#: line -> inputs. A line is the body of `forward` up to `return f`; a bare expression is `f`.
TABLE: dict[str, dict[str, Any]] = {}


def lines(text: str, **inputs: np.ndarray) -> None:
    for line in text.strip().splitlines():
        TABLE[line.strip()] = inputs


lines(
    """
    xp.abs(x)
    xp.asinh(x)
    xp.atan(x)
    xp.cos(x)
    xp.cosh(x)
    xp.exp(x)
    xp.expm1(x)
    xp.negative(x)
    xp.positive(x)
    xp.real(x)
    xp.conj(x)
    xp.sign(x) * x
    xp.sin(x)
    xp.sinh(x)
    xp.square(x)
    xp.tan(x)
    xp.tanh(x)
    x * (xp.floor(x) + xp.ceil(x) + xp.round(x) + xp.trunc(x))
    xp.floor_divide(x, 0.7) + x
    -x + x**2 - 2.0 * x / 3.0 + 1.0 / (x + 9.0) - (1.0 - x)
    x[..., 0]
    x[1:]
    x[:, None, 1] * x
    x.shape[0] * x
    xp.add(x, 1.0) + xp.subtract(1.0, x) * xp.multiply(2.0, x)
    xp.all(x > -9.0) * x if False else x
    xp.any(x > 9.0, axis=0) if False else x
    xp.argmax(x, axis=1, keepdims=True) * xp.sum(x) if False else x
    xp.arange(3, dtype=x.dtype) * x[:, :3]
    xp.asarray([1.0, 0.1, 2.0, 3.0], dtype=x.dtype) * x
    xp.astype(x, x.dtype)
    xp.astype(x > 0, x.dtype) * x
    xp.astype(xp.astype(x, xp.int64), x.dtype) + x
    xp.broadcast_to(x, (2, 3, 4))
    xp.broadcast_to(xp.expand_dims(x, axis=1), (3, 5, 4))
    xp.broadcast_arrays(x[0], x)[0] * x
    xp.clip(x, -0.5, 0.5)
    xp.clip(x, min=-0.5)
    xp.clip(x, max=0.5)
    xp.concat([x, 2.0 * x], axis=1)
    xp.concat((x, x), axis=-1)
    xp.concat([x, x], axis=None)
    xp.copysign(x, x - 0.3)
    xp.cumulative_sum(x, axis=0)
    xp.cumulative_sum(x, axis=-1)
    xp.cumulative_sum(x, axis=1, include_initial=True)
    xp.cumulative_sum(x[0])
    xp.cumulative_prod(x, axis=1)
    xp.cumulative_prod(x[:, 0])
    x * xp.astype(xp.count_nonzero(x, axis=0, keepdims=True), x.dtype)
    x if xp.isdtype(x.dtype, "real floating") and xp.can_cast(xp.float32, xp.float64) else -x
    xp.diff(x)
    xp.diff(x, axis=0)
    xp.empty_like(x) * 0.0 + x if False else x
    xp.expand_dims(x, axis=0)
    xp.expand_dims(x, axis=-1)
    xp.eye(3, 4, dtype=x.dtype) * x
    xp.flip(x)
    xp.flip(x, axis=1)
    xp.full_like(x, 2.0) * x
    xp.full((3, 4), 0.1, dtype=x.dtype) * x
    xp.linspace(0.0, 1.0, 4, dtype=x.dtype) * x
    xp.max(x)
    xp.max(x, axis=1)
    xp.max(x, axis=(0, 1), keepdims=True)
    xp.maximum(x, 0.0)
    xp.maximum(x, xp.zeros_like(x))
    xp.mean(x)
    xp.mean(x, axis=0)
    xp.mean(x, axis=(0, 1), keepdims=True)
    xp.meshgrid(x[0], x[:, 0])[0] * xp.meshgrid(x[0], x[:, 0])[1]
    xp.meshgrid(x[0], x[:, 0], indexing="ij")[1] * 2.0
    xp.min(x, axis=0)
    xp.minimum(0.0, x)
    xp.matrix_transpose(x)
    xp.moveaxis(x, 0, 1)
    xp.ones_like(x) * x + xp.zeros_like(x)
    xp.permute_dims(x, (1, 0))
    xp.permute_dims(x, axes=(1, 0))
    xp.pow(x, 2)
    xp.pow(x, 3.0)
    xp.prod(x)
    xp.prod(x, axis=1, keepdims=True)
    xp.repeat(x, 2, axis=1)
    xp.repeat(x, 2)
    xp.remainder(x, 0.7)
    xp.reshape(x, (-1, 1))
    xp.reshape(x, (x.shape[0] * 2, -1))
    xp.reshape(xp.reshape(x, (-1,)), x.shape)
    xp.roll(x, 1, axis=1)
    xp.roll(x, 2)
    xp.sort(x, axis=1)
    xp.sort(x, axis=0, descending=True)
    xp.sort(x[0])
    xp.take_along_axis(x, xp.argsort(x, axis=1, descending=True), axis=1)
    xp.squeeze(x[:, None, :], axis=1)
    xp.stack([x, x * x])
    xp.stack([x[0], x[1]], axis=1)
    xp.std(x, axis=0)
    xp.std(x, axis=1, correction=1, keepdims=True)
    xp.sum(x)
    xp.sum(x, axis=1)
    xp.sum(x, axis=(0, 1), keepdims=True)
    xp.sum(x, axis=-1, keepdims=True)
    xp.take(x, xp.asarray([0, 2, 2]), axis=1)
    xp.take(x[0], xp.asarray([0, 2, 2]))
    xp.tile(x, (2, 1))
    xp.tril(x)
    xp.triu(x, k=1)
    xp.unstack(x)[1]
    xp.unstack(x, axis=1)[0] * xp.unstack(x, axis=-1)[2]
    xp.var(x)
    xp.var(x, axis=0, correction=1)
    xp.var(x, axis=(0, 1), keepdims=True)
    xp.var(x, axis=(0, 1), correction=1)
    xp.vecdot(x, x * x)
    xp.vecdot(x, x, axis=0)
    xp.where(x > 0, x, 0.0)
    xp.where(x > 0, 2.0, x)
    xp.where(xp.logical_and(x > -1, xp.logical_not(xp.isnan(x))), x * x, xp.zeros_like(x))
    xp.where((x > -1) & (x < 1) | ~(x <= 2), x * x, x)
    xp.linalg.matrix_norm(x)
    xp.linalg.matrix_norm(x, keepdims=True)
    xp.linalg.vector_norm(x)
    xp.linalg.vector_norm(x, axis=1)
    xp.linalg.vector_norm(x, axis=(0, 1), keepdims=True)
    xp.linalg.vector_norm(x, axis=0, keepdims=True, ord=3)
    xp.linalg.vector_norm(x, ord=1)
    xp.linalg.vector_norm(x, axis=1, ord=xp.inf)
    xp.linalg.diagonal(x)
    xp.linalg.diagonal(x, offset=1)
    xp.linalg.trace(x)
    xp.linalg.trace(x, offset=1)
    xp.linalg.matrix_transpose(x)
    xp.linalg.svdvals(x)
    xp.linalg.svd(x, full_matrices=False)[1]
    xp.linalg.pinv(x)
    """,
    x=normal(3, 4),
)
lines(
    """
    xp.acosh(x + 1.0)
    xp.log(x)
    xp.log10(x)
    xp.log1p(x)
    xp.log2(x)
    xp.reciprocal(x)
    xp.sqrt(x)
    xp.pow(x, 0.5) + x**-1.5 + 2.0**x
    xp.pow(2.0, x)
    xp.divide(1.0, x)
    """,
    x=positive(3, 4),
)
lines("xp.acos(x)\nxp.asin(x)\nxp.atanh(x)", x=unit(5))
lines(
    """
    x * y + x / y - x
    x**y
    xp.pow(x, y)
    xp.atan2(x, y)
    xp.hypot(x, y)
    xp.logaddexp(x, y)
    xp.logaddexp(x, 0.0)
    xp.hypot(x, 1.0)
    xp.atan2(x, 2.0)
    xp.maximum(x, y) * xp.minimum(y, x)
    xp.where(x > y, x, y)
    xp.clip(x, y, y + 1.0)
    """,
    x=positive(3, 4),
    y=positive(4),
)
lines(
    """
    x @ y
    xp.matmul(x, y)
    xp.matmul(x, y[:, 0])
    xp.matmul(x[0], y)
    xp.matmul(x[0], y[:, 0])
    xp.tensordot(x, y, axes=1)
    xp.tensordot(x, y, axes=((1,), (0,)))
    xp.linalg.matmul(x, y)
    xp.linalg.tensordot(x, y, axes=1)
    xp.linalg.outer(x[0], y[0])
    xp.linalg.vecdot(x[0], y[:, 0])
    xp.matmul(xp.stack([x, x]), y)
    xp.matmul(xp.stack([x, x]), xp.stack([y, 2.0 * y]))
    xp.matmul(xp.stack([x, x]), y[:, 0])
    xp.matmul(y[:, 0], xp.stack([y, 2.0 * y]))
    """,
    x=normal(3, 4),
    y=normal(4, 3),
)
lines("xp.linalg.cross(x, y)", x=normal(2, 3), y=normal(2, 3))
lines(
    """
    xp.linalg.det(x)
    xp.linalg.inv(x)
    xp.linalg.slogdet(x)[1]
    xp.linalg.slogdet(x).logabsdet
    xp.linalg.solve(x, b)
    xp.linalg.solve(x, b[:, 0])
    xp.linalg.matrix_power(x, 3)
    xp.linalg.matrix_power(x, -2)
    xp.linalg.matrix_power(x, 0) * x
    xp.linalg.cholesky(x @ xp.matrix_transpose(x))
    xp.linalg.eigh(x + xp.matrix_transpose(x))[0]
    xp.linalg.eigh(x + xp.matrix_transpose(x)).eigenvalues
    xp.linalg.eigvalsh(x + xp.matrix_transpose(x))
    xp.linalg.svd(x)[1]
    xp.linalg.svd(x).S
    xp.linalg.qr(x)[1]
    xp.linalg.qr(x).Q
    """,
    x=spd(3) + 0.1 * normal(3, 3),
    b=normal(3, 2),
)
lines("xp.exp(x) * xp.sum(x)\nxp.max(x) + xp.mean(x)\nx * x", x=np.array(0.3))
lines(
    """
    xp.erf(x)
    xp.erfc(x)
    xp.logsumexp(x)
    xp.logsumexp(x, axis=1)
    xp.logsumexp(x, axis=(0, 1), keepdims=True)
    xp.logsumexp(x[0, 0])
    xp.softmax(x)
    xp.softmax(x, axis=0)
    xp.log_softmax(x)
    xp.log_softmax(x, axis=0)
    xp.einsum("ij,kj->ik", x, x)
    xp.einsum("ij->j", x)
    xp.einsum("ii->i", x[:, :3])
    xp.einsum("ij,kj,kl->il", x, x, x)
    xp.einsum("bi,bj->bij", x, x)
    xp.einsum("ij,ij", x, x)
    xp.pad(x, 1)
    xp.pad(x, (1, 0))
    xp.pad(x, ((0, 1), (2, 0)), constant_values=2.5)
    xp.one_hot(labels, 4, dtype=x.dtype) * x
    xp.segment_sum(x, labels, 3)
    xp.segment_sum(x[:, 0], labels, 3)
    xp.set_at(x, 1, 0.0)
    xp.set_at(x, (xp.arange(3), labels), x[:, 0] * x[:, 1])
    xp.set_at(x, (slice(None), labels), x[:, :3] * 2.0)
    xp.set_at(x, (slice(None, None, -2), [1, 3]), x[:2, :2])
    xp.set_at(x, x > 0, 1.5)
    xp.set_at(x, labels > 1, 1.5)
    xp.set_at(x, (..., 1), x[0, 0])
    xp.add_at(x, (xp.arange(3), labels), x[:, 0])
    xp.add_at(x, labels, x * x)
    xp.add_at(x, x > 0, x[0, 0])
    x + xp.stop_gradient(0.0 * x)
    x[xp.arange(3), labels]
    x[labels, None, ::-1] + x[:, [0, 2]][0, 0]
    f = x * 2.0; f[1] = 0.0; return f
    f = x * x; f[xp.arange(3), labels] -= x[:, 0]; return f
    f = x * x; f[labels] += x * x; return f
    f = xp.zeros_like(x); f[:, 1] = x[:, 0]; f[0] += x[1] * x[2]; return f
    f = x * x; f[x > 0] = 0.0; f[labels > 1] += x[0, 1]; return f
    f = x * x; f[x > 0] *= 3.0; return f
    f = x * x; f[::-1, [0, 1]] = x[:, 2:]; return f
    """,
    x=normal(3, 4),
    labels=np.array([2, 0, 2]),
)
lines("xp.lgamma(x)\nxp.digamma(x)", x=positive(3, 4))

#: What a framework has no derivative of.
LACKS: dict[str, tuple[str, ...]] = {
    "autograd": ("xp.linalg.qr(x)[1]", "xp.linalg.qr(x).Q"),
    "torch": ("xp.floor_divide(x, 0.7) + x",),
    "jax": (),
    "tensorflow": (),
}


def program(body: str, *names: str) -> Program:
    if "return" not in body:
        body = f"f = {body}\nreturn f"
    text = f"def forward(xp, {', '.join(names)}):\n    " + body.replace("\n", "\n    ") + "\n"
    return StagedProgram.of(parse(text, "x.py"))


def sample(code: Program, inputs: dict[str, Any], dtype: str = "float64", **more: Any) -> Sample:
    """A sample of `inputs`, cast to `dtype`, with random cotangents of the outputs' shapes."""
    cast = trees.map_with_path(
        lambda _, leaf: np.asarray(leaf, dtype) if np.asarray(leaf).dtype.kind == "f" else leaf,
        inputs,
    )
    floats = tuple(
        path for path, leaf in trees.flatten(cast).items() if np.asarray(leaf).dtype.kind == "f"
    )
    trace = code.forward(numpy_xp, cast)
    rng = np.random.default_rng(7)
    cotangents = tuple(np.asarray(rng.normal(size=np.shape(each)), dtype) for each in trace.outputs)
    shapes = {
        stage.name: np.shape(trace.saved[stage.name])
        for stage in code.forward_code.stages
        if stage.single and stage.name not in code.forward_code.returns
    }
    return Sample(
        "x", "random", "default", dtype, cast, more.pop("wanted", floats), cotangents, shapes
    )


def central(code: Program, point: Sample, step: float = 1e-6) -> dict[str, np.ndarray]:
    """The VJP of the numpy version, element by element."""
    assemble = trees.assembler(point, np.array)
    base = trees.variables(point)

    def scalar(variables: list[np.ndarray]) -> float:
        outputs = code.forward(numpy_xp, assemble(variables)).outputs
        return sum(
            float(np.sum(output * cotangent))
            for output, cotangent in zip(outputs, point.cotangents, strict=True)
        )

    result = {}
    for position, path in enumerate(point.differentiable):
        gradient = np.zeros_like(base[position])
        for index in np.ndindex(gradient.shape):
            ends = []
            for sign in (step, -step):
                moved = [array.copy() for array in base]
                moved[position][index] += sign
                ends.append(scalar(moved))
            gradient[index] = (ends[0] - ends[1]) / (2 * step)
        result[path] = gradient
    return result


REFERENCE: dict[str, tuple[Program, Sample, np.ndarray, dict[str, np.ndarray]]] = {}


def reference(line: str) -> tuple[Program, Sample, np.ndarray, dict[str, np.ndarray]]:
    if line not in REFERENCE:
        code = program(line, *TABLE[line])
        point = sample(code, TABLE[line])
        value = code.forward(numpy_xp, point.inputs).outputs[0]
        REFERENCE[line] = code, point, np.asarray(value), central(code, point)
    return REFERENCE[line]


#: jax compiles each operation that it has not met, 45 s for the table; jit compiles a line, 20 s.
TABLE_LABELS = tuple("jax:jit" if name == "jax" else name for name in INSTALLED)


@pytest.mark.parametrize("line", TABLE)
@pytest.mark.parametrize("label", TABLE_LABELS)
def test_value_and_gradient_are_those_of_numpy(label: str, line: str) -> None:
    code, point, value, gradients = reference(line)
    if line in LACKS[label.partition(":")[0]]:
        with pytest.raises(Unsupported):
            backend(label).differentiate(code, point)
        return
    got = backend(label).differentiate(code, point)
    assert got.values["f"].dtype == np.float64
    assert got.values["f"].shape == value.shape
    np.testing.assert_allclose(got.values["f"], value, rtol=1e-12, atol=1e-12)
    for path, expected in gradients.items():
        assert got.gradients[path].dtype == np.float64
        assert got.gradients[path].shape == expected.shape
        np.testing.assert_allclose(got.gradients[path], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("line", TABLE)
@pytest.mark.parametrize("name", INSTALLED)
def test_float32_stays_float32(name: str, line: str) -> None:
    if line in LACKS[name]:
        return
    code = reference(line)[0]
    point = sample(code, TABLE[line], "float32")
    method = backend(name)
    if name == "jax":  # tracing tells the dtypes; compiling costs another 45 s
        jax = importlib.import_module("jax")
        function = method.primal(code, point)
        variables = [method.asarray(each) for each in trees.variables(point)]
        cotangents = [method.asarray(each) for each in point.cotangents]
        shapes = jax.eval_shape(lambda v, c: method.vjp(function, v, c), variables, cotangents)
        assert {each.dtype for each in jax.tree.leaves(shapes)} == {np.dtype("float32")}
        return
    got = method.differentiate(code, point)
    assert {each.dtype for each in (*got.values.values(), *got.gradients.values())} == {
        np.dtype("float32")
    }


@pytest.mark.skipif("autograd" not in INSTALLED, reason="without autograd")
@pytest.mark.parametrize("line", ["xp.erf(x)", "xp.erfc(x)", "xp.lgamma(x)", "xp.digamma(x)"])
def test_the_special_functions_of_autograd_keep_float16(line: str) -> None:
    point = sample(reference(line)[0], TABLE[line], "float16")
    got = backend("autograd").differentiate(reference(line)[0], point)
    assert got.values["f"].dtype == got.gradients["x"].dtype == np.float16


@pytest.mark.parametrize("name", INSTALLED)
def test_a_variable_without_influence_has_a_gradient_of_zeros(name: str) -> None:
    inputs = {"x": normal(2, 3), "unused": normal(4)}
    code = program("xp.exp(x)", *inputs)
    got = backend(name).differentiate(code, sample(code, inputs))
    np.testing.assert_array_equal(got.gradients["unused"], np.zeros(4))
    assert got.gradients["unused"].dtype == np.float64


@pytest.mark.parametrize("body", ["xp.ones((2,))", "xp.argmax(x, axis=1)", "y", "2.5"])
@pytest.mark.parametrize("name", INSTALLED)
def test_an_output_may_be_a_constant(name: str, body: str) -> None:
    inputs = {"x": normal(2, 3), "y": normal(3)}
    code = program(body, *inputs)
    point = sample(code, inputs, wanted=("x",))
    got = backend(name).differentiate(code, point)
    np.testing.assert_array_equal(got.gradients["x"], np.zeros((2, 3)))
    expected = code.forward(numpy_xp, inputs).outputs[0]
    np.testing.assert_array_equal(got.values["f"], expected)


@pytest.mark.parametrize("name", INSTALLED)
def test_outputs_add_up_and_may_be_variables_or_constants(name: str) -> None:
    inputs = {"x": normal(2, 3), "y": normal(3)}
    code = program("a = x * y\nb = xp.zeros((2,))\nc = xp.sum(y)\nreturn a, x, b, c", *inputs)
    point = sample(code, inputs)
    got = backend(name).differentiate(code, point)
    assert list(got.values) == ["a", "x", "b", "c"]
    for path, expected in central(code, point).items():
        np.testing.assert_allclose(got.gradients[path], expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", INSTALLED)
def test_intermediates_are_perturbed_and_recorded_but_not_differentiated(name: str) -> None:
    inputs = {"x": normal(3), "w": normal(3)}
    code = program("q = w * x\nr = xp.exp(q)\nf = xp.sum(r * r)\nreturn f", *inputs)
    point = sample(code, inputs)
    got = backend(name).differentiate(code, point, Task("vjp", ("q", "r")))
    (df,), q = point.cotangents, inputs["x"] * inputs["w"]
    np.testing.assert_allclose(got.values["q"], q)
    np.testing.assert_allclose(got.values["r"], np.exp(q))
    np.testing.assert_allclose(got.intermediates["r"], df * 2 * np.exp(q))
    np.testing.assert_allclose(got.intermediates["q"], df * 2 * np.exp(2 * q))
    np.testing.assert_allclose(got.gradients["x"], df * 2 * np.exp(2 * q) * inputs["w"])


@pytest.mark.parametrize("name", INSTALLED)
def test_the_value_alone(name: str) -> None:
    inputs = {"x": normal(3)}
    code = program("xp.exp(x)", "x")
    got = backend(name).differentiate(code, sample(code, inputs), Task("value"))
    np.testing.assert_allclose(got.values["f"], np.exp(inputs["x"]))
    assert got.gradients == {}


NATIVE = {
    "autograd": "import autograd.numpy as anp; return anp.tanh(x) * y",
    "torch": "import torch; return torch.tanh(x) * y",
    "jax": "import jax; return jax.numpy.tanh(x) * y",
    "tensorflow": "import tensorflow as tf; return tf.tanh(x) * y",
}


@pytest.mark.parametrize("name", INSTALLED)
def test_the_native_function_is_what_runs(name: str) -> None:
    text = (
        "def forward(xp, x, y):\n    f = xp.exp(x) * y\n    return f\n\n"
        f"def native_{name}(x, y):\n    {NATIVE[name]}\n"
    )
    code = StagedProgram.of(parse(text, "x.py"))
    inputs = {"x": normal(3), "y": normal(3)}
    point = sample(code, inputs)
    got = backend(f"{name}:native").differentiate(code, point, Task("vjp", ()))
    (df,) = point.cotangents
    np.testing.assert_allclose(got.values["f"], np.tanh(inputs["x"]) * inputs["y"])
    np.testing.assert_allclose(
        got.gradients["x"], df * inputs["y"] / np.cosh(inputs["x"]) ** 2, rtol=1e-12
    )


# torch:compile takes 19 s here with a cold cache, 6 s with a warm one, and warns of itself.
COMPILED = ("torch:compile", "jax:jit", "tensorflow:function", "tensorflow:xla")


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize(
    "label", [label for label in COMPILED if label.partition(":")[0] in INSTALLED]
)
def test_a_compiled_variant_agrees_with_the_plain_one(label: str) -> None:
    inputs = {"W": normal(3, 2), "x": normal(2, 1), "unused": normal(2)}
    code = program("q = xp.matmul(W, x)\nf = xp.tanh(q)\ns = xp.sum(q)\nreturn f, s", *inputs)
    point = sample(code, inputs)
    got = backend(label).differentiate(code, point, Task("vjp", ("q",)))
    plain = backend(label.partition(":")[0]).differentiate(code, point)
    for path, expected in plain.gradients.items():
        np.testing.assert_allclose(got.gradients[path], expected, rtol=1e-12, atol=1e-14)
    for output, expected in plain.values.items():
        np.testing.assert_allclose(got.values[output], expected, rtol=1e-12)
    assert got.values["q"].shape == got.intermediates["q"].shape == (3, 1)


@pytest.mark.parametrize("name", INSTALLED)
def test_a_training_step_is_traced_once_where_the_framework_traces(name: str) -> None:
    inputs = {"x": normal(3), "w": normal(3)}
    code = program("calls.append(1)\nf = xp.sum(xp.exp(x * w))\nreturn f", *inputs)
    calls: list[int] = []
    code.functions["forward"].__globals__["calls"] = calls
    point = sample(code, inputs, wanted=("w",))
    calls.clear()
    step = backend(name).gradient_function(code, point)
    (df,) = point.cotangents
    for scale in (1.0, 2.0, 3.0):
        weight = scale * inputs["w"]
        (gradient,) = step([weight])
        expected = df * inputs["x"] * np.exp(inputs["x"] * weight)
        np.testing.assert_allclose(gradient, expected, rtol=1e-12)
        assert gradient.dtype == np.float64
    assert len(calls) == (1 if name in ("jax", "tensorflow") else 3)


#: Where a framework has nothing to differentiate with, and what of it the reason must name.
REFUSED = {
    "autograd": ("xp.nextafter(x, y)", "VJP of nextafter"),
    "torch": ("x // y", "derivative for aten::floor_divide"),
    "jax": ("xp.nextafter(x, y)", "'nextafter' not implemented"),
    "jax:jit": ("x if xp.sum(y) > 0 else y", "TracerBoolConversionError"),
    "tensorflow": ("xp.unique_values(x)", "`xp.unique_values`"),
    "tensorflow:function": ("x if xp.sum(y) > 0 else y", "OperatorNotAllowedInGraphError"),
    "tensorflow:xla": ("xp.linalg.det(x) * y", "unsupported operations"),
}
REFUSED_MORE = [
    ("autograd", "xp.linalg.svd(xp.concat([x, x]))[0][:3, :3]", "full_matrices=True"),
    ("autograd", "xp.matmul(x.mT, y)", "'mT'"),
    ("torch", "xp.asarray([x[0, 0], y[0, 0]])", "xp.stack"),
    ("tensorflow", "x @ y[0]", "ndims"),
    ("tensorflow", "x.T", "'T'"),
    ("tensorflow", "xp.fft.fft(x)", "`xp.fft`"),
]


@pytest.mark.parametrize(
    ("label", "body", "reason"),
    [
        (label, *what)
        for label, *what in [*((label, *what) for label, what in REFUSED.items()), *REFUSED_MORE]
        if label.partition(":")[0] in INSTALLED
    ],
)
def test_what_a_framework_cannot_do_is_unsupported(label: str, body: str, reason: str) -> None:
    inputs = {"x": spd(3), "y": positive(3, 3)}
    code = program(body, *inputs)
    numbers = {name: np.zeros((3, 3)) for name in inputs}
    point = Sample("x", "p", "s", "float64", inputs, ("x", "y"), (numbers["x"],))
    with pytest.raises(Unsupported, match=re.escape(reason)):
        backend(label).differentiate(code, point)


@pytest.mark.parametrize("name", INSTALLED)
def test_a_fault_of_the_case_is_not_called_unsupported(name: str) -> None:
    inputs = {"x": normal(3)}
    code = program("xp.exp(x) + undefined", "x")
    point = Sample("x", "p", "s", "float64", inputs, ("x",), (np.ones(3),))
    with pytest.raises(NameError, match="undefined"):
        backend(name).differentiate(code, point)


@pytest.mark.parametrize("name", INSTALLED)
def test_arrays_go_in_as_copies_and_come_out_as_copies_or_locked(name: str) -> None:
    method = backend(name)
    frozen = np.arange(6.0).reshape(2, 3)
    frozen.flags.writeable = False
    for array in (
        np.arange(4.0),
        np.arange(64.0).reshape(8, 8),  # large enough to be aligned, and so tempting to share
        np.array(1.5),
        np.float32(2.5),
        np.array(2, np.int32),
        np.array([True, False]),
        np.arange(6.0)[::-2],
        np.zeros((0, 3)),
        frozen,
    ):
        inside = method.asarray(array)
        before = np.array(array)
        if array.shape and array.flags.writeable:
            array[...] = 0
        outside = method.to_numpy(inside)
        assert outside.dtype == before.dtype
        assert outside.shape == before.shape
        np.testing.assert_array_equal(outside, before)
        with contextlib.suppress(ValueError):  # whatever shares its memory is read-only
            outside[...] = 1
        np.testing.assert_array_equal(method.to_numpy(inside), before)
    assert method.to_numpy(3.5).shape == ()


def test_an_answer_outlives_the_buffer_of_a_native_function() -> None:
    pytest.importorskip("torch")
    native = """
        import torch

        BUFFER = torch.zeros(3, dtype=torch.float64)

        class Double(torch.autograd.Function):
            @staticmethod
            def forward(context, x):
                BUFFER.copy_(2 * x)
                return BUFFER.view(3)

            @staticmethod
            def backward(context, df):
                return 2 * df

        def forward(xp, x):
            f = 2 * x
            return f

        def native_torch(x):
            return Double.apply(x)
    """
    code = StagedProgram.of(parse(dedent(native), "demo.py"))
    method, ones = backend("torch:native"), (np.ones(3),)
    first, second = (
        method.differentiate(code, Sample("x", "p", "s", "float64", {"x": x}, ("x",), ones))
        for x in (np.ones(3), 2 * np.ones(3))
    )
    np.testing.assert_array_equal(first.values["f"], [2, 2, 2])
    np.testing.assert_array_equal(second.values["f"], [4, 4, 4])


@pytest.mark.parametrize("name", INSTALLED)
def test_numbers_without_a_dtype_carry_16_digits(name: str) -> None:
    third = 1.0 / 3.0
    code = program(
        f"(xp.asarray({third}) + xp.asarray([{third}])[0] + xp.full((1,), {third})[0]"
        f" + xp.sum(xp.linspace(0.0, {third}, 2)) + xp.sum(xp.arange(0.0, 1.0, {third}))) * x",
        "x",
    )
    point = sample(code, {"x": np.array(1.0)})
    got = backend(name).differentiate(code, point)
    np.testing.assert_allclose(
        got.values["f"], code.forward(numpy_xp, point.inputs).outputs[0], rtol=1e-15
    )


#: d/dx at a point where a convention decides, as each framework's own function has it.
CONVENTIONS = [
    ("xp.maximum(x, 0.0)", [0.0], {"autograd": [0.5], "torch": [0.5], "jax": [0.5]}, [1.0]),
    ("xp.clip(x, 0.0, 1.0)", [1.0], {"autograd": [0.0], "torch": [1.0], "jax": [0.5]}, [1.0]),
    ("xp.abs(x)", [0.0], {"autograd": [0.0], "torch": [0.0], "jax": [1.0]}, [0.0]),
    ("xp.pow(x, 0.0)", [0.0], {"autograd": [0.0], "torch": [0.0], "jax": [np.nan]}, [np.nan]),
]


@pytest.mark.parametrize(("body", "at", "expected", "tensorflow"), CONVENTIONS)
@pytest.mark.parametrize("name", INSTALLED)
def test_a_subgradient_is_the_framework_s_own(
    name: str, body: str, at: list[float], expected: dict[str, list[float]], tensorflow: list[float]
) -> None:
    code = program(body, "x")
    point = Sample("x", "p", "s", "float64", {"x": np.array(at)}, ("x",), (np.ones(len(at)),))
    got = backend(name).differentiate(code, point)
    np.testing.assert_array_equal(got.gradients["x"], {**expected, "tensorflow": tensorflow}[name])


@pytest.mark.parametrize("name", INSTALLED)
def test_a_user_s_own_process_keeps_its_settings(name: str) -> None:
    inputs = {"x": normal(3)}
    code = program("xp.exp(x) * xp.asarray([0.1])", "x")
    backend(name).differentiate(code, sample(code, inputs))
    if name == "jax":
        jax = importlib.import_module("jax")
        assert jax.numpy.ones(1).dtype == np.float32
    elif name == "torch":
        torch = importlib.import_module("torch")
        assert torch.ones(1).dtype == torch.float32
        assert torch.is_grad_enabled()
    elif name == "tensorflow":
        tf = importlib.import_module("tensorflow")
        assert not hasattr(tf.ones(1), "astype")


def test_no_framework_is_imported_by_its_module() -> None:
    source = (
        "import sys, importlib\n"
        f"names = {NAMES!r}\n"
        "for name in names:\n"
        "    made = importlib.import_module('harness.backends.' + name).BACKEND()\n"
        "    made.installed(), made.versions(), made.label\n"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"

"""Every framework backend, against central differences of the same text run by numpy.

The table is the coverage: one line per function of the namespace, or per way of calling it. A
framework that cannot do a line stands in `LACKS`, which is strict: what is listed there must be
reported as unsupported, and everything else must be right.
"""

from __future__ import annotations

import importlib
from typing import Any

import array_api_compat.numpy as numpy_xp
import numpy as np
import pytest

from harness import trees
from harness.backends.base import FrameworkBackend
from harness.errors import Unsupported
from harness.model import Sample
from harness.source import parse
from harness.staging import Program

NAMES = ("autograd", "torch", "jax", "tensorflow")
INSTALLED = tuple(
    name
    for name in NAMES
    if importlib.import_module(f"harness.backends.{name}").BACKEND.installed()
)
MADE: dict[str, FrameworkBackend] = {}


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
    return Program.of(parse(text, "x.py"))


def sample(
    code: Program, inputs: dict[str, Any], dtype: str = "float64", **more: Any
) -> Sample:
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
    cotangents = tuple(
        np.asarray(rng.normal(size=np.shape(each)), dtype) for each in trace.outputs
    )
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


@pytest.mark.parametrize("line", TABLE)
@pytest.mark.parametrize("name", INSTALLED)
def test_value_and_gradient_are_those_of_numpy(name: str, line: str) -> None:
    code, point, value, gradients = reference(line)
    if line in LACKS[name]:
        with pytest.raises(Unsupported):
            backend(name).differentiate(code, point)
        return
    got = backend(name).differentiate(code, point)
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
        pytest.skip("no derivative")
    code, _, value, gradients = reference(line)
    point = sample(code, TABLE[line], "float32")
    got = backend(name).differentiate(code, point)
    assert got.values["f"].dtype == np.float32
    np.testing.assert_allclose(got.values["f"], value, rtol=2e-3, atol=2e-4)
    for path, expected in gradients.items():
        assert got.gradients[path].dtype == np.float32
        if "floor" not in line:
            np.testing.assert_allclose(
                got.gradients[path], expected, rtol=2e-2, atol=2e-3 * np.max(np.abs(expected))
            )

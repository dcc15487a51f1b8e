"""JVP and HVP by every framework, against certified ones: of each line of the namespace's table.

A framework lacks more of these than of VJPs; what it lacks stands in `LACKS`, which is strict.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from test_backends import INSTALLED, TABLE, backend, normal, positive, program, sample, spd
from test_backends import LACKS as LACKS_VJP

from harness.cases.case import Case, load
from harness.cases.document import Document
from harness.cases.registry import builtin_folder
from harness.cases.schema import CaseFile
from harness.errors import Unsupported
from harness.model import Gradients, Sample, Status, Task
from harness.programs import trees
from harness.programs.program import Program
from harness.programs.source import parse
from harness.programs.staging import StagedProgram
from harness.runs.engine import Engine
from harness.runs.plan import Request, cells
from harness.truth import directional
from harness.truth.directional import Directional

Derivative = Literal["jvp", "hvp"]
MODES: tuple[Derivative, ...] = ("jvp", "hvp")

#: What jax and tensorflow, which take a quarter of a second to compile a line, are asked: one line
#: of each way in which an operation carries its tangents.
SOME = """
    xp.tanh(x)
    xp.tan(x)
    x * (xp.floor(x) + xp.ceil(x) + xp.round(x) + xp.trunc(x))
    -x + x**2 - 2.0 * x / 3.0 + 1.0 / (x + 9.0) - (1.0 - x)
    x[:, None, 1] * x
    xp.astype(x > 0, x.dtype) * x
    xp.clip(x, -0.5, 0.5)
    xp.cumulative_prod(x, axis=1)
    xp.max(x, axis=1)
    xp.meshgrid(x[0], x[:, 0])[0] * xp.meshgrid(x[0], x[:, 0])[1]
    xp.prod(x, axis=1, keepdims=True)
    xp.sort(x, axis=0, descending=True)
    xp.std(x, axis=1, correction=1, keepdims=True)
    xp.take(x, xp.asarray([0, 2, 2]), axis=1)
    xp.var(x, axis=(0, 1), keepdims=True)
    xp.where(x > 0, x, 0.0)
    xp.linalg.vector_norm(x, axis=1)
    xp.pow(x, 0.5) + x**-1.5 + 2.0**x
    x**y
    xp.logaddexp(x, y)
    xp.hypot(x, y)
    xp.atan2(x, y)
    xp.matmul(xp.stack([x, x]), y)
    xp.linalg.inv(x)
    xp.linalg.slogdet(x)[1]
    xp.linalg.solve(x, b)
    xp.exp(x) * xp.sum(x)
"""
LINES = [line.strip() for line in SOME.strip().splitlines()]
ASKED = [
    (label, line)
    for label in ("autograd", "torch", "jax:jit", "tensorflow")
    if label.partition(":")[0] in INSTALLED
    for line in (TABLE if label in ("autograd", "torch") else LINES)
]

#: Parts of a line that a framework has no JVP of. What has no VJP has no HVP either.
LACKS_JVP: dict[str, tuple[str, ...]] = {
    "autograd": (
        *("xp.astype(x, x.dtype)", "xp.var(x, axis=(0, 1)", "xp.hypot"),
        *("xp.linalg.svd", "xp.linalg.pinv", "xp.linalg.det", "xp.linalg.inv", "xp.linalg.qr"),
        *("xp.linalg.slogdet", "xp.linalg.solve", "xp.linalg.matrix_power(x, -2)"),
        *("xp.linalg.cholesky", "xp.linalg.eigh", "xp.linalg.eigvalsh"),
        *("xp.erf(", "xp.erfc(", "xp.lgamma(", "xp.digamma("),
    ),
    "torch": ("xp.floor_divide",),
    "jax": (),
    "tensorflow": (),
}
#: Where the referee has no truth.
UNKNOWN = ("xp.linalg.svd", "xp.linalg.eigh", "xp.linalg.eigvalsh", "xp.linalg.qr")


def moving(point: Sample, seed: int = 3) -> Sample:
    """The sample with random tangents."""
    rng = np.random.default_rng(seed)
    leaves = trees.flatten(point.inputs)
    tangents = {
        path: np.asarray(rng.normal(size=leaves[path].shape)).astype(point.dtype)
        for path in point.differentiable
    }
    return replace(point, tangents=tangents)


def found(label: str, code: Program, point: Sample, mode: Derivative) -> dict[str, np.ndarray]:
    got = backend(label).differentiate(code, point, Task(mode))
    return derivatives(got, mode)


def derivatives(got: Gradients, mode: Derivative) -> dict[str, np.ndarray]:
    assert not got.gradients
    assert not (got.hvps if mode == "jvp" else got.jvps)
    return got.jvps if mode == "jvp" else got.hvps


def certified(code: Program, point: Sample, mode: Derivative) -> Directional:
    return getattr(directional, mode)(code, trees.cast(point, "float64"))


def check(got: dict[str, np.ndarray], truth: Directional, dtype: str = "float64") -> None:
    assert truth.sides, truth.reason
    assert got.keys() == truth.sides.keys()
    for name, sides in truth.sides.items():
        assert sides.smooth
        assert got[name].dtype == np.dtype(dtype)
        assert got[name].shape == sides.middle.shape
        np.testing.assert_allclose(got[name], sides.middle, rtol=1e-9, atol=1e-11)


REFERENCE: dict[tuple[str, str], tuple[Program, Sample, Directional]] = {}


def reference(line: str, mode: Derivative) -> tuple[Program, Sample, Directional]:
    if (line, mode) not in REFERENCE:
        code = program(line, *TABLE[line])
        point = moving(sample(code, TABLE[line]))
        REFERENCE[line, mode] = code, point, certified(code, point, mode)
    return REFERENCE[line, mode]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("label", "line"), ASKED)
def test_derivatives_along_the_tangents_are_the_certified_ones(
    label: str, line: str, mode: Derivative
) -> None:
    code, point, truth = reference(line, mode)
    name = label.partition(":")[0]
    lacks = line in LACKS_VJP[name] if mode == "hvp" else line.startswith(LACKS_JVP[name])
    if lacks:
        with pytest.raises(Unsupported):
            found(label, code, point, mode)
        return
    got = found(label, code, point, mode)
    if line.startswith(UNKNOWN):
        assert not truth.sides
        assert all(np.isfinite(each).all() for each in got.values())
    else:
        check(got, truth)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", INSTALLED)
def test_float32_stays_float32(name: str, mode: Derivative) -> None:
    inputs = {"x": positive(3, 4), "y": positive(4)}
    text = "xp.sum(xp.where(x > y, xp.maximum(x, 0.5) ** 2, y), axis=0) * xp.max(x) + 2.0 * y"
    code = program(text, *inputs)
    point = moving(sample(code, inputs, "float32"))
    got, truth = found(name, code, point, mode), certified(code, point, mode)
    for key, sides in truth.sides.items():
        assert got[key].dtype == np.float32
        np.testing.assert_allclose(got[key], sides.middle, rtol=1e-5)


@pytest.mark.parametrize("body", ["xp.ones((2,))", "y", "2.5"])
@pytest.mark.parametrize("name", INSTALLED)
def test_what_nothing_depends_on_has_derivatives_of_zeros(name: str, body: str) -> None:
    inputs = {"x": normal(2, 3), "y": normal(3)}
    code = program(body, *inputs)
    point = moving(sample(code, inputs, wanted=("x",)))
    (jvp,) = found(name, code, point, "jvp").values()
    np.testing.assert_array_equal(jvp, np.zeros(np.shape(code.forward(np, inputs).outputs[0])))
    hvps = found(name, code, point, "hvp")
    np.testing.assert_array_equal(hvps["x"], np.zeros((2, 3)))


@pytest.mark.parametrize("name", INSTALLED)
def test_a_variable_without_influence_and_one_with_a_straight_one(name: str) -> None:
    inputs = {"x": normal(3), "unused": normal(4), "line": normal(3)}
    code = program("xp.exp(x) + line", *inputs)
    point = moving(sample(code, inputs))
    got = found(name, code, point, "hvp")
    assert {path: each.shape for path, each in got.items()} == {
        path: each.shape for path, each in inputs.items()
    }
    np.testing.assert_array_equal(got["unused"], np.zeros(4))
    np.testing.assert_array_equal(got["line"], np.zeros(3))
    check(got, certified(code, point, "hvp"))


@pytest.mark.parametrize("name", INSTALLED)
def test_integer_and_boolean_outputs_have_no_tangent(name: str) -> None:
    inputs = {"x": normal(2, 3)}
    code = program("a = xp.argmax(x, axis=1)\nb = x * x\nc = x > 0\nreturn a, b, c", "x")
    point = moving(sample(code, inputs))
    got = backend(name).differentiate(code, point, Task("jvp"))
    assert list(got.values) == ["a", "b", "c"]
    np.testing.assert_allclose(got.jvps.pop("b"), 2 * inputs["x"] * point.tangents["x"])
    assert got.jvps == {}
    hvp = found(name, code, point, "hvp")["x"]
    np.testing.assert_allclose(hvp, 2 * point.cotangents[1] * point.tangents["x"])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", INSTALLED)
def test_nested_inputs_several_outputs_and_recorded_intermediates(
    name: str, mode: Derivative
) -> None:
    inputs = {"p": {"W": normal(2, 3), "b": [normal(2), normal(2)]}, "x": normal(3)}
    body = 'q = xp.matmul(p["W"], x)\nf = xp.tanh(q + p["b"][0])\ng = xp.sum(q * p["b"][1] ** 3)'
    code = program(f"{body}\nreturn f, g", *inputs)
    point = moving(sample(code, inputs))
    got = backend(name).differentiate(code, point, Task(mode, ("q",)))
    np.testing.assert_allclose(got.values["q"], inputs["p"]["W"] @ inputs["x"])
    assert got.intermediates == {}
    check(derivatives(got, mode), certified(code, point, mode))


NATIVE = {
    "autograd": "import autograd.numpy as anp; return anp.tanh(x) * y",
    "torch": "import torch; return torch.tanh(x) * y",
    "jax": "import jax; return jax.numpy.tanh(x) * y",
    "tensorflow": "import tensorflow as tf; return tf.tanh(x) * y",
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", INSTALLED)
def test_a_native_function_is_what_runs(name: str, mode: Derivative) -> None:
    inputs = {"x": normal(3), "y": normal(3)}
    text = "def forward(xp, x, y):\n    f = xp.exp(x) * y\n    return f\n\n"
    text += f"def native_{name}(x, y):\n    {NATIVE[name]}\n"
    code = StagedProgram.of(parse(text, "x.py"))
    point = moving(sample(code, inputs))
    honest = program("xp.tanh(x) * y", *inputs)
    check(found(f"{name}:native", code, point, mode), certified(honest, point, mode))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "label",
    [
        label
        for label in ("jax", "jax:jit", "tensorflow:function", "tensorflow:xla")
        if label.partition(":")[0] in INSTALLED
    ],
)
def test_a_variant_agrees(label: str, mode: Derivative) -> None:
    inputs = {"W": normal(3, 2), "x": normal(2, 1), "unused": normal(2)}
    code = program("q = xp.matmul(W, x)\nf = xp.tanh(q)\ns = xp.argmax(q)\nreturn f, s", *inputs)
    point = moving(sample(code, inputs))
    check(found(label, code, point, mode), certified(code, point, mode))


#: Mode, and what the framework has no derivative of, in a mode that it has of other functions.
REFUSED: list[tuple[str, Derivative, str, str]] = [
    ("torch:compile", "jvp", "xp.exp(x)", "forward mode"),
    ("torch:compile", "hvp", "xp.exp(x)", "double backward"),
    ("autograd", "jvp", "xp.hypot(x, 1.0)", "JVP of hypot"),
    ("autograd", "jvp", "xp.var(x, axis=(0, 1))", "NameError: name 'np'"),
    ("torch", "jvp", "xp.floor_divide(x, 2.0)", "floor_divide"),
    ("jax:jit", "jvp", "x if xp.sum(x) > 0 else -x", "TracerBoolConversionError"),
    ("jax:jit", "hvp", "x if xp.sum(x) > 0 else -x", "TracerBoolConversionError"),
    ("tensorflow:function", "jvp", "x if xp.sum(x) > 0 else -x", "OperatorNotAllowedInGraph"),
    ("tensorflow:function", "hvp", "x if xp.sum(x) > 0 else -x", "OperatorNotAllowedInGraph"),
]


@pytest.mark.parametrize(
    ("label", "mode", "body", "reason"),
    [each for each in REFUSED if each[0].partition(":")[0] in INSTALLED],
)
def test_what_a_framework_lacks_is_unsupported(
    label: str, mode: Derivative, body: str, reason: str
) -> None:
    inputs = {"x": spd(3)}
    code = program(body, "x")
    point = moving(sample(code, inputs))
    with pytest.raises(Unsupported, match=reason):
        found(label, code, point, mode)


#: x**3 with a backward of its own, which is all that the framework is told about it.
ONE_WAY = {
    "torch": """
        import torch
        class Cube(torch.autograd.Function):
            @staticmethod
            def forward(context, x):
                context.save_for_backward(x)
                return x * x * x
            @staticmethod
            def backward(context, df):
                (x,) = context.saved_tensors
                return 3 * x * x * df
        return Cube.apply(x)
    """,
    "jax": """
        import jax
        cube = jax.custom_vjp(lambda x: x * x * x)
        cube.defvjp(lambda x: (x * x * x, x), lambda x, df: (3 * x * x * df,))
        return cube(x)
    """,
}


#: A backward that refuses to be differentiated, unless its cotangent is a constant.
SEVERED = """
    import torch
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            context.save_for_backward(x)
            return x * x * x
        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context, df):
            (x,) = context.saved_tensors
            return 3 * x * x * df
    return Cube.apply(x)
"""


@pytest.mark.parametrize("name", [name for name in ONE_WAY if name in INSTALLED])
def test_a_native_function_that_has_a_backward_alone_has_no_jvp(name: str) -> None:
    text = "def forward(xp, x):\n    f = x * x * x\n    return f\n\n"
    text += f"def native_{name}(x):\n{ONE_WAY[name]}"
    code = StagedProgram.of(parse(text, "x.py"))
    point = moving(sample(code, {"x": normal(3)}))
    with pytest.raises(Unsupported):
        found(f"{name}:native", code, point, "jvp")
    check(found(f"{name}:native", code, point, "hvp"), certified(code, point, "hvp"))


@pytest.mark.skipif("torch" not in INSTALLED, reason="torch is not installed")
def test_a_zero_hvp_that_torch_gives_without_a_word_is_red() -> None:
    """`once_differentiable` is an error only where the cotangent requires a gradient; a constant
    one gives numbers that depend on nothing, whose derivative is zero."""
    text = "def forward(xp, x):\n    f = x * x * x\n    return f\n\n"
    text += f"def native_torch(x):\n{SEVERED}"
    made = Case(
        "cube",
        Document(Path("cube.yaml"), {}, {}),
        CaseFile.model_validate({"summary": "cube", "inputs": {"x": {"shape": [3]}}}),
        parse(text, "cube.py"),
    )
    request = Request(backends=("torch:native",), modes=("vjp", "hvp"), draws=1)
    found = [row for _, rows in Engine([made], request).run(cells([made], request)) for row in rows]
    assert [(row.quantity, row.status) for row in found] == [
        ("d/dx", Status.PASS),
        ("hvp x", Status.FAIL),
    ]
    assert float(found[1].got) == 0.0


@pytest.fixture(scope="module")
def library() -> dict[str, Case]:
    return {file.stem: load(file) for file in builtin_folder().glob("*.yaml")}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", sorted(file.stem for file in builtin_folder().glob("*.yaml")))
def test_every_built_in_case(library: dict[str, Case], name: str, mode: Derivative) -> None:
    """At a draw, where nothing has a kink: every number is certified and right, but for gaps."""
    made = library[name]
    request = Request(backends=tuple(INSTALLED), modes=(mode,), points=("draw0",), draws=1)
    found = [row for _, rows in Engine([made], request).run(cells([made], request)) for row in rows]
    assert {row.backend for row in found} == set(INSTALLED)
    declared = {gap.backend for gap in made.declared.known if gap.mode == mode and not gap.point}
    for row in found:
        if row.backend in declared:
            assert row.status == Status.KNOWN, row
        else:
            assert (row.status, row.reference) == (Status.PASS, "certified"), row


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", INSTALLED)
def test_a_fault_of_the_case_is_not_called_unsupported(name: str, mode: Derivative) -> None:
    code = program("xp.exp(x) + undefined", "x")
    inputs: dict[str, Any] = {"x": normal(3)}
    point = Sample("x", "p", "s", "float64", inputs, ("x",), (np.ones(3),), tangents=inputs)
    with pytest.raises(NameError, match="undefined"):
        found(name, code, point, mode)


@pytest.mark.parametrize("name", [name for name in INSTALLED if name in ("jax", "torch")])
def test_a_user_s_own_process_keeps_its_settings(name: str) -> None:
    code = program("xp.exp(x) * xp.asarray([0.1])", "x")
    point = moving(sample(code, {"x": normal(3)}))
    for mode in MODES:
        found(name, code, point, mode)
    module = importlib.import_module(name)
    if name == "jax":
        assert module.numpy.ones(1).dtype == np.float32
    else:
        assert module.is_grad_enabled()
        with pytest.raises(RuntimeError, match="level"):  # no dual level is left open
            module.autograd.forward_ad.make_dual(module.ones(1), module.ones(1))

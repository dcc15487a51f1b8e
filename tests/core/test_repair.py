"""Repairs: found for the mistakes that people make, and never told where they are not proved."""

from __future__ import annotations

import ast
import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import program_from, sample_for

import harness
from harness.cases import registry
from harness.cases.case import load
from harness.diagnose import edits
from harness.diagnose.accusation import Accusation
from harness.diagnose.dataflow import function_at
from harness.diagnose.edits import RULES, Scope, variants
from harness.diagnose.inquest import inquire
from harness.diagnose.repair import ELEMENTS
from harness.errors import GradientMismatch
from harness.model import Sample
from harness.programs.source import Code, parse
from harness.programs.staging import StagedProgram

LAYER = """
def forward(xp, W, x, b):
    q = xp.matmul(W, x) + b
    h = xp.tanh(q)
    f = h * h
    return f
"""
LAYER_POINT = {
    "W": [[0.5, -1.25, 0.75], [1.5, 0.25, -0.5]],
    "x": [[0.5, 1.0], [-0.75, 0.25], [1.25, -1.5]],
    "b": [[0.125], [-0.25]],
}
RIGHT_LAYER = """
    dh = 2 * df * h
    dq = dh * (1 - h**2)
    dW = xp.matmul(dq, xp.matrix_transpose(x))
    db = xp.sum(dq, axis=1, keepdims=True)
    return {"W": dW, "x": xp.matmul(xp.matrix_transpose(W), dq), "b": db}
"""
RELU = """
def forward(xp, x):
    q = x * x - 1
    f = xp.maximum(q, xp.zeros_like(q))
    return f
"""
RELU_POINT = {"x": [-2.0, -0.5, 0.25, 1.5]}
RIGHT_RELU = """
    gate = xp.astype(q > 0, x.dtype)
    slope = 2 * x
    return {"x": df * gate * slope}
"""
CENTRED = """
def forward(xp, x, w):
    f = (x - xp.mean(x)) * w
    return f
"""
CENTRED_POINT = {"x": [0.5, -1.5, 2.25], "w": [1.25, 0.5, -0.75]}
RIGHT_CENTRED = """
    g = df * w
    return {"x": g - xp.mean(g), "w": df * (x - xp.mean(x))}
"""
MEAN = """
def forward(xp, p):
    r = p["y"] - p["t"]
    f = xp.mean(r * r)
    return f
"""
MEAN_POINT = {"p": {"y": [0.5, -1.5, 2.25], "t": [1.25, 0.5, -0.75]}}
RIGHT_MEAN = """
    g = df * r / r.shape[0]
    return {"p": {"y": 2 * g, "t": -2 * g}}
"""
FUNCTIONS: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "layer": (LAYER, "df, W, x, b, h", LAYER_POINT, RIGHT_LAYER),
    "relu": (RELU, "df, x, q", RELU_POINT, RIGHT_RELU),
    "centred": (CENTRED, "df, x, w", CENTRED_POINT, RIGHT_CENTRED),
    "mean": (MEAN, "df, r", MEAN_POINT, RIGHT_MEAN),
}


def broken(name: str, right: str, wrong: str) -> tuple[Code, StagedProgram, Sample]:
    """A function of the above with one piece of its backward replaced."""
    forward, parameters, point, body = FUNCTIONS[name]
    assert body.count(right) == 1 or right == wrong
    text = f"{forward}\ndef backward(xp, {parameters}):{body.replace(right, wrong)}"
    program = program_from(text)
    inputs = _arrays(point)
    cotangent = program_from(text).forward(np, inputs).outputs[0]
    cotangents = (np.linspace(0.5, 2, np.size(cotangent)).reshape(np.shape(cotangent)),)
    return parse(text, "demo.py"), program, sample_for(program, inputs, cotangents=cotangents)


def _arrays(point: Any) -> Any:
    if isinstance(point, dict):
        return {name: _arrays(each) for name, each in point.items()}
    return np.array(point)


def told(code: Code, program: StagedProgram, sample: Sample) -> dict[int, str]:
    """Number of the line in `backward` -> what it should be, as far as that is certified."""
    assert code.backward is not None
    first = code.backward.line
    lines = Accusation(code, program, sample).charge.lines
    return {
        each.number - first: each.repair.text
        for each in lines
        if each.repair is not None and each.repair.certified
    }


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("layer", "2 * df * h", "-2 * df * h"),
        ("layer", "2 * df * h", "df * h"),
        ("layer", "2 * df * h", "2 * df"),
        ("layer", "(1 - h**2)", "(1 + h**2)"),
        ("layer", "(1 - h**2)", "(1 - h)"),
        ("layer", "dh * (1 - h**2)", "dh"),
        ("layer", "dh * (1 - h**2)", "dh / (1 - h**2)"),
        ("layer", "xp.matmul(dq, xp.matrix_transpose(x))", "xp.matmul(dq, x)"),
        ("layer", "xp.matmul(dq, xp.matrix_transpose(x))", "xp.matmul(x, xp.matrix_transpose(dq))"),
        ("layer", "xp.matmul(dq, xp.matrix_transpose(x))", "xp.matmul(dh, xp.matrix_transpose(x))"),
        ("layer", "axis=1, keepdims=True", "axis=0, keepdims=True"),
        ("layer", "axis=1, keepdims=True", "axis=1"),
        ("layer", "xp.sum(dq, axis=1, keepdims=True)", "dq"),
        ("layer", "xp.sum(dq, axis=1, keepdims=True)", "xp.mean(dq, axis=1, keepdims=True)"),
        ("relu", "q > 0", "q < 0"),
        ("relu", "q > 0", "x > 0"),
        ("relu", "q > 0", "q > -1"),
        ("relu", "df * gate * slope", "gate * slope"),
        ("relu", "2 * x", "x"),
        ("centred", "g - xp.mean(g)", "g"),
        ("centred", "g - xp.mean(g)", "g - xp.sum(g)"),
        ("centred", "g - xp.mean(g)", "xp.mean(g) - g"),
        ("mean", "df * r / r.shape[0]", "df * r"),
        ("mean", "-2 * g", "2 * g"),
    ],
)
def test_a_common_mistake_is_repaired_on_its_line(name: str, right: str, wrong: str) -> None:
    body = FUNCTIONS[name][3].split("\n")
    (line,) = (number for number, each in enumerate(body) if right in each)
    found = told(*broken(name, right, wrong))
    assert line in found
    # What is told is right: it is put where the fault was, and nothing is wrong any more.
    forward, parameters, *_ = FUNCTIONS[name]
    body[line] = f"    {found[line]}"
    text = f"{forward}\ndef backward(xp, {parameters}):" + "\n".join(body)
    sample = broken(name, right, right)[2]
    assert inquire(program_from(text), sample).wrong == ()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_right_is_not_repaired(name: str) -> None:
    accusation = Accusation(*broken(name, "", ""))
    assert accusation.findings.wrong == ()
    assert accusation.text == ""


CUBE = """
def forward(xp, x, z):
    f = xp.sum(x * x * z)
    return f


def backward(xp, df, x, z):
    return {"x": BODY, "z": df * x * x}
"""


def test_a_repair_of_one_point_is_not_told() -> None:
    # At x = 1 the derivative 2 x z is 2 z, but only there.
    text = CUBE.replace("BODY", "df * z")
    code, program = parse(text, "demo.py"), program_from(text)
    point = {"x": np.ones(3), "z": np.array([0.5, -1.5, 2.0])}
    sample = sample_for(program, point)
    twice = program_from(text.replace("df * z}", "").replace("df * z,", "2 * df * z,"))
    assert inquire(twice, sample).wrong == ()
    assert told(code, program, sample) == {}


def test_a_fault_too_small_for_differences_is_left_alone() -> None:
    # Any edit that changes nothing would look right, and be certified in vain.
    assert told(*broken("relu", "2 * x", "(2 + 1e-12) * x")) == {}


def test_two_mistakes_are_not_repaired() -> None:
    code, program, sample = broken("layer", "2 * df * h", "-3 * df")
    assert told(code, program, sample) == {}


def test_an_edit_that_leaves_something_unread_is_no_repair() -> None:
    # Without ties, x over its own maximum would do without `share`; who wrote it meant it.
    text = """
def forward(xp, x):
    f = xp.max(x)
    return f

def backward(xp, df, x, f):
    hit = xp.astype(x == f, x.dtype)
    share = hit / hit
    return {"x": df * share}
"""
    code, program = parse(text, "demo.py"), program_from(text)
    sample = sample_for(program, {"x": np.array([0.5, 2.0, -1.0])})
    found = told(code, program, sample)
    assert next(iter(found)) == 2
    assert "x /" not in found[2]


def test_a_sign_too_many_is_likelier_than_one_too_few() -> None:
    for line, right in ((1, "xp.astype(q > 0, x.dtype)"), (2, "2 * x")):
        assert next(iter(told(*broken("relu", right, f"-{right}")))) == line


def test_where_backward_raises_the_line_that_made_the_shape_is_found() -> None:
    # It raises on the line after, where the transpose meets what is not transposed.
    code, program, sample = broken("layer", "2 * df * h", "xp.matrix_transpose(2 * df * h)")
    assert code.backward is not None
    assert inquire(program, sample, "demo.py").line is None  # 2 x 2: only the numbers are wrong
    wide = {**sample.inputs, "x": np.linspace(-1, 1, 12).reshape(3, 4)}
    sample = sample_for(program, wide)
    assert inquire(program, sample, "demo.py").line == code.backward.line + 2
    assert told(code, program, sample) == {1: "dh = 2 * df * h"}


def test_a_large_case_or_a_while_is_left_alone() -> None:
    code, program, sample = broken("relu", "2 * x", "-2 * x")
    assert told(code, program, sample)
    large = sample_for(program, {"x": np.linspace(1, 2, ELEMENTS)})
    assert told(code, program, large) == {}
    endless = "while slope is None:\n        pass\n    slope = -2 * x"
    assert told(*broken("relu", "slope = 2 * x", f"slope = x\n    {endless}")) == {}


def test_the_sample_stays_as_it_is() -> None:
    code, program, sample = broken("relu", "slope = 2 * x", "x += 1\n    slope = -2 * x")
    before = copy.deepcopy(sample.inputs)
    told(code, program, sample)
    assert np.array_equal(sample.inputs["x"], before["x"])


def test_the_message_says_what_is_right() -> None:
    code, program, sample = broken("layer", "(1 - h**2)", "(1 + h**2)")
    line = code.text.split("\n").index("    dq = dh * (1 + h**2)") + 1
    assert Accusation(code, program, sample).text == (
        f"the fault is in demo.py:{line}: `dq = dh * (1 + h**2)`, which is right as "
        "`dq = dh * (1 - h ** 2)`"
    )


def test_two_functions_in_memory_are_repaired_too() -> None:
    power = 3

    def cube(xp: Any, x: Any) -> Any:
        return x**power

    def its_gradient(xp: Any, df: Any, x: Any) -> Any:
        slope = -power * x**2
        return {"x": df * slope}

    with pytest.raises(GradientMismatch, match=r"which is right as `slope = power \* x \*\* 2`"):
        harness.check(cube, its_gradient, backends=["manual"], x=np.array([0.5, -1.5]))


#: The shorter ones; those transcribed from libraries have thousands of edits and no new syntax.
BUILT_IN = [
    entry.name for entry in registry.find() if "tags: [library" not in entry.file.read_text("utf-8")
]


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_edit_is_an_expression_and_leaves_the_tree_alone(name: str) -> None:
    (entry,) = (each for each in registry.find() if each.name == name)
    code = load(entry.file).code
    assert code.backward is not None
    function = function_at(code.text, code.backward.line)
    assert function is not None
    before = ast.dump(function)
    names = {each.id: (2, 3) for each in ast.walk(function) if isinstance(each, ast.Name)}
    scope = Scope(
        names, (0.5,), ("key",), ("x > 0",), frozenset({"prod"}), ("m",), ("u",), ("x[0]",)
    )
    values = [
        each.value
        for each in ast.walk(function)
        if isinstance(each, ast.Assign | ast.Return) and each.value
    ]
    for rule in RULES:
        for value in values:
            for new in variants(rule, value, scope):
                compile(ast.fix_missing_locations(ast.Expression(new)), "edit", "eval")
    assert ast.dump(function) == before


@pytest.mark.parametrize(
    ("before", "rule", "after"),
    [
        ("-a * b", "_sign", "a * b"),
        ("xp.exp(a)", "_sign", "xp.exp(-a)"),
        ("a - b", "_sign", "b - a"),
        ("a < b", "_comparison", "a <= b"),
        ("xp.where(a > 0, b, a)", "_comparison", "xp.where(a > 0, a, b)"),
        ("a @ b", "_transposed", "a @ xp.matrix_transpose(b)"),
        ("a.T", "_transposed", "a"),
        ("a * b", "_other_array", "a * a"),
        ("p['u']", "_other_array", "p['v']"),
        ("a / b", "_swapped", "b / a"),
        ("xp.sin(a)", "_function", "xp.cos(a)"),
        ("xp.exp(a)", "_function", "a"),
        ("a * b", "_reduction", "xp.sum(a * b, axis=0, keepdims=True)"),
        ("xp.sum(a, axis=0)", "_reduction", "xp.sum(a, axis=1)"),
        ("a + b", "_too_many", "a"),
        ("xp.where(a > 0, b, a)", "_too_many", "b"),
        ("a[1:]", "_number", "a[2:]"),
        ("0.5 * a", "_number", "0.044715 * a"),
        ("a", "_factor", "a / a.shape[0]"),
        ("a", "_unread", "a + c * b"),
        ("a", "_forgotten_mask", "xp.where(m, a, xp.zeros_like(a))"),
        ("a", "_mask", "xp.where(b > 0, a, xp.zeros_like(a))"),
        ("a", "_array_factor", "a * b"),
        ("a * a", "_term", "a * a + b * b"),
        ("a", "_term", "a - xp.mean(a)"),
        ("a", "_inner", "a * (1 - b ** 2)"),
    ],
)
def test_what_a_rule_writes(before: str, rule: str, after: str) -> None:
    shape = (2, 3)
    scope = Scope({"a": shape, "b": shape}, (0.044715,), ("v",), masks=("m",), unread=("c",))
    node = ast.parse(before, mode="eval").body
    found = [ast.unparse(each) for each in variants(getattr(edits, rule), node, scope)]
    assert after in found
    assert getattr(edits, rule) in RULES


def test_every_rule_is_tested() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [rule.__name__ for rule in RULES if f'"{rule.__name__}"' not in text] == []

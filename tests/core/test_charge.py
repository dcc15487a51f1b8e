"""What is said of a faulty line whose locals have no telling names, and how sure that is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from builders import program_from, sample_for

import harness
from harness.diagnose.accusation import Accusation
from harness.diagnose.charge import NAMED, Certainty, Line, charge
from harness.diagnose.evidence import Evidence
from harness.diagnose.points import elsewhere
from harness.diagnose.repair import Repair, places_on, search
from harness.diagnose.span import Level
from harness.errors import GradientMismatch
from harness.model import Status
from harness.programs.source import parse
from harness.quantity import CERTIFICATE

SOFTMAX = """
def forward(xp, x):
    e = xp.exp(x)
    y = e / xp.sum(e, axis=1, keepdims=True)
    return y


def backward(xp, grad, y):
    inner = xp.sum(grad * y, axis=1, keepdims=True)
    count = y.shape[0]
    gx = y * (grad - inner) * count / count
    return {"x": gx}
"""
POINT = {"x": np.array([[0.5, -1.25, 0.75], [1.5, 0.25, -0.5]])}
COTANGENTS = (np.array([[0.5, 2.0, -1.0], [1.25, -0.75, 0.25]]),)


def accused(text: str, right: str, wrong: str) -> Accusation:
    """The accusation of a function with one piece of it replaced; the line is asked by `number`."""
    assert text.count(right) == 1
    faulty = text.replace(right, wrong)
    program = program_from(faulty)
    inputs = dict.fromkeys(program.parameters, POINT["x"])
    sample = sample_for(program, inputs, cotangents=COTANGENTS)
    return Accusation(parse(faulty, "demo.py"), program, sample)


def number(text: str, piece: str) -> int:
    """The line of `text` in which a piece stands."""
    return text[: text.index(piece)].count("\n") + 1


def test_one_line_alone_can_be_repaired() -> None:
    found = accused(SOFTMAX, "xp.sum(grad * y, axis=1", "xp.sum(grad, axis=1").charge
    assert found.certainty is Certainty.REPAIRED
    assert [each.number for each in found.lines] == [number(SOFTMAX, "inner =")]
    assert str(found).startswith("the fault is in demo.py:")
    assert "which is right as `inner = xp.sum(grad * y, axis=1, keepdims=True)`" in str(found)


CHAIN = """
def forward(xp, x):
    u = 2 * x
    y = xp.sin(u)
    return y


def backward(xp, grad, u):
    slope = xp.cos(u)
    scaled = grad * slope
    gx = 2 * scaled
    return {"x": gx}
"""


def test_where_two_lines_can_be_repaired_nobody_knows_which_it_was() -> None:
    found = accused(CHAIN, "grad * slope", "-grad * slope").charge
    lines = {each.number for each in found.lines}
    assert number(CHAIN, "scaled =") in lines
    assert len(lines) > 1
    assert found.certainty is not Certainty.REPAIRED
    assert "the fault is in" not in str(found)


def test_what_no_edit_repairs_is_a_suspicion_in_order() -> None:
    wrong = "xp.sum(xp.tanh(grad) * y * y, axis=1"
    found = accused(SOFTMAX, "xp.sum(grad * y, axis=1", wrong).charge
    assert found.certainty is Certainty.SUSPECTED
    assert number(SOFTMAX, "inner =") in [each.number for each in found.lines]
    assert str(found).startswith("suspected, in this order: demo.py:")


def test_a_name_proves_a_line() -> None:
    text = CHAIN.replace("scaled", "du").replace("grad * slope", "grad * xp.cos(u)")
    found = accused(text, "grad * xp.cos(u)", "xp.tanh(grad * grad) * xp.cos(u)").charge
    assert found.certainty is Certainty.PROVED
    assert [each.number for each in found.lines] == [number(text, "du =")]
    assert "since all that it is computed from is right" in str(found)


def test_a_misleading_name_proves_nothing() -> None:
    # `du` lacks the factor of `v`, which comes later: by its name it is wrong, and it is innocent.
    text = """
def forward(xp, x):
    u = 2 * x
    v = 3 * u
    y = xp.sin(v)
    return y


def backward(xp, grad, v):
    dv = grad * xp.cos(v)
    du = dv * 1
    gx = 6 * du
    return {"x": gx}
"""
    found = accused(text, "6 * du", "5 * xp.tanh(du)").charge
    assert found.certainty is not Certainty.PROVED
    assert number(text, "gx =") in [each.number for each in found.lines]


def test_a_claim_that_is_wrong_while_every_gradient_is_right_is_a_remark() -> None:
    def forward(xp: Any, x: Any) -> Any:
        q = 2 * x
        f = q * q
        return f

    def backward(xp: Any, df: Any, q: Any) -> Any:
        dq = df * q
        return {"x": 4 * dq}

    report = harness.check(forward, backward, backends=["manual"], x=np.array([0.5, -1.5]))
    (row,) = (each for each in report.rows if each.quantity == CERTIFICATE)
    assert row.status == Status.PASS
    assert "remark: `dq` is not the cotangent of `q`" in row.detail

    def wrong(xp: Any, df: Any, q: Any) -> Any:
        dq = df * q
        return {"x": 3 * dq}

    with pytest.raises(GradientMismatch, match="proved wrong"):
        harness.check(forward, wrong, backends=["manual"], x=np.array([0.5, -1.5]))


def test_lines_of_which_no_value_would_do_are_acquitted() -> None:
    text = """
def forward(xp, x, z):
    y = x * x * z
    return y


def backward(xp, grad, x, z):
    a = 2 * x * z
    b = x * x
    gx = grad * a
    gz = grad * b
    return {"x": gx, "z": gz}
"""
    accusation = accused(text, "2 * x * z", "3 * x * z")
    lines = {each.number for each in accusation.charge.lines}
    assert number(text, "b =") not in lines
    assert number(text, "gz =") not in lines
    assert number(text, "a =") in lines


def test_a_line_that_only_takes_shapes_is_no_suspect() -> None:
    text = SOFTMAX.replace("* count / count", "+ 0 * xp.ones((count, 1))")
    accusation = accused(text, "xp.sum(grad * y, axis=1", "xp.sum(grad, axis=1")
    program = accusation._program
    evidence = Evidence(accusation._code, program, accusation._sample)
    lines = {each.site.line for each in evidence.possible}
    assert number(text, "count =") not in lines
    assert number(text, "inner =") in lines


def test_a_helper_of_backward_may_be_at_fault() -> None:
    text = """
def forward(xp, x):
    y = xp.tanh(x)
    return y


def slope(y):
    s = 1 - y * y
    return s


def backward(xp, grad, y):
    gx = grad * slope(y)
    return {"x": gx}
"""
    found = accused(text, "1 - y * y", "1 - y").charge
    repairs = {each.number: each.repair for each in found.lines}
    assert repairs[number(text, "s =")] == Repair("s = 1 - y * y", True)


def test_the_correction_of_the_faulty_line_is_a_function_of_what_it_reads() -> None:
    accusation = accused(SOFTMAX, "y * (grad - inner)", "grad - y * inner")
    evidence = Evidence(accusation._code, accusation._program, accusation._sample)
    first, *others = evidence.possible
    assert (first.site.line, first.level) == (number(SOFTMAX, "gx ="), Level.NARROW)
    # What the sum would have to be has a number for each element, and so another shape.
    (inner,) = (each for each in others if each.site.line == number(SOFTMAX, "inner ="))
    assert inner.reshaped
    assert inner.rank > first.rank


def test_a_mask_that_hides_the_fault_is_not_certified() -> None:
    text = """
def forward(xp, x):
    y = xp.expm1(x)
    return y


def backward(xp, grad, y):
    gx = grad * (y + 1)
    return {"x": gx}
"""
    faulty = text.replace('{"x": gx}', '{"x": gx + gx * xp.where(y > 0, 0.5, 0.0)}')
    program = program_from(faulty)
    # Here y > 0 nowhere, so that nothing is wrong; where signs are turned, it is.
    sample = sample_for(program, {"x": -np.abs(POINT["x"])}, cotangents=COTANGENTS)
    code = parse(faulty, "demo.py")
    assert Accusation(code, program, sample).findings.wrong == ()
    turned = elsewhere(sample, 3)
    assert np.all(np.sign(turned.inputs["x"]) == -np.sign(sample.inputs["x"]))
    assert Accusation(code, program, turned).findings.wrong == ("x",)


def test_a_repair_that_is_certified_nowhere_else_is_a_guess() -> None:
    # Only here is the logarithm defined: the edit is right, and nobody knows whether elsewhere.
    text = """
def forward(xp, x):
    y = xp.log(1e-9 - xp.abs(x - X0)) * x
    return y


def backward(xp, grad, x):
    a = xp.log(1e-9 - xp.abs(x - X0)) * grad
    b = x * xp.sign(x - X0) / (1e-9 - xp.abs(x - X0)) * grad
    return {"x": a + b}
"""
    text = text.replace("X0", "xp.asarray([[0.5, -1.25, 0.75], [1.5, 0.25, -0.5]])")
    point = {"x": POINT["x"] + 2.0**-31 * np.array([[1, -1, 1], [-1, 1, 1]])}
    program = program_from(text)
    sample = sample_for(program, point, cotangents=COTANGENTS)
    evidence = Evidence(parse(text, "demo.py"), program, sample)
    places = places_on(evidence, [("backward", number(text, "return {"))])
    found = search(evidence, places).found
    assert [each.certified for each in found.values()] == [False]


def line(at: int, certified: bool | None = None) -> Line:
    repair = None if certified is None else Repair(f"repaired {at}", certified)
    return Line(at, f"line {at}", repair)


@pytest.mark.parametrize(
    ("lines", "proved", "complete", "expected", "words"),
    [
        (
            [line(3), line(4)],
            True,
            False,
            Certainty.PROVED,
            "the fault is in f.py:3: `line 3`, sin",
        ),
        ([line(3, True), line(4)], False, True, Certainty.REPAIRED, "the fault is in f.py:3"),
        # The search ended before all lines were tried.
        (
            [line(3, True), line(4)],
            False,
            False,
            Certainty.SUSPECTED,
            "suspected, in this order: f",
        ),
        # A guess may be the repair that the author would have written.
        ([line(3, True), line(4, False)], False, True, Certainty.SUSPECTED, "suspected, in this"),
        ([line(3, True), line(4, True)], False, True, Certainty.EITHER, "the fault is either in f"),
        (
            [line(3, False)],
            False,
            True,
            Certainty.SUSPECTED,
            "suspected: f.py:3: `line 3` (a guess",
        ),
        ([line(3), line(4)], False, True, Certainty.SUSPECTED, "suspected, in this order: f.py:3"),
        ([], False, True, Certainty.SUSPECTED, ""),
    ],
)
def test_what_is_said(
    lines: list[Line], proved: bool, complete: bool, expected: Certainty, words: str
) -> None:
    found = charge("f.py", lines, proved=proved, complete=complete)
    assert found.certainty is expected
    assert str(found).startswith(words)
    assert bool(str(found)) == bool(lines)


def test_either_names_all_of_them_or_is_not_said() -> None:
    several = [line(at, True) for at in range(NAMED + 1)]
    assert charge("f.py", several, complete=True).certainty is Certainty.SUSPECTED
    assert charge("f.py", several[:NAMED], complete=True).certainty is Certainty.EITHER
    assert str(charge("f.py", several[:2], complete=True)).count(", or in f.py:") == 1

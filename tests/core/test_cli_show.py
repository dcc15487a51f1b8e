"""`harness show`: the view that someone who learns backpropagation wants."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pairs import FORWARD, RAISES, WRONG, pair

from harness.report.grid import grid

Run = Callable[..., Any]
CORE = ("--backend", "numeric,manual")


def line(out: str, *starts: str) -> list[str]:
    """The fields of the first line that begins with these."""
    pattern = r"^\s*" + r"\s+".join(map(re.escape, starts)) + r"\b.*$"
    found = re.search(pattern, out, re.MULTILINE)
    assert found is not None, f"no line {starts} in\n{out}"
    return re.split(r"\s{2,}", found[0].strip())


def test_value_and_cotangent_of_every_intermediate(harness: Run) -> None:
    said = harness("show", "sigmoid_staged", *CORE)
    assert said.status == 0
    assert "formula" in said.out
    assert "inputs at printed, float64" in said.out
    assert line(said.out, "x")[1] == "2."
    assert line(said.out, "2", "a")[1:] == ["a = -x", "-2.", "-0.104993585404"]
    assert line(said.out, "3", "b")[1:] == ["b = xp.exp(a)", "0.135335283237", "-0.775803492574"]
    assert line(said.out, "5", "s")[1:] == ["s = 1 / c", "0.880797077978", "1."]
    assert line(said.out, "12", "da")[1:] == ["da = db * b", "-0.104993585404"]


def test_every_method_and_its_number_for_every_quantity(harness: Run) -> None:
    said = harness("show", "sigmoid_staged", *CORE)
    text = said.out[said.out.index("every method") :]
    for quantity in ("s", "d/dx", "d/da (intermediate)", "d/db (intermediate)", "expect d/dx"):
        block = text[text.index(f"\n{quantity}\n") :]
        assert line(block, "numeric")[1].startswith("pass")
        assert line(block, "manual")[1].startswith("pass")
    assert line(text[text.index("\nd/dx\n") :], "manual")[-1] == "0.104993585404"
    assert "printed 0.104993585404" in text


def test_equal_matrices_are_printed_once(harness: Run) -> None:
    said = harness("show", "sum_xy_z", *CORE, "--point", "numpy")
    text = said.out[said.out.index("\nd/dZ\n") :]
    block = text[: text.index("\nd/d", 1)]
    assert block.count("[[1. 1. 1.]") == 1
    assert "numeric" in block
    assert "manual" in block


def test_the_verdict_on_a_wrong_backward_is_shown_without_failing(
    harness: Run, tmp_path: Path
) -> None:
    pair(tmp_path / "mine", "square", WRONG)
    said = harness("show", "square", "--cases", "mine", *CORE)
    assert said.status == 0
    assert line(said.out[said.out.index("\nd/dx\n") :], "manual")[1].startswith("fail")
    proof = line(said.out[said.out.index("\ncertificate\n") :], "manual")
    assert proof[1:3] == ["fail", "certified"]
    assert proof[3].startswith("proved wrong: d/dx; the fault is in mine/square.py:9: `dx = -2.5")


def test_what_is_proved_is_shown_in_words(harness: Run, tmp_path: Path) -> None:
    pair(tmp_path / "mine", "square")
    exact = harness("show", "square", "--cases", "mine", *CORE).out
    proof = line(exact[exact.index("\ncertificate\n") :], "manual")
    assert proof[1:] == ["pass exact", "certified", "verified exactly"]
    some = harness("show", "sigmoid_staged", *CORE).out
    proof = line(some[some.index("\ncertificate\n") :], "manual")
    assert re.fullmatch(r"pass [34]\d", proof[1])
    assert proof[3] == f"verified to {proof[1][5:]} digits"


def test_without_a_backward_the_cotangents_are_a_methods(harness: Run, tmp_path: Path) -> None:
    pair(tmp_path / "mine", "square", FORWARD)
    said = harness("show", "square", "--cases", "mine", "--backend", "numeric")
    assert said.status == 0
    assert line(said.out, "2", "q")[3] == "[1. 1. 1.]"
    assert "by numeric" in said.out
    assert "\nbackward\n" not in said.out


def test_nested_inputs_are_shown_by_their_paths(harness: Run) -> None:
    said = harness("show", "linear_regression", *CORE)
    assert said.status == 0
    assert line(said.out, "params.w")[1].startswith("-0.28")
    # `numeric` samples long gradients: what it did not compute is no NaN.
    assert "nan" not in said.out
    assert "- is not sampled" in said.out


def test_point_dtype_size_and_seed(harness: Run) -> None:
    said = harness("show", "sum_xy_z", *CORE, "--point", "draw4", "--dtype", "float32")
    assert said.status == 0
    assert "inputs at draw4, float32" in said.out
    other = harness("show", "sum_xy_z", *CORE, "--point", "draw4", "--seed", "1")
    assert line(said.out, "X") != line(other.out, "X")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["tanh_*"], "`tanh_*` matches `tanh_by_exp`, `tanh_network`; name one of them"),
        (["sum_xy_z", "--point", "nunpy"], "did you mean `numpy`?"),
        (["sum_xy_z", "--dtype", "float46"], "did you mean `float64`?"),
        (["sum_xy_z", "--backend", "numerc"], "did you mean `numeric`?"),
        (["sum_xy_z", "--size", "larg", "--point", "draw0"], "did you mean `large`?"),
    ],
)
def test_an_unknown_name_is_status_2(harness: Run, words: list[str], complaint: str) -> None:
    said = harness("show", *words)
    assert said.status == 2
    assert complaint in said.err
    assert said.out == ""


def test_a_case_that_raises_is_named_by_its_line(harness: Run, tmp_path: Path) -> None:
    pair(tmp_path / "mine", "boom", RAISES)
    said = harness("show", "boom", "--cases", "mine")
    assert said.status == 2
    assert said.err.startswith("error: mine/boom.py:3: `f = xp.sum(q[7])`: IndexError")


def test_no_run_prints_the_code_and_runs_none_of_it(harness: Run, tmp_path: Path) -> None:
    pair(tmp_path / "mine", "boom", f"raise RuntimeError('run')\n\n\n{RAISES}")
    said = harness("show", "boom", "--cases", "mine", "--no-run")
    assert said.status == 0
    assert line(said.out, "6", "f")[1] == "f = xp.sum(q[7])"
    assert "points   one" in said.out


def test_columns_stand_side_by_side_where_they_fit() -> None:
    rows = [("1", "a = b", "[1\n 2]", "x")]
    assert grid(["n", "code", "value", "dx"], rows, 80, keys=2) == [
        "n  code   value  dx",
        "1  a = b  [1     x\n           2]",
    ]


def test_columns_go_below_each_other_where_they_do_not() -> None:
    rows = [("1", "a = b", "[1\n 2]", "x")]
    assert grid(["n", "code", "value", "dx"], rows, 18, keys=2) == [
        "1  a = b\n   value  [1\n           2]\n   dx     x"
    ]


def test_what_is_assigned_again_has_no_value_of_its_own(harness: Run, tmp_path: Path) -> None:
    """A loop's variable has one value at the end, and no cotangent that `backward` could name."""
    python = """
def forward(xp, x):
    h = 0.5 * x
    for _ in range(2):
        h = xp.tanh(h + x)
    f = xp.sum(h)
    return f
"""
    (tmp_path / "loop.py").write_text(python)
    (tmp_path / "loop.yaml").write_text("summary: a loop\ninputs: {x: {shape: [2]}}\n")
    said = harness("show", "loop", "--cases", tmp_path, "--backend", "numeric")
    assert line(said.out, "3", "h")[2] == "(assigned again below)"
    assert line(said.out, "5", "h")[2].startswith("[")
    assert len(line(said.out, "5", "h")) == 3, "no cotangent"

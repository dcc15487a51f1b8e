"""The atlas: its labels on synthetic numbers, its table, and its command with lying methods."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import absent, program_from, sample_for, write_case

from harness.judging.compare import judge
from harness.judging.verdict import Tolerance, Truth
from harness.model import Mark, Status
from harness.report import atlas
from harness.studies.atlas import classify
from harness.truth.certificate import certify
from harness.truth.sides import along_axes

Run = Callable[..., Any]
INF, NAN = math.inf, math.nan

LABELS = [
    # number, from below, from above: label, whether it is valid
    (2.0, 2.0, 2.0, "exact", True),
    (2.0 + 1e-9, 2.0, 2.0, "exact", True),
    (0.0, 0.0, 0.0, "exact", True),
    (1e-9, 0.0, 0.0, "exact", True),
    (2.1, 2.0, 2.0, "outside", False),
    (-2.0, 2.0, 2.0, "outside", False),
    (0.1, 0.0, 0.0, "outside", False),
    (-1.0, -1.0, 3.0, "left", True),
    (3.0, -1.0, 3.0, "right", True),
    (1.0, -1.0, 3.0, "mid", True),
    (0.0, -1.0, 3.0, "zero", True),
    (0.5, -1.0, 3.0, "between", True),
    (0.0, 0.0, 1.0, "left", True),
    (0.0, 1.0, 0.0, "right", True),
    (0.5, 1.0, 0.0, "mid", True),
    (3.1, -1.0, 3.0, "outside", False),
    (-1.1, 3.0, -1.0, "outside", False),
    (NAN, -1.0, 3.0, "nan", False),
    (INF, -1.0, 3.0, "infinite", False),
    # The function is not real on one side, or steep without end.
    (0.0, NAN, 0.0, "right", True),
    (1.0, NAN, 0.0, "outside", False),
    (INF, NAN, INF, "infinite", True),
    (-INF, NAN, INF, "infinite", False),
    (468.0, NAN, INF, "outside", False),
    (NAN, NAN, INF, "nan", False),
    (INF, INF, INF, "infinite", True),
    (1e300, INF, INF, "outside", False),
    (7.0, -INF, INF, "between", True),
    (0.0, -INF, INF, "zero", True),
    (-3.0, 0.0, -INF, "between", True),
    (1.0, 0.0, -INF, "outside", False),
    # Nowhere real beside the point: no derivative, and NaN says so.
    (NAN, NAN, NAN, "nan", True),
    (0.0, NAN, NAN, "outside", False),
    (INF, NAN, NAN, "infinite", False),
]


@pytest.mark.parametrize(("got", "left", "right", "label", "valid"), LABELS)
def test_a_number_is_classified_by_its_sides(
    got: float, left: float, right: float, label: str, valid: bool
) -> None:
    assert classify(got, left, right, 1e-6) == (label, valid)


SIDES = [
    # the function of x, the point, the derivatives from below and from above
    ("xp.abs(x)", 0.0, -1.0, 1.0),
    ("xp.sqrt(x)", 0.0, NAN, INF),
    ("xp.sqrt(-x)", 0.0, -INF, NAN),
    ("xp.sqrt(x * x)", 0.0, -1.0, 1.0),  # takes series to t**2
    ("x**1.5", 0.0, NAN, 0.0),
    ("xp.sign(x) * xp.abs(x) ** 0.5", 0.0, INF, INF),
    ("xp.log(x)", 0.0, NAN, INF),
    ("x * xp.log(x)", 0.0, NAN, -INF),
    ("xp.where(x > 0, x * xp.log(x), 3 * x)", 0.0, 3.0, -INF),
    ("xp.pow(xp.full_like(x, -2.0), x)", 2.0, NAN, NAN),
    ("xp.acos(x)", 1.0, -INF, NAN),
    ("x * xp.floor(x)", 3.0, 2.0, 3.0),
    ("xp.sin(x) / x", 0.0, 0.0, 0.0),
]


@pytest.mark.parametrize(("code", "at", "left", "right"), SIDES, ids=[each[0] for each in SIDES])
def test_one_sided_derivatives_are_proved(code: str, at: float, left: float, right: float) -> None:
    program = program_from(f"def forward(xp, x):\n    f = {code}\n    return f\n")
    with np.errstate(all="ignore"):
        sides = along_axes(program, sample_for(program, {"x": np.array([at])}), "x")
    assert sides is not None
    found = [float(sides.left[0]), float(sides.right[0])]
    assert found == pytest.approx([left, right], nan_ok=True)
    assert sides.smooth == (left == right and math.isfinite(left))


def test_a_limit_that_is_finite_but_not_resolved_is_no_verdict() -> None:
    code = "xp.where(x == 0, x, x * xp.exp(xp.log(xp.abs(x))))"
    program = program_from(f"def forward(xp, x):\n    f = {code}\n    return f\n")
    with np.errstate(all="ignore"):
        sample = sample_for(program, {"x": np.array([0.0])})
        assert along_axes(program, sample, "x") is None


@pytest.mark.parametrize(
    ("code", "rule", "at", "state", "value"),
    [
        ("x * xp.floor(x)", "xp.floor(x)", 3.0, "undecided", 9.0),
        ("xp.where(x > 0, x * xp.log(x), 3 * x)", "xp.log(x) + 1", 0.0, "undecided", 0.0),
        ("xp.sqrt(x * x)", "xp.sign(x)", 0.0, "kink", 0.0),
        ("xp.abs(x) + x", "xp.sign(x) + 1", 2.0, "verified", 4.0),
        ("xp.abs(x) + x", "xp.sign(x)", 2.0, "wrong", 4.0),
        ("xp.abs(x) + x", "xp.nan * x", 2.0, "wrong", 4.0),
        ("xp.abs(x) + x", "xp.inf * x", 2.0, "wrong", 4.0),
    ],
)
def test_a_kink_is_no_wrong_backward_and_a_jump_has_its_own_value(
    code: str, rule: str, at: float, state: str, value: float
) -> None:
    program = program_from(
        f"def forward(xp, x):\n    f = {code}\n    return f\n\n\n"
        f'def backward(xp, df, x):\n    return {{"x": df * ({rule})}}\n'
    )
    with np.errstate(all="ignore"):
        found = certify(program, sample_for(program, {"x": np.array([at])}))
    assert found.state == state
    assert found.values["f"].tolist() == [value]


@pytest.mark.parametrize(
    ("got", "sides", "status"),
    [
        (INF, (NAN, INF), Status.PASS),
        (468.0, (NAN, INF), Status.FAIL),
        (NAN, (NAN, INF), Status.FAIL),
        (0.5, (NAN, 0.5), Status.PASS),
        (0.6, (NAN, 0.5), Status.FAIL),
        (0.0, (-INF, INF), Status.KINK),
        (-5.0, (1.0, -INF), Status.KINK),
        (2.0, (1.0, -INF), Status.FAIL),
        (NAN, (NAN, NAN), Status.FAIL),
    ],
)
def test_sides_may_be_infinite_or_missing(
    got: float, sides: tuple[float, float], status: str
) -> None:
    left, right = np.array([sides[0]]), np.array([sides[1]])
    truth = Truth(np.array([0.0]), "certified", np.zeros(1), sides=(left, right))
    assert judge(np.array([got]), truth, Tolerance(), "float64").status == status


def mark(**changes: Any) -> Mark:
    plain: dict[str, Any] = {
        "case": "bend",
        "point": "zero",
        "dtype": "float64",
        "quantity": "d/dx",
        "index": "[0]",
        "left": 0.0,
        "right": 1.0,
        "judged": True,
        "backend": "torch",
        "got": 0.5,
        "label": "mid",
        "valid": True,
    }
    return Mark(**(plain | changes))


def test_a_cell_has_number_label_and_whether_it_is_wrong() -> None:
    marks = [
        mark(),
        mark(backend="jax", got=NAN, label="nan", valid=False),
        mark(backend="tensorflow", got=1.25, label="outside", valid=False),
        mark(backend="autograd", got=NAN, label="unsupported", valid=False),
        mark(backend="numeric", got=-0.0, label="left"),
        mark(backend="manual", got=INF, label="infinite", valid=False),
    ]
    (page,) = atlas.pages(marks, {"bend": "a bend"})
    assert page.title == "bend: a bend"
    assert page.header[:3] == ["at", "sides", "torch"]
    assert page.lines == [
        [
            "zero d/dx[0]",
            "0..1",
            "0.5 mid",
            "nan!",
            "1.25 outside!",
            "unsupported",
            "0 left",
            "inf!",
        ]
    ]


@pytest.mark.parametrize(
    ("changes", "sides"),
    [
        ({"left": 1.0}, "1"),
        ({"left": NAN, "right": INF}, "-..inf"),
        ({"left": NAN, "right": NAN}, "-"),
        ({"left": NAN, "right": NAN, "judged": False}, "?"),
        ({"left": -1 / 3}, "-0.333..1"),
    ],
)
def test_the_sides_are_shown(changes: dict[str, Any], sides: str) -> None:
    (page,) = atlas.pages([mark(**changes)], {})
    assert page.lines[0][1] == sides


def test_elements_that_say_nothing_are_counted_instead() -> None:
    dull = mark(index="[1]", label="exact", left=1.0, got=1.0)
    (page,) = atlas.pages([mark(), dull], {})
    assert (len(page.lines), page.left_out) == (1, 1)
    (empty,) = atlas.pages([dull], {})
    assert atlas.table_lines(empty) == []


def test_dtypes_have_tables_of_their_own() -> None:
    found = atlas.pages([mark(), mark(dtype="float32")], {})
    assert [page.title for page in found] == ["bend: ", "bend [float32]: "]


def test_methods_that_do_not_fit_follow_in_further_blocks() -> None:
    methods = [f"framework{index}:native" for index in range(9)]
    (page,) = atlas.pages([mark(backend=each) for each in methods], {})
    lines = [line.plain for line in atlas.table_lines(page)]
    assert max(map(len, lines)) <= 100
    assert len(lines) == 6
    assert all(line.startswith("zero d/dx[0]  0..1") for line in lines[1::2])
    assert [word for line in lines[::2] for word in line.split()[2:]] == methods


BEND = """
def forward(xp, x):
    f = xp.abs(x)
    return f


def backward(xp, df, x):
    return {"x": df * %s}
"""
YAML = """
tags: [%s]
inputs:
  x: {shape: [2], draw: normal}
points:
  corner: {inputs: {x: [0.0, 2.0]}}
"""


def bend(folder: Path, rule: str = "xp.sign(x)", tag: str = "kink", name: str = "bend") -> None:
    write_case(folder, BEND % rule, YAML % tag, name)


def marks_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "atlas.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_command_prints_and_writes_the_table(harness: Run, tmp_path: Path) -> None:
    bend(tmp_path / "mine")
    said = harness("atlas", "--cases", "mine", "--backend", "manual,numeric", "--report", "out")
    assert said.status == 0
    assert "bend: a case of the tests" in said.out
    assert ["corner", "d/dx[0]", "-1..1", "0", "mid", "0", "mid"] in [
        line.split() for line in said.out.splitlines()
    ]
    assert "exact by every method: 1 element\n" in said.out
    assert "see out/atlas.md" in said.out
    found = marks_of(tmp_path / "out")
    assert [(row["backend"], row["index"], row["label"]) for row in found] == [
        ("manual", "[0]", "mid"),
        ("manual", "[1]", "exact"),
        ("numeric", "[0]", "mid"),
        ("numeric", "[1]", "exact"),
    ]
    assert {row["valid"] for row in found} == {"yes"}
    text = (tmp_path / "out/atlas.md").read_text(encoding="utf-8")
    assert "| corner d/dx\\[0\\] | -1..1 | 0 mid | 0 mid |" in text
    assert "harness atlas --cases mine" in text


@pytest.mark.parametrize(
    ("rule", "cells"),
    [
        ("(2 * xp.ones_like(x))", ["2 outside!", "2 outside!"]),
        ("xp.where(x == 0, xp.nan * x, xp.sign(x))", ["nan!"]),
        ("xp.where(x == 0, xp.inf * xp.ones_like(x), xp.sign(x))", ["inf!"]),
        ("xp.where(x == 0, xp.ones_like(x) / 4, xp.sign(x))", ["0.25 between"]),
    ],
)
def test_a_lying_backward_is_seen(
    harness: Run, tmp_path: Path, rule: str, cells: list[str]
) -> None:
    bend(tmp_path / "mine", rule)
    said = harness("atlas", "--cases", "mine", "--backend", "manual", "--report", "")
    assert said.status == 0
    for cell, line in zip(cells, said.out.splitlines()[2:], strict=False):
        assert line.endswith(cell)
    assert not Path("reports").exists()


def test_float32_is_judged_with_its_own_slack(harness: Run, tmp_path: Path) -> None:
    bend(tmp_path / "mine", "(1 + 1e-5) * xp.sign(x)")
    words = ("atlas", "--cases", "mine", "--backend", "manual", "--report", "out")
    harness(*words, "--dtype", "float64,float32")
    found = marks_of(tmp_path / "out")
    labels = {row["dtype"]: row["label"] for row in found if row["index"] == "[1]"}
    assert labels == {"float64": "outside", "float32": "exact"}


def test_a_method_that_raises_is_status_1(harness: Run, tmp_path: Path) -> None:
    bend(tmp_path / "mine", "x[5]")
    said = harness("atlas", "--cases", "mine", "--backend", "manual,numeric", "--report", "out")
    assert said.status == 1
    assert "bend [corner, float64] manual: index 5 is out of bounds" in said.err
    labels = {(row["backend"], row["label"]) for row in marks_of(tmp_path / "out")}
    assert labels == {("manual", "error"), ("numeric", "mid"), ("numeric", "exact")}


def test_what_balls_cannot_follow_is_not_judged(harness: Run, tmp_path: Path) -> None:
    python = """
    def forward(xp, x):
        f = xp.linalg.svdvals(x)
        return f
    """
    yaml = "inputs:\n  x: {shape: [2, 2], draw: normal}\n"
    yaml += "points:\n  one: {inputs: {x: [[2.0, 0.0], [0.0, 1.0]]}}\n"
    write_case(tmp_path / "mine", python, yaml)
    said = harness("atlas", "demo", "--cases", "mine", "--backend", "numeric", "--report", "out")
    assert said.status == 0
    found = marks_of(tmp_path / "out")
    assert {(row["label"], row["judged"]) for row in found} == {("unjudged", "no")}
    assert "?" in said.out


def test_a_folder_is_surveyed_whole_unless_its_cases_are_named(
    harness: Run, tmp_path: Path
) -> None:
    bend(tmp_path / "mine")
    bend(tmp_path / "mine", tag="plain", name="other")
    words = ("--cases", "mine", "--backend", "manual", "--report", "")
    assert {"bend:", "other:"} <= set(harness("atlas", *words).out.split())
    named = harness("atlas", "other", *words)
    assert named.status == 0
    assert "other:" in named.out
    assert "bend:" not in named.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nosuch"], "no case `nosuch`"),
        (["--backend", "torhc"], "did you mean `torch`?"),
        (["--dtype", "float63"], "no dtype `float63`"),
        (["--dytpe", "float32"], "did you mean `--dtype`?"),
        (["bend", "--report", "bend.txt"], "`bend.txt` cannot be written to"),
        (["pointless"], "nothing to compare"),
    ],
)
def test_bad_usage_is_status_2(harness: Run, tmp_path: Path, words: list[str], said: str) -> None:
    bend(tmp_path / "mine")
    write_case(tmp_path / "mine", BEND % "x", "inputs:\n  x: {shape: [2]}\n", "pointless")
    (tmp_path / "bend.txt").write_text("", encoding="utf-8")
    found = harness("atlas", "--cases", "mine", *words)
    assert found.status == 2
    assert said in found.err


def test_nothing_compared_is_status_2(harness: Run, tmp_path: Path) -> None:
    bend(tmp_path / "mine")
    with absent("autograd"):
        said = harness("atlas", "--cases", "mine", "--backend", "autograd", "--report", "")
    assert said.status == 2
    assert "nothing was compared" in said.err
    assert "missing" in said.out


def test_a_report_of_another_run_is_replaced_whole(harness: Run, tmp_path: Path) -> None:
    bend(tmp_path / "mine")
    words = ("atlas", "--cases", "mine", "--backend", "manual", "--report", "out")
    harness(*words)
    before = (tmp_path / "out/atlas.csv").read_bytes()
    harness(*words)
    assert (tmp_path / "out/atlas.csv").read_bytes() == before
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["atlas.csv", "atlas.md"]

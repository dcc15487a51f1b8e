"""What a run prints: messages that someone can act on, and a matrix readable at 80 columns."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace

import pytest
from test_report_files import BAD, ROW

from harness.cli import parser
from harness.model import Row, Status, failing
from harness.report import tables, terminal
from harness.report.message import explain, gather, reproduce
from harness.runs.plan import Cell

METHODS = ("numeric", "manual", "autograd", "tensorflow", "torch", "jax")


def matrix(rows: list[Row], width: int) -> list[str]:
    return [str(line) for line in terminal.matrix_lines(tables.summary(tables.frame(rows)), width)]


def test_six_methods_fit_80_columns_uncut() -> None:
    case = "polynomial_regression"
    rows = [replace(ROW, case=case, backend=name, digits=15.7) for name in METHODS]
    rows += [replace(ROW, case="sum", backend=name, digits=9.1) for name in METHODS]
    rows[3] = replace(rows[3], status=Status.MISSING)
    lines = matrix(rows, 80)
    assert len(lines) == 3
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["case", *METHODS]
    assert lines[1].split() == [case, *["✓", "15.7"] * 3, "missing", *["✓", "15.7"] * 2]
    # The points stand below each other.
    assert lines[1].index("15.7") + 2 == lines[2].index(" 9.1") + 2


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_what_does_not_fit_goes_on_below(width: int) -> None:
    rows = [
        replace(ROW, backend=f"{name}:native", status=status, digits=5.0)
        for name in METHODS
        for status in (Status.IMPRECISE,)
    ]
    lines = matrix(rows, width)
    words = " ".join(lines).split()
    for name in METHODS:
        assert words.count(f"{name}:native") == 1
    assert words.count("imprecise") == len(METHODS)
    one = len("square  tensorflow:native")
    assert all(len(line) <= max(width, one) for line in lines)


def test_got_and_expected_are_aligned() -> None:
    row = replace(BAD, got="-0.5", expected="0.25", worst_index="[1, 2]", max_abs_error=0.75)
    lines = explain(row, "harness run square").splitlines()
    assert lines[0] == "fail: square [one, float64] torch: d/dx"
    assert lines[1] == "  got        -0.5"
    assert lines[2] == "  expected    0.25   (numeric)"
    assert lines[3] == "  worst at   [1, 2]"
    assert "0.75 absolute" in lines[4]
    assert lines[5] == "  tolerance  3.75e-10; the error is 2e+09 times that"
    assert lines[-1] == "  reproduce  harness run square"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_not_finite_has_no_error_in_figures(value: float) -> None:
    row = replace(
        BAD,
        got=str(value),
        max_abs_error=value,
        error_over_tolerance=math.inf,
        detail="not finite where the reference is",
    )
    message = explain(row)
    assert f"got        {value}" in message
    assert "not finite where the reference is" in message
    assert "absolute" not in message
    assert "tolerance" not in message


def test_no_tolerance_at_all_is_said() -> None:
    assert "tolerance  0, so any error" in explain(replace(BAD, error_over_tolerance=math.inf))


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        replace(ROW, point="draw7", size="large", dtype="float32", backend="torch:native"),
        replace(ROW, case="odd name's", point="a;b", mode="train"),
    ],
)
def test_the_reproducing_command_says_what_the_row_says(row: Row) -> None:
    words = shlex.split(reproduce(row, ["--seed", "4"]))
    assert words[0] == "harness"
    options = parser().parse_args(words[1:])
    assert options.case == [row.case]
    assert (options.backend, options.point) == ([row.backend], [row.point])
    assert (options.dtype, options.mode, options.seed) == ([row.dtype], [row.mode], 4)
    assert options.size == (["large"] if row.size == "large" else None)
    if row.point == "draw7":
        assert options.draws == 8


def test_rows_that_say_the_same_are_one_message() -> None:
    error = replace(ROW, status=Status.ERROR, got="", expected="", detail="demo.py:3: boom")
    rows = [error, ROW, replace(error, point="draw0"), BAD, replace(error, case="other")]
    assert gather(failing(rows)) == [(error, 1), (BAD, 0), (replace(error, case="other"), 0)]
    assert "also in    1 other comparison\n" in explain(error, "x", 1)


def test_the_summary_ends_with_counts_and_where_the_rest_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal.summary([ROW, BAD], ["--seed", "3"], "out/report.md")
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "2 comparisons: 1 pass, 1 fail; see out/report.md"
    assert "--seed 3" in out
    assert not any(line.endswith(" ") for line in out.splitlines())


def test_the_bar_passes_everything_on_and_prints_nothing_in_a_pipe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = [Cell("a", "draw0", "default", "float64", "manual")]
    assert list(terminal.progress([(plan[0], 1)], plan, enabled=True)) == [(plan[0], 1)]
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")

"""`results.csv` and `report.md`: what they say, and that they survive whatever a name contains."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from builders import numerical
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.model import Row, Status, failing
from harness.report import files, tables

COLUMNS = (
    "case,point,size,dtype,backend,mode,quantity,status,max_abs_error,max_rel_error,max_ulp_error,"
    "digits,error_over_tolerance,worst_index,got,expected,reference,seconds,written,raised,detail"
).split(",")
FLOATS = [field.name for field in fields(Row) if field.type == "float"]

ROW = Row(
    "square", "one", "declared", "float64", "manual", "vjp", "d/dx", Status.PASS,
    1e-16, 1e-16, 0.5, 15.9, 0.1, "[2]", "6.0", "6.0", "numeric", 1e-5,
)  # fmt: skip
BAD = replace(ROW, status=Status.FAIL, backend="torch", digits=0.5, error_over_tolerance=2e9)

floats = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 1e-320, -0.0, 0.1])
#: Whatever a file name, a message or a formula may hold, and what Markdown and CSV trip over.
names = st.text(st.sampled_from("ab_*|`<>&\\\n\r\t\"',;#[]()~$-+=1. \u2028é")) | st.text()


def write(folder: Path, rows: list[Row], **changes: Any) -> None:
    options: dict[str, Any] = {"command": "harness run", "versions": {}, "descriptions": {}}
    files.write(folder, rows, **{**options, **changes})


def report(rows: list[Row], **changes: Any) -> str:
    options: dict[str, Any] = {"command": "harness run", "versions": {}, "descriptions": {}}
    return files.markdown(rows, failing(rows), tables.frame(rows), **{**options, **changes})


def test_columns_are_those_of_the_design_in_its_order(tmp_path: Path) -> None:
    write(tmp_path, [ROW])
    first = (tmp_path / "results.csv").read_text().splitlines()[0]
    assert first.split(",") == COLUMNS
    assert tables.COLUMNS == COLUMNS


@numerical
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(FLOATS, floats)), min_size=1, max_size=4))
def test_floats_survive_the_round_trip(drawn: list[dict[str, float]]) -> None:
    rows = [replace(ROW, **each) for each in drawn]
    text = files.csv_text(tables.frame(rows))
    for row, line in zip(rows, csv.DictReader(io.StringIO(text)), strict=True):
        for name in FLOATS:
            was, now = getattr(row, name), float(line[name] or "nan")
            assert repr(now) == repr(was)
    back = pd.read_csv(io.StringIO(text))
    for name in FLOATS:
        assert list(map(str, back[name])) == [str(getattr(row, name)) for row in rows]


@numerical
@given(st.lists(st.tuples(names, names, names), min_size=1, max_size=4))
def test_texts_survive_the_round_trip_but_for_their_line_ends(drawn: list[Any]) -> None:
    rows = [replace(ROW, case=case, quantity=what, detail=why) for case, what, why in drawn]
    text = files.csv_text(tables.frame(rows))
    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(lines) == len(rows)
    for row, line in zip(rows, lines, strict=True):
        for name in ("case", "quantity", "detail"):
            assert line[name] == re.sub(r"\r\n?", "\n", getattr(row, name))


def cells(line: str) -> list[str]:
    """The cells of a table line, as GitHub splits it: a pipe after a backslash is text, unless
    that backslash is itself escaped."""
    found, current, index = [], "", 0
    while index < len(line):
        if line[index] == "\\" and index + 1 < len(line):
            current += line[index : index + 2]
            index += 2
            continue
        if line[index] == "|":
            found.append(current)
            current = ""
        else:
            current += line[index]
        index += 1
    found.append(current)
    assert (found[0], found[-1]) == ("", "")
    return [each.strip() for each in found[1:-1]]


def unescaped(cell: str) -> str:
    """What a reader sees of a cell."""
    text = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", cell)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


@numerical
@given(names, names, names)
def test_a_table_holds_whatever_a_name_contains(case: str, point: str, backend: str) -> None:
    row = replace(ROW, case=case, point=point, backend=backend, quantity=f"d/d{case}")
    text = report([row, replace(row, backend="manual")], versions={backend: point})
    lines = [line for line in text.split("\n") if line.startswith("|")]
    assert len(lines) == 9  # summary, details and environment: header, rule, one line each
    sizes = [len(cells(line)) for line in lines]
    columns = 1 + len({backend, "manual"})
    assert sizes == [columns] * 3 + [columns + 4] * 3 + [2] * 3
    seen = [unescaped(cell) for cell in cells(lines[2])]
    assert seen[0] == " ".join(case.split())
    for line in lines:
        assert re.sub(r"\\.", "", line).count("`") == 0
        assert "<" not in line


@numerical
@given(names)
def test_a_summary_stays_a_paragraph(summary: str) -> None:
    text = files.paragraph(summary)
    assert "\n" not in text
    assert not re.match(r"([-+*=#>]|\d{1,9}[.)])", text)


@numerical
@given(names)
def test_a_message_cannot_leave_its_fence(detail: str) -> None:
    text = report([replace(BAD, detail=detail), ROW])
    blocks = re.findall(r"^(`{3,})\n(.*?)\n\1$", text, re.MULTILINE | re.DOTALL)
    assert blocks[0][1].startswith("fail: square")
    assert blocks[0][0] not in blocks[0][1]
    assert "reproduce" in blocks[0][1]


def test_sections_of_the_report() -> None:
    text = report(
        [ROW, BAD],
        versions={"numpy": "2.4"},
        command="harness run square --seed 3",
        descriptions={"square": {"summary": "a_b", "formula": r"\sum_i x_i", "source": "me"}},
        options=["--seed", "3"],
    )
    parts = [
        "# Gradient report",
        "2 comparisons: 1 pass, 1 fail.",
        "## Summary",
        "| case | manual | torch |",
        "| square | pass 15.9 | fail 0.5 |",
        "## What is not good",
        "  reproduce  harness run square --backend torch --point one --dtype float64 --mode vjp "
        "--seed 3",
        "## Cases",
        "### square",
        r"a\_b",
        "```math\n\\sum_i x_i\n```",
        "Source: me",
        "| point | size | dtype | mode | quantity | manual | torch |",
        "## Environment",
        "| numpy | 2.4 |",
        "## How to reproduce",
        "```\nharness run square --seed 3\n```",
    ]
    at = -1
    for part in parts:
        assert part in text[at + 1 :], f"{part!r} is not behind what should precede it in\n{text}"
        at = text.index(part, at + 1)


def test_dtypes_have_a_summary_each() -> None:
    text = report([ROW, replace(ROW, dtype="float32", digits=6.5)])
    assert "### float64\n\n| case | manual |\n| --- | --- |\n| square | pass 15.9 |" in text
    assert "### float32\n\n| case | manual |\n| --- | --- |\n| square | pass 6.5 |" in text


def test_a_cell_is_the_worst_of_its_rows() -> None:
    rows = [ROW, replace(ROW, status=Status.IMPRECISE, digits=9.0), replace(ROW, digits=3.0)]
    assert list(tables.summary(tables.frame(rows))["manual"]) == ["imprecise 3.0"]
    for status in Status:
        rows = [ROW, replace(ROW, status=status), BAD]
        found = tables.summary(tables.frame(rows))
        assert found["manual"][0].startswith(status)
        assert found["torch"][0].startswith("fail")


def test_printed_digits_count_only_where_there_are_no_others() -> None:
    printed = replace(ROW, reference="printed", digits=4.0)
    other = replace(printed, case="other")
    found = tables.summary(tables.frame([ROW, printed, other]))
    assert list(found["manual"]) == ["pass 15.9", "pass 4.0"]


PROOF = replace(
    ROW, quantity="certificate", digits=37.9, got="", expected="", worst_index="",
    reference="certified", detail="verified to 37 digits",
)  # fmt: skip


def test_the_digits_of_a_formula_are_not_those_of_a_number() -> None:
    """Whatever a certificate says, the summary counts the digits of numbers; details show both."""
    unknown = replace(ROW, digits=math.nan)
    for digits in (math.nan, 3.0, 37.9, math.inf):
        proof = replace(PROOF, digits=digits)
        assert list(tables.summary(tables.frame([ROW, proof]))["manual"]) == ["pass 15.9"]
    (details,) = tables.details(tables.frame([ROW, PROOF, unknown])).values()
    assert dict(zip(details["quantity"], details["manual"], strict=True)) == {
        "d/dx": "pass 15.9",
        "certificate": "pass 37",
    }
    (exact,) = tables.details(tables.frame([replace(PROOF, digits=math.inf)])).values()
    assert list(exact["manual"]) == ["pass exact"]


def test_an_undecided_certificate_does_not_hide_the_digits() -> None:
    for status in (Status.UNDECIDED, Status.KINK, Status.FAIL):
        proof = replace(PROOF, status=status, digits=math.nan)
        found = tables.summary(tables.frame([ROW, proof]))
        assert list(found["manual"]) == [f"{status} 15.9"]


def test_certificates_have_a_section_of_their_own() -> None:
    """Of several points the fewest digits, never rounded up; what is not verified, with reasons."""
    rows = [
        PROOF,
        replace(PROOF, point="two", digits=math.inf),
        replace(PROOF, case="exact", digits=math.inf),
        replace(PROOF, case="bent", status=Status.KINK, digits=math.nan, detail="no derivative"),
        replace(PROOF, case="far", status=Status.UNDECIDED, digits=math.nan, detail="no balls"),
        replace(PROOF, case="bad", status=Status.FAIL, digits=math.nan, detail="proved | wrong"),
    ]
    text = report([ROW, *rows])
    section = text[text.index("## Certificates") : text.index("## Cases")]
    assert [line for line in section.splitlines() if line.startswith("| ")] == [
        "| case | digits | verified at | otherwise |",
        "| --- | --- | --- | --- |",
        "| square | 37 | 2 of 2 points |  |",
        "| exact | exact | 1 of 1 points |  |",
        "| bent |  | 0 of 1 points | one: kink, no derivative |",
        "| far |  | 0 of 1 points | one: undecided, no balls |",
        r"| bad |  | 0 of 1 points | one: fail, proved \| wrong |",
    ]
    assert "## Certificates" not in report([ROW])


@pytest.mark.parametrize("failing", [1, 2])
def test_a_failing_write_leaves_the_old_files_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    write(tmp_path, [ROW])
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    assert set(before) == {"results.csv", "report.md"}
    real, calls = os.fdopen, []

    def full(*args: Any, **options: Any) -> Any:
        stream = real(*args, **options)
        calls.append(stream)
        if len(calls) == failing:
            stream.close()
            raise OSError(28, "No space left on device")
        return stream

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(UsageError, match="No space left on device"):
        write(tmp_path, [BAD])
    assert len(calls) == failing
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


def test_a_name_that_utf8_cannot_say_is_written_all_the_same(tmp_path: Path) -> None:
    write(tmp_path, [replace(BAD, detail="\udcff.py")])
    assert r"\udcff.py" in (tmp_path / "report.md").read_text()
    assert r"\udcff.py" in (tmp_path / "results.csv").read_text()


def test_what_is_unstable_has_a_table_of_its_own() -> None:
    unstable = replace(
        ROW, status=Status.UNSTABLE, backend="torch", digits=3.2, detail="1 - tanh(x)**2 cancels"
    )
    text = report([ROW, unstable, replace(unstable, point="two", digits=2.0)])
    (line,) = (each for each in text.splitlines() if "cancels" in each)
    assert line.startswith("| square | torch | d/dx | unstable | one, two | 2.0 |")
    assert "## What is not good" not in text
    assert "## Unstable formulas" not in report([ROW])

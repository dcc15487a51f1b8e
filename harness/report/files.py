"""`results.csv` and `report.md`, each replaced whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from harness.errors import UsageError
from harness.model import Row
from harness.report import tables
from harness.report.message import explain


def prepare(folder: Path) -> None:
    """Make sure that `folder` can be written to, before anything is computed.

    Raises UsageError if it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"`{folder}` cannot be written to: {error.strerror}\n"
            "  remedy: name another folder with `--report DIR`"
        ) from None


def write(
    folder: Path,
    rows: Sequence[Row],
    *,
    command: str,
    versions: Mapping[str, str],
    descriptions: Mapping[str, Mapping[str, str]],
    seed: int = 0,
) -> list[Path]:
    """Write both files and return their paths.

    `versions` are the lines of the environment table; `descriptions` gives `summary`, `formula`
    and `source` of each case.
    """
    table = tables.frame(rows)
    text = markdown(rows, table, command, versions, descriptions, seed)
    csv = folder / "results.csv"
    report = folder / "report.md"
    _replace(csv, table.to_csv(index=False, lineterminator="\n"))
    _replace(report, text)
    return [csv, report]


def markdown(
    rows: Sequence[Row],
    table: pd.DataFrame,
    command: str,
    versions: Mapping[str, str],
    descriptions: Mapping[str, Mapping[str, str]],
    seed: int = 0,
) -> str:
    """The whole report as GitHub-flavoured Markdown."""
    total = ", ".join(f"{number} {status}" for status, number in tables.counts(table).items())
    parts = [
        "# Gradient report",
        f"{len(rows)} comparisons: {total}.",
        "A cell shows the worst status of its comparisons and the fewest correct significant "
        "digits among them; `results.csv` beside this file has every number.",
        "## Summary",
        _table(tables.summary(table)),
    ]
    bad = [row for row in rows if not row.good]
    if bad:
        parts.append("## What is not good")
        parts.extend(_fence(explain(row, seed)) for row in bad)
    parts.append("## Cases")
    for name, group in table.groupby("case", sort=False):
        about = descriptions.get(str(name), {})
        parts.append(f"### {escape(str(name))}")
        if about.get("summary"):
            parts.append(escape(about["summary"]))
        if about.get("formula"):
            parts.append(_fence(about["formula"], "math"))
        if about.get("source"):
            parts.append(f"Source: {escape(about['source'])}")
        parts.append(_table(tables.details(group)))
    parts += [
        "## Environment",
        _lines(("what", "version"), versions.items()),
        "## How to reproduce",
        _fence(command),
    ]
    return "\n\n".join(parts) + "\n"


_ESCAPES = str.maketrans(
    {**{each: f"\\{each}" for each in "\\`*_{}[]#|~$"}, "&": "&amp;", "<": "&lt;", ">": "&gt;"}
)


def escape(text: str) -> str:
    """Text that Markdown shows as it is, also inside a table cell."""
    return " ".join(text.split()).translate(_ESCAPES)


def _fence(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any run of backticks in it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def _table(frame: pd.DataFrame) -> str:
    return _lines([str(name) for name in frame.columns], frame.itertuples(index=False))


def _lines(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table. Plain joins: DataFrame.to_markdown is 25 times slower."""
    lines = ["| " + " | ".join(map(escape, header)) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(escape(str(cell)) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _replace(file: Path, text: str) -> None:
    """Write beside the file and move over it, so that a reader never sees half a file."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
        os.chmod(name, 0o644)
        os.replace(name, file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

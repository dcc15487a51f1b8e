"""`results.csv` and `report.md`, each replaced whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from harness.errors import UsageError
from harness.model import Row, failing
from harness.report import tables
from harness.report.message import explain, gather, reproduce

CSV, MARKDOWN = "results.csv", "report.md"


def prepare(folder: Path, names: Sequence[str] = (CSV, MARKDOWN)) -> None:
    """Make sure that the files of a report can be written to `folder`, before anything is computed.

    Raises UsageError if it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            if (folder / name).is_dir():
                raise IsADirectoryError(errno.EISDIR, f"its `{name}` is a folder")
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from None


def write(
    folder: Path,
    rows: Sequence[Row],
    *,
    command: str,
    versions: Mapping[str, str],
    descriptions: Mapping[str, Mapping[str, str]],
    options: Sequence[str] = (),
    peaks: Mapping[tuple[str, str], int] | None = None,
    unfinished: int = 0,
    strict: bool = False,
) -> list[Path]:
    """Write both files and return their paths.

    `versions` are the lines of the environment table; `descriptions` gives `summary`, `formula`
    and `source` of each case; `options` are those that a row's reproducing command needs besides
    what the row says; `peaks` gives the most bytes that a worker held, by case and worker;
    `unfinished` is how many cells an interrupted run has left; `strict` says that what is not
    proved fails. Raises UsageError if the folder cannot be written to.
    """
    table, bad = tables.frame(rows), failing(rows, strict=strict)
    text = markdown(
        rows, bad, table, command, versions, descriptions, options, peaks or {}, unfinished
    )
    return write_texts(folder, {CSV: csv_text(table), MARKDOWN: text})


def write_texts(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write texts by file name, each file replaced whole or not at all.

    Raises UsageError if the folder cannot be written to.
    """
    try:
        return _replace({folder / name: text for name, text in texts.items()})
    except OSError as error:
        raise _unwritable(folder, error) from None


def csv_text(table: pd.DataFrame) -> str:
    """The rows as CSV. A float is the shortest text that gives it back, NaN an empty field."""
    text = str(table.to_csv(index=False, lineterminator="\n"))
    if "\r" not in text:
        return text
    # The csv module quotes a field for a line feed, but not for a bare carriage return.
    texts = table.select_dtypes(exclude=["number", "bool"]).columns
    plain = {name: table[name].str.replace(_RETURN, "\n", regex=True) for name in texts}
    return str(table.assign(**plain).to_csv(index=False, lineterminator="\n"))


def markdown(
    rows: Sequence[Row],
    bad: Sequence[Row],
    table: pd.DataFrame,
    command: str,
    versions: Mapping[str, str],
    descriptions: Mapping[str, Mapping[str, str]],
    options: Sequence[str] = (),
    peaks: Mapping[tuple[str, str], int] = MappingProxyType({}),
    unfinished: int = 0,
) -> str:
    """The whole report as GitHub-flavoured Markdown; `bad` are the rows that fail the run."""
    total = ", ".join(f"{number} {status}" for status, number in tables.counts(table).items())
    found = tables.summaries(table)
    parts = [
        "# Gradient report",
        f"{len(rows)} comparisons: {total}.",
        *([f"**Interrupted: {unfinished} cells are missing.**"] if unfinished else []),
        "A cell shows the worst status of its comparisons and the fewest correct significant "
        "digits among them; `results.csv` beside this file has every number.",
        "## Summary",
    ]
    for dtype, matrix in found.items():
        parts += [f"### {escape(dtype)}"] if len(found) > 1 else []
        parts.append(markdown_table(matrix))
    if bad:
        parts.append("## What is not good")
        messages = (explain(row, reproduce(row, options), others) for row, others in gather(bad))
        parts.extend(map(fence, messages))
    reserved = tables.excused(table)
    if not reserved.empty:
        parts += [
            "## Unstable formulas, conventions and jumps",
            "What a method returns with reason, though it is not the derivative to all digits; "
            "from a backward by hand it fails the run.",
            markdown_table(reserved),
        ]
    proved = tables.certificates(table)
    if not proved.empty:
        parts += [
            "## Certificates",
            "To how many digits each hand-written backward is verified, as a formula, against the "
            "Taylor series of its forward in ball arithmetic.",
            markdown_table(proved),
        ]
    parts.append("## Cases")
    for name, details in tables.details(table).items():
        about = descriptions.get(name, {})
        parts.append(f"### {escape(name)}")
        if about.get("summary"):
            parts.append(paragraph(about["summary"]))
        if about.get("formula"):
            parts.append(fence(about["formula"], "math"))
        if about.get("source"):
            parts.append(f"Source: {escape(about['source'])}")
        parts.append(markdown_table(details))
    if peaks:
        parts += [
            "## Memory",
            "The most that each worker held while it was at a case, in MiB, libraries included.",
            markdown_table(tables.memory(peaks)),
        ]
    parts += footer(command, versions)
    return "\n\n".join(parts) + "\n"


def footer(command: str, versions: Mapping[str, str]) -> list[str]:
    """What every report ends with: the environment, and the command that made it."""
    environment = pd.DataFrame(versions.items(), columns=["what", "version"])
    return ["## Environment", markdown_table(environment), "## How to reproduce", fence(command)]


_RETURN = re.compile(r"\r\n?")
_ESCAPES = str.maketrans(
    {**{each: f"\\{each}" for each in "\\`*_{}[]#|~$"}, "&": "&amp;", "<": "&lt;", ">": "&gt;"}
)


def escape(text: str) -> str:
    """Text that Markdown shows as it is, also inside a table cell."""
    return " ".join(text.split()).translate(_ESCAPES)


def paragraph(text: str) -> str:
    """Text that stands by itself: what would begin a list, a rule or a numbered item does not."""
    return re.sub(r"^(\d{0,9})([-+=.)])", r"\1\\\2", escape(text))


def fence(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any run of backticks in it."""
    ticks = "```"
    while ticks in text:
        ticks += "`"
    return f"{ticks}{language}\n{text}\n{ticks}"


def markdown_table(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table."""
    # No number needs escaping, and most texts come again and again.
    known = cache(escape)
    columns = [
        map(str if column.dtype.kind in "fi" else lambda cell: known(str(cell)), column)
        for _, column in frame.items()
    ]
    return _joined([str(name) for name in frame.columns], zip(*columns, strict=True))


def _joined(header: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table by plain joins: see `benchmarks/tables.py`."""
    lines = ["| " + " | ".join(map(escape, header)) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def _replace(texts: Mapping[Path, str]) -> list[Path]:
    """Write all beside the files and then move each over its own, so that a reader never sees half
    a file, and a full disk leaves both old files."""
    staged: dict[Path, Path] = {}
    try:
        for file, text in texts.items():
            handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
            staged[file] = Path(name)
            # A name from the file system may hold what UTF-8 cannot say.
            with os.fdopen(
                handle, "w", encoding="utf-8", errors="backslashreplace", newline=""
            ) as stream:
                stream.write(text)
            os.chmod(name, 0o644)
        for file, temporary in staged.items():
            os.replace(temporary, file)
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)
    return list(texts)


def _unwritable(folder: Path, error: OSError) -> UsageError:
    return UsageError(
        f"`{folder}` cannot be written to: {error.strerror or error}\n"
        "  remedy: name another folder with `--report DIR`"
    )

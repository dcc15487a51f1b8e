"""The atlas of kinks as a table: points by methods, each cell a number and what it is.

One table per case, and in it only the elements at which something is to be seen: where every method
returns the derivative, a line would say nothing.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from rich.text import Text

from harness.model import Mark
from harness.report import files
from harness.report.console import Output
from harness.report.terminal import column_blocks

CSV, MARKDOWN = "atlas.csv", "atlas.md"
LEGEND = (
    "`sides` are the proved derivatives from below and from above, beside a jump those of either "
    "branch (`-`: the function is not real there; `?`: balls cannot follow). A number is `exact`, "
    "or by convention `left`, `right`, `mid`, `zero` or `between`. `unsure` is outside by no more "
    "than the method's own estimate of its error; `!` marks what is none of these: NaN, infinite "
    "or outside."
)
_FLAGS = ("judged", "valid")
_WIDTH = 100
_GAP = "  "


class Page(NamedTuple):
    """One case in one dtype: a line per element, a column per method, and the number of elements
    left out since every method returns the derivative there."""

    title: str
    header: list[str]
    lines: list[list[str]]
    left_out: int


def pages(marks: Iterable[Mark], summaries: Mapping[str, str]) -> list[Page]:
    """The tables, in the order of the marks. `summaries` says in a line what each case is."""
    groups: dict[tuple[str, str], list[Mark]] = {}
    for mark in marks:
        groups.setdefault((mark.case, mark.dtype), []).append(mark)
    return [_page(group, summaries.get(case, "")) for (case, _), group in groups.items()]


def _page(marks: Sequence[Mark], summary: str) -> Page:
    methods = list(dict.fromkeys(mark.backend for mark in marks))
    rows: dict[tuple[str, str, str], dict[str, Mark]] = {}
    for mark in marks:
        rows.setdefault((mark.point, mark.quantity, mark.index), {})[mark.backend] = mark
    shown = {
        key: row for key, row in rows.items() if any(mark.label != "exact" for mark in row.values())
    }
    lines = [
        [
            f"{point} {quantity}{index}",
            _sides(next(iter(row.values()))),
            *(_cell(row[method]) if method in row else "" for method in methods),
        ]
        for (point, quantity, index), row in shown.items()
    ]
    dtype = "" if marks[0].dtype == "float64" else f" [{marks[0].dtype}]"
    title = f"{marks[0].case}{dtype}: {summary}"
    return Page(title, ["at", "sides", *methods], lines, len(rows) - len(shown))


def _sides(mark: Mark) -> str:
    if not mark.judged:
        return "?"
    left, right = ("-" if math.isnan(side) else _number(side) for side in (mark.left, mark.right))
    return left if left == right else f"{left}..{right}"


def _cell(mark: Mark) -> str:
    if mark.label in ("nan", "infinite"):
        text = _number(mark.got)
    else:
        number = "" if math.isnan(mark.got) else f"{_number(mark.got)} "
        text = f"{number}{mark.label}"
    return f"{text}!" if mark.wrong else text


def _number(value: float) -> str:
    """Three digits; minus zero is zero."""
    return f"{value + 0.0:.3g}"


def show(found: Sequence[Page]) -> None:
    """Print the tables, at most 100 columns wide: methods that do not fit beside each other follow
    in further blocks."""
    console = Output()
    for page in found:
        console.print(Text(page.title, style="bold"), soft_wrap=True)
        for line in table_lines(page):
            console.print(line, soft_wrap=True)
        if page.left_out:
            count = f"{page.left_out} element{'s' if page.left_out > 1 else ''}"
            console.print(f"  exact by every method: {count}", style="dim", soft_wrap=True)
        console.print()
    for text in textwrap.wrap(LEGEND.replace("`", ""), _WIDTH):
        console.print(text, soft_wrap=True)


def table_lines(page: Page) -> list[Text]:
    """The lines of a table; every block of columns repeats the first two."""
    if not page.lines:
        return []
    columns = list(zip(page.header, *page.lines, strict=True))
    widths = [max(map(len, column)) for column in columns]
    indent = widths[0] + len(_GAP) + widths[1]
    lines: list[Text] = []
    for block in column_blocks(widths[2:], indent, _WIDTH):
        for number, row in enumerate([page.header, *page.lines]):
            line = Text(style="bold" if number == 0 else "")
            for index in (0, 1, *(each + 2 for each in block)):
                wrong = row[index].endswith("!")
                line.append(row[index].ljust(widths[index]), style="bold red" if wrong else "")
                line.append(_GAP)
            line.rstrip()
            lines.append(line)
    return lines


def write(
    folder: Path,
    marks: Sequence[Mark],
    found: Sequence[Page],
    *,
    command: str,
    versions: Mapping[str, str],
) -> list[Path]:
    """Write `atlas.csv` and `atlas.md`. Raises UsageError if the folder cannot be written to."""
    table = pd.DataFrame(map(asdict, marks), columns=[field.name for field in fields(Mark)])
    table = table.assign(**{name: table[name].map({True: "yes", False: "no"}) for name in _FLAGS})
    parts = ["# Atlas of kinks", LEGEND]
    for page in found:
        name, _, summary = page.title.partition(": ")
        parts += [f"## {files.escape(name)}", files.paragraph(summary)]
        if page.lines:
            parts.append(files.markdown_table(pd.DataFrame(page.lines, columns=page.header)))
        if page.left_out:
            parts.append(f"Elements at which every method returns the derivative: {page.left_out}.")
    parts += files.footer(command, versions)
    text = "\n\n".join(part for part in parts if part) + "\n"
    return files.write_texts(folder, {CSV: files.csv_text(table), MARKDOWN: text})

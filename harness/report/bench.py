"""Timings as tables: milliseconds, and ratios only where the times tell two methods apart.

A ratio of two medians can always be computed, and is then believed. So where the intervals overlap
there is a `~` in its place, and no order is to be read from the medians beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from rich.text import Text

from harness.model import Growth, Timing
from harness.report import files
from harness.report.console import Output
from harness.report.grid import grid

CSV, MARKDOWN, PLOT = "bench.csv", "bench.md", "bench.svg"
NOT_TOLD_APART = "~"
HEADER = (
    "method",
    "value ms",
    "gradient ms",
    "gradient/value",
    "to fastest",
    "spread",
    "compile s",
    "visits",
    "calls",
)
LEGEND = (
    "`gradient` is value and gradient together, `to fastest` its ratio to the fastest gradient, "
    "`spread` half the 95 % interval of its median over the visits, `compile` what its first call "
    "took longer.",
    f"`{NOT_TOLD_APART}`: not told apart, since the two intervals overlap; the medians beside it "
    "do not say which is faster.",
)


class Page(NamedTuple):
    """One sample: a line per method, then what is to be said of those without a time."""

    title: str
    lines: list[list[str]]
    notes: list[str]


def pages(timings: Iterable[Timing]) -> list[Page]:
    """The tables, in the order of the timings."""
    groups: dict[tuple[str, str, str], list[Timing]] = {}
    for each in timings:
        groups.setdefault((each.case, each.size, each.dtype), []).append(each)
    return [_page(" ".join(key), group) for key, group in groups.items()]


def _page(title: str, group: Sequence[Timing]) -> Page:
    lines, notes = [], []
    for backend in dict.fromkeys(each.backend for each in group):
        value, gradient = (_quantity(group, backend, name) for name in ("value", "gradient"))
        line = [backend, _milliseconds(value), _milliseconds(gradient)]
        if gradient.timed:
            line += [
                _ratio(gradient.to_value) if value.timed else "",
                _ratio(gradient.to_fastest),
                _spread(gradient.spread),
                f"{gradient.compile:.2f}",
                str(gradient.visits),
                str(gradient.calls),
            ]
        lines.append([*line, *[""] * (len(HEADER) - len(line))])
        said = {name: each.detail for name, each in (("value", value), ("gradient", gradient))}
        if said["value"] == said["gradient"]:
            said = {"": said["value"]}
        notes += [
            f"{backend}{f' {name}' if name else ''}: {text}" for name, text in said.items() if text
        ]
    return Page(title, lines, notes)


def _quantity(group: Sequence[Timing], backend: str, quantity: str) -> Timing:
    return next(each for each in group if (each.backend, each.quantity) == (backend, quantity))


def _milliseconds(timing: Timing) -> str:
    return _number(1e3 * timing.median) if timing.timed else timing.status


def _ratio(value: float) -> str:
    return NOT_TOLD_APART if math.isnan(value) else _number(value)


def _spread(value: float) -> str:
    return f"±{_number(100 * value, 2)} %" if math.isfinite(value) else "?"


def _number(value: float, digits: int = 3) -> str:
    """Few digits, without an exponent, which would keep a column from being read at a glance."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def growth_lines(found: Sequence[Growth]) -> tuple[list[str], list[list[str]]]:
    """Header and lines of the table of exponents: a line per method, value and gradient in it."""
    header = ["case", "dtype", "method", "axis", "value", "gradient"]
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for each in found:
        text = f"{each.exponent:.2f} ± {each.error:.2f}"
        rows.setdefault((each.case, each.dtype, each.backend, each.axis), {})[each.quantity] = text
    return header, [
        [*key, *(row.get(quantity, "") for quantity in header[-2:])] for key, row in rows.items()
    ]


def show(found: Sequence[Page], growth: Sequence[Growth], conditions: str) -> None:
    """Print the tables. A file or a pipe has no width, so nothing is rearranged there."""
    console = Output()
    width = console.width if console.is_terminal else 10_000

    def say(text: str, style: str = "") -> None:
        console.print(Text(text, style=style), soft_wrap=True)

    for page in found:
        say(page.title, "bold")
        for block in grid(HEADER, page.lines, width, keys=1):
            say(block)
        for note in page.notes:
            say(note, "dim")
        say("")
    if growth:
        say("exponent of time against size", "bold")
        for block in grid(*growth_lines(growth), width, keys=3):
            say(block)
        say("")
    for text in (*LEGEND, conditions):
        say(text.replace("`", ""), "dim")


def write(
    folder: Path,
    timings: Sequence[Timing],
    growth: Sequence[Growth],
    *,
    command: str,
    conditions: str,
    versions: Mapping[str, str],
    plot: str = "",
) -> list[Path]:
    """Write `bench.csv`, `bench.md` and, where there is one, the plot (SVG text). Raises UsageError
    if the folder cannot be written to."""
    table = pd.DataFrame(map(asdict, timings), columns=[field.name for field in fields(Timing)])
    parts = ["# Bench", " ".join(LEGEND), files.paragraph(conditions)]
    parts += [f"![time against size]({PLOT})"] if plot else []
    for page in pages(timings):
        parts.append(f"## {files.escape(page.title)}")
        parts.append(files.markdown_table(pd.DataFrame(page.lines, columns=list(HEADER))))
        parts += [files.paragraph(note) for note in page.notes]
    if growth:
        header, lines = growth_lines(growth)
        parts += [
            "## Exponent of time against size",
            files.markdown_table(pd.DataFrame(lines, columns=header)),
        ]
    parts += files.footer(command, versions)
    texts = {CSV: files.csv_text(table), MARKDOWN: "\n\n".join(parts) + "\n"}
    return files.write_texts(folder, texts | ({PLOT: plot} if plot else {}))

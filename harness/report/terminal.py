"""What a person sees while and after a run: a progress bar, the summary matrix, the failures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from harness.model import GOOD, Row, Status
from harness.report import tables
from harness.report.message import explain

T = TypeVar("T")
_COLOURS = {Status.PASS: "green", Status.KNOWN: "cyan", Status.MISSING: "dim", Status.KINK: "cyan"}


def progress(items: Iterable[T], total: int, *, enabled: bool) -> Iterator[T]:
    """Pass the items on, with a live bar on standard error while they come."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not enabled) as bar:
        task = bar.add_task("gradients", total=total)
        for item in items:
            yield item
            bar.advance(task)


def summary(rows: Sequence[Row], seed: int = 0) -> None:
    """Print the matrix of cases by backends, then every row that is not good, then the counts."""
    frame = tables.frame(rows)
    matrix = tables.summary(frame)
    table = Table(title="status and correct digits, worst of each", title_justify="left")
    for name in matrix.columns:
        table.add_column(str(name), no_wrap=True)
    for line in matrix.itertuples(index=False):
        table.add_row(Text(str(line[0])), *(_coloured(str(cell)) for cell in line[1:]))
    console = Console(highlight=False)
    # A table that is cut off is worth nothing in a log file, which has no width.
    console.print(table, width=None if console.is_terminal else 400, crop=False)
    for row in rows:
        if not row.good:
            console.print(Text(explain(row, seed)), soft_wrap=True)
    total = ", ".join(f"{number} {status}" for status, number in tables.counts(frame).items())
    console.print(f"{len(rows)} comparisons: {total}")


def _coloured(cell: str) -> Text:
    status = cell.partition(" ")[0]
    colour = _COLOURS.get(status, "" if not status or status in GOOD else "bold red")
    return Text(cell, style=colour)

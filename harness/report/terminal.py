"""What a person sees while and after a run: a progress bar, the summary matrix, the failures.

The matrix must be readable at 80 columns with six methods, in a pipe and in a log file. So it has
no frame, `✓ 15.7` stands for `pass 15.7`, and where the methods do not fit side by side they go on
in a second block; nothing is ever cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from harness.model import GOOD, Row, Status, failing
from harness.report import tables
from harness.report.console import Output
from harness.report.message import explain, gather, reproduce

T = TypeVar("T")


class _Unit(Protocol):
    """A cell, of which a report knows the name only."""

    @property
    def case(self) -> str: ...
    @property
    def backend(self) -> str: ...


Unit = TypeVar("Unit", bound=_Unit)

_COLOURS: Mapping[str, str] = {
    Status.PASS: "green",
    Status.KNOWN: "cyan",
    Status.MISSING: "dim",
    Status.KINK: "cyan",
}

#: Messages that a run prints in full. One wrong formula fails in every method at every point;
#: beyond a screenful or two, the report is the better place.
SHOWN = 20
_GAP = "  "


def progress(
    items: Iterable[tuple[Unit, T]], plan: Sequence[Unit], *, enabled: bool
) -> Iterator[tuple[Unit, T]]:
    """Pass on the results of the cells of a plan, with a live bar on standard error.

    There is no bar where standard error is no terminal.
    """
    console = Console(stderr=True)
    columns = (
        BarColumn(20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    show = enabled and console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not show) as bar:
        task = bar.add_task("", total=len(plan))
        for unit, item in items:
            bar.update(task, advance=1, description=f"{unit.case} {unit.backend}")
            yield unit, item


def summary(
    rows: Sequence[Row],
    options: Sequence[str] = (),
    report: str = "",
    peaks: Mapping[tuple[str, str], int] | None = None,
    *,
    strict: bool = False,
) -> None:
    """Print the matrix of cases by backends, every row that fails the run (the first 20 in full),
    what is not installed, and the counts.

    `options` are those that a row's reproducing command needs besides what the row says; `report`
    is the file that has everything; `peaks` gives the most bytes that a worker held, by case and
    worker.
    """
    console = Output()
    width = console.width if console.is_terminal else 80
    tick = "ok" if console.options.ascii_only else "✓"
    frame = tables.frame(rows)
    found = tables.summaries(frame)
    for dtype, matrix in found.items():
        note = f"{dtype}: " if len(found) > 1 or dtype != "float64" else ""
        _say(console, Text(f"{note}worst status, fewest correct digits ({tick} = pass)"))
        for line in matrix_lines(matrix, width, tick):
            _say(console, line)
        _say(console, Text())
    _failures(console, gather(failing(rows, strict=strict)), options, report)
    for backend, detail in _missing(rows).items():
        _say(console, Text(f"{backend} is {detail}"))
    if peaks:
        most: dict[str, int] = {}
        for (_, worker), size in peaks.items():
            most[worker] = max(most.get(worker, 0), size)
        held = ", ".join(f"{worker} {size / 2**20:.0f} MiB" for worker, size in most.items())
        _say(console, Text(f"most memory: {held}"))
    total = ", ".join(f"{number} {status}" for status, number in tables.counts(frame).items())
    where = f"; see {report}" if report else ""
    _say(console, Text(f"{len(rows)} comparisons: {total}{where}"))


def matrix_lines(matrix: pd.DataFrame, width: int, tick: str = "✓") -> list[Text]:
    """The matrix as lines of at most `width` columns, if its first column leaves any room.

    Backends that do not fit beside each other follow in further blocks.
    """
    names = [str(name) for name in matrix.columns]
    cells = [[_cell(str(cell), tick) for cell in matrix[name]] for name in matrix.columns[1:]]
    first = [str(case) for case in matrix.iloc[:, 0]]
    indent = max(map(len, [names[0], *first]))
    lines: list[Text] = []
    for block in column_blocks(
        [_width(n, c) for n, c in zip(names[1:], cells, strict=True)], indent, width
    ):
        if lines:
            lines.append(Text())
        head = Text(names[0].ljust(indent), style="bold")
        bodies = [Text(case.ljust(indent)) for case in first]
        for index in block:
            wide = _width(names[index + 1], cells[index])
            head.append(_GAP + names[index + 1].ljust(wide))
            for body, cell in zip(bodies, cells[index], strict=True):
                body.append(_GAP).append(cell.ljust(wide), style=_colour(cell, tick))
        lines += [head, *bodies]
    for line in lines:
        line.rstrip()
    return lines


def column_blocks(widths: Sequence[int], indent: int, width: int) -> list[list[int]]:
    """Indices of the columns of each block; every block has at least one."""
    blocks: list[list[int]] = []
    used = 0
    for index, wide in enumerate(widths):
        if not blocks or used + len(_GAP) + wide > width:
            blocks.append([])
            used = indent
        blocks[-1].append(index)
        used += len(_GAP) + wide
    return blocks


def _width(name: str, cells: Sequence[str]) -> int:
    return max(map(len, [name, *cells]))


def _cell(cell: str, tick: str) -> str:
    """`pass 9.1` as `✓  9.1`, so that the points of a column stand below each other."""
    status, _, digits = cell.partition(" ")
    status = tick if status == Status.PASS else status
    return f"{status} {digits:>4}" if digits else status


def _colour(cell: str, tick: str) -> str:
    status = cell.partition(" ")[0]
    status = Status.PASS if status == tick else status
    return _COLOURS.get(status, "" if not status or status in GOOD else "bold red")


def _failures(
    console: Console, bad: Sequence[tuple[Row, int]], options: Sequence[str], report: str
) -> None:
    for row, others in bad[:SHOWN]:
        head, _, rest = explain(row, reproduce(row, options), others).partition("\n")
        _say(console, Text(head, style="bold red"))
        _say(console, Text(f"{rest}\n"))
    if len(bad) > SHOWN:
        where = f"{report} has them all" if report else "`--report DIR` keeps them all"
        _say(console, Text(f"... and {len(bad) - SHOWN} more that are not good; {where}\n"))


def _missing(rows: Sequence[Row]) -> Mapping[str, str]:
    """Backend -> how to install it."""
    return {row.backend: row.detail for row in rows if row.status == Status.MISSING}


def _say(console: Console, text: Text) -> None:
    # Lines are neither cut nor wrapped: a terminal wraps by itself, and a file has no width.
    console.print(text, soft_wrap=True)

"""Columns of text whose cells may be several lines high, such as printed matrices.

Where they fit, they stand side by side. Where they do not, each row goes on in lines of its own,
since a matrix whose lines are wrapped or cut off cannot be read.
"""

from __future__ import annotations

from collections.abc import Sequence

_GAP = "  "


def grid(header: Sequence[str], rows: Sequence[Sequence[str]], width: int, keys: int) -> list[str]:
    """One block of lines per row, after one for the header; no line ends in blanks.

    The first `keys` columns name the row; where the whole does not fit into `width`, the others
    follow below them, each labelled with its header. A header of empty names is left out.
    """
    widths = _widths([header, *rows])
    if sum(widths) + len(_GAP) * (len(widths) - 1) <= width:
        head = [_row(header, widths)] if any(header) else []
        return head + [_row(row, widths) for row in rows]
    label = max(map(len, header[keys:]))
    indent = " " * (widths[0] + len(_GAP))
    found = []
    for row in rows:
        block = [_row(row[:keys], widths[:keys])]
        for name, cell in zip(header[keys:], row[keys:], strict=True):
            if cell:
                block.append(_row(["", name, cell], [len(indent) - len(_GAP), label, 0]))
        found.append("\n".join(block))
    return found


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [
        max((len(line) for cell in column for line in cell.splitlines()), default=0)
        for column in zip(*rows, strict=True)
    ]


def _row(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell.splitlines() for cell in row]
    lines = []
    for index in range(max(1, *map(len, cells))):
        parts = [cell[index] if index < len(cell) else "" for cell in cells]
        padded = (part.ljust(wide) for part, wide in zip(parts, widths, strict=True))
        lines.append(_GAP.join(padded).rstrip())
    return "\n".join(lines)

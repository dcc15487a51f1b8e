"""One row as a message that someone can act on."""

from __future__ import annotations

import glob
import math
import shlex
from collections.abc import Sequence

from harness.dtypes import dtype_digits
from harness.model import Row, Status
from harness.quantity import ALL


def gather(rows: Sequence[Row]) -> list[tuple[Row, int]]:
    """Rows that fail a run, each with the number of others that say the same.

    A line that raises does so for every method at every point: that is one message, not dozens.
    """
    found: dict[object, tuple[Row, int]] = {}
    for index, row in enumerate(rows):
        key = index if row.got or not row.detail else (row.case, row.status, row.detail)
        first, others = found.get(key, (row, -1))
        found[key] = (first, others + 1)
    return list(found.values())


def explain(row: Row, again: str = "", others: int = 0) -> str:
    """Got and expected aligned, where, how far beyond the tolerance, and how to see it again.

    `again` is the command that repeats the row, `others` the number of rows that say the same.
    """
    size = "" if row.size in ("default", "declared") else row.size
    where = ", ".join(filter(None, (row.point, size, row.dtype)))
    quantity = row.mode if row.quantity == ALL else row.quantity
    lines = [f"{row.status}: {row.case} [{where}] {row.backend}: {quantity}"]
    if row.got or row.expected:
        got, expected = _aligned(row.got, row.expected)
        lines += [_line("got", got), _line("expected", f"{expected}   ({row.reference})")]
    if row.worst_index:
        lines.append(_line("worst at", row.worst_index))
    if math.isfinite(row.max_abs_error):
        lines.append(
            _line(
                "errors",
                f"up to {row.max_abs_error:.3g} absolute, {row.max_rel_error:.3g} relative, "
                f"{row.max_ulp_error:.3g} ulp",
            )
        )
        lines.append(_line("tolerance", _tolerance(row)))
    if row.detail:
        lines += [_line("detail", row.detail)]
    if others:
        lines.append(_line("also in", f"{others} other comparison{'s' if others > 1 else ''}"))
    if again:
        lines.append(_line("reproduce", again))
    return "\n".join(lines)


def reproduce(row: Row, options: Sequence[str] = ()) -> str:
    """The command that repeats this row; `options` are those that the row does not tell, such as
    `--cases DIR`, `--seed`, `--step` and `--numeric`."""
    words = ["harness", "run", glob.escape(row.case), "--backend", row.backend]
    words += ["--point", row.point, "--dtype", row.dtype, "--mode", row.mode]
    if row.size not in ("default", "declared"):
        words += ["--size", row.size]
    if row.point.startswith("draw") and row.point[4:].isdigit() and int(row.point[4:]) > 2:
        words += ["--draws", str(int(row.point[4:]) + 1)]
    # One row must not replace the report that it was found in.
    return shlex.join([*words, *options, "--report", ""])


def mark(row_status: str, digits: float) -> str:
    """A verdict in a table cell: the status, and the correct digits where there are any. Only a
    certificate has more of them than a float64 can have, or is exact."""
    if row_status in (Status.MISSING, Status.UNSUPPORTED) or math.isnan(digits):
        return row_status
    if digits > dtype_digits("float64"):
        return f"{row_status} {verified_digits(digits)}"
    return f"{row_status} {digits:.1f}"


def verified_digits(digits: float) -> str:
    """The digits of a certificate: a lower bound, so never rounded up."""
    return "exact" if math.isinf(digits) else f"{math.floor(digits)}"


def _line(name: str, text: str) -> str:
    return f"  {name:9}  {text}"


def _aligned(got: str, expected: str) -> tuple[str, str]:
    """Both with their digits in the same columns: where one has a sign, the other has a blank."""
    if got.startswith("-") != expected.startswith("-"):
        got, expected = (each if each.startswith("-") else f" {each}" for each in (got, expected))
    return got, expected


def _tolerance(row: Row) -> str:
    """How far beyond the tolerance, and the tolerance of the worst element, which follows from
    the row's numbers."""
    if math.isinf(row.error_over_tolerance):
        return "0, so any error exceeds it"
    times = f"the error is {row.error_over_tolerance:.3g} times"
    try:
        error = abs(float(row.got) - float(row.expected))
    except ValueError:
        error = math.nan
    if row.error_over_tolerance == 0.0 or not math.isfinite(error):
        return f"{times} the tolerance"
    return f"{error / row.error_over_tolerance:.3g}; {times} that"

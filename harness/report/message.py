"""One row as a message that someone can act on."""

from __future__ import annotations

import shlex

from harness.model import Row, Status


def explain(row: Row, seed: int = 0) -> str:
    """Got and expected aligned, where, how far beyond the tolerance, and how to see it again."""
    where = ", ".join(filter(None, (row.point, row.size, row.dtype)))
    lines = [f"{row.case} [{where}] {row.backend}: {row.quantity} ({row.mode}): {row.status}"]
    if row.got or row.expected:
        at = f"   at {row.worst_index}" if row.worst_index else ""
        lines += [f"  got       {row.got}{at}", f"  expected  {row.expected}   ({row.reference})"]
    if row.error_over_tolerance == row.error_over_tolerance:
        lines.append(
            f"  error     {row.max_abs_error:.3g} absolute, {row.max_rel_error:.3g} relative, "
            f"{row.max_ulp_error:.3g} ulp; {row.digits:.1f} digits are right at the worst element"
        )
        lines.append(f"  error is {row.error_over_tolerance:.3g} times the tolerance{_bound(row)}")
    if row.detail:
        lines.append(f"  detail    {row.detail}")
    lines.append(f"  reproduce {reproduce(row, seed)}")
    return "\n".join(lines)


def reproduce(row: Row, seed: int = 0) -> str:
    """The command that repeats this row alone."""
    words = ["harness", "run", row.case, "--backend", row.backend, "--point", row.point]
    words += ["--dtype", row.dtype, "--mode", row.mode]
    if row.size not in ("default", "declared"):
        words += ["--size", row.size]
    if row.point.startswith("draw") and row.point[4:].isdigit() and int(row.point[4:]) > 2:
        words += ["--draws", str(int(row.point[4:]) + 1)]
    if seed:
        words += ["--seed", str(seed)]
    return shlex.join(words)


def _bound(row: Row) -> str:
    """The tolerance of the worst element, recovered from its two numbers."""
    try:
        error = abs(float(row.got) - float(row.expected))
    except ValueError:
        return ""
    if row.error_over_tolerance in (0.0, float("inf")):
        return ""
    return f" of {error / row.error_over_tolerance:.3g}"


def mark(row_status: str, digits: float) -> str:
    """A verdict in a table cell: the status, and the correct digits where there are any."""
    if row_status in (Status.MISSING, Status.UNSUPPORTED) or digits != digits:
        return row_status
    return f"{row_status} {digits:.1f}"

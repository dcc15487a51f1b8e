"""From verdicts and exceptions to rows.

Every pair that was asked for leaves at least one row: a method that is not installed, cannot do it
or raises says so in its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness import backends
from harness.cases.schema import Gap
from harness.cell import Cell
from harness.errors import CaseError, HarnessError, Unsupported, visible
from harness.judging.verdict import Verdict
from harness.model import EXCUSED, Failure, Gradients, Row, Status
from harness.programs.source import Code
from harness.programs.staging import fault_line
from harness.quantity import ALL, Quantity


def judged(
    cell: Cell,
    mode: str,
    quantity: Quantity,
    verdict: Verdict,
    reference: str,
    found: Gradients | None = None,
    note: str = "",
) -> Row:
    """The row of one comparison; `note` and what the method itself says go into `detail`."""
    said = found.detail if found else ""
    return Row(
        cell.case,
        cell.point,
        cell.size,
        cell.dtype,
        cell.backend,
        mode,
        quantity,
        **verdict.measures(),
        reference=reference,
        seconds=found.seconds if found else float("nan"),
        written=_written(cell),
        detail="; ".join(filter(None, (verdict.detail, said, note))),
    )


def uncompared(
    cell: Cell, modes: Iterable[str], status: Status, detail: str, raised: str = ""
) -> list[Row]:
    """One row per mode for a method that has no numbers."""
    return [
        Row(
            cell.case,
            cell.point,
            cell.size,
            cell.dtype,
            cell.backend,
            mode,
            ALL,
            status,
            written=_written(cell),
            raised=raised,
            detail=detail,
        )
        for mode in modes
    ]


def _written(cell: Cell) -> bool:
    return backends.class_of(cell.backend).written


#: Characters of an exception's text; some hold a whole array.
_LONGEST = 4000


def describe(error: BaseException, code: Code) -> str:
    """An exception in one line, with the line of the author's Python where it arose."""
    if isinstance(error, CaseError):
        return str(error)
    try:
        text = visible(" ".join(str(error)[:_LONGEST].split()))
    except Exception:  # an exception of the case's own that cannot say what it is
        text = ""
    name = type(error).__name__
    message = text if isinstance(error, HarnessError) else f"{name}: {text}" if text else name
    if "read-only" in text:
        message += " (the arrays that a case is given belong to others: write into a copy)"
    line = fault_line(error, code.file)
    if line is None:
        return message
    source = code.text.split("\n")[line - 1].strip()
    return f"{code.file}:{line}: `{source}`: {message}"


def failure(error: BaseException, code: Code) -> Failure:
    """An exception as data: `unsupported` if it says so, `error` if it does not."""
    status = Status.UNSUPPORTED if isinstance(error, Unsupported) else Status.ERROR
    # A backend says that it cannot by an Unsupported, whose cause is the framework's own way.
    cause = error.__cause__ if isinstance(error, Unsupported) and error.__cause__ else error
    return Failure(status, describe(error, code), type(cause).__name__)


#: What a row may say that is as good as a declared gap that is gone.
_DECIDED = EXCUSED | {Status.PASS, Status.KINK}


def declared(rows: Sequence[Row], gaps: Sequence[Gap]) -> list[Row]:
    """The rows of a cell that a declared gap covers become `known`; where none of them shows the
    gap any more, they are `fixed`."""
    result = list(rows)
    for gap in gaps:
        covered = [index for index, row in enumerate(result) if _covers(gap, row)]
        shown = [index for index in covered if _shows(gap, result[index])]
        for index in shown:
            row = result[index]
            detail = f"{gap.reason} [{row.detail}]" if row.detail else gap.reason
            result[index] = replace(row, status=Status.KNOWN, detail=detail)
        now = {result[index].status for index in covered}
        if now and not shown and now <= _DECIDED:
            detail = f"declared gap is gone ({gap.reason}); remove its entry under `known`"
            if other := now - {Status.PASS}:
                detail = (
                    f"declared as `{gap.status}` ({gap.reason}), and `{max(other)}` now; write "
                    "that into its entry under `known`, or remove it"
                )
            for index in covered:
                result[index] = replace(result[index], status=Status.FIXED, detail=detail)
    return result


def _covers(gap: Gap, row: Row) -> bool:
    """Whether a gap is about a row. A method that failed as a whole has one row for all."""
    wanted: list[tuple[str | None, str]] = [
        (gap.backend, row.backend),
        (gap.mode, row.mode),
        (gap.point, row.point),
        (gap.dtype, row.dtype),
        (None if row.quantity == ALL else gap.quantity, row.quantity),
    ]
    return all(want is None or want == have for want, have in wanted)


def _shows(gap: Gap, row: Row) -> bool:
    return row.status == gap.status and gap.raises in (None, row.raised)

"""The tables, as pandas frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

import pandas as pd

from harness.model import CLOSED_FORM, EXCUSED, PRINTED, Row, Status
from harness.quantity import CERTIFICATE
from harness.report.message import mark, verified_digits

COLUMNS = [field.name for field in fields(Row)]
_STATUSES = tuple(Status)


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    """One line per row, in the order of the columns of the CSV file."""
    return pd.DataFrame([tuple(vars(row).values()) for row in rows], columns=COLUMNS)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Case by backend: the worst status, and the fewest correct digits."""
    return _marked(_worst(table, ["case"]))


def summaries(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Dtype -> its summary: seven digits are all of float32 and a fault in float64, so a cell for
    both would say nothing."""
    return {str(dtype): summary(each) for dtype, each in table.groupby("dtype", sort=False)}


def details(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Case -> its rows: point, size, dtype, mode and quantity by backend."""
    grouped = _worst(table, ["case", "point", "size", "dtype", "mode", "quantity"])
    return {
        str(name): _marked(each.droplevel("case"))
        for name, each in grouped.groupby("case", sort=False)
    }


def certificates(table: pd.DataFrame) -> pd.DataFrame:
    """Case by case, to how many digits the hand-written backward is verified, at how many points,
    and what could not be decided and why."""
    found = table[table["quantity"] == CERTIFICATE]
    lines = []
    for name, group in found.groupby("case", sort=False):
        verified = group[group["status"] == Status.PASS]
        fewest = verified["digits"].min()
        rest = group[group["status"] != Status.PASS]
        reasons = dict.fromkeys(
            f"{row.point}: {row.status}, {row.detail}" for row in rest.itertuples()
        )
        lines.append(
            {
                "case": name,
                "digits": "" if verified.empty else verified_digits(fewest),
                "verified at": f"{len(verified)} of {len(group)} points",
                "otherwise": "; ".join(reasons),
            }
        )
    return pd.DataFrame(lines)


def excused(table: pd.DataFrame) -> pd.DataFrame:
    """What methods return with reason though it is not the derivative to all its digits: unstable
    formulas, conventions at kinks, derivatives beside a jump. A line for each case, method and
    quantity, with the points and dtypes at which it shows."""
    found = table[table["status"].isin(EXCUSED)]
    lines = []
    keys = ["case", "backend", "quantity", "status"]
    for (case, backend, quantity, status), group in found.groupby(keys, sort=False):
        points = dict.fromkeys(
            point if dtype == "float64" else f"{point} ({dtype})"
            for point, dtype in zip(group["point"], group["dtype"], strict=True)
        )
        fewest = group["digits"].min()
        lines.append(
            {
                "case": case,
                "method": backend,
                "quantity": quantity,
                "status": str(status),
                "at": ", ".join(points),
                "fewest digits": "" if pd.isna(fewest) else f"{fewest:.1f}",
                "because": next(iter(dict.fromkeys(group["detail"]))),
            }
        )
    return pd.DataFrame(lines)


def memory(peaks: Mapping[tuple[str, str], int]) -> pd.DataFrame:
    """Case by worker: the most memory that the worker held, in MiB."""
    workers = dict.fromkeys(worker for _, worker in peaks)
    lines = {case: dict.fromkeys(workers, "") for case, _ in peaks}
    for (case, worker), size in peaks.items():
        lines[case][worker] = f"{size / 2**20:.0f}"
    return pd.DataFrame([{"case": case, **line} for case, line in lines.items()])


def counts(table: pd.DataFrame) -> dict[str, int]:
    """Status -> number of rows, from best to worst."""
    found = table["status"].value_counts()
    return {status: int(found[status]) for status in Status if status in found}


def _worst(table: pd.DataFrame, index: list[str]) -> pd.DataFrame:
    """Worst status and fewest digits of each group and backend. A printed number has no more
    digits than were printed, the end of a training run has lost some on the way, and a certificate
    counts those of a formula: where a group has other rows, those do not count towards its
    digits."""
    borrowed = table["reference"].isin([PRINTED, CLOSED_FORM]) | (table["mode"] == "train")
    borrowed |= table["quantity"] == CERTIFICATE
    ranked = table.assign(
        rank=table["status"].map(lambda status: Status(status).rank),
        computed=table["digits"].where(~borrowed),
    )
    grouped = ranked.groupby([*index, "backend"], sort=False).agg(
        rank=("rank", "max"), computed=("computed", "min"), digits=("digits", "min")
    )
    return grouped.assign(digits=grouped["computed"].fillna(grouped["digits"]))


def _marked(grouped: pd.DataFrame) -> pd.DataFrame:
    """A column of verdicts for each backend."""
    cells = [
        mark(_STATUSES[int(rank)], float(digits))
        for rank, digits in zip(grouped["rank"], grouped["digits"], strict=True)
    ]
    marked = pd.Series(cells, index=grouped.index, dtype=object)
    return marked.unstack("backend", sort=False).fillna("").reset_index()

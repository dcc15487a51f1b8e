"""How far below their tolerance correct methods stay.

Runs every built-in case at many random draws through every method and prints, by method and dtype,
the largest error in units of the tightest tolerance that it meets, and where. More than 1 is a
false alarm. The numeric method is judged with its own error estimate besides.

    python benchmarks/tolerance.py [DRAWS]
"""

from __future__ import annotations

import sys

from harness.cases.case import load
from harness.cases.registry import builtin_folder
from harness.engine import Engine
from harness.model import Row
from harness.plan import Request, cells
from harness.report import tables


def main(draws: int) -> None:
    cases = [load(file) for file in sorted(builtin_folder().glob("*.yaml"))]
    request = Request(dtypes=("float64", "float32"), modes=("value", "vjp"), draws=draws)
    rows: list[Row] = []
    for _, found in Engine(cases, request).run(cells(cases, request)):
        rows.extend(found)
    frame = tables.frame(rows)
    compared = frame[frame["reference"].isin(["certified", "manual", "numeric"])]
    compared = compared[compared["error_over_tolerance"].notna()]
    worst = compared.loc[compared.groupby(["dtype", "backend"])["error_over_tolerance"].idxmax()]
    columns = ["dtype", "backend", "error_over_tolerance", "case", "point", "quantity"]
    print(worst[columns].to_string(index=False, float_format="%.2g"))
    print(f"{len(compared)} comparisons, {int((~frame['status'].isin(['pass'])).sum())} not passed")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)

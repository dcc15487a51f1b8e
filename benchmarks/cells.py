"""What the harness itself costs when cells are many: plan, dispatch, journal, tables, reports.

Synthetic cases are planned and dispatched as in `harness run`, by all six methods, to workers that
answer at once with good rows, so that everything measured is the harness's own. Each size runs in a
fresh process; the seconds of each stage, the peak memory, and the exponent of cost against size
between the two largest sizes are printed. 1e5 cells should take less than 60 s and 1 GiB, and no
stage grow faster than linearly.

    python benchmarks/cells.py [--sizes 1000 10000 100000]
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import synthetic

METHODS, DRAWS = 6, 10


class Free:
    """Workers whose tasks cost nothing: every answer is empty, every verdict two good rows."""

    jobs = 2

    def has(self, kind: str) -> bool:
        return True

    def width(self, kind: str, left: float) -> int:
        return 1

    def submit(self, kind: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        from harness.model import Row
        from harness.runs.tasks import Done

        future: Future[Any] = Future()
        if function.__name__ == "answers":
            future.set_result(Done([(b"", []) for _ in arguments[1]], 0, 0.0))
        else:
            found = [
                [
                    Row(
                        *(cell.case, cell.point, cell.size, cell.dtype, cell.backend),
                        *(mode, quantity, "pass", 1e-16, 1e-16, 0.5, 15.9, 0.01, "[1]"),
                        *("0.1", "0.1", "certified", 1e-4),
                    )
                    for mode, quantity in (("value", "y"), ("vjp", "d/dx"))
                ]
                for cell, _ in arguments[1]
            ]
            future.set_result(Done(found, 0, 0.0))
        return future

    def release(self, future: Future[Any]) -> None:
        pass

    def failure(self, error: BaseException) -> Any:
        raise error

    def close(self) -> None:
        pass


def measure(cells: int) -> dict[str, float]:
    """Seconds of each stage and peak MiB, in this process."""
    from harness.cases.case import load
    from harness.model import failing
    from harness.report import files, tables
    from harness.runs.journal import Journal, Keys
    from harness.runs.plan import Request
    from harness.runs.plan import cells as planned
    from harness.runs.run import Run

    stages: dict[str, float] = {}
    clock = time.perf_counter()

    def stage(name: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        stages[name], clock = now - clock, now

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = []
        synthetic.write(folder, max(1, cells // (METHODS * DRAWS)))
        stage("write")
        for file in sorted(folder.glob("*.yaml")):
            cases.append(load(file))
        stage("load")
        request = Request(modes=("value", "vjp"), draws=DRAWS)
        plan = planned(cases, request)
        stage("plan")
        journal = Journal(folder, Keys(cases, request))
        done = dict(Run(cases, request, plan, workers=Free(), journal=journal).rows())
        rows = [row for cell in plan for row in done[cell]]
        journal.close()
        stage("run and journal")
        again = Journal(folder, Keys(cases, request), resume=True)
        assert all(again.find(cell) is not None for cell in plan)
        again.close()
        stage("resume")
        table = tables.frame(rows)
        stage("table")
        text = files.csv_text(table)
        stage("csv")
        report = files.markdown(rows, failing(rows), table, "harness run", {}, {})
        stage("markdown")
        files.write_texts(folder, {files.CSV: text, files.MARKDOWN: report})
        stage("files")
    del stages["write"]
    stages["total"] = sum(stages.values())
    stages["MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    stages["cells"] = len(plan)
    return stages


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one)))
        return
    found = []
    for size in options.sizes:
        command = [sys.executable, __file__, "--one", str(size)]
        found.append(json.loads(subprocess.check_output(command, text=True)))
    print(f"{'':16}" + "".join(f"{int(each['cells']):>10}" for each in found) + "  exponent")
    for name in found[0]:
        if name == "cells":
            continue
        line = f"{name:16}" + "".join(f"{each[name]:10.2f}" for each in found)
        if len(found) > 1:
            small, large = found[-2], found[-1]
            power = math.log(large[name] / small[name]) / math.log(large["cells"] / small["cells"])
            line += f"{power:10.2f}"
        print(line)


if __name__ == "__main__":
    main()

"""Cost against problem size, for each stage of one comparison, and the exponent of its growth.

One case (`sum_xy_z`, its inputs widened to n numbers each), float64, from 1e2 to 1e7 inputs. CPU
seconds of one process; the exponent is fitted by least squares in log-log over the sizes from 1e4
on, where fixed costs no longer count. Nothing in the harness should be worse than linear;
`gradient` is the bare call of the framework, for comparison.

    python benchmarks/scaling.py [--most 1e7] [--backend torch]
"""

from __future__ import annotations

import argparse
import math
import pickle
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from harness.cases.case import Case, load
from harness.cases.registry import builtin_folder
from harness.rounding.deviation import deviation
from harness.runs.engine import Engine
from harness.runs.plan import Cell, Request
from harness.truth.certificate import certify

CASE, LARGE = "sum_xy_z", 9_000


def sized(case: Case, n: int) -> Case:
    """The case with every dimension but the last as it is, and the last raised to about n."""
    first = next(iter(case.declared.sizes["default"]))
    sizes = dict.fromkeys(case.declared.sizes["default"], 10) | {first: max(1, n // 30)}
    return replace(
        case, declared=case.declared.model_copy(update={"sizes": {"default": sizes}, "points": {}})
    )


def seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of one call, the better of two where it is short, and what it returns."""
    best = math.inf
    for _ in range(2):
        start = time.process_time()
        result = function()
        best = min(best, time.process_time() - start)
        if best > 2:
            break
    return best, result


def measure(n: int, backend: str) -> dict[str, float]:
    case = sized(load(builtin_folder() / f"{CASE}.yaml"), n)
    request = Request(modes=("value", "vjp"))
    cell = Cell(CASE, "draw0", "default", "float64", backend)
    found: dict[str, float] = {}

    def fresh() -> Engine:
        return Engine([case], request)

    found["draw"], _ = seconds(lambda: fresh().subject(cell).sample)
    engine = fresh()
    sample = engine.subject(cell).sample
    found["answer"], given = seconds(lambda: engine.answer(cell))
    found["gradient"] = given["vjp"].seconds
    found["transport"], _ = seconds(lambda: pickle.loads(pickle.dumps(given, protocol=5)))
    found["certificate"], certificate = seconds(lambda: certify(case.program, sample))
    if certificate.state == "verified":
        found["rounding"], _ = seconds(lambda: deviation(case.program, sample))
    assert all(row.good for row in engine.judge(cell, given)), engine.judge(cell, given)
    found["judge"], _ = seconds(lambda: engine.judge(cell, given))
    numeric = replace(cell, backend="numeric")
    found["numeric"], _ = seconds(lambda: engine.answer(numeric))
    return found | {"inputs": sum(leaf.size for leaf in sample.inputs.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--most", type=float, default=1e7)
    parser.add_argument("--backend", default="torch")
    options = parser.parse_args()
    sizes = [10**power for power in range(2, round(math.log10(options.most)) + 1)]
    table = [measure(n, options.backend) for n in sizes]
    names = [name for name in table[0] if name != "inputs"]
    print(f"{'inputs':12}" + "".join(f"{each['inputs']:>11}" for each in table) + "   exponent")
    for name in names:
        line = "".join(f"{each[name]:11.5f}" if name in each else f"{'-':>11}" for each in table)
        points = [
            (math.log(each["inputs"]), math.log(max(each[name], 1e-7)))
            for each in table
            if name in each and each["inputs"] >= LARGE
        ]
        power = np.polyfit(*zip(*points, strict=True), 1)[0] if len(points) > 1 else math.nan
        print(f"{name:12}{line}{power:11.2f}", flush=True)


if __name__ == "__main__":
    main()

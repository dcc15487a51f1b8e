"""What the harness adds to a gradient call: CPU time per cell on a warm worker.

A cell on a warm worker: its sample is drawn, `Engine.answer` runs the method on it, and the answer
is packed for the referee, a few cells at a time, as `tasks.answers` does it. The bare call is that
of `benchmarks/bare.py`, what a plain script does with the same numbers: convert them from numpy,
call `forward` and the framework's own gradient, convert the gradients back. Both run in one
process, in turn, on one thread as in a worker; the first round warms them up and does not count. A
cell that the bare call cannot do is passed over.

Small: every built-in case at its declared points and at draws, in float64. A stage of a cell is the
least over the rounds, in microseconds of CPU: `draw`, `call` (the answer less the bare call) and
`pack`; `cost` is their sum, at most 150 being asked. Printed are medians over the cells, and of the
cost the mean and the 90th percentile.

Large: cases of 10^6 numbers. `answer` is answering and packing over the bare call, the median of
neighbours' ratios; at most 1.05 is asked. `draw` over the bare call is told apart: a script needs
numbers, too, but the bare call is given its own.

    python benchmarks/percell.py [METHOD ...] [--rounds 15]
"""

from __future__ import annotations

import argparse
import os
import runpy
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pieces import ALONE

os.environ.update(ALONE)

import numpy as np
from bare import BY_NAME
from big import CASES
from overhead import plain

from harness.cases.case import Case, load
from harness.cases.registry import builtin_folder
from harness.cases.sampling import draw_sample
from harness.model import Array, Sample
from harness.runs import plan
from harness.runs.engine import KEPT, Engine
from harness.runs.plan import Cell, Request
from harness.runs.tasks import pack_answer

LARGE = 1_000_000


def seconds(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """CPU seconds of one call, and what it returns."""
    start = time.process_time()
    result = function(*arguments)
    return time.process_time() - start, result


def bare(case: Case, cell: Cell) -> Callable[[], None]:
    """The call of a plain script for a cell."""
    module = SimpleNamespace(**runpy.run_path(str(case.code.file)))
    data = plain(case, draw_sample(case, cell.point, cell.size, cell.dtype))
    return lambda: BY_NAME[cell.backend](module, data)


def draw(cell: Cell, engine: Engine) -> Sample:
    return engine.subject(cell).sample


def stages(cells: Sequence[Cell], engine: Engine) -> Iterator[tuple[float, ...]]:
    """CPU seconds of drawing, answering and packing each cell, in the order of `tasks.answers`."""
    drawn = [seconds(draw, cell, engine)[0] for cell in cells]
    answers = [seconds(engine.answer, cell) for cell in cells]
    packs = [seconds(pack_answer, found)[0] for _, found in answers]
    return zip(drawn, (each for each, _ in answers), packs, strict=True)


def measured(cases: list[Case], method: str, draws: int, rounds: int, few: int) -> Array:
    """CPU seconds of each cell of one method, of shape (rounds, cells, 4): of the bare call, of
    drawing, answering and packing, `few` cells at a time of a case, as in a task. There are
    more samples than the engine keeps, so that every round draws them again."""
    request = Request(backends=(method,), modes=("value", "vjp"), draws=draws)
    engine = Engine(cases, request)
    calls: dict[str, dict[Cell, Callable[[], None]]] = {}
    for cell in plan.cells(cases, request):
        call = bare(engine.cases[cell.case], cell)
        try:
            call()
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            print(f"{method} passes over {cell.case} {cell.point}: {why}", file=sys.stderr)
        else:
            calls.setdefault(cell.case, {})[cell] = call
    found = []
    for _ in range(rounds + 1):
        times = []
        for each in calls.values():
            for start in range(0, len(each), few):
                cells = [*each][start : start + few]
                alone = [seconds(each[cell])[0] for cell in cells]
                ours = stages(cells, engine)
                times += [(one, *three) for one, three in zip(alone, ours, strict=True)]
        found.append(times)
    return np.array(found[1:])


def small(method: str, rounds: int) -> None:
    cases = [load(file) for file in sorted(builtin_folder().glob("*.yaml"))]
    alone, drawn, answered, pack = np.min(measured(cases, method, 3, rounds, KEPT) * 1e6, 0).T
    cost = drawn + answered - alone + pack
    line = [*map(np.median, (alone, drawn, answered - alone, pack, cost))]
    line += [cost.mean(), np.quantile(cost, 0.9)]
    print(f"{method:20}{len(cost):6}" + "".join(f"{each:8.0f}" for each in line), flush=True)


def large(method: str, rounds: int) -> None:
    side = round(LARGE**0.5)
    with tempfile.TemporaryDirectory() as folder:
        for name, (python, inputs) in CASES.items():
            inputs = inputs.replace("[N]", f"[{LARGE}]").replace("M", str(side))
            (Path(folder) / f"{name}.py").write_text(python)
            file = Path(folder) / f"{name}.yaml"
            file.write_text(f"summary: many parameters\ninputs:\n{inputs}")
            alone, drawn, answered, pack = (
                measured([load(file)], method, 5, rounds, 1).reshape(-1, 4).T
            )
            line = [np.median((answered + pack) / alone), np.median(drawn / alone)]
            print(f"{name + ' ' + method:20}{np.median(alone) * 1e3:14.1f}", end="")
            print("".join(f"{each:8.2f}" for each in line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("methods", nargs="*", default=["manual", "autograd", "torch"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--one", choices=("small", "large"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        {"small": small, "large": large}[options.one](options.methods[0], options.rounds)
        return
    heads = {
        "small": f"{'us of CPU':20} cells    bare    draw    call    pack    cost    mean    90 %",
        "large": f"\n{'10^6 numbers':20}      bare, ms  answer    draw",
    }
    for stage, head in heads.items():
        print(head, flush=True)
        for method in options.methods:  # each in a process of its own, as in a run
            words = [sys.executable, __file__, method, "--one", stage]
            subprocess.run([*words, "--rounds", str(options.rounds)], check=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()

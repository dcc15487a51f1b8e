"""`harness run` against bare scripts, side by side: what declaring, judging and reporting cost.

Value and gradient of every built-in case at the same points, in float64, by all six methods
(training left out), each in a fresh process, in turn:

- `harness`: `harness run`, with its workers;
- `together`: one script that does what a plain person would, one method after the other;
- one such script for each framework alone;
- `harness, kept`: `harness run` where jax keeps what it compiles in a folder, as it does when the
  environment tells it to, filled by a run before the first round; and jax alone with that folder.

Prints wall times and the ratios of the harness to `together` (at most 1.25 is asked) and to the
slowest framework alone (at most 1.15), each as it is and with what jax has kept.

    python benchmarks/overhead.py [ROUNDS]
"""

from __future__ import annotations

import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bare import METHODS

from harness.cases.case import Case, load
from harness.cases.registry import builtin_folder
from harness.cases.sampling import NUMPY, draw_sample
from harness.model import Sample
from harness.programs import trees

DRAWS = 3


def plain(case: Case, sample: Sample) -> dict[str, Any]:
    """A sample as plain numpy data, for `bare.py`."""
    leaves = trees.flatten(sample.inputs)
    positions = {path: index for index, path in enumerate(sample.differentiable)}
    trace = case.program.forward(NUMPY, sample.inputs)
    values = {**sample.inputs, **trace.saved}
    assert case.code.backward is not None
    return {
        "case": case.name,
        "inputs": trees.map_with_path(lambda path, leaf: positions.get(path, leaf), sample.inputs),
        "leaves": [leaves[path] for path in sample.differentiable],
        "cotangent": sample.cotangents[0],
        "saved": [values[name] for name in case.code.backward.parameters[1:]],
    }


def samples() -> list[dict[str, Any]]:
    """Every sample of the built-in cases as plain numpy data."""
    found = []
    for file in sorted(builtin_folder().glob("*.yaml")):
        case = load(file)
        points = [*case.declared.points, *(f"draw{index}" for index in range(DRAWS))]
        found += [plain(case, draw_sample(case, each, "default", "float64")) for each in points]
    return found


def seconds(command: list[str], folder: str, kept: bool = False) -> float:
    environment = {name: text for name, text in os.environ.items() if name[:4] != "JAX_"}
    if kept:
        environment["JAX_COMPILATION_CACHE_DIR"] = f"{folder}/kept"
        environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=folder, capture_output=True, env=environment)
    return time.perf_counter() - start


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "samples.pickle"
        data.write_bytes(pickle.dumps(samples()))
        script = str(Path(__file__).with_name("bare.py").resolve())
        bare = [sys.executable, script, str(data), str(builtin_folder())]
        run = [sys.executable, "-m", "harness", "run", "--mode", "value,vjp"]
        run += ["--draws", str(DRAWS), "--no-progress", "--report", folder]
        commands = {"harness": run, "together": [*bare, *METHODS]}
        commands |= {name: [*bare, name] for name in METHODS[2:]}
        kept = {f"{name}, kept": commands[name] for name in ("harness", "jax")}
        for command in kept.values():
            seconds(command, folder, kept=True)
        times: dict[str, list[float]] = {name: [] for name in (*commands, *kept)}
        for _ in range(rounds):
            for name, command in commands.items():
                times[name].append(seconds(command, folder))
            for name, command in kept.items():
                times[name].append(seconds(command, folder, kept=True))
    for name, each in times.items():
        print(f"{name:13} {min(each):6.2f} s best, {statistics.median(each):6.2f} s median")
    alone = {name: statistics.median(times[name]) for name in METHODS[2:]}
    slowest = max(alone, key=lambda name: alone[name])
    for ours in ("harness", "harness, kept"):
        for name in dict.fromkeys(("together", slowest, "jax, kept")):
            ratios = [h / b for h, b in zip(times[ours], times[name], strict=True)]
            best, median = min(times[ours]) / min(times[name]), statistics.median(ratios)
            print(f"({ours}) / ({name}): {best:.2f} of the best, {median:.2f} median")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)

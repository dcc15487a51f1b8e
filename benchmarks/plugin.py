"""10 000 cells under pytest, against 10 000 empty tests plus the same cells without pytest.

Both sides compute the same cells (numeric and manual, of synthetic cases) in fresh processes, in
turn; the ratio of `cells` to `empty + engine` should be at most 1.5.

    python benchmarks/plugin.py [CELLS] [ROUNDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import synthetic

DRAWS, METHODS = 50, 2
ENGINE = """
from pathlib import Path
from harness.cases.case import load
from harness.runs.engine import Engine
from harness.runs.plan import Request, cells

request = Request(backends=("numeric", "manual"), draws={draws}, modes=("value", "vjp"))
for file in sorted(Path("cases").glob("*.yaml")):
    case = load(file)
    for _, rows in Engine([case], request).run(cells([case], request)):
        assert all(row.good for row in rows)
"""


def seconds(command: list[str], folder: Path) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, cwd=folder, capture_output=True)
    return time.perf_counter() - start


def main(cells: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\naddopts = -q -p no:cacheprovider\n")
        synthetic.write(folder / "cases", cells // (DRAWS * METHODS))
        (folder / "test_empty.py").write_text(
            "import pytest\n\n\n"
            f"@pytest.mark.parametrize('number', range({cells}))\n"
            "def test_nothing(number):\n    pass\n"
        )
        (folder / "engine.py").write_text(ENGINE.format(draws=DRAWS))
        options = ["--harness-backend=numeric,manual", f"--harness-draws={DRAWS}"]
        commands = {
            "cells": ["-m", "pytest", "cases", *options],
            "empty": ["-m", "pytest", "test_empty.py", "-p", "no:harness"],
            "engine": ["engine.py"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                times[name].append(seconds(command, folder))
    for name, each in times.items():
        print(f"{name:7} {min(each):7.2f} s best, {statistics.median(each):7.2f} s median")
    best = {name: min(each) for name, each in times.items()}
    print(f"cells / (empty + engine): {best['cells'] / (best['empty'] + best['engine']):.2f}")


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*(*given, *(10_000, 3)[len(given) :]))

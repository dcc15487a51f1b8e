"""SIGKILL at random moments: is a row lost, doubled or changed, is a report torn, is a worker left?

Runs of synthetic cases (numeric, manual, and the frameworks of `--backend`) are killed again and
again, sometimes the main process, sometimes one of its workers, and taken up with `--resume` until
they finish. Every finished report has to be the one of a run that nobody disturbed, timings aside.

    python benchmarks/kills.py [--kills 200] [--seed 0] [--backend numeric,manual,autograd]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import psutil
import synthetic

CASES, DRAWS = 12, 8


class Run:
    """One `harness run` in a folder."""

    def __init__(self, folder: Path, backend: str, report: str, *options: str) -> None:
        words = ["run", "--cases", "own", "--backend", backend, "--draws", str(DRAWS)]
        words += ["--report", report, "--no-progress", "--jobs", "2", *options]
        self.said = folder / "said"
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "harness", *words], cwd=folder, stdout=said, stderr=said
            )

    def workers(self) -> list[psutil.Process]:
        """The worker processes that there are now."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


def table(folder: Path) -> str:
    found = pd.read_csv(folder / "results.csv").drop(columns="seconds")
    return str(found.to_csv())


def check(folder: Path, alone: Path, cells: int) -> None:
    """Raises AssertionError where something was lost, doubled or changed."""
    keys = [json.loads(line)["key"] for line in (folder / "results.jsonl").open()]
    assert len(keys) == len(set(keys)) == cells, (len(keys), len(set(keys)), cells)
    assert table(folder) == table(alone), "another table"
    one, other = (parts(each / "report.md") for each in (folder, alone))
    assert one == other, "a torn report"


def parts(report: Path) -> tuple[str, list[str]]:
    """A report without its memory, which a run has only measured where it computed something, and
    without the command, which says where it is."""
    tables, _, rest = report.read_text().partition("\n## Environment\n")
    environment, _, command = rest.partition("\n## How to reproduce\n")
    return tables.partition("\n## Memory\n")[0], [environment, command.splitlines()[-1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backend", default="numeric,manual,autograd")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    done: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synthetic.write(folder / "own", CASES)
        start = time.perf_counter()
        assert Run(folder, options.backend, "alone").process.wait() == 0
        whole = time.perf_counter() - start
        cells = CASES * DRAWS * len(options.backend.split(","))
        resume: tuple[str, ...] = ()
        while done["main"] + done["worker"] < options.kills:
            run = Run(folder, options.backend, "killed", *resume)
            resume = ("--resume",)
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.process.wait(rng.uniform(0.1, 1.2) * whole)
            workers = run.workers()
            if run.process.poll() is None and workers and rng.random() < 0.5:
                with contextlib.suppress(psutil.NoSuchProcess):
                    rng.choice(workers).kill()
                    done["worker"] += 1
                run.process.wait(60 + 10 * whole)
            elif run.process.poll() is None:
                run.process.send_signal(signal.SIGKILL)
                run.process.wait()
                done["main"] += 1
                _, alive = psutil.wait_procs(workers, timeout=20)
                assert not alive, f"left behind: {alive}"
            if run.process.returncode != -signal.SIGKILL:
                assert run.process.returncode == 0, run.said.read_text()
                check(folder / "killed", folder / "alone", cells)
                done["finished"] += 1
                resume = ()
    print(
        f"{done['main']} kills of the main process, {done['worker']} of a worker; "
        f"{done['finished']} runs finished, each with the same {cells} cells: "
        "no row lost, doubled or changed, no report torn, no worker left behind"
    )


if __name__ == "__main__":
    main()

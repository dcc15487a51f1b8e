"""The same plan on workers that somebody else started: any executor, a Dask cluster."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from builders import write_case

import harness

Run = Callable[..., Any]

PYTHON = """
    def forward(xp, x):
        y = xp.exp(x)
        return y

    def backward(xp, dy, y):
        dx = y * dy
        return {"x": dx}
"""
YAML = """
    inputs:
      x: {shape: [3]}
"""
OWN = ("run", "--cases", "own", "--backend", "manual,numeric")


def table(folder: Path) -> str:
    return str(pd.read_csv(folder / "results.csv").drop(columns="seconds").to_csv())


@pytest.mark.parametrize("workers", ["executor", "processes", "none"])
def test_the_library_runs_cases_wherever_it_is_told_to(tmp_path: Path, workers: str) -> None:
    write_case(tmp_path, PYTHON, YAML, "right")
    write_case(tmp_path, PYTHON.replace("y * dy", "y + dy"), YAML, "wrong")
    with ThreadPoolExecutor(2) as executor:
        options = {"executor": {"executor": executor, "jobs": 2}, "none": {"jobs": 0}}
        report = harness.run(
            cases=tmp_path, backends=("manual", "numeric"), draws=2, **options.get(workers, {})
        )
    assert not report.ok
    assert {(row.case, row.backend) for row in report.failures} == {("wrong", "manual")}
    assert len({(row.case, row.point, row.backend) for row in report.rows}) == 8


def test_a_pattern_that_fits_nothing_is_refused() -> None:
    with pytest.raises(harness.HarnessError, match="no case"):
        harness.run("nothing_like_it")


def test_an_address_that_is_none_is_refused(harness: Run) -> None:
    said = harness("run", "sum_times_z", "--executor", "ray://here")
    assert said.status == 2
    assert "dask://HOST:PORT" in said.err


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers, as a user starts them: its address, and the workers."""
    pytest.importorskip("distributed")
    log = (tmp_path / "log").open("wb")

    def start(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli." + words[0], *words[1:]]
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path)

    processes = [
        start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
              "--scheduler-file", "scheduler.json")
    ]  # fmt: skip
    address = ""
    while not address:
        time.sleep(0.1)
        text = (
            (tmp_path / "scheduler.json").read_text()
            if (tmp_path / "scheduler.json").exists()
            else ""
        )
        match = re.search(r'"address": "tcp://(127.0.0.1:[0-9]+)"', text)
        address = match[1] if match else ""
    workers = [
        start("dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard",
              "--resources", "referee=1")
        for _ in range(2)
    ]  # fmt: skip
    from distributed import Client

    with Client(f"tcp://{address}", set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    try:
        yield address, workers
    finally:
        for process in (*workers, *processes):
            for child in psutil.Process(process.pid).children() if process.poll() is None else ():
                child.kill()
            process.kill()
            process.wait()
        log.close()


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_loses_a_worker_gives_the_same_rows(
    harness: Run, tmp_path: Path, cluster: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    for number in range(20):
        write_case(tmp_path / "own", PYTHON, YAML, f"case{number}")
    assert harness(*OWN, "--report", "alone").status == 0
    address, workers = cluster
    journal = tmp_path / "reports" / "results.jsonl"

    def kill_one() -> None:
        while not (journal.exists() and journal.read_bytes().count(b"\n") > 20):
            time.sleep(0.01)
        workers[0].send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    said = harness(*OWN, "--executor", f"dask://{address}")
    killer.join()
    assert said.status == 0, said
    assert workers[0].wait(10) == -signal.SIGKILL
    assert len(journal.read_bytes().splitlines()) == 20 * 6
    assert table(tmp_path / "reports") == table(tmp_path / "alone")

"""What a case does to its process happens to one row: workers, time limits, the dispatcher."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from builders import write_case

from harness.cases.case import Case
from harness.model import Failure, Row, Status
from harness.runs.dispatch import Dispatcher
from harness.runs.engine import Engine
from harness.runs.memory import forget_peak, peak
from harness.runs.plan import Cell, Request, cells
from harness.runs.workers import REFEREE, LocalWorkers

Run = Callable[..., Any]

#: A random draw decides what happens to the process: three of these four draws are harmless.
ROULETTE = """
    import os, signal, time
    import numpy as np

    def forward(xp, x):
        y = x * x
        return y

    def backward(xp, dy, x):
        dx = 2 * x * dy
        return {{"x": dx}}

    def inputs(rng):
        x = rng.uniform()
        if {low} < x < {high}:
            {fault}
        return {{"x": np.asarray(x)}}
"""
YAML = """
    inputs:
      x: {}
"""


def first_draw(case: Callable[..., Case]) -> float:
    """x of the first draw of such a case."""
    harmless = case(ROULETTE.format(low=2, high=3, fault="pass"), YAML)
    request = Request(draws=1, backends=("manual",))
    engine = Engine([harmless], request)
    return float(engine.subject(cells([harmless], request)[0]).sample.inputs["x"])


def roulette(case: Callable[..., Case], fault: str) -> Case:
    """A case whose first draw does `fault`, and only that."""
    x = first_draw(case)
    return case(ROULETTE.format(low=x - 1e-9, high=x + 1e-9, fault=fault), YAML)


def rows_of(made: Case, **limits: Any) -> dict[tuple[str, str], list[Row]]:
    request = Request(draws=4, backends=("manual", "numeric"), modes=("value", "vjp"))
    plan = cells([made], request)
    dispatcher = Dispatcher([made], request, LocalWorkers(2, **limits))
    found = list(dispatcher.run(plan))
    assert sorted(map(str, plan)) == sorted(str(cell) for cell, _ in found)
    return {(cell.point, cell.backend): rows for cell, rows in found}


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ("os._exit(7)", Status.CRASH, "the process ended"),
        ("os._exit(0)", Status.CRASH, "the process ended"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", Status.CRASH, "SIGSEGV"),
        ("time.sleep(60)", Status.TIMEOUT, "longer than 2 s"),
        ("np.ones(10**12)", Status.ERROR, "llocate"),
        ("raise MemoryError", Status.ERROR, "MemoryError"),
    ],
)
def test_a_fault_costs_its_own_rows_only(
    case: Callable[..., Case], fault: str, status: str, words: str
) -> None:
    found = rows_of(roulette(case, fault), timeout=2.0)
    for (point, _), rows in found.items():
        statuses = {row.status for row in rows}
        assert statuses == ({status} if point == "draw0" else {Status.PASS})
    assert all(words in row.detail for row in found["draw0", "manual"])


def test_a_memory_limit_is_an_error_and_not_the_end(case: Callable[..., Case]) -> None:
    made = roulette(case, "np.ones(2**25)")
    assert {row.status for row in rows_of(made)["draw0", "manual"]} == {Status.PASS}
    found = rows_of(made, memory_limit=2**27)
    assert "MemoryError" in found["draw0", "manual"][0].detail
    assert {row.status for row in found["draw1", "manual"]} == {Status.PASS}


def test_workers_say_what_one_process_says(case: Callable[..., Case]) -> None:
    made = roulette(case, "raise ValueError('no such number')")
    request = Request(draws=4, backends=("manual", "numeric"), modes=("value", "vjp"))
    plan = cells([made], request)
    alone = dict(Engine([made], request).run(plan))
    together = dict(Dispatcher([made], request, LocalWorkers(2)).run(plan))

    def lines(found: dict[Cell, list[Row]]) -> str:
        rows = [row for cell in plan for row in found[cell]]
        return str(pd.DataFrame(rows).drop(columns="seconds").to_csv())

    assert lines(alone) == lines(together)
    assert "no such number" in lines(together)


class Unreliable:
    """Workers in this process, of which some tasks are lost on the way."""

    jobs = 3

    def __init__(self, lost: Iterator[bool]) -> None:
        self.lost, self.sent, self.closed = lost, 0, False

    def has(self, kind: str) -> bool:
        return False

    def width(self, kind: str, left: float) -> int:
        return 1

    def submit(self, kind: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        self.sent += 1
        future: Future[Any] = Future()
        if next(self.lost, False):
            future.set_exception(ConnectionError("gone"))
        else:
            future.set_result(function(*arguments))
        return future

    def release(self, future: Future[Any]) -> None:
        assert future.done()

    def failure(self, error: BaseException) -> Failure:
        return Failure(Status.CRASH, str(error))

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ([], Status.PASS),
        # The whole group, then its first cell once: that may have been somebody else's doing.
        ([True, True], Status.PASS),
        ([True, True, True], Status.CRASH),
    ],
)
def test_what_is_lost_on_the_way_is_tried_again(
    case: Callable[..., Case], lost: list[bool], expected: str
) -> None:
    made = roulette(case, "pass")
    request = Request(draws=4, backends=("manual", "numeric"), modes=("vjp",))
    plan = cells([made], request)
    workers = Unreliable(iter(lost))
    found = [row for _, rows in Dispatcher([made], request, workers).run(plan) for row in rows]
    worst = {row.status for row in found} - {Status.PASS} or {Status.PASS}
    assert worst == {expected}
    assert len({(row.point, row.backend) for row in found}) == len(plan)
    assert workers.closed


def test_a_dead_process_is_named_by_its_signal() -> None:
    workers = LocalWorkers(1)
    try:
        future = workers.submit(REFEREE, signal.raise_signal, signal.SIGKILL)
        error = future.exception(60)
        assert error is not None
        assert "SIGKILL" in workers.failure(error).detail
    finally:
        workers.close()


def test_sizes_and_limits_of_the_command_line(harness: Run, tmp_path: Path) -> None:
    write_case(tmp_path / "own", dedent(ROULETTE.format(low=2, high=3, fault="pass")), YAML)
    own = ("run", "--cases", "own", "--backend", "manual", "--jobs", "1")
    assert harness(*own, "--timeout", "30", "--memory-limit", "4GiB").status == 0
    said = harness(*own, "--memory-limit", "lots")
    assert said.status == 2 and "`lots` is no size" in said.err
    assert harness(*own, "--timeout", "0").status == 2


def test_the_memory_of_a_task_is_that_of_its_worst_moment() -> None:
    forget_peak()
    before = peak()
    assert np.ones(2**25).sum() == 2**25  # 256 MiB, and gone again
    assert 200 * 2**20 < peak() - before < 400 * 2**20
    forget_peak()
    assert peak() - before < 200 * 2**20


def test_a_run_tells_what_each_worker_held(harness: Run, tmp_path: Path) -> None:
    # In this order: a worker keeps the samples of its last few cases.
    for name, number in (("first", 10), ("second", 3_000_000)):
        python = "def forward(xp, x):\n    y = xp.sum(x)\n    return y\n"
        yaml = f"inputs:\n  x: {{shape: [{number}], differentiable: false}}\n"
        write_case(tmp_path / "own", python, yaml, name)
    said = harness("run", "--cases", "own", "--backend", "numeric", "--jobs", "1", "--draws", "1")
    assert "most memory: referee" in said.out
    text = (tmp_path / "reports" / "report.md").read_text()
    found = dict(re.findall(r"^\| (first|second) \| (\d+) \|$", text, re.MULTILINE))
    assert int(found["second"]) > int(found["first"]) + 20


def test_a_worker_that_dies_while_it_is_idle_is_replaced() -> None:
    workers = LocalWorkers(1)
    try:
        for _ in range(2):
            future = workers.submit(REFEREE, os.getpid)
            process = psutil.Process(future.result())
            workers.release(future)
            process.kill()
            # The pool notices by and by; whichever comes first, the next task has a process.
            pool = workers._idle[REFEREE][-1]
            while pool.active:
                time.sleep(0.01)
    finally:
        workers.close()


def forever() -> None:
    while True:
        pass


ORPHAN = """
import sys, time
from harness.runs.workers import REFEREE, LocalWorkers
from test_workers import forever

if __name__ == "__main__":
    workers = LocalWorkers(1)
    print(workers.submit(REFEREE, __import__("os").getpid).result(), flush=True)
    workers.release(next(iter(workers._busy)))
    workers.submit(REFEREE, forever)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends the children by itself")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_leaves_no_worker_behind_though_it_loops(
    tmp_path: Path, how: signal.Signals
) -> None:
    (tmp_path / "main.py").write_text(ORPHAN)
    path = os.pathsep.join((str(Path(__file__).parent), *sys.path))
    run = subprocess.Popen(
        [sys.executable, str(tmp_path / "main.py")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert run.stdout is not None
    with run.stdout:
        worker = psutil.Process(int(run.stdout.readline()))
    while not worker.cpu_times().user > 0.5:
        time.sleep(0.05)
    run.send_signal(how)
    run.wait()
    psutil.wait_procs([worker], timeout=30)
    assert not worker.is_running()


def test_a_limit_beyond_what_there_is_is_none(case: Callable[..., Case]) -> None:
    found = rows_of(roulette(case, "pass"), memory_limit=1 << 80)
    assert {row.status for each in found.values() for row in each} == {Status.PASS}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows forks nothing")
def test_workers_start_though_the_process_that_forks_them_was_killed() -> None:
    from multiprocessing import forkserver

    workers = LocalWorkers(2)
    try:
        first = workers.submit(REFEREE, os.getppid)
        server = psutil.Process(first.result())
        assert server.pid == forkserver._forkserver._forkserver_pid
        server.kill()
        assert workers.submit(REFEREE, os.getppid).result() != server.pid
    finally:
        workers.close()

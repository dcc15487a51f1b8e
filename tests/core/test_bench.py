"""`harness bench` by its command line: the tables, the files, and what costs one line only."""

from __future__ import annotations

import csv
import importlib.util
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import write_case

from harness import backends
from harness.cases.case import Case
from harness.cases.sampling import draw_sample
from harness.errors import Unsupported
from harness.model import TIMED, Growth, Status, Timing
from harness.report import bench, files
from harness.runs.workers import REFEREE, LocalWorkers

Run = Callable[..., Any]
PYTHON = """
    {more}

    def forward(xp, x):
        f = xp.sum(x * x)
        return f

    def backward(xp, df, x):
        {fault}
        return {{"x": 2 * x * df}}
"""
YAML = """
    inputs:
      x: {shape: [n]}
    sizes:
      default: {n: 3}
"""
QUICK = ("--budget", "0.01", "--backend", "manual,numeric")


def write(folder: Path, more: str = "", fault: str = "pass") -> None:
    write_case(folder / "cases", PYTHON.format(more=more, fault=fault), YAML)


def lines(folder: Path) -> list[dict[str, str]]:
    with (folder / bench.CSV).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_sweep_is_timed_and_written_down(
    harness: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", _without_matplotlib())
    write(tmp_path)
    found = harness("bench", "demo", "--cases", "cases", "--sizes", "n=2,4,8", *QUICK)
    assert (found.status, found.err) == (0, "")
    for words in ("demo n=2 float64", "demo n=8 float64", "exponent of time", "1 thread, "):
        assert words in found.out
    assert "no plot: matplotlib is not installed: python -m pip install" in found.out
    rows = lines(tmp_path / "reports")
    assert len(rows) == 3 * 2 * 2
    assert {row["status"] for row in rows} == {TIMED}
    assert {(row["axis"], row["length"]) for row in rows} == {("n", f"{n}.0") for n in (2, 4, 8)}
    for row in rows:
        assert float(row["low"]) <= float(row["median"]) <= float(row["high"])
        assert int(row["calls"]) >= int(row["visits"]) >= 1
    page = (tmp_path / "reports" / bench.MARKDOWN).read_text(encoding="utf-8")
    for words in (
        "## demo n=4 float64",
        "| manual |",
        "## Exponent",
        "numpy",
        "harness bench demo",
    ):
        assert words in page
    assert bench.PLOT not in page and not (tmp_path / "reports" / bench.PLOT).exists()


def _without_matplotlib() -> Callable[..., Any]:
    find = importlib.util.find_spec
    return lambda name, *rest: None if name == "matplotlib" else find(name, *rest)


@pytest.mark.parametrize(
    ("fault", "status", "words", "code"),
    [
        ("__import__('os')._exit(7)", Status.CRASH, "exit code 7", 1),
        ("__import__('time').sleep(60)", Status.TIMEOUT, "longer than 2 s", 0),
        ("raise ValueError('no such number')", Status.ERROR, "no such number", 1),
        ("raise NotImplementedError", Status.ERROR, "NotImplementedError", 1),
    ],
)
def test_a_fault_costs_its_own_line(
    harness: Run, tmp_path: Path, fault: str, status: str, words: str, code: int
) -> None:
    write(tmp_path, fault=fault)
    found = harness("bench", "--cases", "cases", "--timeout", "2", *QUICK, "--report", "out")
    assert found.status == code
    assert re.search(rf"^manual gradient: .*{words}", found.out, re.MULTILINE)
    statuses = {(row["backend"], row["quantity"]): row["status"] for row in lines(tmp_path / "out")}
    assert statuses.pop(("manual", "gradient")) == status
    assert set(statuses.values()) == {TIMED}


def test_a_case_that_cannot_be_drawn_is_said_to(harness: Run, tmp_path: Path) -> None:
    write(tmp_path, more="def inputs(rng, n):\n        raise ValueError('no data')")
    found = harness("bench", "--cases", "cases", *QUICK, "--report", "")
    assert found.status == 2
    assert "manual: " in found.out and "no data" in found.out
    assert "nothing was timed" in found.err
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--sizes", "default,large"), "`default,large` is no sweep of a dimension"),
        (("--sizes", "m=3,4"), "`demo` has no dimension `m`"),
        (("--size", "larg"), "no size `larg`"),
        (("--backend", "torhc"), "did you mean `torch`?"),
        (("--threads", "0"), "0 is too few"),
        (("--threads", "100000"), "this process may use"),
        (("--budget", "0"), "`0` is no positive number"),
        (("--jobs", "3"), "no option `--jobs`"),
        (("--report", "cases/demo.py"), "cannot be written to"),
    ],
)
def test_bad_usage_times_nothing(
    harness: Run, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    write(tmp_path)
    found = harness("bench", "--cases", "cases", *words)
    assert (found.status, found.out) == (2, "")
    assert said in found.err


def timing(backend: str, quantity: str, median: float, **more: Any) -> Timing:
    base = {"median": median, "low": median * 0.9, "high": median * 1.1, "visits": 9, "calls": 90}
    place = ("demo", "default", "float64", backend, quantity)
    return Timing(*place, **({"status": TIMED, "compile": 0.0} | base | more))


def test_a_page_prints_no_ratio_of_what_is_not_told_apart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = [
        timing("fast", "value", 1e-6),
        timing("fast", "gradient", 2e-6, to_fastest=1.0, to_value=2.0),
        timing("near", "value", 1e-6),
        timing("near", "gradient", 2.1e-6),
        timing("slow", "value", 1.0),
        timing("slow", "gradient", 1234.5, to_fastest=6e8, to_value=1234.5, compile=12.345),
        timing("rare", "gradient", 3.0, low=0.0, high=math.inf, visits=1, detail="too slow"),
        timing("rare", "value", 3.0),
        Timing("demo", "default", "float64", "gone", "value", "crash", detail="killed"),
        Timing("demo", "default", "float64", "gone", "gradient", "crash", detail="killed"),
    ]
    (page,) = bench.pages(found)
    assert page.lines == [
        ["fast", "0.00100", "0.00200", "2.00", "1.00", "±10 %", "0.00", "9", "90"],
        ["near", "0.00100", "0.00210", "~", "~", "±10 %", "0.00", "9", "90"],
        ["slow", "1000", "1234500", "1234", "600000000", "±10 %", "12.35", "9", "90"],
        ["rare", "3000", "3000", "~", "~", "?", "0.00", "1", "90"],
        ["gone", "crash", "crash", "", "", "", "", "", ""],
    ]
    assert page.notes == ["rare gradient: too slow", "gone: killed"]
    bench.show([page], [Growth("demo", "float64", "a", "value", "n", 1.5, 0.25)], "1 thread")
    printed = capsys.readouterr().out
    assert "not told apart" in printed and "1.50 ± 0.25" in printed


def test_a_report_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [timing("a", "value", 1.0), timing("a", "gradient", 1.0)]
    options: dict[str, Any] = {"command": "harness bench", "conditions": "", "versions": {}}
    bench.write(tmp_path, found, [], **options)
    before = (tmp_path / bench.CSV).read_text(encoding="utf-8")
    monkeypatch.setattr(files.os, "replace", _full)
    with pytest.raises(Exception, match="full"):
        bench.write(tmp_path, found * 2, [], **options)
    assert (tmp_path / bench.CSV).read_text(encoding="utf-8") == before
    assert sorted(file.name for file in tmp_path.iterdir()) == [bench.CSV, bench.MARKDOWN]


def _full(*_: object) -> None:
    raise OSError(28, "the disk is full")


def test_what_is_timed_is_the_gradient(case: Callable[..., Case]) -> None:
    made = case(PYTHON.format(more="", fault="pass"), YAML)
    sample = draw_sample(made, "draw0", "default", "float64")
    expected = 2 * sample.inputs["x"] * sample.cotangents[0]
    value, gradient = backends.make("manual").calls(made.program, sample)
    assert value().outputs[0] == np.sum(sample.inputs["x"] ** 2)
    np.testing.assert_array_equal(gradient()[0]["x"], expected)
    value, gradient = backends.make("numeric").calls(made.program, sample)
    assert value().outputs[0] == np.sum(sample.inputs["x"] ** 2)
    np.testing.assert_allclose(gradient()[1][0], expected, rtol=1e-8)


def test_without_a_backward_there_is_a_value(case: Callable[..., Case]) -> None:
    text = PYTHON.format(more="", fault="pass").partition("    def backward")[0]
    made = case(text, YAML)
    sample = draw_sample(made, "draw0", "default", "float64")
    value, gradient = backends.make("manual").calls(made.program, sample)
    value()
    with pytest.raises(Unsupported, match="no `backward`"):
        gradient()


def _conditions() -> tuple[int, str]:
    return len(os.sched_getaffinity(0)), os.environ["OMP_NUM_THREADS"]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system pins no process")
def test_a_thread_is_one_processor_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    workers = LocalWorkers(1, threads=1)
    try:
        assert workers.submit(REFEREE, _conditions).result() == (1, "1")
    finally:
        workers.close()
    assert os.environ["OMP_NUM_THREADS"] == "64"
    assert "NPROC" not in os.environ

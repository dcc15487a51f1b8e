"""Every framework is timed, in one thread, and what is timed is what is checked."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import backends
from harness.cases.case import load
from harness.cases.registry import builtin_folder
from harness.cases.sampling import draw_sample
from harness.cli import main
from harness.model import TIMED, Timing
from harness.report import plot

PLAIN = ("autograd", "tensorflow", "torch", "jax")
COMPILED = ("tensorflow:function", "tensorflow:xla", "torch:compile", "jax:jit")
PAIRS = [*((label, "float32") for label in PLAIN), *((label, "float64") for label in COMPILED)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # it warns of itself
@pytest.mark.parametrize(("label", "dtype"), PAIRS)
def test_what_is_timed_is_the_value_and_the_gradient(label: str, dtype: str) -> None:
    case = load(builtin_folder() / "dict_of_vectors.yaml")
    sample = draw_sample(case, "draw0", "default", dtype)
    backend: Any = backends.make(label)
    value, gradient = backend.calls(case.program, sample)
    expected = backends.make(label.partition(":")[0]).differentiate(case.program, sample)
    rtol = 1e-12 if dtype == "float64" else 1e-5
    for _ in range(2):  # the second call is the one that is timed
        (output,) = value()
        (again,), gradients = gradient()
        for found in (output, again):
            array = backend.to_numpy(found)
            assert array.dtype == dtype
            np.testing.assert_allclose(array, *expected.values.values(), rtol=rtol)
        for found, path in zip(gradients, sample.differentiable, strict=True):
            array = backend.to_numpy(found)
            assert array.dtype == dtype
            np.testing.assert_allclose(array, expected.gradients[path], rtol=rtol)


def test_torch_compiles_a_function_once_for_value_and_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    compiled: list[Any] = []

    def count(function: Any) -> Any:
        compiled.append(function)
        return function

    monkeypatch.setattr(torch, "compile", count)
    case = load(builtin_folder() / "sin_radius.yaml")
    sample = draw_sample(case, "draw0", "default", "float64")
    for call in backends.make("torch:compile").calls(case.program, sample) * 2:
        call()
    assert len(compiled) == 1


def test_every_method_leaves_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    methods = "manual,autograd,tensorflow:function,torch,jax:jit"
    words = ["bench", "logsumexp", "--backend", methods, "--sizes", "n=2,40", "--budget", "0.01"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "see reports/bench.md and bench.svg" in out
    for name in methods.split(","):
        assert out.count(f"\n{name} ") >= 2
    with open("reports/bench.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * 2 * 5
    assert {row["status"] for row in rows} == {TIMED}
    assert "![time against size](bench.svg)" in Path("reports/bench.md").read_text("utf-8")
    assert "<svg" in Path("reports/bench.svg").read_text("utf-8")


def line(backend: str, quantity: str, power: float) -> list[Timing]:
    found = []
    for length in (10.0, 100.0, 1000.0):
        median = 1e-6 * length**power
        place = ("demo", f"n={length:g}", "float64", backend, quantity, TIMED, "n", length)
        high = median * 1.2 if length < 1000 else float("inf")
        found.append(Timing(*place, median, median * 0.9, high, 9, 90))
    return found


def test_the_plot_has_a_line_per_method_and_the_same_text_each_time() -> None:
    found = [
        each for power, name in ((1, "one"), (2, "two")) for each in line(name, "value", power)
    ]
    found += line("one", "gradient", 1.5)
    text = plot.svg(found)
    for words in ("demo float64: value", "demo float64: gradient", "one", "two", "milliseconds"):
        assert words in text
    assert plot.svg(found) == text
    assert "<dc:date>" not in text


def test_what_has_no_axis_or_no_time_is_not_plotted() -> None:
    place = ("demo", "default", "float64", "one", "value")
    assert plot.drawable([Timing(*place, TIMED), Timing(*place, "crash", "n", 3.0)]) == []

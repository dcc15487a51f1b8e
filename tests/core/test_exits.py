"""A case that ends its program: never a success, and never the end of the other rows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import write_case

import harness as package
from harness.errors import GradientMismatch

Run = Callable[..., Any]
YAML = "inputs: {x: {shape: [2]}}\n"
PYTHON = """
    import os
    import sys

    ... # at import

    def forward(xp, x):
        ... # in forward
        f = x * x
        return f

    def backward(xp, df, x):
        ... # in backward
        return {"x": 2 * x * df}
"""


def leaving(place: str, how: str) -> str:
    return PYTHON.replace(f"... # {place}", how)


class Gone(BaseException):
    """Neither an error nor Ctrl-C."""


@pytest.mark.parametrize("jobs", ["0", "2"])
@pytest.mark.parametrize("place", ["at import", "in forward", "in backward"])
def test_an_exit_in_a_case_is_an_error_with_its_line(
    harness: Run, tmp_path: Path, place: str, jobs: str
) -> None:
    write_case(tmp_path / "mine", leaving(place, "sys.exit(0)"), YAML)
    write_case(tmp_path / "mine", PYTHON, YAML, "other")
    words = ("--backend", "manual,numeric", "--draws", "1", "--jobs", jobs)
    said = harness("run", "--cases", "mine", *words)
    assert said.status == 1
    assert "SystemExit: 0: a case must not end the program that runs it" in said.out
    line = leaving(place, "sys.exit(0)").partition("sys.exit")[0].count("\n") + 1
    assert f"mine/demo.py:{line}: `sys.exit(0)`" in said.out
    # All of `other` passes.
    assert [each.split()[1:] for each in said.out.splitlines() if each.startswith("other")] == [
        ["✓", "16.0", "✓", "16.0"]
    ]


def test_show_names_the_line_too(harness: Run, tmp_path: Path) -> None:
    write_case(tmp_path / "mine", leaving("in forward", "sys.exit(0)"), YAML)
    said = harness("show", "demo", "--cases", "mine", "--backend", "manual")
    assert said.status == 2
    assert said.err.startswith("error: mine/demo.py:8: `sys.exit(0)`: SystemExit: 0")


@pytest.mark.parametrize("end", [SystemExit(0), Gone()])
def test_check_raises_where_a_function_would_end_the_program(end: BaseException) -> None:
    def forward(xp: Any, x: Any) -> Any:
        f = x * x
        return f

    def backward(xp: Any, df: Any, x: Any) -> Any:
        raise end

    with pytest.raises(GradientMismatch, match="must not end the program"):
        package.check(forward, backward, backends="manual", x=np.ones(2))


def test_a_keyboard_interrupt_is_the_users(harness: Run, tmp_path: Path) -> None:
    write_case(tmp_path / "mine", leaving("in backward", "raise KeyboardInterrupt"), YAML)
    assert harness("run", "--cases", "mine", "--backend", "manual").status == 130


def test_a_process_that_ends_at_once_is_no_success(tmp_path: Path) -> None:
    write_case(tmp_path / "mine", leaving("in forward", "os._exit(0)"), YAML)
    words = "run --cases mine --backend manual --jobs 0".split()
    said = subprocess.run(
        [sys.executable, "-m", "harness", *words], cwd=tmp_path, capture_output=True, check=False
    )
    assert said.returncode not in (0, 2)

"""A pair of case files for a test, written and loaded; the command line, run in its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from builders import case_from

from harness.cases.case import Case
from harness.cli import main
from harness.truth.lifted import without_balls


@pytest.fixture
def case(tmp_path: Path) -> Callable[..., Case]:
    """`case(python, yaml)` writes `demo.py` and `demo.yaml` into the test's folder, loads them."""

    def make(python: str, yaml: str, name: str = "demo") -> Case:
        return case_from(tmp_path, python, yaml, name)

    return make


@pytest.fixture
def no_balls() -> Iterator[None]:
    """Ball arithmetic follows no case."""
    with without_balls():
        yield


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output is captured, so it has neither colours nor a width, whatever the outer shell says."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)


@dataclass(frozen=True)
class Outcome:
    """What a command said."""

    status: int
    out: str
    err: str


@pytest.fixture
def harness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """`harness("run", "sum_times_z")` runs one command line in the test's folder, without workers
    unless it says `--jobs`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("harness.commands.run.cores", lambda: 0)

    def run(*words: str | Path) -> Outcome:
        capsys.readouterr()
        try:
            status = main([str(word) for word in words])
        except SystemExit as exit_:  # argparse's way of refusing an option
            status = int(exit_.code or 0)
        said = capsys.readouterr()
        return Outcome(status, said.out, said.err)

    return run

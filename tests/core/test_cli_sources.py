"""Where cases and backends come from: adding a case is two files, adding a backend is one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pairs import GOOD, YAML, dist_info, pair

Run = Callable[..., Any]

#: A whole backend: derivatives by a complex step, which numpy alone can do.
BACKEND = '''
"""Complex step: f(x + ih) = f(x) + ih f'(x), with no cancellation."""

from functools import cached_property

import array_api_compat.numpy
import numpy as np

from harness.backends.base import FrameworkBackend
from harness.programs.namespace import Namespace


class ComplexStep(FrameworkBackend):
    name = "complexstep"
    install = "python -m pip install complexstep-plugin"

    @cached_property
    def xp(self):
        return Namespace("complexstep", array_api_compat.numpy)

    def asarray(self, array):
        return np.array(array)

    def vjp(self, function, variables, cotangents):
        found = []
        for position, variable in enumerate(variables):
            gradient = np.zeros_like(variable)
            for index in np.ndindex(variable.shape):
                moved = [each.astype(complex) for each in variables]
                moved[position][index] += 1e-30j
                outputs = zip(cotangents, function(moved))
                gradient[index] = sum(np.sum(c * np.imag(f)) for c, f in outputs) / 1e-30
            found.append(gradient)
        return function(variables), found
'''


def command(site: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a process that has `site` among its installed packages."""
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, "-m", "harness", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_adding_a_case_is_two_files(harness: Run, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "cube.yaml").write_text("summary: cube\ninputs: {x: {shape: []}}\n")
    (folder / "cube.py").write_text(
        "def forward(xp, x):\n    f = x * x * x\n    return f\n\n\n"
        "def backward(xp, df, x):\n    return {'x': 3.0 * x * x * df}\n"
    )
    said = harness("run", "--cases", "mine", "--backend", "numeric,manual")
    assert said.status == 0, said.err
    assert [line.split()[0] for line in said.out.splitlines()[2:3]] == ["cube"]
    assert "sum_times_z" not in said.out  # a folder that is named is what is meant


def test_the_nearest_pyproject_names_folders(
    harness: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair(tmp_path / "gradients", "cube")
    (tmp_path / "pyproject.toml").write_text('[tool.harness]\ncases = ["gradients"]\n')
    below = tmp_path / "src" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    said = harness("list", "cube")
    assert said.status == 0
    assert said.out.startswith("cube ")
    assert harness("run", "cube", "--backend", "manual", "--report", "").status == 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[tool.harness]\ncase = []\n", "unknown key `case`"),
        ("[tool.harness]\ncases = 'gradients'\n", "must be a list of folders"),
        ("[tool.harness\n", "cannot be read"),
        ("[tool.harness]\ncases = ['nosuch']\n", "nosuch"),
    ],
)
def test_a_bad_pyproject_is_status_2(
    harness: Run, tmp_path: Path, text: str, complaint: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    said = harness("list")
    assert said.status == 2
    assert complaint in said.err


def test_a_package_brings_cases_and_is_not_imported(tmp_path: Path) -> None:
    site = tmp_path / "site"
    package = pair(site / "their_cases", "cube")
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    dist_info(site, "harness.cases", "theirs", "their_cases")
    done = command(site, tmp_path, "list", "cube")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("cube ")


def test_a_package_whose_module_is_gone_is_named(tmp_path: Path) -> None:
    site = tmp_path / "site"
    dist_info(site, "harness.cases", "theirs", "nosuch_module")
    done = command(site, tmp_path, "list")
    assert done.returncode == 2
    assert "entry point `theirs`" in done.stderr


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ValueError('no such device')", "ValueError: no such device"),
        ("raise SystemExit", "SystemExit"),
        ("import nosuch_module", "ModuleNotFoundError: No module named 'nosuch_module'"),
        ("Other = None", "AttributeError"),
        ("Broken = print", "TypeError: `broken:Broken` is no class of a backend"),
    ],
)
def test_a_broken_backend_costs_itself_only(tmp_path: Path, source: str, reason: str) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "broken.py").write_text(source)
    dist_info(site, "harness.backends", "broken", "broken:Broken")
    pair(tmp_path / "mine", "square", GOOD, YAML)
    run = ("run", "--cases", "mine", "--jobs", "0", "--draws", "0")
    done = command(site, tmp_path, *run, "--backend", "manual,broken")
    assert done.returncode == 0, done.stderr
    assert f"broken is not installed: its entry point raises {reason}" in done.stdout
    assert "mend or uninstall `broken-plugin`" in done.stdout
    required = command(site, tmp_path, *run, "--backend", "manual,broken", "--require", "broken")
    assert required.returncode == 1


@pytest.mark.parametrize(("source", "status"), [(BACKEND, 0), (BACKEND.replace("1e-30j", "1j"), 1)])
def test_adding_a_backend_is_one_file(tmp_path: Path, source: str, status: int) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "complex_step.py").write_text(source)
    dist_info(site, "harness.backends", "complexstep", "complex_step:ComplexStep")
    pair(tmp_path / "mine", "square", GOOD, YAML)
    words = ("run", "--cases", "mine", "--backend", "manual,complexstep", "--intermediates")
    done = command(site, tmp_path, *words)
    assert done.returncode == status, done.stdout + done.stderr
    assert done.stdout.splitlines()[1].split() == ["case", "manual", "complexstep"]
    assert (tmp_path / "reports" / "results.csv").read_text().count(",complexstep,") == 12
    # It stands in every list of names, and in the offers for a name that is misspelt.
    wrong = command(site, tmp_path, "run", "square", "--cases", "mine", "--backend", "complxstep")
    assert wrong.returncode == 2
    assert "did you mean `complexstep`?" in wrong.stderr

"""Who may import whom, read from the syntax trees: a picture in prose would soon be wrong."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness

PACKAGE = Path(harness.__file__).resolve().parent
ROOT = PACKAGE.parent
#: The package may be an installed one; the contract stands beside its source.
CHECKOUT = Path(__file__).resolve().parents[2]
FRAMEWORKS = ("autograd", "tensorflow", "torch", "jax")


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {
    module_name(file): file
    for file in sorted(PACKAGE.rglob("*.py"))
    if "builtin" not in file.relative_to(PACKAGE).parts
}


def imported(tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    """Full names of what is imported anywhere, type checking included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            for alias in node.names:
                full = f"{module}.{alias.name}"
                yield (full if full in SOURCES else module), node


def framework_faults(module: str, text: str) -> list[str]:
    """Frameworks imported outside their own backend file, or outside a function there."""
    tree = ast.parse(text)
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for inner in ast.walk(node)
    }
    checked = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    faults = []
    for name, node in imported(tree):
        parts = name.split(".")
        framework = parts[1] if parts[0] == "array_api_compat" and len(parts) > 1 else parts[0]
        if framework not in FRAMEWORKS or id(node) in checked:
            continue
        if module != f"harness.backends.{framework}" or id(node) not in lazy:
            faults.append(f"{module}:{node.lineno} imports {name}")
    return faults


@pytest.mark.parametrize("module", SOURCES)
def test_frameworks_are_imported_in_functions_of_their_own_backend(module: str) -> None:
    assert framework_faults(module, SOURCES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("model", "from harness.judging.compare import judge"),
        ("cases/sampling", "def f():\n    from harness.runs.engine import Engine"),
        ("backends/manual", "from harness.cases.case import Case"),
        ("judging/evidence", "from harness.runs.answering import answer"),
        ("report/tables", "from harness.runs.engine import Engine"),
        ("newcomer", "import harness.errors"),
    ],
)
def test_the_contract_of_the_floors_is_broken_by_what_it_forbids(
    tmp_path: Path, module: str, text: str
) -> None:
    shutil.copytree(CHECKOUT / "harness", tmp_path / "harness")
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    (file := tmp_path / f"harness/{module}.py").touch()
    file.write_text(f"{file.read_text(encoding='utf-8')}\n{text}\n", encoding="utf-8")
    assert importlinter(tmp_path) != 0


def test_the_floors_are_kept(capfd: pytest.CaptureFixture[str]) -> None:
    assert importlinter(CHECKOUT) == 0, capfd.readouterr().out


def importlinter(folder: Path) -> int:
    """The exit status of import-linter, which reads the contract of pyproject.toml."""
    code = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", code, "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("harness.backends.torch", "import torch"),
        ("harness.backends.torch", "class A:\n    import torch"),
        ("harness.backends.torch", "def f():\n    import jax"),
        ("harness.runs.engine", "def f():\n    import torch"),
        ("harness.backends.base", "def f():\n    import array_api_compat.torch as t"),
        ("harness.backends.numeric", "from autograd import numpy"),
    ],
)
def test_a_misplaced_framework_is_seen(module: str, text: str) -> None:
    assert len(framework_faults(module, text)) == 1


def test_a_framework_in_its_place_is_no_fault() -> None:
    assert framework_faults("harness.backends.torch", "def f():\n    import torch") == []


def test_every_module_was_found() -> None:
    assert {
        "harness",
        "harness.runs.engine",
        "harness.backends.torch",
        "harness.cases.case",
    } <= set(SOURCES)


@pytest.mark.parametrize("module", SOURCES)
def test_a_file_of_more_than_400_lines_is_probably_two(module: str) -> None:
    assert len(SOURCES[module].read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_says_why_it_exists(module: str) -> None:
    text = SOURCES[module].read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text))


@pytest.mark.skipif(not (ROOT / "ARCHITECTURE.md").is_file(), reason="not written yet")
def test_the_architecture_stays_short() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) < 60


HEAVY = (
    "numpy",
    "ml_dtypes",
    "yaml",
    "pandas",
    "pydantic",
    "rich",
    "optree",
    "matplotlib",
    *FRAMEWORKS,
)


@pytest.mark.parametrize("module", ["harness", "harness.cli", "harness.pytest_plugin"])
def test_what_everybody_loads_is_light(module: str) -> None:
    code = f"import {module}, sys; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == ""


def test_no_backend_class_needs_its_framework() -> None:
    code = (
        "import sys; from harness import backends\n"
        "for name in backends.names(): backends.make(name).installed()\n"
        f"print(*[m for m in {FRAMEWORKS!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == ""

"""Who may import whom, read from the syntax trees: a picture in prose would soon be wrong."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import harness

PACKAGE = Path(harness.__file__).resolve().parent
ROOT = PACKAGE.parent
FRAMEWORKS = ("autograd", "tensorflow", "torch", "jax")

#: What a module may import of the harness: the first pattern that fits it counts.
#: `harness.backends` is the list of names in the folder, not the backends in it.
LAYERS: list[tuple[str, list[str]]] = [
    ("harness.errors", []),
    ("harness.label", []),
    ("harness.program", []),
    ("harness.quantity", []),
    ("harness.directions", []),
    ("harness.model", ["harness.directions", "harness.label"]),
    ("harness.dtypes", ["harness.model"]),
    ("harness.operators*", ["harness.errors", "harness.operators*"]),
    ("harness.namespace", ["harness.errors", "harness.operators*"]),
    ("harness.imports", []),
    ("harness.syntax", []),
    (
        "harness.source",
        ["harness.errors", "harness.namespace", "harness.program", "harness.syntax"],
    ),
    ("harness.values", ["harness.errors", "harness.operators*"]),
    ("harness.rebinding", ["harness.syntax", "harness.values"]),
    (
        "harness.staging",
        [
            "harness.errors",
            "harness.program",
            "harness.rebinding",
            "harness.source",
            "harness.syntax",
            "harness.values",
        ],
    ),
    ("harness.trees", ["harness.dtypes", "harness.model"]),
    (
        "harness.differences*",
        [
            "harness.differences*",
            "harness.errors",
            "harness.model",
            "harness.namespace",
            "harness.staging",
            "harness.trees",
        ],
    ),
    ("harness.printed", ["harness.model"]),
    ("harness.judging.compare", ["harness.directions", "harness.dtypes", "harness.model"]),
    ("harness.cases", []),
    (
        "harness.cases.*",
        [
            "harness.cases.*",
            "harness.dtypes",
            "harness.errors",
            "harness.model",
            "harness.namespace",
            "harness.printed",
            "harness.source",
            "harness.staging",
            "harness.trees",
        ],
    ),
    ("harness.backends", ["harness.backends.base", "harness.errors"]),
    # The one backend with a helper of its own.
    (
        "harness.backends.tensorflow",
        [
            "harness.backends.base",
            "harness.backends.tensorflow_namespace",
            "harness.imports",
            "harness.model",
            "harness.namespace",
        ],
    ),
    (
        "harness.backends.*",
        [
            "harness.backends.base",
            "harness.differences*",
            "harness.directions",
            "harness.dtypes",
            "harness.errors",
            "harness.model",
            "harness.namespace",
            "harness.imports",
            "harness.staging",
            "harness.trees",
        ],
    ),
    (
        "harness.referee*",
        ["harness.dtypes", "harness.errors", "harness.namespace", "harness.referee*"],
    ),
    (
        "harness.diagnose.repair",
        [
            "harness.backends.manual",
            "harness.truth.certificate",
            "harness.diagnose*",
            "harness.model",
            "harness.source",
            "harness.staging",
            "harness.trees",
        ],
    ),
    (
        "harness.diagnose*",
        [
            "harness.diagnose*",
            "harness.errors",
            "harness.truth.lifted",
            "harness.model",
            "harness.referee*",
            "harness.source",
            "harness.staging",
            "harness.trees",
        ],
    ),
    (
        "harness.truth*",
        [
            "harness.directions",
            "harness.dtypes",
            "harness.errors",
            "harness.model",
            "harness.referee*",
            "harness.staging",
            "harness.trees",
            "harness.truth*",
        ],
    ),
    (
        "harness.rounding*",
        [
            "harness.backends.base",
            "harness.backends.manual",
            "harness.dtypes",
            "harness.errors",
            "harness.model",
            "harness.namespace",
            "harness.rounding*",
            "harness.staging",
            "harness.trees",
        ],
    ),
    (
        "harness.judging.*evidence",
        [
            "harness.backends.manual",
            "harness.backends.numeric",
            "harness.dtypes",
            "harness.errors",
            "harness.judging.compare",
            "harness.judging.evidence",
            "harness.model",
            "harness.rounding.deviation",
            "harness.staging",
            "harness.trees",
            "harness.truth*",
        ],
    ),
    (
        "harness.execution*",
        [
            "harness",
            "harness.answers",
            "harness.backends",
            "harness.cases.case",
            "harness.cases.helpers",
            "harness.engine",
            "harness.errors",
            "harness.execution*",
            "harness.judging.cell",
            "harness.model",
            "harness.plan",
            "harness.judging.rows",
            "harness.workbench",
        ],
    ),
    ("harness.bench.statistics", []),
    ("harness.bench.stopwatch", []),
    ("harness.bench.growth", ["harness.bench.statistics", "harness.model"]),
    (
        "harness.bench*",
        [
            "harness.backends",
            "harness.backends.base",
            "harness.bench*",
            "harness.cases.case",
            "harness.cases.sampling",
            "harness.errors",
            "harness.execution.dispatch",
            "harness.execution.workers",
            "harness.model",
            "harness.plan",
            "harness.judging.rows",
        ],
    ),
    ("harness.report", []),
    (
        "harness.report.*",
        [
            "harness.dtypes",
            "harness.errors",
            "harness.model",
            "harness.report",
            "harness.report.*",
        ],
    ),
    ("harness.cli", ["harness", "harness.errors"]),
    ("harness.__main__", ["harness.cli"]),
    ("harness", ["harness.api", "harness.errors", "harness.pytest_plugin"]),
    ("harness.commands", []),
    ("harness.commands.*", ["harness*"]),
    ("harness.pytest_plugin", ["harness*"]),
    ("harness.api", ["harness*"]),
    # The runner: plan, engine, and the modules that it is made of.
    ("harness.*", ["harness*"]),
]
#: Above everything: nothing but the top itself may import these.
TOP = (
    "harness.bench*",
    "harness.cli",
    "harness.commands*",
    "harness.execution*",
    "harness.pytest_plugin",
    "harness.api",
    "harness.report*",
)
MAY_IMPORT_TOP = (
    "harness",
    "harness.__main__",
    "harness.api",
    "harness.bench*",
    "harness.cli",
    "harness.commands*",
    "harness.execution*",
    "harness.pytest_plugin",
    "harness.report*",
)


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


def fits(name: str, patterns: tuple[str, ...] | list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def layering_faults(module: str, text: str) -> list[str]:
    """Imports of the harness by `module` that its layer does not allow."""
    allowed = next(patterns for name, patterns in LAYERS if fnmatchcase(module, name))
    faults = []
    for name, node in imported(ast.parse(text)):
        if name.partition(".")[0] != "harness" or name in (
            *(module, "harness.label", "harness.quantity", "harness.program"),
        ):
            continue
        if not fits(name, allowed) or (fits(name, TOP) and not fits(module, MAY_IMPORT_TOP)):
            faults.append(f"{module}:{node.lineno} imports {name}")
    return faults


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
def test_a_module_imports_only_what_is_below_it(module: str) -> None:
    assert layering_faults(module, SOURCES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("module", SOURCES)
def test_frameworks_are_imported_in_functions_of_their_own_backend(module: str) -> None:
    assert framework_faults(module, SOURCES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("harness.errors", "from harness.model import Row"),
        ("harness.model", "import harness.errors"),
        ("harness.cases.case", "from harness.backends.numeric import NumericBackend"),
        ("harness.cases.case", "from harness import backends"),
        ("harness.cases.sampling", "def f():\n    from harness.engine import Engine"),
        ("harness.backends.torch", "from harness.backends.jax import JaxBackend"),
        ("harness.backends.manual", "from harness.cases.case import Case"),
        ("harness.report.tables", "from harness.engine import Engine"),
        ("harness.report.tables", "from harness.judging.compare import judge"),
        ("harness.engine", "from harness.report import tables"),
        ("harness.judging.evidence", "from harness.backends.torch import TorchBackend"),
        ("harness.plan", "from harness.cli import split"),
        ("harness.staging", "from harness.cases import schema"),
        ("harness.report.bench", "from harness.bench.growth import growth"),
        ("harness.engine", "from harness.bench.rounds import timings"),
    ],
)
def test_a_forbidden_import_is_seen(module: str, text: str) -> None:
    assert len(layering_faults(module, text)) == 1


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("harness.backends.torch", "import torch"),
        ("harness.backends.torch", "class A:\n    import torch"),
        ("harness.backends.torch", "def f():\n    import jax"),
        ("harness.engine", "def f():\n    import torch"),
        ("harness.backends.base", "def f():\n    import array_api_compat.torch as t"),
        ("harness.backends.numeric", "from autograd import numpy"),
    ],
)
def test_a_misplaced_framework_is_seen(module: str, text: str) -> None:
    assert len(framework_faults(module, text)) == 1


def test_a_framework_in_its_place_is_no_fault() -> None:
    assert framework_faults("harness.backends.torch", "def f():\n    import torch") == []


def test_every_module_was_found() -> None:
    assert {"harness", "harness.engine", "harness.backends.torch", "harness.cases.case"} <= set(
        SOURCES
    )


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

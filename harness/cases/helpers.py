"""The modules that a case imports and that may change under it: those of its author.

What is installed has a version, and what comes with Python has one; a module beside the case, or on
the user's path, has nothing but its text.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

from harness.cases.document import text_of
from harness.programs.source import Module

_INSTALLED = tuple(
    Path(sysconfig.get_path(name)).resolve()
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


def beside(text: str, file: Path) -> dict[str, Module]:
    """Name -> module of the folder of `file` that its text imports, and of what those import in
    turn. Raises CaseError for one that cannot be read."""
    found: dict[str, Module] = {}
    todo = [text]
    while todo:
        for name in _imported(todo.pop()):
            other = file.with_name(f"{name}.py")
            known = name in found or name in sys.stdlib_module_names or other == file
            if not known and other.is_file():
                found[name] = Module(str(other), text_of(other, "utf-8-sig"))
                todo.append(found[name].text)
    return found


def helpers(*texts: str) -> dict[str, str]:
    """File -> text of every module of the author's own that Python code imports from elsewhere, and
    of what those import in turn. Data that the code reads is not seen."""
    found: dict[str, str] = {}
    todo = [*texts]
    while todo:
        for name in _imported(todo.pop()):
            for file in _files(name):
                if str(file) not in found:
                    found[str(file)] = file.read_text(encoding="utf-8", errors="replace")
                    todo.append(found[str(file)])
    return found


def _imported(text: str) -> Iterator[str]:
    """The top-level names of the modules that are imported anywhere in the text."""
    try:
        tree = ast.parse(text)
    except SyntaxError:  # who imports it is told so
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _files(name: str) -> list[Path]:
    """The Python files of a module or package, none if it is installed or cannot be found."""
    try:
        spec: ModuleSpec | None = find_spec(name)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    folders = spec.submodule_search_locations
    if folders is None:
        file = Path(spec.origin or "") if spec.has_location else Path()
        return [file] if file.suffix == ".py" and not is_installed(file) else []
    return [
        file
        for folder in map(Path, folders)
        if not is_installed(folder)
        for file in sorted(folder.rglob("*.py"))
    ]


def is_installed(path: Path) -> bool:
    """Whether a file came with Python or with a package that has a version."""
    return any(path.resolve().is_relative_to(folder) for folder in _INSTALLED)

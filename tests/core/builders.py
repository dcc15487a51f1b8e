"""What the tests of the core build again and again: a program, a sample, a pair of case files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
from hypothesis import settings

from harness import backends
from harness.cases.case import Case, load
from harness.cases.sampling import NUMPY
from harness.errors import CaseError
from harness.model import Sample
from harness.programs import trees
from harness.programs.program import Program
from harness.programs.source import parse
from harness.programs.staging import StagedProgram

#: The same examples in every run, and no clock.
numerical = settings(derandomize=True, deadline=None, database=None, max_examples=60)


def program_from(text: str, file: str = "demo.py") -> Program:
    """The program of a case file with this text."""
    return StagedProgram.of(parse(dedent(text), file))


def sample_for(
    program: Program,
    inputs: dict[str, Any],
    *,
    dtype: str = "float64",
    cotangents: tuple[Any, ...] | None = None,
    domains: dict[str, tuple[float, float]] | None = None,
    differentiable: tuple[str, ...] | None = None,
) -> Sample:
    """The sample at `inputs`: floats in `dtype`, cotangents of ones, every intermediate known."""

    def convert(_path: str, leaf: Any) -> np.ndarray:
        array = np.asarray(leaf)
        return array.astype(dtype) if np.issubdtype(array.dtype, np.floating) else array

    arrays = dict(trees.map_with_path(convert, inputs))
    leaves = trees.flatten(arrays)
    floats = tuple(path for path, leaf in leaves.items() if np.issubdtype(leaf.dtype, np.floating))
    trace = program.forward(NUMPY, arrays)
    returns = program.forward_code.returns
    shapes = {
        stage.name: np.shape(trace.saved[stage.name])
        for stage in program.forward_code.stages
        if stage.single
        and stage.name not in returns
        and isinstance(trace.saved[stage.name], np.ndarray | np.floating)
    }
    given = cotangents or tuple(np.ones(np.shape(output)) for output in trace.outputs)
    return Sample(
        "demo",
        "draw0",
        "default",
        dtype,
        arrays,
        differentiable if differentiable is not None else floats,
        tuple(np.asarray(each, dtype=dtype) for each in given),
        shapes,
        domains or {},
    )


def write_case(folder: Path, python: str, yaml: str, name: str = "demo") -> Path:
    """Write NAME.py and NAME.yaml (a `summary` is put first); returns the YAML file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(dedent(python), encoding="utf-8")
    file = folder / f"{name}.yaml"
    file.write_text(f"summary: a case of the tests\n{dedent(yaml)}", encoding="utf-8")
    return file


def case_from(folder: Path, python: str, yaml: str, name: str = "demo") -> Case:
    """Write a pair of case files and load it."""
    return load(write_case(folder, python, yaml, name))


def check_error(error: CaseError, file: Path | str, line: int | None, *parts: str) -> None:
    """A CaseError at `file:line` that contains `parts` and says what to do."""
    text = str(error)
    assert error.file == Path(file)
    assert error.line == line
    assert text.startswith(f"{file}:{line}: " if line is not None else f"{file}: ")
    for part in parts:
        assert part in text
    offers = ("did you mean `", "choose from `", "there is none to choose from")
    assert error.remedy or any(offer in text for offer in offers), f"no way out: {text}"


@contextmanager
def absent(*names: str) -> Iterator[None]:
    """Frameworks that are not installed, whatever this machine has."""
    missing = [
        type(name, (backends.backend_class(name),), {"installed": classmethod(lambda cls: False)})
        for name in names
    ]
    with backends.registered(*missing):
        yield

"""The harness without its command line: `check` for two functions, `run` for cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from harness.backends import class_of, known_label, names
from harness.cases.case import load
from harness.cases.given import POINT, SIZE, given_sample
from harness.cases.registry import find, select
from harness.cases.schema import CaseFile, Tolerance
from harness.cell import Cell
from harness.dtypes import DTYPES, dtype_name, is_floating
from harness.errors import GradientMismatch, UsageError, did_you_mean
from harness.judging.cell import judged
from harness.judging.subject import Subject
from harness.model import Mode, Row, Status, failing
from harness.programs import trees
from harness.programs.source import Code
from harness.programs.staging import program_of
from harness.report.message import explain
from harness.runs.answering import answer
from harness.runs.dispatch import Workers
from harness.runs.engine import backend_for
from harness.runs.executors import ExecutorWorkers
from harness.runs.plan import Request, cells
from harness.runs.run import Run
from harness.runs.workers import TIMEOUT, LocalWorkers, cores

if TYPE_CHECKING:
    import pandas as pd


#: What `check` asks of every method.
MODES: tuple[Mode, ...] = ("value", "vjp")


@dataclass(frozen=True)
class Report:
    """The rows of a check; `strict` says that what is not proved fails it."""

    rows: tuple[Row, ...]
    strict: bool = False

    @property
    def ok(self) -> bool:
        """Whether no row fails the check."""
        return not self.failures

    @property
    def failures(self) -> tuple[Row, ...]:
        """The rows that are not good; where it is strict, those besides that are not proved."""
        return tuple(failing(self.rows, strict=self.strict))

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows as a pandas table with the columns of `results.csv`."""
        from harness.report import tables

        return tables.frame(self.rows)

    def __str__(self) -> str:
        from harness.report import tables

        found = tables.details(self.frame)
        texts = {name: table.to_string(index=False) for name, table in found.items()}
        if len(texts) == 1:
            return "".join(texts.values())
        return "\n\n".join(f"{name}\n{text}" for name, text in texts.items())


def check(
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None = None,
    *,
    backends: str | Sequence[str] | None = None,
    dtype: npt.DTypeLike | None = None,
    rtol: float | None = None,
    atol: float = 0.0,
    require: Literal["verified"] | None = None,
    **inputs: Any,
) -> Report:
    """Check a hand-written backward, and the frameworks, on one point.

    `forward(xp, ...)` and `backward(xp, cotangents..., names...)` follow the contract of a case
    file; `inputs` gives the arrays (or nested dicts, lists and tuples of arrays and floats) by the
    names of `forward`'s parameters. Floating arrays are differentiated, others are data. The
    cotangent is random with a fixed seed. `dtype` (a name, or `np.float32`) is that of the floating
    inputs, or float64 where they differ. Without `backends`, every installed one is run, and one
    that cannot do the function is reported without being held against it. Without `rtol` and
    `atol`, the tolerance is what the rounding of these functions explains, as in a case that
    declares none; with either, an element may be off by `atol` + `rtol` |expected| (`rtol`: the
    default of the dtype). With `require="verified"`, whatever is not proved fails: `undecided`
    rows, and those that are judged by numeric differences or the backward alone.

    Returns the Report. Raises GradientMismatch where a row is not good, UsageError for inputs that
    do not fit `forward`.
    """
    for role, function in (("forward", forward), ("backward", backward)):
        if not callable(function) and not (function is None and role == "backward"):
            raise UsageError(
                f"`{role}` must be a function, not {type(function).__name__}; an input cannot have "
                "that name"
            )
    program, file, _ = program_of(forward, backward)
    parameters = program.parameters
    for name in parameters:
        if name in ("backends", "dtype", "rtol", "atol", "require"):
            raise UsageError(f"`{name}` is an option of `check`; rename the input of `forward`")
    backends = (backends,) if isinstance(backends, str) else backends
    for text in backends or ():
        known_label(text)
    for name in inputs:
        if name not in parameters:
            raise UsageError(f"`forward` takes no `{name}`; {did_you_mean(name, parameters)}")
    for name in parameters:
        if name not in inputs:
            raise UsageError(
                f"`forward` takes `{name}`, which was not given; "
                f"write check(forward, backward, {name}=...)"
            )
    arrays = dict(trees.map_with_path(lambda _path, leaf: np.asarray(leaf), inputs))
    common = _common_dtype(arrays)
    dtype = common if dtype is None else dtype_name(dtype)
    if dtype not in DTYPES:
        raise UsageError(f"no dtype `{dtype}`; {did_you_mean(dtype, DTYPES)}")
    if not all(0 <= each < math.inf for each in (rtol or 0.0, atol)):
        raise UsageError(f"a tolerance is finite and not negative; got rtol={rtol}, atol={atol}")
    for path, leaf in trees.flatten(arrays).items():
        if is_floating(leaf.dtype) and np.isnan(leaf).any():
            raise UsageError(f"`{path}` holds NaN; give numbers at which `forward` is defined")
    source = Path(file).read_text(encoding="utf-8") if Path(file).is_file() else ""
    code = Code(file, source, program.forward_code, program.backward_code, {}, frozenset())
    name = getattr(forward, "__name__", "forward")
    tolerance = {dtype: Tolerance(rtol=rtol, atol=atol)} if rtol is not None or atol else {}
    subject = Subject(
        program,
        code,
        CaseFile(summary=name, tolerance=tolerance),
        partial(given_sample, program, name, arrays, dtype),
    )
    rows: list[Row] = []
    for label in map(known_label, backends or names()):
        method = class_of(label)
        able = dtype in method.dtypes and not (method.written and backward is None)
        if backends is None and not (able and method.installed()):
            continue
        cell = Cell(name, POINT, SIZE, dtype, label)
        rows += judged(cell, answer(subject, backend_for(label, dtype), MODES), subject)
    report = Report(tuple(rows), _strict(require))
    excused = Status.UNSUPPORTED if backends is None else None
    bad = [row for row in report.failures if row.status != excused]
    bad += [row for row in rows if row.status == Status.MISSING]
    if bad:
        # No command repeats a check of two functions in memory: the call itself does.
        raise GradientMismatch("\n".join(explain(row) for row in bad))
    return report


def run(
    *patterns: str,
    cases: str | Path | Sequence[str | Path] = (),
    tags: Sequence[str] = (),
    executor: Executor | None = None,
    jobs: int | None = None,
    timeout: float = TIMEOUT,
    cache: bool = True,
    require: Literal["verified"] | None = None,
    **options: Any,
) -> Report:
    """What `harness run` does, as a report: every method on every case that matches.

    `patterns` are names or globs of cases (default: those of the folders in `cases`, or all);
    `options` are the fields of `harness.runs.plan.Request` (`backends`, `dtypes`, `modes`,
    `points`, `sizes`, `draws`, `seed`, ...). `executor` is any `concurrent.futures.Executor` to
    run the tasks on, `jobs` at a time; without one, worker processes of this machine do it, and
    `jobs=0` means this process. `timeout` is in seconds; `cache` keeps what jax compiles for the
    next run. With
    `require="verified"`, whatever is not proved is among the report's failures.

    A script that calls this starts processes that import the script: what it does belongs under
    `if __name__ == "__main__":`, unless `jobs=0`. Nothing is raised for a row that is not good.
    Raises HarnessError for a bad case or an unknown name.
    """
    folders = [cases] if isinstance(cases, str | Path) else cases
    loaded = [load(entry.file) for entry in select(find(folders), patterns, tags)]
    request = Request(**options)
    plan = cells(loaded, request)
    jobs = cores() if jobs is None else jobs
    if jobs < 0 or (executor is not None and not jobs):
        raise UsageError(f"jobs={jobs} would run nothing; give 1, 2, ... (or 0 without executor)")
    workers: Workers | None = None
    if executor is not None:
        workers = ExecutorWorkers(executor, jobs)
    elif jobs:
        workers = LocalWorkers(jobs, timeout=timeout, cache=cache)
    found = dict(Run(loaded, request, plan, workers).rows())
    return Report(tuple(row for cell in plan for row in found[cell]), _strict(require))


def _common_dtype(arrays: dict[str, Any]) -> str:
    """That of every floating leaf, or float64. Raises UsageError if none is floating, since nothing
    would be compared."""
    kinds = {str(leaf.dtype) for leaf in trees.flatten(arrays).values() if is_floating(leaf.dtype)}
    if not kinds:
        raise UsageError(
            "no input is floating, so there is nothing to differentiate; write 2.0 instead of 2"
        )
    (common, *more) = sorted(kinds)
    return common if not more and common in DTYPES else "float64"


def _strict(require: str | None) -> bool:
    if require not in (None, "verified"):
        raise UsageError(f'`require` is "verified" or nothing; got {require!r}')
    return require == "verified"

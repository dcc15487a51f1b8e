"""pytest: each case file is a test module, each method at each point a test.

`pytest cases/` collects `NAME.yaml` beside `NAME.py` as `NAME.yaml::printed-float64-torch`. The ini
option `harness_cases` names folders that a bare `pytest` collects too, and in which a YAML file
without its Python file is an error rather than somebody else's file. pytest loads this module in
every project where the harness is installed, whether it is used or not, so numpy, yaml and the rest
are imported only once there is a case.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.cli import natural
from harness.errors import GradientMismatch, HarnessError

if TYPE_CHECKING:
    from harness.cases.case import Case
    from harness.cell import Cell
    from harness.errors import CaseError
    from harness.model import Row
    from harness.runs.engine import Engine
    from harness.runs.plan import Request

_FORWARD = re.compile(r"^(async +)?def +forward\b", re.MULTILINE)
_KEY = re.compile(r"^([A-Za-z_]+) *:", re.MULTILINE)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the command line and of pytest.ini."""
    group = parser.getgroup("harness", "gradient harness")
    for name, text in (
        ("backend", "methods to run, separated by commas (default: all)"),
        ("dtype", "dtypes to run, separated by commas (default: float64)"),
        ("require", "backends whose absence is a failure, not a skip ('all': any)"),
    ):
        group.addoption(f"--harness-{name}", action="append", default=[], metavar="NAME", help=text)
    group.addoption(
        "--harness-strict", action="store_true", help="fail where anything is not proved"
    )
    group.addoption("--harness-draws", type=natural, default=3, help="random points per case")
    group.addoption("--harness-seed", type=natural, default=0, help="seed of the random draws")
    parser.addini("harness_cases", "folders of gradient cases", type="paths", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Check the names of backends before anything is collected, and add the folders of
    `harness_cases` to what a bare `pytest` collects."""
    if config.getoption("harness_backend") or config.getoption("harness_require"):
        from harness import backends

        required = [name for name in _required(config) if name != "all"]
        try:
            for label in (*_split(config, "backend"), *required):
                backends.known_label(label)
        except HarnessError as error:
            raise pytest.UsageError(str(error)) from None
    for folder in config.getini("harness_cases"):
        if not folder.is_dir():
            raise pytest.UsageError(f"harness_cases: there is no folder `{folder}`")
        if config.args_source is pytest.Config.ArgsSource.ARGS:
            continue
        given = [(config.invocation_params.dir / each).resolve() for each in config.args]
        if not {folder.resolve(), *folder.resolve().parents} & set(given):
            config.args.append(str(folder))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A YAML file is a case if it stands in a `harness_cases` folder, beside a Python file of its
    name that defines `forward`, or if it says what a case says: whose Python file is missing, or
    has no `forward`, must not be passed over as somebody else's."""
    if file_path.suffix not in (".yaml", ".yml", ".py"):
        return None
    declared = file_path.parent in parent.config.getini("harness_cases")
    if file_path.suffix == ".py":
        wanted = declared and _misplaced(file_path) is not None
    else:
        wanted = declared or _beside_forward(file_path) or _reads_like_a_case(file_path)
    if not wanted:
        return None
    collected: pytest.Collector = CaseModule.from_parent(parent, path=file_path)
    return collected


def _misplaced(file: Path) -> CaseError | None:
    from harness.cases.registry import misplaced

    return misplaced(file)


def _beside_forward(file: Path) -> bool:
    python = file.with_suffix(".py")
    return python.is_file() and _FORWARD.search(_text(python)) is not None


def _reads_like_a_case(file: Path) -> bool:
    """Whether it has a summary and inputs (or lies beside code over `xp`, which may supply them),
    and hardly a key that no case has."""
    keys, python = set(_KEY.findall(_text(file))), file.with_suffix(".py")
    if "summary" not in keys:
        return False
    if "inputs" not in keys and not (python.is_file() and "(xp" in _text(python)):
        return False
    from harness.cases.schema import CaseFile

    return len(keys - set(CaseFile.model_fields)) <= 1


def _text(file: Path) -> str:
    return file.read_text("utf-8", errors="replace")


class CaseModule(pytest.File):
    """The tests of one case. Collecting it parses the two files and runs nothing."""

    def collect(self) -> Iterator[CellItem]:
        """One item per point, dtype and method."""
        if error := _misplaced(self.path):
            raise self.CollectError(str(error))
        from harness.cases.case import load
        from harness.runs.engine import Engine
        from harness.runs.plan import cells

        try:
            case = load(self.path)
            request = _request(self.config)
            planned = cells([case], request)
        except HarnessError as error:
            raise self.CollectError(str(error)) from None
        # One engine for the file, so that its references serve every method.
        engine = Engine([case], request)
        for cell in planned:
            yield CellItem.from_parent(self, name=_cell_name(cell), cell=cell, engine=engine)


class CellItem(pytest.Item):
    """One method at one point."""

    def __init__(self, *, cell: Cell, engine: Engine, **options: Any) -> None:
        super().__init__(**options)
        self.cell, self.engine = cell, engine

    def runtest(self) -> None:
        """Fails with the harness's message; skips a missing framework; a gap is an xfail."""
        again = _again(self)
        strict = self.config.getoption("harness_strict")
        rows = self.engine.rows(self.cell)
        verdict(rows, _required(self.config), lambda _row: again, strict=strict)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The message alone: the harness's own frames would hide it."""
        if isinstance(excinfo.value, GradientMismatch | HarnessError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where pytest says the test is, and the headline of its failure. A headline that ends the
        node's id would have its dots replaced in verbose output: `square::yaml::one-...`."""
        return self.path, None, f"{self.cell.case} at {self.name}"


def verdict(
    rows: Sequence[Row],
    required: Iterable[str] = (),
    again: Callable[[Row], str] = lambda _row: "",
    *,
    strict: bool = False,
) -> None:
    """Turn rows into what pytest understands.

    `again` gives the command that repeats a row. Raises GradientMismatch if a row is not good, if
    one is not proved where it is `strict`, or if a required backend is missing; skips if the
    backend is missing; xfails if a declared gap was met.
    """
    from harness.model import Status, failing
    from harness.report.message import explain, gather

    __tracebackhide__ = True
    bad = failing(rows, strict=strict)
    if bad:
        messages = (explain(row, again(row), others) for row, others in gather(bad))
        raise GradientMismatch("\n".join(messages))
    for row in rows:
        if row.status == Status.MISSING:
            if {"all", row.backend.method} & set(required):
                raise GradientMismatch(f"`{row.backend}` is required and {row.detail}")
            pytest.skip(f"{row.backend} is {row.detail}")
    known = [row.detail for row in rows if row.status == Status.KNOWN]
    if known:
        pytest.xfail(known[0])


class CellCheck:
    """What a test decorated with `harness.parametrize` receives."""

    def __init__(self, cell: Cell, cases: _Cases) -> None:
        self.cell, self._cases = cell, cases

    def __repr__(self) -> str:
        return f"<{self.cell.case} {_cell_name(self.cell)}>"

    @property
    def case(self) -> Case:
        """The case: its `declared` YAML and its `code`."""
        return self._cases.by_name[self.cell.case]

    @property
    def sample(self) -> Any:
        """The numbers of this point: `inputs`, `cotangents`, `differentiable`."""
        return self._cases.engine.subject(self.cell).sample

    def rows(self) -> list[Row]:
        """Every comparison of this method at this point."""
        return self._cases.engine.rows(self.cell)

    def gradients(self) -> Any:
        """The method's bare numbers: `values`, `gradients`, `seconds`."""
        return self._cases.engine.gradients(self.cell)

    def check(self, require: Iterable[str] = (), *, strict: bool = False) -> None:
        """Fail, skip or xfail the test as a collected case would. `require` names backends whose
        absence is a failure; `strict`: so is whatever is not proved."""
        from harness.report.message import reproduce

        __tracebackhide__ = True
        again = partial(reproduce, options=self._cases.options)
        verdict(self.rows(), require, again, strict=strict)


class _Cases:
    """The cases of one `parametrize`; their engine is made when a test runs."""

    def __init__(self, cases: Sequence[Case], request: Request, options: Sequence[str]) -> None:
        self.by_name = {case.name: case for case in cases}
        self.request, self.options = request, options

    @cached_property
    def engine(self) -> Engine:
        from harness.runs.engine import Engine

        return Engine(self.by_name.values(), self.request)


def parametrize(
    *patterns: str,
    cases: str | Path | Sequence[str | Path] = (),
    tags: Sequence[str] = (),
    backends: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    points: Sequence[str] = (),
    draws: int = 3,
    seed: int = 0,
    argument: str = "cell",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Run a test of your own for every method at every point of the cases that match.

    `patterns` are names or globs of cases (default: those of the folders in `cases`, or all); the
    rest means what the options of `harness run` mean. The test takes the argument `cell`, whose
    `check()` does what a collected case does, and whose `sample`, `gradients()` and `rows()` are
    there for tests of another kind. Raises HarnessError for a bad case or an unknown name.
    """
    from harness.cases.case import load
    from harness.cases.registry import find, select
    from harness.runs.plan import Request, cells

    request = Request(
        backends=tuple(backends),
        dtypes=tuple(dtypes),
        points=tuple(points),
        draws=draws,
        seed=seed,
        modes=("value", "vjp"),
    )
    folders = [cases] if isinstance(cases, str | Path) else cases
    loaded = [load(entry.file) for entry in select(find(folders), patterns, tags)]
    planned = cells(loaded, request)
    options = [word for folder in folders for word in ("--cases", str(folder))]
    shared = _Cases(loaded, request, [*options, *(["--seed", str(seed)] if seed else [])])
    return pytest.mark.parametrize(
        argument,
        [CellCheck(cell, shared) for cell in planned],
        ids=[f"{cell.case}-{_cell_name(cell)}" for cell in planned],
    )


def _cell_name(cell: Cell) -> str:
    """`printed-float64-torch`; a size that was asked for, and training, are named too."""
    parts = [cell.point, cell.dtype, cell.backend]
    if cell.size not in ("default", "declared"):
        parts.insert(1, cell.size)
    return "-".join([*parts, "training"] if cell.training else parts)


def _request(config: pytest.Config) -> Request:
    from harness.runs.plan import Request

    return Request(
        backends=_split(config, "backend"),
        dtypes=_split(config, "dtype"),
        draws=config.getoption("harness_draws"),
        seed=config.getoption("harness_seed"),
    )


def _required(config: pytest.Config) -> tuple[str, ...]:
    from harness.label import Label

    return tuple(Label(text).method for text in _split(config, "require"))


def _split(config: pytest.Config, name: str) -> tuple[str, ...]:
    from harness.cli import split

    return split(config.getoption(f"harness_{name}"))


def _again(item: CellItem) -> str:
    """The command that repeats one item."""
    file = os.path.relpath(item.path, item.config.invocation_params.dir)
    words = ["pytest", f"{file}::{item.name}"]
    words += ["--harness-strict"] if item.config.getoption("harness_strict") else []
    for name in ("backend", "dtype"):
        values = item.config.getoption(f"harness_{name}")
        words += [f"--harness-{name}={value}" for value in values]
    for name, default in (("draws", 3), ("seed", 0)):
        value = item.config.getoption(f"harness_{name}")
        words += [f"--harness-{name}={value}"] if value != default else []
    return shlex.join(words)

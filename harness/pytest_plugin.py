"""pytest: each case file is a test module, each method at each point a test.

`pytest cases/` collects `NAME.yaml` beside `NAME.py` as `NAME.yaml::printed-float64-torch`; the ini
option `harness_cases` names folders in which a YAML file without its Python file is an error rather
than somebody else's file. pytest loads this module in every project where the harness is installed,
whether it is used or not, so numpy, yaml and the rest are imported only once there is a case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import GradientMismatch, HarnessError

if TYPE_CHECKING:
    from harness.cases.case import Case
    from harness.engine import Engine
    from harness.model import Row
    from harness.plan import Cell, Request

_ENGINES: dict[tuple[Path, Any], Engine] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the command line and of pytest.ini."""
    group = parser.getgroup("harness", "gradient harness")
    for name, text in (
        ("backend", "methods to run, separated by commas (default: all)"),
        ("dtype", "dtypes to run, separated by commas (default: float64)"),
        ("require", "backends whose absence is a failure, not a skip ('all': any)"),
    ):
        group.addoption(f"--harness-{name}", action="append", default=[], metavar="NAME", help=text)
    group.addoption("--harness-draws", type=int, default=3, help="random points per case")
    group.addoption("--harness-seed", type=int, default=0, help="seed of the random draws")
    parser.addini("harness_cases", "folders of gradient cases", type="paths", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Check the names of backends before anything is collected."""
    from harness.cli import split

    asked = (*config.getoption("harness_backend"), *config.getoption("harness_require"))
    if asked:
        from harness import backends

        try:
            for label in split(asked):
                if label != "all":
                    backends.parse_label(label)
        except HarnessError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A YAML file is a case if it stands in a `harness_cases` folder or beside a Python file of
    its name that defines `forward`."""
    if file_path.suffix != ".yaml":
        return None
    folders = parent.config.getini("harness_cases")
    if file_path.parent not in folders and not _beside_forward(file_path):
        return None
    collected: pytest.Collector = CaseModule.from_parent(parent, path=file_path)
    return collected


def _beside_forward(file: Path) -> bool:
    python = file.with_suffix(".py")
    return python.is_file() and "def forward(" in python.read_text("utf-8", errors="replace")


class CaseModule(pytest.File):
    """The tests of one case. Collecting it parses the two files and runs nothing."""

    def collect(self) -> Iterator[CellItem]:
        """One item per point, dtype and method."""
        from harness.cases.case import load
        from harness.plan import cells

        try:
            case = load(self.path)
            request = _request(self.config)
            planned = cells([case], request)
        except HarnessError as error:
            raise self.CollectError(str(error)) from None
        for cell in planned:
            yield CellItem.from_parent(
                self, name=_cell_name(cell), case=case, cell=cell, request=request
            )


class CellItem(pytest.Item):
    """One method at one point."""

    def __init__(self, *, case: Case, cell: Cell, request: Request, **options: Any) -> None:
        super().__init__(**options)
        self.case, self.cell, self.asked = case, cell, request

    def runtest(self) -> None:
        """Fails with the harness's message; skips a missing framework; a gap is an xfail."""
        rows = _engine(self.path, self.case, self.asked).rows(self.cell)
        verdict(rows, _required(self.config), self.asked.seed)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The message alone: the harness's own frames would hide it."""
        if isinstance(excinfo.value, GradientMismatch | HarnessError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where pytest says the test is."""
        return self.path, None, f"{self.path.name}::{self.name}"


def verdict(rows: Sequence[Row], required: Iterable[str], seed: int = 0) -> None:
    """Turn rows into what pytest understands.

    Raises GradientMismatch if a row is not good or a required backend is missing; skips if the
    backend is missing; xfails if a declared gap was met.
    """
    from harness.model import Status
    from harness.report.message import explain

    bad = [row for row in rows if not row.good]
    if bad:
        raise GradientMismatch("\n".join(explain(row, seed) for row in bad))
    for row in rows:
        if row.status == Status.MISSING:
            if {"all", row.backend.partition(":")[0]} & set(required):
                raise GradientMismatch(f"`{row.backend}` is required and {row.detail}")
            pytest.skip(f"{row.backend} is {row.detail}")
    known = [row.detail for row in rows if row.status == Status.KNOWN]
    if known:
        pytest.xfail(known[0])


class CellCheck:
    """What a test decorated with `harness.parametrize` receives."""

    def __init__(self, case: Case, cell: Cell, request: Request) -> None:
        self.case, self.cell, self._request = case, cell, request

    def __repr__(self) -> str:
        return f"<{self.case.name} {_cell_name(self.cell)}>"

    @property
    def sample(self) -> Any:
        """The numbers of this point: `inputs`, `cotangents`, `differentiable`."""
        return self._engine.subject(self.cell).sample

    def rows(self) -> list[Row]:
        """Every comparison of this method at this point."""
        return self._engine.rows(self.cell)

    def gradients(self) -> Any:
        """The method's bare numbers: `values`, `gradients`, `seconds`."""
        return self._engine.gradients(self.cell)

    def check(self, require: Iterable[str] = ()) -> None:
        """Fail, skip or xfail the test as a collected case would."""
        verdict(self.rows(), require, self._request.seed)

    @property
    def _engine(self) -> Engine:
        return _engine(Path(self.case.document.file), self.case, self._request)


def parametrize(
    *patterns: str,
    cases: Sequence[str | Path] = (),
    tags: Sequence[str] = (),
    backends: Sequence[str] = (),
    dtypes: Sequence[str] = ("float64",),
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
    from harness.plan import Request, cells

    request = Request(
        backends=tuple(backends),
        dtypes=tuple(dtypes),
        points=tuple(points),
        draws=draws,
        seed=seed,
        modes=("value", "vjp"),
    )
    loaded = [load(entry.file) for entry in select(find(cases), patterns, tags)]
    by_name = {case.name: case for case in loaded}
    planned = cells(loaded, request)
    return pytest.mark.parametrize(
        argument,
        [CellCheck(by_name[cell.case], cell, request) for cell in planned],
        ids=[f"{cell.case}-{_cell_name(cell)}" for cell in planned],
    )


def _cell_name(cell: Cell) -> str:
    """`printed-float64-torch`; a size that was asked for, and training, are named too."""
    parts = [cell.point, cell.dtype, cell.backend]
    if cell.size not in ("default", "declared"):
        parts.insert(1, cell.size)
    return "-".join([*parts, "training"] if cell.training else parts)


def _request(config: pytest.Config) -> Request:
    from harness.cli import split
    from harness.plan import Request

    return Request(
        backends=split(config.getoption("harness_backend")),
        dtypes=split(config.getoption("harness_dtype")) or ("float64",),
        draws=config.getoption("harness_draws"),
        seed=config.getoption("harness_seed"),
    )


def _required(config: pytest.Config) -> tuple[str, ...]:
    from harness.cli import split

    return split(config.getoption("harness_require"))


def _engine(file: Path, case: Case, request: Request) -> Engine:
    """One engine per case file, so that its references serve every method."""
    from harness.engine import Engine

    key = (file, request)
    if key not in _ENGINES:
        _ENGINES[key] = Engine([case], request)
    return _ENGINES[key]

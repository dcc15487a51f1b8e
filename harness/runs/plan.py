"""What a run is asked for, and the list of cells that this means. Nothing is computed here."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import SupportsIndex

from harness import backends
from harness.cases.case import Case
from harness.cases.points import check_points
from harness.cell import Cell
from harness.dtypes import DTYPES, dtype_name
from harness.errors import CaseError, UsageError, did_you_mean
from harness.label import NATIVE, Label
from harness.model import ALL_MODES, MODES, Mode


@dataclass(frozen=True)
class Request:
    """The options of a run. Empty `backends` means all of them, `dtypes` those that a case declares
    or else float64, `points` all declared ones and `draws` random ones; `step` fixes the step of
    the numeric method, `numeric` names its scheme."""

    backends: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    modes: tuple[Mode, ...] = MODES
    points: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ("default",)
    seed: int = 0
    draws: int = 3
    step: float | None = None
    numeric: str = "auto"
    intermediates: bool = False

    def __post_init__(self) -> None:
        """One name may stand for a tuple of one. Raises UsageError for what is no number of draws,
        or no seed."""
        for name in ("backends", "modes", "points", "sizes"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))
        dtypes = self.dtypes if isinstance(self.dtypes, tuple | list) else (self.dtypes,)
        object.__setattr__(self, "dtypes", tuple(map(dtype_name, dtypes)))
        for name in ("draws", "seed"):
            given = getattr(self, name)
            if not isinstance(given, SupportsIndex) or operator.index(given) < 0:
                raise UsageError(f"{name}={given!r} is no natural number; give 0, 1, 2, ...")
            object.__setattr__(self, name, operator.index(given))

    def dtypes_of(self, case: Case) -> tuple[str, ...]:
        """The dtypes to run a case in: of those asked for the ones that it is for."""
        declared = tuple(case.declared.dtypes)
        asked = self.dtypes or declared or ("float64",)
        return tuple(dtype for dtype in asked if dtype in declared or not declared)

    def modes_of(self, cell: Cell) -> tuple[Mode, ...]:
        """The modes asked for that apply to a cell. A method is asked for no mode that it lacks
        beside others; alone, that leaves a row that says so."""
        found = tuple(mode for mode in self.modes if (mode == "train") == cell.training)
        able = backends.class_of(cell.backend).modes
        return tuple(mode for mode in found if mode in able) or found


def cells(cases: Sequence[Case], request: Request) -> list[Cell]:
    """Every cell of a run, methods of one sample next to each other.

    Raises UsageError for an unknown backend, dtype, mode, point or size, or when there is no cell
    at all; CaseError for a declared point whose numbers do not fit.
    """
    _check(request.dtypes, DTYPES, "dtype")
    _check(request.modes, ALL_MODES, "mode")
    for label in request.backends:
        backends.known_label(label)
    drawn = tuple(f"draw{index}" for index in range(request.draws))
    declared = {point for case in cases for point in case.declared.points}
    starts = {case.declared.training.start for case in cases if case.declared.training}
    points = {*declared, *drawn, *starts}
    for point in request.points:
        if point not in points and re.fullmatch("draw[0-9]+", point):
            raise UsageError(f"there is no `{point}` among {request.draws} draws; raise `--draws`")
    _check(request.points, points, "point")
    sizes = {size for case in cases for size in _sizes(case)}
    _check(request.sizes, sizes, "size")
    found: list[Cell] = []
    for case in cases:
        check_points(case)
        _check_gaps(case)
        for point, size in _samples(case, request, drawn):
            for dtype in request.dtypes_of(case):
                found.extend(
                    Cell(case.name, point, size, dtype, label)
                    for label in labels(case, request)
                    if request.backends or dtype in backends.class_of(label).dtypes
                )
        if case.declared.training is not None and "train" in request.modes:
            found.extend(_training_cells(case, request))
    if not found:
        raise UsageError(
            "nothing to compare: no case has such points, sizes, modes and methods\n"
            "  remedy: `harness show CASE --no-run` shows what a case has; random points need "
            "`--draws` of at least 1"
        )
    return list(dict.fromkeys(found))


def labels(case: Case, request: Request, *, training: bool = False) -> tuple[Label, ...]:
    """The methods of a case: those asked for, or every backend and each `native_<backend>`."""
    modes = tuple(mode for mode in request.modes if (mode == "train") == training)
    if not modes:
        return ()
    asked = tuple(map(Label, request.backends))
    every = (each for name in backends.names() for each in (Label(name), Label.of(name, NATIVE)))
    able = tuple(each for each in asked or every if _can(case, each, modes))
    # Alone, a method that the case does not have leaves a row that says so.
    return able or asked


def _can(case: Case, label: Label, modes: Sequence[Mode]) -> bool:
    """Whether a method has one of the modes, and the case the code that it needs: a `backward`, a
    native function."""
    method = backends.class_of(label)
    if label.native:
        return label.method in case.code.natives
    if method.written and case.code.backward is None:
        return False
    return any(mode in method.modes for mode in modes)


def _training_cells(case: Case, request: Request) -> list[Cell]:
    """Trajectories run in float64: an accident of rounding in float32 would say nothing after
    thousands of steps."""
    assert case.declared.training is not None
    start = case.declared.training.start
    if "float64" not in request.dtypes_of(case) or (request.points and start not in request.points):
        return []
    return [
        Cell(case.name, start, size, "float64", label, training=True)
        for size in request.sizes
        if size in _sizes(case)
        for label in labels(case, request, training=True)
        if not label.native
    ]


def _samples(case: Case, request: Request, drawn: Sequence[str]) -> list[tuple[str, str]]:
    """Points with their sizes. A declared point brings its own numbers, so it is run once, with
    the default size; a random one is drawn for each size asked for."""
    found = []
    if "default" in request.sizes:
        found = [(point, "declared") for point in case.declared.points]
    found += [(point, size) for size in request.sizes if size in _sizes(case) for point in drawn]
    return [pair for pair in found if not request.points or pair[0] in request.points]


def _sizes(case: Case) -> set[str]:
    return set(case.declared.sizes) | {"default"}


def _check(asked: Sequence[str], valid: Sequence[str] | set[str], what: str) -> None:
    for name in asked:
        if name not in valid:
            raise UsageError(f"no {what} `{name}`; {did_you_mean(name, valid)}")


def _check_gaps(case: Case) -> None:
    for native in case.code.natives:
        if native not in backends.names():
            raise CaseError(
                f"`native_{native}`: no backend `{native}`; "
                + did_you_mean(native, backends.names()),
                file=case.code.file,
            )
    for index, gap in enumerate(case.declared.known):
        name = Label(gap.backend).method
        if name not in backends.names():
            raise case.document.error(
                ("known", index, "backend"),
                f"no backend `{name}`; {did_you_mean(name, backends.names())}",
            )

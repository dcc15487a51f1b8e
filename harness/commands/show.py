"""`harness show`: one case step by step, for someone who wants to see backpropagation happen.

Every line of `forward` with its value and its cotangent, every line of `backward` with its value,
and then each method's number for every gradient, intermediates included.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from harness import backends, cli
from harness.cases.case import Case, load
from harness.cases.registry import find, select
from harness.errors import HarnessError, UsageError
from harness.quantity import Kind, Quantity
from harness.report.console import Output
from harness.report.grid import grid

if TYPE_CHECKING:
    from harness.cell import Cell
    from harness.model import Gradients, Row, Sample
    from harness.programs.program import Trace
    from harness.runs.engine import Engine
    from harness.runs.plan import Request


def execute(options: argparse.Namespace) -> int:
    """Print the case; exit status 0, whatever the methods say."""
    if not options.case and not options.cases:
        raise UsageError("name the case that is to be shown; `harness list` tells what there is")
    entries = select(find(cli.split(options.cases)), [options.case] if options.case else [])
    if len(entries) > 1:
        names = ", ".join(f"`{entry.name}`" for entry in entries)
        asked = f"`{options.case}` matches" if options.case else "there are"
        raise UsageError(f"{asked} {names}; name one of them")
    case = load(entries[0].file)
    if options.no_run:
        page = _Page()
        page.header(case)
        for procedure in (case.code.forward, case.code.backward):
            if procedure is not None:
                rows = [(str(stage.line), stage.source) for stage in procedure.stages]
                page.table(procedure.name, ("line", "code"), rows)
    else:
        _show_run(case, options)
    return cli.OK


@dataclass(frozen=True)
class _Page:
    """Where the lines go. A file or a pipe has no width, so nothing is rearranged there."""

    console: Console = field(default_factory=Output)

    @property
    def width(self) -> int:
        return self.console.width if self.console.is_terminal else 10_000

    def say(self, text: str = "", style: str = "") -> None:
        self.console.print(Text(text, style=style), soft_wrap=True)

    def header(self, case: Case) -> None:
        declared = case.declared
        self.say(f"{case.name}: {declared.summary}", "bold")
        lines = {
            "formula": declared.formula,
            "source": declared.source,
            "points": ", ".join(declared.points),
            "sizes": ", ".join(
                f"{name} ({', '.join(f'{key}={value}' for key, value in values.items())})"
                for name, values in declared.sizes.items()
            ),
            "file": case.code.file,
        }
        for name, text in lines.items():
            if text:
                self.say(f"{name:7}  {text}")

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        if rows:
            self.say()
            self.say(title, "bold")
            for block in grid(header, rows, self.width, keys=2):
                self.say(block)


def _show_run(case: Case, options: argparse.Namespace) -> None:
    from harness.cases.sampling import NUMPY
    from harness.judging.rows import describe
    from harness.programs.trees import flatten
    from harness.runs.engine import Engine
    from harness.runs.plan import cells

    request, point = _request(case, options)
    planned = [cell for cell in cells([case], request) if not cell.training]
    engine = Engine([case], request)
    page = _Page()
    text = _Numbers(page.width)
    recorded: Mapping[str, Any] = {}
    try:
        sample = engine.subject(planned[0]).sample
        trace = case.program.forward(NUMPY, sample.inputs)
        if case.code.backward is not None:
            recorded = case.program.backward(NUMPY, sample.cotangents, sample.inputs, trace)[1]
    except Exception as error:  # whatever the case's own code raises
        raise HarnessError(describe(error, case.code)) from error
    page.header(case)
    inputs = [(name, text(value)) for name, value in flatten(sample.inputs).items()]
    page.table(f"inputs at {point}, {sample.dtype}", ("input", "value"), inputs)
    methods = _methods(engine, planned)
    _show_forward(page, text, case, sample, trace, recorded, methods)
    if case.code.backward is not None:
        code = case.code.backward
        rows = [
            _line(
                stage,
                text(recorded.get(stage.name)) if code.stage(stage.name) is stage else _AGAIN,
            )
            for stage in code.stages
        ]
        page.table("backward", ("line", "code", "value"), rows)
    _show_methods(page, text, methods)
    _say_missing(page, planned)


def _request(case: Case, options: argparse.Namespace) -> tuple[Request, str]:
    """What to run, and the point."""
    from harness.runs.plan import Request

    point = options.point or next(iter(case.declared.points), "draw0")
    draws = int(point[4:]) + 1 if point.startswith("draw") and point[4:].isdecimal() else 0
    request = Request(
        backends=cli.split(options.backend),
        dtypes=(options.dtype or next(iter(case.declared.dtypes), "float64"),),
        modes=("value", "vjp"),
        points=(point,),
        sizes=(options.size,),
        seed=options.seed,
        draws=draws,
        step=options.step,
        intermediates=True,
    )
    return request, point


@dataclass(frozen=True)
class _Method:
    """What one method says: its rows, and its arrays by quantity; NaN in one of those `sampled`
    is an element that it did not compute."""

    label: str
    rows: list[Row]
    arrays: Mapping[str, Any]
    sampled: frozenset[str] = frozenset()


def _methods(engine: Engine, planned: Iterable[Cell]) -> list[_Method]:
    found = []
    for cell in planned:
        if _installed(cell):
            rows = engine.rows(cell)
            try:
                numbers = engine.gradients(cell)
            except Exception:  # its rows say what it raises
                found.append(_Method(cell.backend, rows, {}))
                continue
            kinds: tuple[Kind, ...] = ("gradient", "intermediate")
            sampled = {Quantity(kind, name) for name in numbers.sampled for kind in kinds}
            found.append(_Method(cell.backend, rows, _by_quantity(numbers), frozenset(sampled)))
    return found


def _by_quantity(found: Gradients) -> dict[str, Any]:
    return {
        **found.values,
        **{Quantity("gradient", name): array for name, array in found.gradients.items()},
        **{Quantity("intermediate", name): each for name, each in found.intermediates.items()},
    }


def _show_forward(
    page: _Page,
    text: _Numbers,
    case: Case,
    sample: Sample,
    trace: Trace,
    recorded: Mapping[str, Any],
    methods: Sequence[_Method],
) -> None:
    """Values, and cotangents by `backward`; where it has none of that name, by the first method
    that does."""
    seeds = dict(zip(case.code.forward.returns, sample.cotangents, strict=True))

    def cotangent(name: str) -> str:
        if name in seeds:
            return text(seeds[name])
        if f"d{name}" in recorded:
            return text(recorded[f"d{name}"])
        for method in methods:
            if (array := method.arrays.get(Quantity("intermediate", name))) is not None:
                return f"{text(array)}\nby {method.label}"
        return ""

    code = case.code.forward
    rows = []
    for stage in code.stages:
        last = code.stage(stage.name) is stage
        # What is assigned twice, or in a loop, is no one array that a cotangent could belong to.
        known = last and (stage.single or stage.name in seeds)
        value = text(trace.saved.get(stage.name)) if last else _AGAIN
        rows.append((*_line(stage, value), cotangent(stage.name) if known else ""))
    page.table("forward", ("line", "code", "value", "cotangent"), rows)


def _show_methods(page: _Page, text: _Numbers, methods: Sequence[_Method]) -> None:
    """For each quantity the number of every method; equal matrices are printed once."""
    from harness.report.message import mark

    quantities: dict[str, list[tuple[str, str, str, str]]] = {}
    for method in methods:
        for row in method.rows:
            number = text(method.arrays.get(row.quantity), row.quantity in method.sampled)
            number = number or _worst(row)
            line = (method.label, mark(row.status, row.digits), row.reference, number)
            quantities.setdefault(row.quantity, []).append(line)
    page.say()
    page.say("every method: status and correct digits, judged against, number", "bold")
    for quantity, lines in quantities.items():
        page.say(quantity, "bold")
        groups: dict[str, list[tuple[str, str, str, str]]] = {}
        for index, line in enumerate(lines):
            groups.setdefault(line[3] if "\n" in line[3] else str(index), []).append(line)
        merged = [
            ("", *("\n".join(part) for part in list(zip(*group, strict=True))[:3]), group[0][3])
            for group in groups.values()
        ]
        for block in grid([""] * 5, merged, page.width, keys=4):
            page.say(block)


def _worst(row: Row) -> str:
    """Without an array (a printed expectation, a method that raised): the worst element."""
    if not row.got:
        return row.detail
    from harness.model import PRINTED

    at = f" at {row.worst_index}" if row.worst_index else ""
    expected = PRINTED if row.reference == PRINTED else "expected"
    return f"{row.got}{at}, {expected} {row.expected}"


def _say_missing(page: _Page, planned: Iterable[Cell]) -> None:
    for cell in planned:
        if not _installed(cell):
            method = backends.class_of(cell.backend)
            page.say(f"{cell.backend} is not installed: {method.install}")


def _installed(cell: Cell) -> bool:
    return backends.class_of(cell.backend).installed()


#: Instead of the value of an assignment that a later one replaces.
_AGAIN = "(assigned again below)"


def _line(stage: Any, value: str) -> tuple[str, str, str]:
    return str(stage.line), stage.source, value


@dataclass(frozen=True)
class _Numbers:
    """Numbers as numpy prints them, large arrays abbreviated, for a page of this width."""

    width: int

    def __call__(self, value: Any, sampled: bool = False) -> str:
        """One line for a scalar, one per row for a matrix, one per leaf for a container."""
        import numpy as np

        if value is None:
            return ""
        if isinstance(value, dict):
            return "\n".join(self._leaf(f"{key}: ", each) for key, each in value.items())
        if isinstance(value, list | tuple):
            return "\n".join(map(self, value))
        if isinstance(value, np.ndarray | np.generic):
            with np.printoptions(nanstr="-" if sampled else "nan"):
                text = np.array2string(
                    np.asarray(value),
                    precision=12,
                    threshold=24,
                    edgeitems=2,
                    max_line_width=min(100, max(40, self.width - 20)),
                )
            return f"{text} (- is not sampled)" if sampled else text
        return str(value)

    def _leaf(self, label: str, value: Any) -> str:
        return label + self(value).replace("\n", "\n" + " " * len(label))

"""`harness show`: one case step by step, for someone who wants to see backpropagation happen.

Every line of `forward` with its value and its cotangent, every line of `backward` with its value,
and then each method's number for every gradient, intermediates included.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import backends, cli
from harness.cases.case import Case, load
from harness.cases.registry import find, select
from harness.errors import UsageError
from harness.source import Procedure


def execute(options: argparse.Namespace) -> int:
    """Print the case; exit status 0, whatever the methods say."""
    entries = select(find(cli.split(options.cases)), [options.case])
    if len(entries) > 1:
        names = ", ".join(f"`{entry.name}`" for entry in entries)
        raise UsageError(f"`{options.case}` matches {names}; name one of them")
    case = load(entries[0].file)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=200)
    _print_header(console, case)
    if options.no_run:
        _print_code(console, case.code.forward, case)
        if case.code.backward is not None:
            _print_code(console, case.code.backward, case)
        return cli.OK
    _print_run(console, case, options)
    return cli.OK


def _print_header(console: Console, case: Case) -> None:
    declared = case.declared
    console.print(Text(f"{case.name}: {declared.summary}", style="bold"))
    for name in ("formula", "source"):
        if text := getattr(declared, name):
            console.print(Text(f"{name}: {text}"))
    console.print(Text(f"file: {case.code.file}"), soft_wrap=True)


def _print_code(console: Console, procedure: Procedure, case: Case) -> None:
    table = Table("line", "code", title=procedure.name, title_justify="left")
    for stage in procedure.stages:
        table.add_row(str(stage.line), Text(stage.source))
    console.print(table)


def _print_run(console: Console, case: Case, options: argparse.Namespace) -> None:
    from harness.cases.sampling import NUMPY
    from harness.engine import Engine
    from harness.plan import Cell, Request, cells

    point = options.point or next(iter(case.declared.points), "draw0")
    draws = int(point[4:]) + 1 if point.startswith("draw") and point[4:].isdigit() else 0
    size = "declared" if point in case.declared.points else options.size
    request = Request(
        backends=cli.split(options.backend),
        dtypes=(options.dtype,),
        modes=("value", "vjp"),
        points=(point,),
        sizes=(options.size,),
        seed=options.seed,
        draws=draws,
        step=options.step,
        intermediates=True,
    )
    planned = cells([case], request)
    engine = Engine([case], request)
    sample = engine.subject(Cell(case.name, point, size, options.dtype, "manual")).sample
    trace = case.program.forward(NUMPY, sample.inputs)
    recorded: dict[str, Any] = {}
    if case.code.backward is not None:
        _, locals_ = case.program.backward(NUMPY, sample.cotangents, sample.inputs, trace)
        recorded = dict(locals_)
        for name, seed in zip(case.code.forward.returns, sample.cotangents, strict=True):
            recorded[f"d{name}"] = seed
    console.print(Text(f"point {point}, {options.dtype}"))
    inputs = Table("input", "value", title="inputs", title_justify="left")
    for name, value in sample.inputs.items():
        inputs.add_row(name, _text(value))
    console.print(inputs)
    forward = Table("line", "code", "value", "cotangent", title="forward", title_justify="left")
    for stage in case.code.forward.stages:
        saved, cotangent = trace.saved.get(stage.name), recorded.get(f"d{stage.name}")
        forward.add_row(str(stage.line), Text(stage.source), _text(saved), _text(cotangent))
    console.print(forward)
    if case.code.backward is not None:
        backward = Table("line", "code", "value", title="backward", title_justify="left")
        for stage in case.code.backward.stages:
            backward.add_row(str(stage.line), Text(stage.source), _text(recorded.get(stage.name)))
        console.print(backward)
    methods = Table(
        "quantity",
        "method",
        "number",
        "verdict",
        "reference",
        title_justify="left",
        title="every method",
    )
    previous = ""
    for quantity, label, number, verdict, reference in sorted(
        _numbers(engine, planned), key=lambda line: line[0]
    ):
        if previous and quantity != previous:
            methods.add_section()
        methods.add_row(quantity if quantity != previous else "", label, number, verdict, reference)
        previous = quantity
    console.print(methods)


def _numbers(engine: Any, planned: Iterable[Any]) -> Iterable[tuple[str, str, Text, str, str]]:
    """Quantity, method, number, verdict and reference of everything that was compared."""
    from harness.report.message import mark

    for cell in planned:
        if not backends.backend_class(cell.backend.partition(":")[0]).installed():
            continue
        arrays = _arrays(engine, cell)
        for row in engine.rows(cell):
            number = arrays.get(row.quantity)
            text = _text(number) if number is not None else Text(row.detail)
            yield row.quantity, row.backend, text, mark(row.status, row.digits), row.reference


def _arrays(engine: Any, cell: Any) -> dict[str, Any]:
    """Quantity -> array of one method; nothing where it raises, since its row says why."""
    try:
        found = engine.gradients(cell)
    except Exception:
        return {}
    return {
        **found.values,
        **{f"d/d{name}": array for name, array in found.gradients.items()},
        **{f"d/d{name} (intermediate)": each for name, each in found.intermediates.items()},
    }


def _text(value: Any) -> Text:
    """Numbers as numpy prints them, large arrays abbreviated."""
    import numpy as np

    if value is None:
        return Text("")
    if isinstance(value, dict):
        return Text("\n").join(Text(f"{key}: ").append(_text(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return Text("\n").join(_text(each) for each in value)
    if isinstance(value, np.ndarray | np.generic):
        return Text(np.array2string(np.asarray(value), precision=12, threshold=24, edgeitems=2))
    return Text(str(value))

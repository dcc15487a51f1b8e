"""What `harness run` does once its workers are starting: plan, compare, report, summarise."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import backends, cli
from harness.cases.case import Case
from harness.cases.registry import Entry
from harness.cell import Cell
from harness.commands.common import environment, load_all
from harness.errors import UsageError, did_you_mean
from harness.model import Row, Status, failing
from harness.report import files, terminal
from harness.runs.dispatch import Workers
from harness.runs.journal import JOURNAL, Journal, Keys
from harness.runs.plan import Request, cells
from harness.runs.run import Run


def compare(entries: Sequence[Entry], options: argparse.Namespace, workers: Workers | None) -> int:
    """Exit status 0 if no row fails the run, 1 if one does, 2 if nothing was compared."""
    modes: dict[str, Any] = {"modes": cli.split(options.mode)} if options.mode else {}
    request = Request(
        backends=cli.split(options.backend),
        dtypes=cli.split(options.dtype),
        points=cli.split(options.point),
        sizes=cli.split(options.size) or ("default",),
        seed=options.seed,
        draws=options.draws,
        step=options.step,
        numeric=options.numeric,
        intermediates=options.intermediates,
        **modes,
    )
    if options.resume and not options.report:
        raise UsageError("--resume goes on with a journal, so it needs a --report DIR")
    required = cli.split(options.require)
    _check_required(required)
    loaded = load_all(entries)
    plan = cells(loaded, request)
    # Absolute, since a case may change the working directory of `--jobs 0`.
    folder = Path(options.report).absolute() if options.report else None
    if folder is not None:
        files.prepare(folder, (files.CSV, files.MARKDOWN, JOURNAL))
    journal = Journal(folder, Keys(loaded, request), resume=options.resume) if folder else None
    done: dict[Cell, list[Row]] = {}
    interrupted, stopped = False, None
    work = Run(loaded, request, plan, workers, journal)
    found_rows = work.rows()
    try:
        for cell, found in terminal.progress(found_rows, plan, enabled=not options.no_progress):
            done[cell] = found  # noqa: PERF403 - an interrupt keeps what there is
    except KeyboardInterrupt:
        interrupted = True
    except UsageError as error:  # the disk is full: what there is is worth seeing
        stopped = error
    finally:
        found_rows.close()
        if journal:
            journal.close()
    rows = [row for cell in plan for row in done.get(cell, ())]
    again = _common(options)
    unsaid: OSError | None = None
    if rows:
        report = str(Path(options.report) / files.MARKDOWN) if folder else ""
        try:
            terminal.summary(rows, again, report, work.peaks, strict=options.strict)
            sys.stdout.flush()
        except BrokenPipeError:
            cli.unread()
        except OSError as error:  # standard output is full; the report is not
            unsaid = error
    if stopped:
        raise stopped
    if folder is not None and rows:
        files.write(
            folder,
            rows,
            command=shlex.join(["harness", *options.arguments]),
            versions=environment(),
            descriptions=_descriptions(loaded),
            options=again,
            peaks=work.peaks,
            unfinished=len(plan) - len(done),
            strict=options.strict,
        )
    if interrupted:
        print(_farewell(options, folder, len(rows)), file=sys.stderr)
        return cli.INTERRUPTED
    if unsaid:
        raise unsaid
    return _status(rows, required, strict=options.strict)


def _farewell(options: argparse.Namespace, folder: Path | None, comparisons: int) -> str:
    """What an interrupted run leaves behind, and the command that goes on with it."""
    if folder is None:
        return "interrupted"
    words = [word for word in options.arguments if word != "--resume"]
    again = shlex.join(["harness", *words, "--resume"])
    left = f"interrupted; {options.report}/ has the {comparisons} comparisons so far"
    return f"{left}\n  go on with: {again}"


def _common(options: argparse.Namespace) -> list[str]:
    """The options that a row's reproducing command repeats, since the row does not tell them."""
    words = [word for folder in cli.split(options.cases) for word in ("--cases", folder)]
    if options.seed:
        words += ["--seed", str(options.seed)]
    if options.step is not None:
        words += ["--step", repr(options.step)]
    if options.numeric != "auto":
        words += ["--numeric", options.numeric]
    words += ["--strict"] if options.strict else []
    return words + (["--intermediates"] if options.intermediates else [])


def _check_required(names: Sequence[str]) -> None:
    for name in names:
        if name != "all" and name not in backends.names():
            raise UsageError(f"no backend `{name}`; {did_you_mean(name, backends.names())}")


def _status(rows: Sequence[Row], required: Sequence[str], *, strict: bool = False) -> int:
    wanted = dict.fromkeys(name for name in required if name != "all")
    if "all" in required:
        wanted |= dict.fromkeys(row.backend.method for row in rows)
    absent = [name for name in wanted if not backends.backend_class(name).installed()]
    for name in absent:
        command = backends.backend_class(name).install
        print(f"error: `{name}` is required and not installed: {command}", file=sys.stderr)
    if absent or failing(rows, strict=strict):
        return cli.FAILED
    if all(row.status == Status.MISSING for row in rows):
        print("error: nothing was compared; no method asked for is installed", file=sys.stderr)
        return cli.USAGE
    return cli.OK


def _descriptions(cases: Sequence[Case]) -> dict[str, dict[str, str]]:
    return {
        case.name: {
            "summary": case.declared.summary,
            "formula": case.declared.formula,
            "source": case.declared.source,
        }
        for case in cases
    }

"""`harness bench`: how long each method takes, and which is faster where the times tell it."""

from __future__ import annotations

import argparse
import platform
import shlex
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from harness import cli
from harness.cases.case import Case
from harness.cases.registry import find, select
from harness.commands.common import environment, load_all
from harness.errors import UsageError
from harness.model import Status, Timing
from harness.report import bench, files, plot, terminal
from harness.runs.plan import Request, cells
from harness.runs.workers import LocalWorkers, cores
from harness.studies.bench import sizes
from harness.studies.bench.growth import growth
from harness.studies.bench.rounds import VISITS, timings


def execute(options: argparse.Namespace) -> int:
    """Exit status 0 whatever the times are; 1 if a method raised or crashed, 2 if nothing was
    timed."""
    entries = select(
        find(cli.split(options.cases)), cli.split(options.case), cli.split(options.tag)
    )
    loaded, named = _sized(load_all(entries), options)
    request = Request(
        backends=cli.split(options.backend),
        dtypes=cli.split(options.dtype),
        modes=("vjp",),
        points=("draw0",),
        sizes=named,
        draws=1,
    )
    plan = cells(loaded, request)
    if options.threads > cores():
        raise UsageError(f"--threads {options.threads}: this process may use {cores()} processors")
    folder = Path(options.report) if options.report else None
    if folder is not None:
        files.prepare(folder, (bench.CSV, bench.MARKDOWN, bench.PLOT))
    workers = LocalWorkers(1, timeout=options.timeout, threads=options.threads)
    found: list[Timing] = []
    interrupted = False
    with closing(timings(loaded, plan, workers, options.budget)) as work:
        shown = terminal.progress(work, plan * VISITS, enabled=not options.no_progress)
        try:
            for _, some in shown:
                found += some
        except KeyboardInterrupt:
            interrupted = True  # what is timed whole is shown
    grown = growth(found)
    conditions = (
        f"{options.threads} thread{'s' if options.threads > 1 else ''}, {_processor()}, "
        f"{cores()} processors; {options.budget:g} s for each time, in {VISITS} visits"
    )
    bench.show(bench.pages(found), grown, conditions)
    if folder is not None and found:
        picture = ""
        if plot.drawable(found):
            if plot.installed():
                picture = plot.svg(found)
            else:
                print(f"no plot: matplotlib is not installed: {plot.INSTALL}")
        bench.write(
            folder,
            found,
            grown,
            command=shlex.join(["harness", *options.arguments]),
            conditions=conditions,
            versions=environment(),
            plot=picture,
        )
        print(f"see {folder / bench.MARKDOWN}{f' and {bench.PLOT}' if picture else ''}")
    if interrupted:
        print("interrupted", file=sys.stderr)
        return cli.INTERRUPTED
    return _status(found)


def _sized(
    loaded: Sequence[Case], options: argparse.Namespace
) -> tuple[list[Case], tuple[str, ...]]:
    """The cases with the sizes of a sweep, and the names of the sizes asked for."""
    named = cli.split(options.size)
    words = cli.split(options.sizes)
    if not words:
        return list(loaded), named or ("default",)
    sweep = sizes.parse(words)
    return [sizes.swept(case, sweep) for case in loaded], (*named, *sweep.names)


def _processor() -> str:
    """The name of the processor, as far as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _status(found: Sequence[Timing]) -> int:
    if not any(each.timed for each in found):
        print("error: nothing was timed", file=sys.stderr)
        return cli.USAGE
    raised = [each for each in found if each.status in (Status.ERROR, Status.CRASH)]
    return cli.FAILED if raised else cli.OK

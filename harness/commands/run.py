"""`harness run`: the names first, since a wrong one should be told at once; then the workers, since
a framework takes longer to load than all that the run itself needs (pandas, the cases), which is
therefore imported behind them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness import cli
from harness.cases.registry import find, select
from harness.errors import UsageError
from harness.runs.workers import TIMEOUT, LocalWorkers, cores, no_silent_end

if TYPE_CHECKING:
    from harness.runs.dispatch import Workers


def execute(options: argparse.Namespace) -> int:
    """Exit status 0 if all rows are good, 1 if one is not, 2 if nothing was compared."""
    entries = select(
        find(cli.split(options.cases)), cli.split(options.case), cli.split(options.tag)
    )
    workers = _workers(options)
    try:
        from harness.commands.comparison import compare

        with no_silent_end():
            return compare(entries, options, workers)
    finally:
        if workers:
            workers.close()


def _workers(options: argparse.Namespace) -> Workers | None:
    """Where the cells run; None is this process. Raises UsageError for limits that are none."""
    alone = options.jobs == 0
    if (alone or options.executor) and (options.timeout or options.memory_limit):
        where = "--jobs 0" if alone else "--executor"
        raise UsageError(
            f"with {where} nothing can be stopped; leave --timeout and --memory-limit away"
        )
    if options.executor:
        from harness.runs.executors import connect

        return connect(options.executor)
    jobs = cores() if options.jobs is None else options.jobs
    if not jobs:
        return None
    workers = LocalWorkers(
        jobs,
        timeout=options.timeout or TIMEOUT,
        memory_limit=options.memory_limit,
        cache=options.cache,
    )
    workers.warm(cli.split(options.backend))
    return workers

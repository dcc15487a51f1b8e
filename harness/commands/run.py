"""`harness run`: the workers first, since a framework takes longer to load than all that the run
itself needs (pandas, the cases), which is therefore imported behind them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness import cli
from harness.execution.workers import LocalWorkers, cores

if TYPE_CHECKING:
    from harness.execution.dispatch import Workers


def execute(options: argparse.Namespace) -> int:
    """Exit status 0 if all rows are good, 1 if one is not, 2 if nothing was compared."""
    workers = _workers(options)
    try:
        from harness.commands.comparison import compare

        return compare(options, workers)
    finally:
        if workers:
            workers.close()


def _workers(options: argparse.Namespace) -> Workers | None:
    """Where the cells run; None is this process."""
    if options.executor:
        from harness.execution.executors import connect

        return connect(options.executor)
    jobs = cores() if options.jobs is None else options.jobs
    if not jobs:
        return None
    workers = LocalWorkers(jobs, timeout=options.timeout, memory_limit=options.memory_limit)
    workers.warm(cli.split(options.backend))
    return workers

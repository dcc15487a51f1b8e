"""Workers that somebody else runs: a Dask cluster, or any `concurrent.futures.Executor`.

Nothing here starts or stops a process, and so nothing can end a task that takes too long: time and
memory limits are the business of whoever started the workers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from functools import cache
from typing import Any

from harness import backends
from harness.errors import UsageError
from harness.model import Failure, Status
from harness.runs.workers import REFEREE

SCHEME = "dask://"


class ExecutorWorkers:
    """Workers of any executor whose processes have everything that is needed."""

    def __init__(self, executor: Executor, jobs: int) -> None:
        """`jobs`: how many tasks to hand to it at a time."""
        self.jobs, self._executor = jobs, executor

    def has(self, kind: str) -> bool:
        """Whether the framework is installed here, and so presumably there."""
        return backends.backend_class(kind).installed()

    def width(self, kind: str, left: float = 0.0) -> int:
        """Any task may run anywhere."""
        return self.jobs

    def submit(self, kind: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Hand a task to the executor. One that is broken takes no more: the future says so."""
        try:
            return self._executor.submit(function, *arguments)
        except BrokenExecutor as error:
            future: Future[Any] = Future()
            future.set_exception(error)
            return future

    def release(self, future: Future[Any]) -> None:
        """The executor looks after its workers itself."""

    def failure(self, error: BaseException) -> Failure:
        """What the executor says of a task that it lost."""
        return Failure(Status.CRASH, f"the worker was lost: {type(error).__name__}: {error}")

    def close(self) -> None:
        """Leave the executor to its owner."""


class DaskWorkers(ExecutorWorkers):
    """The workers of a running Dask cluster, each with the frameworks that its resources name."""

    def __init__(self, address: str) -> None:
        """Connect to the scheduler at `address` (`HOST:PORT`). Raises UsageError where there is
        none, where Dask is not installed, and where no worker can be the referee."""
        try:
            from distributed import Client
        except ImportError:
            raise UsageError(
                "Dask is not installed: python -m pip install 'gradient-harness[dask]'"
            ) from None
        try:
            self._client: Any = Client(f"tcp://{address}", timeout=10, set_as_default=False)
        except OSError as error:
            raise UsageError(
                f"there is no Dask scheduler at `{address}` ({error}); start one with: "
                "dask scheduler"
            ) from None
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        self._width: dict[str, int] = {}
        for worker in workers:
            for kind, number in worker["resources"].items():
                self._width[kind] = self._width.get(kind, 0) + int(number)
        if not self.width(REFEREE):
            self._client.close()
            raise UsageError(
                f"no worker of the scheduler at `{address}` has the resource `{REFEREE}`; start "
                f"one with: dask worker {address} --nthreads 1 --resources '{REFEREE}=1'"
            )
        self.jobs = sum(worker["nthreads"] for worker in workers)
        # A task of a worker that dies goes to another one by itself.
        self._executor_of = cache(
            lambda kind: self._client.get_executor(resources={kind: 1}, pure=False, retries=2)
        )

    def has(self, kind: str) -> bool:
        """Whether some worker has the framework."""
        return self.width(kind) > 0

    def width(self, kind: str, left: float = 0.0) -> int:
        """How many tasks of a kind the workers take at the same time."""
        return self._width.get(kind, 0)

    def submit(self, kind: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Send a task to a worker that has the framework."""
        future: Future[Any] = self._executor_of(kind).submit(function, *arguments)
        return future

    def close(self) -> None:
        """Disconnect; the cluster stays."""
        self._client.close()


def connect(address: str) -> DaskWorkers:
    """The workers that `--executor` names. Raises UsageError."""
    if not re.fullmatch(rf"{SCHEME}.+:[0-9]+", address):
        raise UsageError(f"`{address}` is no executor; give {SCHEME}HOST:PORT")
    return DaskWorkers(address.removeprefix(SCHEME))

"""Worker processes of this machine: one framework each, kept warm, replaced when they die.

A worker is a pebble pool of one process. What the process does to itself ends with it, and so does
its pool: a process killed in the middle of a message leaves locks and half a message behind, which
a new pool has not got.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager, suppress
from multiprocessing import connection, resource_tracker
from typing import Any, NoReturn

import psutil
from pebble import ProcessExpired, ProcessPool

from harness import backends
from harness.label import Label
from harness.model import Failure, Status
from harness.runs import cache, reads

#: The worker that judges, and that runs the methods which need no framework.
REFEREE = "referee"
#: Seconds that a task may take if nobody says otherwise.
TIMEOUT = 600.0
#: Seconds of work that make up for loading a framework once more, in time and in memory.
_WORTH = 5.0
#: The exit status of a process that says nothing by its own.
_SILENT = 70
#: How many threads the libraries of one worker start.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
#: Besides, where the number is not a default but an order; the last one is XLA's.
_POOLS = ("TF_NUM_INTEROP_THREADS", "NPROC")


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalWorkers:
    """At most `jobs` tasks at a time, each in a process of its own kind.

    timeout:       seconds that one task may take, or None.
    memory_limit:  bytes that a worker may allocate beyond what it has when it is ready, or None.
    threads:       how many threads each has, whatever the user's environment says, and as many
                   processors; None for its share of the processors.
    cache:         whether the workers of the next run find what these have compiled. What is timed
                   (with `threads`) is compiled on its own.
    """

    def __init__(
        self,
        jobs: int,
        *,
        timeout: float | None = None,
        memory_limit: int | None = None,
        threads: int | None = None,
        cache: bool = True,
    ) -> None:
        self.jobs, self.timeout, self.memory_limit = jobs, timeout, memory_limit
        self.threads, self.cache = threads, cache
        # A forked worker would have numpy, and numpy the threads of its parent.
        forked = threads is None and "forkserver" in multiprocessing.get_all_start_methods()
        self._context = multiprocessing.get_context("forkserver" if forked else "spawn")
        if forked:
            # What every worker imports is imported once, and forked.
            self._context.set_forkserver_preload(["harness.runs.tasks"])
        self._shared: tempfile.TemporaryDirectory[str] | None = None
        self._idle: dict[str, list[ProcessPool]] = {}
        self._busy: dict[Future[Any], tuple[str, ProcessPool]] = {}

    def warm(self, names: Sequence[str]) -> None:
        """Start the workers that take longest to be ready, as many as may work at a time, of the
        backends named (none: of all). Names that are none are left to whoever checks them."""
        wanted = {Label(name).method for name in names} or set(backends.names())
        methods = [backends.backend_class(name) for name in backends.names() if name in wanted]
        slow = [method for method in methods if method.module and method.installed()]
        for method in sorted(slow, key=lambda method: -method.startup)[: self.jobs]:
            self._idle.setdefault(method.name, []).append(self._start(method.name))

    def has(self, kind: str) -> bool:
        """Whether the framework is installed."""
        return backends.backend_class(kind).installed()

    def width(self, kind: str, left: float) -> int:
        """How many tasks of a kind may run at the same time: one, and more where so many seconds
        are left that another worker is worth its start."""
        if kind == REFEREE:
            return self.jobs
        started = len(self._idle.get(kind, ())) + sum(
            kind == each for each, _ in self._busy.values()
        )
        return max(started, 1 + int(left / _WORTH))

    def submit(self, kind: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Run a function in a worker of that kind. The future raises what it raises, and what
        `failure` explains where the worker dies."""
        idle = self._idle.setdefault(kind, [])
        while idle:
            pool = idle.pop()
            with suppress(RuntimeError):  # its process has died while it had nothing to do
                return self._schedule(kind, pool, function, arguments)
            _abandon(pool)
        return self._schedule(kind, self._start(kind), function, arguments)

    def _schedule(
        self, kind: str, pool: ProcessPool, function: Callable[..., Any], arguments: Sequence[Any]
    ) -> Future[Any]:
        future: Future[Any] = pool.schedule(function, args=arguments, timeout=self.timeout)
        self._busy[future] = kind, pool
        return future

    def release(self, future: Future[Any]) -> None:
        """Take back the worker of a future that is done; one that has died is replaced later."""
        kind, pool = self._busy.pop(future)
        if future.cancelled() or future.exception() is not None:
            _abandon(pool)
        else:
            self._idle[kind].append(pool)

    def failure(self, error: BaseException) -> Failure:
        """Why a task ended without a result, as a row says it."""
        if isinstance(error, TimeoutError):
            return Failure(Status.TIMEOUT, f"took longer than {self.timeout:g} s")
        if isinstance(error, ProcessExpired):
            words = _last_words(error.exitcode)
            if self.memory_limit is not None:
                words += "; perhaps the memory limit is too low for what its libraries need"
            return Failure(Status.CRASH, words)
        return Failure(Status.CRASH, f"the worker was lost: {type(error).__name__}: {error}")

    def close(self) -> None:
        """Stop every worker, busy or not."""
        idle = (pool for pools in self._idle.values() for pool in pools)
        for pool in (*idle, *(pool for _, pool in self._busy.values())):
            _abandon(pool)
        self._idle, self._busy = {}, {}
        if self._shared:
            self._shared.cleanup()
            self._shared = None

    def _start(self, kind: str) -> ProcessPool:
        threads = str(self.threads or max(1, cores() // self.jobs))
        variables = {name: threads for name in _THREADS if name not in os.environ}
        if self.threads is not None:
            variables = dict.fromkeys((*_THREADS, *_POOLS), threads)
        for pause in (0.01, 0.1, 1.0, None):
            pool = ProcessPool(
                max_workers=1,
                initializer=_prepare,
                initargs=(kind, self.memory_limit, self.threads, variables, self.compiled()),
                context=self._context,
            )
            try:
                with _inherited(variables):
                    assert pool.active  # which starts it
                break
            except BrokenExecutor:
                # The process that forks workers was killed; another takes its place, once the
                # system has told that it is gone.
                if pause is None:
                    raise
                time.sleep(pause)
        return pool

    def compiled(self) -> str | None:
        """The folder for what the workers compile: the user's cache, or one for this run alone."""
        if self.threads is not None:
            return None
        kept = cache.folder() if self.cache else None
        if kept is None and self._shared is None:
            self._shared = tempfile.TemporaryDirectory(
                prefix="harness-", ignore_cleanup_errors=True
            )
        return str(kept) if kept else self._shared.name if self._shared else None


def _abandon(pool: ProcessPool) -> None:
    """Stop a pool without waiting for it: its process may be deaf, or dead in mid-message."""

    def end() -> None:
        with suppress(Exception):
            pool.stop()
            pool.join()

    threading.Thread(target=end, daemon=True).start()


def _last_words(code: int | None) -> str:
    """What is known of a process that ended by itself, from its exit code."""
    # The fork server tells a code once, and two threads of pebble may ask for it; the one that
    # comes too late is told 255.
    if code is None or code == 255:
        return "the process ended, with an exit code that is not known"
    if code >= 0:
        return f"the process ended with exit code {code}"
    with suppress(ValueError):
        return f"the process was killed by {signal.Signals(-code).name}"
    return f"the process was killed by signal {-code}"


def _prepare(
    kind: str,
    memory_limit: int | None,
    threads: int | None,
    variables: dict[str, str],
    shared: str | None,
) -> None:
    """Import the framework before the first task, so that no time limit counts it."""
    _end_with_parent()
    # Whoever forked this process may have been started with others.
    os.environ.update(variables)
    # For pebble a process that ends with 0 has done so on its order, and its task is still to come.
    os._exit = _never_silent(os._exit)  # type: ignore[assignment]
    if threads is not None and hasattr(os, "sched_setaffinity"):
        # The only limit that XLA's pools obey as well, and it ends wandering between processors.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    if shared is not None:
        reads.ignore(shared)
    if kind != REFEREE:
        # What a library makes while it loads stays: looking through it for garbage again and again
        # is a tenth of the time that loading takes.
        gc.disable()
        # A framework that cannot be imported says so in the row of every cell.
        with suppress(Exception):
            backends.make(kind).start(shared)
        gc.freeze()
        gc.enable()
    if memory_limit is not None:
        _limit(memory_limit)


@contextmanager
def no_silent_end() -> Iterator[None]:
    """Whatever ends this process meanwhile with `os._exit(0)` does not look like success."""
    leave = os._exit
    os._exit = _never_silent(leave)  # type: ignore[assignment]
    try:
        yield
    finally:
        os._exit = leave


def _never_silent(leave: Callable[[int], NoReturn]) -> Callable[[int], NoReturn]:
    return lambda status: leave(status or _SILENT)


def _end_with_parent() -> None:
    """Leave nothing behind when the parent is killed, even by a method that loops forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def watch() -> None:
        connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _limit(beyond: int) -> None:
    """Let this process allocate so many bytes more than it has now, or as many as it may."""
    import resource

    now = psutil.Process().memory_info().vms
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = min(now + beyond, sys.maxsize if hard == resource.RLIM_INFINITY else hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


@contextmanager
def _inherited(variables: dict[str, str]) -> Iterator[None]:
    """Processes that are started meanwhile have these variables, and are deaf to Ctrl-C, which is
    for the process that they serve."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    mask = None
    if hasattr(signal, "pthread_sigmask"):
        # The tracker of resources, which is started with the first process, lifts the mask.
        resource_tracker.ensure_running()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

"""From a plan to rows, by workers: what is sent where, when, and what becomes of what fails.

Each framework answers its cells of a group in one task, and when all have answered, the referee
judges the group in one more.

A task that dies or takes too long is repeated cell by cell, so that it costs no row but the one
whose fault it is; and because a worker may also be killed by somebody else, a cell on its own is
tried twice before it is called a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from typing import Any, Protocol

from harness import backends
from harness.cases.case import Case
from harness.cell import Cell
from harness.judging import rows
from harness.model import Failure, Row, Status
from harness.runs import tasks
from harness.runs.backlog import Backlog, Group, Work, grouped
from harness.runs.plan import Request
from harness.runs.workers import REFEREE


class Workers(Protocol):
    """Where tasks run; `harness.runs.workers` has those of this machine."""

    jobs: int

    def has(self, kind: str) -> bool:
        """Whether there is a worker for a framework."""

    def width(self, kind: str, left: float) -> int:
        """How many tasks of a kind (a framework, or the referee) may run at the same time, where
        one worker would need so many seconds for those that wait."""

    def submit(self, kind: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a task."""

    def release(self, future: Future[Any]) -> None:
        """Told of every future that is done, once its result has been seen."""

    def failure(self, error: BaseException) -> Failure:
        """Why a task ended without a result."""

    def close(self) -> None:
        """Stop everything."""


class Dispatcher:
    """Runs a plan on workers. It notes in `peaks` the most bytes that a worker of each kind held
    while it was at a case, and in `reads` the files that the code of each case has read."""

    def __init__(
        self,
        cases: Sequence[Case],
        request: Request,
        workers: Workers,
        peaks: dict[tuple[str, str], int] | None = None,
        reads: dict[str, dict[str, str]] | None = None,
    ) -> None:
        self._cases = {case.name: case for case in cases}
        self._request, self._workers = request, workers
        self._parcels: dict[str, bytes] = {}
        self._backlog, self._held = Backlog(), 0
        self._running: dict[Future[Any], Work] = {}
        self._peaks = {} if peaks is None else peaks
        self._reads = {} if reads is None else reads

    def run(self, plan: Sequence[Cell]) -> Iterator[tuple[Cell, list[Row]]]:
        """The rows of each cell, as they come."""
        for group in self._groups(plan):
            self._enqueue(group)
        try:
            while self._backlog or self._running:
                self._fill()
                done, _ = wait(self._running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from self._finish(future)
        finally:
            self._workers.close()

    def _groups(self, plan: Sequence[Cell]) -> list[Group]:
        """The longest code first, which has most to compile: what is left for the end is short."""
        groups = sorted(grouped(plan), key=lambda each: -len(self._cases[each.case].code.text))
        for number, group in enumerate(groups):
            group.number = number
        return groups

    def _enqueue(self, group: Group) -> None:
        foreign: dict[str, list[Cell]] = {}
        for cell in group.cells:
            kind = self._kind(cell)
            if kind != REFEREE:
                foreign.setdefault(kind, []).append(cell)
        group.awaited = sum(map(len, foreign.values()))
        for kind, cells in foreign.items():
            self._backlog.push(Work(kind, group, cells))
        if not foreign:
            self._backlog.push(Work(REFEREE, group, group.cells))

    def _kind(self, cell: Cell) -> str:
        """The worker that runs a cell's method; the referee says of a framework that it is not
        installed."""
        name, framework = cell.backend.method, backends.class_of(cell.backend).module
        return name if framework and self._workers.has(name) else REFEREE

    def _fill(self) -> None:
        """Start work while there is room."""
        while len(self._running) < self._workers.jobs:
            work = self._backlog.take(
                [*self._running.values()], self._workers.width, self._workers.jobs, self._held
            )
            if work is None:
                return
            self._running[self._submit(work)] = work

    def _submit(self, work: Work) -> Future[Any]:
        parcel = self._parcels.get(work.group.case)
        if parcel is None:
            # Cases come one after the other, so the last few are enough.
            while len(self._parcels) > 8:
                del self._parcels[next(iter(self._parcels))]
            parcel = tasks.pack(self._cases[work.group.case], self._request)
            self._parcels[work.group.case] = parcel
        if work.kind == REFEREE:
            cells = [(cell, work.group.answers.get(cell)) for cell in work.cells]
            return self._workers.submit(work.kind, tasks.verdicts, parcel, cells)
        return self._workers.submit(work.kind, tasks.answers, parcel, work.cells)

    def _finish(self, future: Future[Any]) -> Iterator[tuple[Cell, list[Row]]]:
        work = self._running.pop(future)
        error = future.exception()
        if error is None:
            done: tasks.Done[Any] = future.result()
            key, result = (work.group.case, work.kind), done.results
            self._peaks[key] = max(self._peaks.get(key, 0), done.peak)
            self._reads.setdefault(work.group.case, {}).update(done.reads)
            self._backlog.worked(work.kind, len(work.cells), done.seconds)
        else:
            result = self._failed(work, error)
        self._workers.release(future)
        if work.kind == REFEREE:
            for cell, found in zip(work.cells, result, strict=False):
                given = work.group.answers.pop(cell, None)
                self._held -= tasks.size_of(given) if given else 0
                yield cell, found
            return
        for cell, given in zip(work.cells, result, strict=False):
            work.group.answers[cell] = given
            self._held += tasks.size_of(given)
            work.group.awaited -= 1
        if result and not work.group.awaited:
            self._backlog.push(Work(REFEREE, work.group, work.group.cells))

    def _failed(self, work: Work, error: BaseException) -> list[Any]:
        """What stands for the results of a task that has none; nothing where it is tried again."""
        if len(work.cells) > 1:
            for cell in reversed(work.cells):
                self._backlog.push(Work(work.kind, work.group, [cell]))
            return []
        failure = self._workers.failure(error)
        # A pool that finds its process dead before it has heard that a task was begun knows neither
        # the task nor the signal.
        enough = 4 if isinstance(error, BrokenExecutor) else 2
        if failure.status == Status.CRASH and work.tries < enough:
            self._backlog.push(Work(work.kind, work.group, work.cells, work.tries + 1))
            return []
        (cell,) = work.cells
        modes = self._request.modes_of(cell)
        if work.kind != REFEREE:
            return [tasks.pack_answer(dict.fromkeys(modes, failure))]
        found = rows.uncompared(cell, modes, failure.status, f"judging: {failure.detail}")
        return [rows.declared(found, self._cases[cell.case].declared.known)]

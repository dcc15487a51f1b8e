"""From a plan to rows, by workers: what is sent where, when, and what becomes of what fails.

The cells of one case that share references form a group. Each framework answers its cells of the
group in one task, and when all have answered, the referee judges the group in one more. Groups are
worked off in order and whoever is furthest behind goes next, so that answers do not pile up.

A task that dies or takes too long is repeated cell by cell, so that it costs no row but the one
whose fault it is; and because a worker may also be killed by somebody else, a cell on its own is
tried twice before it is called a crash.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness import backends, rows
from harness.cases.case import Case
from harness.execution import tasks
from harness.execution.workers import REFEREE
from harness.model import Failure, Row, Status
from harness.plan import Cell, Request

#: Cells of a group, beyond which the next sample starts another one.
_GROUP = 96


class Workers(Protocol):
    """Where tasks run; `harness.execution.workers` has those of this machine."""

    jobs: int

    def has(self, kind: str) -> bool:
        """Whether there is a worker for a framework."""

    def width(self, kind: str) -> int:
        """How many tasks of a kind (a framework, or the referee) may run at the same time."""

    def submit(self, kind: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a task."""

    def release(self, future: Future[Any]) -> None:
        """Told of every future that is done, once its result has been seen."""

    def failure(self, error: BaseException) -> Failure:
        """Why a task ended without a result."""

    def close(self) -> None:
        """Stop everything."""


@dataclass
class _Group:
    number: int
    case: str
    cells: list[Cell]
    answers: dict[Cell, bytes] = field(default_factory=dict)
    awaited: int = 0


@dataclass
class _Task:
    kind: str
    group: _Group
    cells: list[Cell]
    tries: int = 1


class Dispatcher:
    """Runs a plan on workers, and notes in `peaks` the most bytes that a worker of each kind held
    while it was at a case."""

    def __init__(
        self,
        cases: Sequence[Case],
        request: Request,
        workers: Workers,
        peaks: dict[tuple[str, str], int] | None = None,
    ) -> None:
        self._cases = {case.name: case for case in cases}
        self._request, self._workers = request, workers
        self._parcels: dict[str, bytes] = {}
        self._queues: dict[str, deque[_Task]] = {}
        self._running: dict[Future[Any], _Task] = {}
        self._peaks = {} if peaks is None else peaks

    def run(self, plan: Sequence[Cell]) -> Iterator[tuple[Cell, list[Row]]]:
        """The rows of each cell, as they come."""
        for group in _groups(plan):
            self._enqueue(group)
        try:
            while self._queues or self._running:
                self._fill()
                done, _ = wait(self._running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from self._finish(future)
        finally:
            self._workers.close()

    def _enqueue(self, group: _Group) -> None:
        foreign: dict[str, list[Cell]] = {}
        for cell in group.cells:
            kind = self._kind(cell)
            if kind != REFEREE:
                foreign.setdefault(kind, []).append(cell)
        group.awaited = sum(map(len, foreign.values()))
        for kind, cells in foreign.items():
            self._push(_Task(kind, group, cells))
        if not foreign:
            self._push(_Task(REFEREE, group, group.cells))

    def _kind(self, cell: Cell) -> str:
        """The worker that runs a cell's method; the referee says of a framework that it is not
        installed."""
        name = cell.backend.partition(":")[0]
        framework = backends.backend_class(name).module
        return name if framework and self._workers.has(name) else REFEREE

    def _push(self, task: _Task) -> None:
        """Queue a task in the order of the groups; what is tried again comes first."""
        queue = self._queues.setdefault(task.kind, deque())
        position = 0
        if queue and task.group.number > queue[-1].group.number:
            position = len(queue)
        else:
            while position < len(queue) and queue[position].group.number < task.group.number:
                position += 1
        queue.insert(position, task)

    def _fill(self) -> None:
        """Start tasks while there is room."""
        while len(self._running) < self._workers.jobs:
            busy = [task.kind for task in self._running.values()]
            free = [kind for kind in self._queues if busy.count(kind) < self._workers.width(kind)]
            if not free:
                return
            kind = min(free, key=self._urgency)
            task = self._queues[kind].popleft()
            if not self._queues[kind]:
                del self._queues[kind]
            self._running[self._submit(task)] = task

    def _urgency(self, kind: str) -> tuple[int, float]:
        """Smallest for the furthest behind; between equals for what takes longest to start."""
        startup = 0.0 if kind == REFEREE else backends.backend_class(kind).startup
        return self._queues[kind][0].group.number, -startup

    def _submit(self, task: _Task) -> Future[Any]:
        parcel = self._parcels.get(task.group.case)
        if parcel is None:
            # Cases come one after the other, so the last few are enough.
            while len(self._parcels) > 8:
                del self._parcels[next(iter(self._parcels))]
            parcel = tasks.pack(self._cases[task.group.case], self._request)
            self._parcels[task.group.case] = parcel
        if task.kind == REFEREE:
            work = [(cell, task.group.answers.get(cell)) for cell in task.cells]
            return self._workers.submit(task.kind, tasks.verdicts, parcel, work)
        return self._workers.submit(task.kind, tasks.answers, parcel, task.cells)

    def _finish(self, future: Future[Any]) -> Iterator[tuple[Cell, list[Row]]]:
        task = self._running.pop(future)
        error = future.exception()
        if error is None:
            done: tasks.Done[Any] = future.result()
            key, result = (task.group.case, task.kind), done.results
            self._peaks[key] = max(self._peaks.get(key, 0), done.peak)
        else:
            result = self._failed(task, error)
        self._workers.release(future)
        if task.kind == REFEREE:
            for cell, found in zip(task.cells, result, strict=False):
                task.group.answers.pop(cell, None)
                yield cell, found
            return
        for cell, given in zip(task.cells, result, strict=False):
            task.group.answers[cell] = given
            task.group.awaited -= 1
        if result and not task.group.awaited:
            self._push(_Task(REFEREE, task.group, task.group.cells))

    def _failed(self, task: _Task, error: BaseException) -> list[Any]:
        """What stands for the results of a task that has none; nothing where it is tried again."""
        if len(task.cells) > 1:
            for cell in reversed(task.cells):
                self._push(_Task(task.kind, task.group, [cell]))
            return []
        failure = self._workers.failure(error)
        if failure.status == Status.CRASH and task.tries == 1:
            self._push(_Task(task.kind, task.group, task.cells, tries=2))
            return []
        (cell,) = task.cells
        modes = self._request.modes_of(cell)
        if task.kind != REFEREE:
            return [tasks.pack_answer(dict.fromkeys(modes, failure))]
        found = rows.uncompared(cell, modes, failure.status, failure.detail)
        return [rows.declared(found, self._cases[cell.case].declared.known)]


def _groups(plan: Sequence[Cell]) -> Iterator[_Group]:
    """Neighbours in the plan of one case, whole samples, up to a number of cells."""
    number, current = 0, _Group(0, "", [])
    last: tuple[str, ...] = ()
    for cell in plan:
        sample = (cell.case, cell.point, cell.size, cell.dtype, str(cell.training))
        full = len(current.cells) >= _GROUP and sample != last
        if current.cells and (cell.case != current.case or full):
            yield current
            number += 1
            current = _Group(number, cell.case, [])
        current.case, last = cell.case, sample
        current.cells.append(cell)
    if current.cells:
        yield current

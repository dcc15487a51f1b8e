"""What waits for a worker, and which of it goes next.

The cells of one case that share references form a group. Groups are worked off in order, and
whoever is furthest behind goes next, so that rows come early and answers do not pile up. Two things
take precedence. The framework that has most work left never waits: the run cannot end before it
does. And a second worker of a framework is for processors that would otherwise have nothing to do.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from harness import backends
from harness.cell import Cell
from harness.runs.tasks import Packed
from harness.runs.workers import REFEREE

#: Cells of a group, beyond which the next sample starts another one.
_GROUP = 96
#: Bytes of answers that may wait for their judge before only the oldest group goes on.
_HELD = 1 << 28


@dataclass
class Group:
    """Cells of one case, and what has been answered of them."""

    number: int
    case: str
    cells: list[Cell]
    answers: dict[Cell, Packed] = field(default_factory=dict)
    awaited: int = 0


@dataclass
class Work:
    """Cells of a group for one kind of worker."""

    kind: str
    group: Group
    cells: list[Cell]
    tries: int = 1


class Backlog:
    """Queues of work by kind, each in the order of its groups."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Work]] = {}
        self._cells: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def __bool__(self) -> bool:
        return bool(self._queues)

    def push(self, work: Work) -> None:
        """Queue work in the order of the groups; what is tried again comes first."""
        queue = self._queues.setdefault(work.kind, deque())
        position = 0
        if queue and work.group.number > queue[-1].group.number:
            position = len(queue)
        else:
            while position < len(queue) and queue[position].group.number < work.group.number:
                position += 1
        queue.insert(position, work)
        self._cells[work.kind] += len(work.cells)

    def worked(self, kind: str, cells: int, seconds: float) -> None:
        """Told how long some cells took, loading the framework not counted."""
        self._done[kind] += cells
        self._seconds[kind] += seconds

    def left(self, kind: str) -> float:
        """Seconds that one worker would need for what is queued, by what is known so far."""
        if self._done[kind]:
            return self._cells[kind] * self._seconds[kind] / self._done[kind]
        known = self._cells[kind] and kind != REFEREE
        return backends.backend_class(kind).startup if known else 0.0

    def take(
        self, running: Sequence[Work], width: Callable[[str, float], int], jobs: int, held: int
    ) -> Work | None:
        """What goes next beside what is running; None where nothing may.

        width:  how many tasks of a kind with so many seconds of work may run at the same time.
        jobs:   how many tasks may run in all.
        held:   bytes of answers that wait to be judged.
        """
        busy = Counter(work.kind for work in running)
        free = [kind for kind in self._queues if busy[kind] < width(kind, self.left(kind))]
        if held > _HELD:
            oldest = min(each.group.number for each in (*running, *self._heads()))
            free = [kind for kind in free if self._queues[kind][0].group.number == oldest]
        if not free:
            return None
        frameworks = self._queues.keys() - {REFEREE}
        chosen = max(frameworks, key=self.left, default=REFEREE)
        if jobs == 1 or busy[chosen] or chosen not in free:
            chosen = min(free, key=lambda kind: self._urgency(kind, busy[kind]))
        work = self._queues[chosen].popleft()
        if not self._queues[chosen]:
            del self._queues[chosen]
        self._cells[chosen] -= len(work.cells)
        return work

    def _heads(self) -> Iterator[Work]:
        return (queue[0] for queue in self._queues.values())

    def _urgency(self, kind: str, busy: int) -> tuple[int, int, float]:
        """Smallest for what has no worker yet, then for the furthest behind; between equals for
        the judge, and for what takes longest to start."""
        group = self._queues[kind][0].group.number
        if kind == REFEREE:
            return 0, group, -math.inf
        return busy, group, -backends.backend_class(kind).startup


def grouped(plan: Iterable[Cell]) -> Iterator[Group]:
    """Neighbours in the plan of one case, whole samples, up to a number of cells."""
    number, current = 0, Group(0, "", [])
    last: tuple[str, ...] = ()
    for cell in plan:
        sample = (cell.case, cell.point, cell.size, cell.dtype, str(cell.training))
        full = len(current.cells) >= _GROUP and sample != last
        if current.cells and (cell.case != current.case or full):
            yield current
            number += 1
            current = Group(number, cell.case, [])
        current.case, last = cell.case, sample
        current.cells.append(cell)
    if current.cells:
        yield current

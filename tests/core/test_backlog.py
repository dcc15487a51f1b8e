"""What goes next: the slowest framework never waits, one worker takes the groups in order, and
answers do not pile up."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.runs.backlog import Backlog, Group, Work, grouped
from harness.runs.plan import Cell
from harness.runs.workers import REFEREE, LocalWorkers

FRAMEWORKS = ("torch", "tensorflow", "jax")
HUGE = 1 << 40


def cell(case: str, point: str = "draw0", backend: str = "manual") -> Cell:
    return Cell(case, point, "default", "float64", backend)


def work(kind: str, number: int, cells: int = 1) -> Work:
    group = Group(number, f"case{number}", [])
    return Work(kind, group, [cell(group.case, f"draw{index}") for index in range(cells)])


def filled(groups: int, *kinds: str) -> Backlog:
    backlog = Backlog()
    for number in range(groups):
        for kind in kinds:
            backlog.push(work(kind, number))
    return backlog


def one(kind: str, left: float) -> int:
    return 1


def test_the_framework_with_most_work_left_goes_before_one_that_is_further_behind() -> None:
    backlog = filled(10, *FRAMEWORKS)
    for kind, seconds in (("torch", 5.0), ("tensorflow", 0.1), ("jax", 0.1)):
        backlog.worked(kind, 1, seconds)
    for number in range(9):
        found = backlog.take([work("tensorflow", 0)], one, 2, 0)
        assert found is not None
        assert (found.kind, found.group.number) == ("torch", number)


def test_before_anything_is_known_the_slowest_to_start_goes_first() -> None:
    found = filled(2, *FRAMEWORKS).take([], one, 2, 0)
    assert found is not None
    assert found.kind == "jax"


def test_one_task_at_a_time_takes_the_groups_in_order() -> None:
    backlog = filled(4, *FRAMEWORKS)
    backlog.worked("jax", 1, 1000.0)
    order = []
    while backlog:
        found = backlog.take([], one, 1, 0)
        assert found is not None
        order.append(found.group.number)
    assert order == sorted(order)


def test_judging_goes_before_answering_more() -> None:
    backlog = filled(4, "torch", "jax")
    backlog.push(work(REFEREE, 0))
    backlog.worked("jax", 1, 1000.0)
    found = backlog.take([work("jax", 1)], one, 2, 0)
    assert found is not None
    assert found.kind == REFEREE


def test_a_second_worker_is_for_what_is_left_over() -> None:
    backlog = filled(3, "torch", "jax")
    backlog.worked("jax", 1, 1000.0)
    workers = LocalWorkers(4)
    running = [work("jax", 0)]
    for kind in ("torch", "jax"):
        found = backlog.take(running, workers.width, 4, 0)
        assert found is not None
        assert found.kind == kind
        running.append(found)


def test_a_second_worker_has_to_be_worth_its_start() -> None:
    backlog = filled(3, "jax")
    backlog.worked("jax", 1, 0.01)
    assert backlog.take([work("jax", 0)], LocalWorkers(4).width, 4, 0) is None


def test_answers_that_wait_hold_up_those_who_are_ahead() -> None:
    backlog = filled(3, "torch")
    found = backlog.take([work("jax", 0)], one, 4, HUGE)
    assert found is not None
    assert found.group.number == 0
    assert backlog.take([work("jax", 0)], one, 4, HUGE) is None
    assert backlog.take([work("jax", 0)], one, 4, 0) is not None


def test_what_is_tried_again_comes_first() -> None:
    backlog = filled(3, "torch")
    first = backlog.take([], one, 4, 0)
    assert first is not None
    backlog.push(Work("torch", first.group, first.cells, tries=2))
    again = backlog.take([], one, 4, 0)
    assert again is not None
    assert (again.group.number, again.tries) == (0, 2)


@given(
    groups=st.integers(1, 6),
    jobs=st.integers(1, 5),
    seconds=st.dictionaries(st.sampled_from(FRAMEWORKS), st.floats(0, 1e4)),
    held=st.sampled_from([0, HUGE]),
)
def test_everything_is_taken_once_whatever_it_costs(
    groups: int, jobs: int, seconds: dict[str, float], held: int
) -> None:
    backlog = filled(groups, *FRAMEWORKS)
    for kind, each in seconds.items():
        backlog.worked(kind, 1, each)
    width = LocalWorkers(jobs).width
    running: list[Work] = []
    taken: Counter[tuple[str, int]] = Counter()
    while backlog or running:
        found = backlog.take(running, width, jobs, held) if len(running) < jobs else None
        if found is None:
            running.pop(0)
        else:
            running.append(found)
            taken[found.kind, found.group.number] += 1
    assert taken == Counter({(kind, n): 1 for kind in FRAMEWORKS for n in range(groups)})


@pytest.mark.parametrize("points", [1, 5, 200])
def test_a_group_is_of_one_case_and_of_whole_samples(points: int) -> None:
    plan = [
        cell(case, f"draw{index}", backend)
        for case in ("a", "b")
        for index in range(points)
        for backend in ("manual", "numeric", "torch")
    ]
    groups = list(grouped(plan))
    assert [each for group in groups for each in group.cells] == plan
    assert [group.number for group in groups] == list(range(len(groups)))
    for group in groups:
        assert {each.case for each in group.cells} == {group.case}
        assert len(group.cells) % 3 == 0
        assert len(group.cells) < 100

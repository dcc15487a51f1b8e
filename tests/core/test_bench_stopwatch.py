"""The stopwatch, by a clock of its own: what is called how often, and what is left out."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest
from builders import numerical
from hypothesis import given
from hypothesis import strategies as st

from harness.studies.bench.stopwatch import BLOCK, Stopwatch


class Machine:
    """A clock, and a call that takes what it is told to."""

    def __init__(self, seconds: Iterator[float]) -> None:
        self.now, self.called, self._seconds = 0.0, 0, seconds

    def clock(self) -> float:
        return self.now

    def call(self) -> None:
        self.called += 1
        self.now += next(self._seconds)


def watch(seconds: Iterator[float], budget: float = 1.0) -> tuple[Stopwatch, Machine]:
    machine = Machine(seconds)
    return Stopwatch(machine.call, budget, machine.clock), machine


@numerical
@given(st.floats(1e-8, 0.1))
def test_a_steady_call_is_timed_in_blocks_of_a_millisecond(each: float) -> None:
    timer, machine = watch(repeat(each))
    assert timer.calls * each >= BLOCK * (1 - 1e-9)
    before, called = machine.now, machine.called
    seconds, calls = timer.visit(0.05)
    assert seconds == pytest.approx(each, rel=1e-6)
    assert machine.now - before >= 0.05
    assert calls + timer.calls == machine.called - called or calls == timer.calls


def test_the_first_call_is_no_part_of_the_rest() -> None:
    timer, _ = watch(chain([5.0], repeat(0.01)), budget=10.0)
    assert timer.first == 5.0
    assert timer.visit(0.1)[0] == pytest.approx(0.01)


def test_warming_up_lasts_until_it_is_no_longer_faster() -> None:
    falling = [0.1 * 0.8**index for index in range(20)]
    timer, machine = watch(chain(falling, repeat(falling[-1])), budget=100.0)
    assert machine.called > len(falling)
    assert timer.visit(0.01)[0] == pytest.approx(falling[-1])


def test_warming_up_ends_with_its_budget() -> None:
    _, machine = watch((0.1 * 0.9**index for index in range(10_000)), budget=0.5)
    assert 0.5 <= machine.now < 0.7


def test_what_takes_longer_than_the_budget_is_called_once() -> None:
    timer, machine = watch(repeat(3.0), budget=1.0)
    assert machine.called == 1
    assert timer.visit(0.1) == (3.0, 1)
    assert machine.called == 2


def test_one_interrupt_moves_no_median() -> None:
    timer, _ = watch(chain(repeat(0.01, 10), [9.0], repeat(0.01)), budget=0.04)
    assert timer.visit(10.0)[0] == pytest.approx(0.01)


def test_the_first_block_of_a_visit_is_left_out() -> None:
    # Warm after five calls (one, then four of which three are no faster); then 0.02 and 0.01.
    timer, _ = watch(chain(repeat(0.01, 5), [0.02], repeat(0.01)), budget=1.0)
    seconds, calls = timer.visit(0.025)
    assert (seconds, calls) == (pytest.approx(0.01), 1)


@pytest.mark.parametrize("fault", [False, True])
def test_garbage_is_collected_again_afterwards(fault: bool) -> None:
    collecting: list[bool] = []

    def call() -> None:
        collecting.append(gc.isenabled())
        if fault and len(collecting) > 1:
            raise ValueError("no more")

    timer = Stopwatch(call, 0.0, clock=iter(range(1000)).__next__)
    _visit(timer, fault)
    assert gc.isenabled()
    assert collecting == [True, False]


def _visit(timer: Stopwatch, fault: bool) -> None:
    act: Callable[[], object] = lambda: timer.visit(0.5)  # noqa: E731
    if not fault:
        act()
        return
    with pytest.raises(ValueError, match="no more"):
        act()

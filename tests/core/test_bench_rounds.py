"""Who is timed when, by workers that make up their times; and the sizes of a sweep."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from builders import absent

from harness.cases.case import Case
from harness.errors import UsageError
from harness.model import TIMED, Failure, Status, Timing
from harness.runs.plan import Request, cells
from harness.studies.bench import sizes
from harness.studies.bench.rounds import VISITS, timings
from harness.studies.bench.worker import Visit

PYTHON = """
    def forward(xp, x, w):
        f = xp.sum(x) * w
        return f

    def backward(xp, df, x, w):
        return {"x": xp.ones_like(x) * df * w, "w": xp.sum(x) * df}
"""
YAML = """
    inputs:
      x: {shape: [n]}
      w: {shape: []}
    sizes:
      default: {n: 3, k: 1}
      large: {n: 30, k: 1}
      other: {n: 30, k: 2}
"""


class Timers:
    """Workers in this process that time nothing: `seconds(method, quantity, now)` says it."""

    jobs = 1

    def __init__(self, seconds: Callable[[str, str, int], Any]) -> None:
        self._seconds, self.order, self.closed = seconds, list[tuple[str, str]](), False

    def has(self, kind: str) -> bool:
        return True

    def width(self, kind: str, left: float) -> int:
        return 1

    def submit(self, kind: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        _, cell, quantity, _, _ = arguments
        future: Future[Any] = Future()
        found = self._seconds(cell.backend, quantity, len(self.order))
        self.order.append((cell.backend, quantity))
        if isinstance(found, BaseException):
            future.set_exception(found)
        else:
            future.set_result(found if isinstance(found, Failure) else Visit(found, 10, 7.0))
        return future

    def release(self, future: Future[Any]) -> None:
        assert future.done()

    def failure(self, error: BaseException) -> Failure:
        return Failure(Status.CRASH, str(error))

    def close(self) -> None:
        self.closed = True


def timed(
    made: Case, seconds: Callable[[str, str, int], Any], **request: Any
) -> tuple[dict[tuple[str, str], Timing], Timers]:
    """The timings of methods `manual` and `numeric`, and the workers."""
    asked = {"backends": ("manual", "numeric"), "modes": ("vjp",), "points": ("draw0",), "draws": 1}
    plan = cells([made], Request(**(asked | request)))
    workers = Timers(seconds)
    shown = list(timings([made], plan, workers, 1e6))
    assert len(shown) == VISITS * len(plan)  # what a progress bar counts
    assert workers.closed
    found = [each for _, some in shown for each in some]
    return {(each.backend, each.quantity): each for each in found}, workers


@pytest.fixture
def demo(case: Callable[..., Case]) -> Case:
    return case(PYTHON, YAML)


def test_the_methods_take_turns(demo: Case) -> None:
    found, workers = timed(demo, lambda *_: 0.5)
    turn = [(name, each) for name in ("manual", "numeric") for each in ("value", "gradient")]
    assert workers.order == turn * VISITS
    assert {each.status for each in found.values()} == {TIMED}
    one = found["manual", "value"]
    assert (one.median, one.low, one.high, one.visits, one.calls) == (0.5, 0.5, 0.5, 9, 90)
    assert one.compile == 6.5


def test_a_machine_that_slows_down_makes_nobody_the_faster(demo: Case) -> None:
    # Both are equal; in one go each, the second would have been slower by a half.
    found, _ = timed(demo, lambda _name, _quantity, now: 1.0 + now / 36)
    assert math.isnan(found["numeric", "gradient"].to_fastest)
    assert math.isnan(found["numeric", "gradient"].to_value)


def test_a_budget_ends_the_visits_and_too_few_are_said_to_be(demo: Case) -> None:
    found, workers = timed(demo, lambda name, *_: 3e4 if name == "numeric" else 1.0)
    assert workers.order.count(("numeric", "gradient")) == 4  # of ten calls each
    slow = found["numeric", "gradient"]
    assert (slow.visits, slow.low, slow.high) == (4, 0.0, math.inf)
    assert "too slow for 6 visits" in slow.detail
    assert math.isnan(slow.to_fastest)
    assert found["manual", "gradient"].visits == VISITS


@pytest.mark.parametrize("fault", [ConnectionError("gone"), Failure(Status.ERROR, "gone")])
def test_a_fault_is_one_line(demo: Case, fault: Any) -> None:
    def seconds(name: str, quantity: str, now: int) -> Any:
        return fault if (name, quantity) == ("manual", "gradient") and now > 4 else 1.0

    found, workers = timed(demo, seconds)
    assert found["manual", "gradient"].status in (Status.CRASH, Status.ERROR)
    assert found["manual", "gradient"].detail == "gone"
    assert workers.order.count(("manual", "gradient")) == 2
    assert {found[key].status for key in found if key != ("manual", "gradient")} == {TIMED}


def test_a_method_without_a_value_is_asked_for_no_gradient(demo: Case) -> None:
    found, workers = timed(
        demo, lambda name, *_: Failure(Status.TIMEOUT, "long") if name == "manual" else 1.0
    )
    assert workers.order.count(("manual", "value")) == 1
    assert ("manual", "gradient") not in workers.order
    assert found["manual", "gradient"].status == Status.TIMEOUT


def test_a_missing_framework_is_a_line(demo: Case) -> None:
    with absent("jax"):
        found, _ = timed(demo, lambda *_: 1.0, backends=("manual", "jax:jit"))
    assert found["jax:jit", "value"].status == Status.MISSING
    assert "pip install" in found["jax:jit", "value"].detail


def test_a_swept_size_is_a_size(demo: Case) -> None:
    made = sizes.swept(demo, sizes.parse(["n=100", "10", "100"]))
    assert made.declared.sizes["n=10"] == {"n": 10, "k": 1}
    assert list(demo.declared.sizes) == ["default", "large", "other"]
    asked = {"sizes": ("n=10", "n=100"), "backends": ("manual",)}
    plan = cells([made], Request(modes=("vjp",), points=("draw0",), draws=1, **asked))
    assert [cell.size for cell in plan] == ["n=10", "n=100"]
    workers = Timers(lambda *_: 1.0)
    found = [each for _, some in timings([made], plan, workers, 1e6) for each in some]
    assert {(each.axis, each.length) for each in found} == {("n", 10.0), ("n", 100.0)}


@pytest.mark.parametrize(
    ("names", "axis", "lengths"),
    [
        (("default",), "", {}),
        (("default", "large"), "n", {"default": 3.0, "large": 30.0}),
        (("large", "other"), "k", {"large": 1.0, "other": 2.0}),
        (("default", "other"), "", {}),
        (("default", "unknown"), "", {}),
    ],
)
def test_the_axis_is_the_one_dimension_that_differs(
    demo: Case, names: tuple[str, ...], axis: str, lengths: dict[str, float]
) -> None:
    assert sizes.axis(demo, names) == (axis, lengths)


@pytest.mark.parametrize(
    "words", ["default", "n=", "=3", "n=3,x", "n=0", "n=-1", "n=1.5", "n=10,m=20"]
)
def test_what_is_no_sweep_is_refused(words: str) -> None:
    with pytest.raises(UsageError, match=r"no sweep of a dimension.*--sizes n=100,1000,10000"):
        sizes.parse(words.split(","))


def test_an_unknown_dimension_is_refused(demo: Case) -> None:
    with pytest.raises(UsageError, match=r"no dimension `m`; choose from `k`, `n`"):
        sizes.swept(demo, sizes.parse(["m=3"]))

"""What travels between a worker and the referee: cases, cells and answers, as bytes."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from harness.cases.case import Case
from harness.dtypes import convert
from harness.model import Answer, Failure, Gradients, Status
from harness.runs import tasks
from harness.runs.engine import KEPT, Engine
from harness.runs.plan import Request, cells

#: Far above and far below the size from which on an array is not copied.
LARGE, SMALL = 100_000, 3


def travelled(found: Answer, protocol: int = pickle.HIGHEST_PROTOCOL) -> Answer:
    """An answer at the other end of a pipe."""
    return tasks.unpack_answer(pickle.loads(pickle.dumps(tasks.pack_answer(found), protocol)))


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(float(LARGE)),
        np.arange(float(SMALL)),
        np.asfortranarray(np.arange(float(LARGE)).reshape(100, -1)),
        np.arange(float(LARGE))[::2],
        np.broadcast_to(1.5, LARGE),
        np.arange(float(LARGE), dtype=np.float32),
        convert(np.arange(float(LARGE)), "bfloat16"),
        np.array(2.5),
        np.zeros((0, 3)),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_an_array_arrives_as_it_was(array: np.ndarray, protocol: int) -> None:
    found = Gradients({"f": array}, {"x": array.copy()}, seconds=0.5)
    there = travelled({"vjp": found, "value": found}, protocol)
    gradients = there["vjp"]
    assert isinstance(gradients, Gradients)
    assert there["value"] is gradients
    for got in (gradients.values["f"], gradients.gradients["x"]):
        assert got.dtype == array.dtype
        np.testing.assert_array_equal(got, array)


def test_a_failure_arrives_as_it_was() -> None:
    failure = Failure(Status.ERROR, "why")
    assert travelled({"vjp": failure}) == {"vjp": failure}


def test_a_large_array_is_not_copied_to_be_packed() -> None:
    large, small = np.arange(float(LARGE)), np.arange(float(SMALL))
    packed = tasks.pack_answer({"vjp": Gradients({"f": large}, {"x": small})})
    assert len(packed.large) == 1
    assert np.shares_memory(packed.large[0], large)


SOMETIMES = """
    def forward(xp, x):
        f = x * x
        return f

    def backward(xp, df, x):
        return {"x": 2 * x * df}

    def inputs(rng):
        x = rng.uniform()
        if x > 0.5:
            raise ValueError("too large")
        return {"x": x}
"""


def test_a_task_answers_as_each_cell_alone_does(case: Callable[..., Case]) -> None:
    """Also where samples cannot be drawn, and there are more of them than are kept."""
    made = case(SOMETIMES, "inputs: {x: {}}\n")
    request = Request(backends=("manual",), modes=("value", "vjp"), draws=3 * KEPT)
    plan = cells([made], request)
    done = tasks.answers(tasks.pack(made, request), plan)
    assert len(done.results) == len(plan)
    statuses = set()
    for cell, packed in zip(plan, done.results, strict=True):
        alone = Engine([made], request).answer(cell)["vjp"]
        together = tasks.unpack_answer(packed)["vjp"]
        statuses.add(type(alone))
        if isinstance(alone, Failure):
            assert together == alone
        else:
            assert isinstance(together, Gradients)
            np.testing.assert_array_equal(together.gradients["x"], alone.gradients["x"])
    assert statuses == {Failure, Gradients}


@pytest.mark.parametrize("generator", ["np.random", "rng"])
def test_an_answer_about_other_numbers_is_no_fault_of_the_method(
    case: Callable[..., Case], generator: str
) -> None:
    made = case(
        f"""
        import numpy as np

        def forward(xp, x):
            f = x * x
            return f

        def backward(xp, df, x):
            return {{"x": 2 * x * df}}

        def inputs(rng):
            return {{"x": {generator}.uniform(size=2)}}
        """,
        "inputs: {x: {}}\n",
    )
    np.random.seed(1)  # noqa: NPY002 - it is what a case should not draw from
    request = Request(backends=("manual",), draws=1, modes=("value", "vjp"))
    (cell,) = cells([made], request)
    # Two packages are two engines, as in two processes.
    there, here = (tasks.pack(made, replace(request, step=step)) for step in (1e-3, 1e-4))
    (given,) = tasks.answers(there, [cell]).results
    (rows,) = tasks.verdicts(here, [(cell, given)]).results
    if generator == "rng":
        assert {row.status for row in rows} == {Status.PASS}
        return
    assert [(row.mode, row.status) for row in rows] == [
        ("value", Status.ERROR),
        ("vjp", Status.ERROR),
    ]
    assert f"{made.code.file}: `inputs` does not return the same numbers" in rows[0].detail
    assert "draw them from `rng`" in rows[0].detail

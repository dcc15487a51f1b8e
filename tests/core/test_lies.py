"""A backend that lies turns a built-in case red: each lie, each case, each sample.

The liar wraps the honest hand-written backward, so everything but the lie is right; the control
test shows that without a lie the same wrapper is good everywhere. At a kink several numbers are
right, zero often among them, so a lie that may be one of those is told on the random draws, which
avoid the kinks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from harness import backends
from harness.backends.base import VJP, Backend
from harness.backends.manual import ManualBackend
from harness.cases.case import Case, load
from harness.cases.registry import builtin_folder
from harness.cases.sampling import draw_sample
from harness.model import Gradients, Row, Sample, Status, Task
from harness.programs import trees
from harness.programs.program import Program
from harness.runs.engine import Engine
from harness.runs.plan import Request, cells

Lie = Callable[[Gradients, Sample], Gradients]
#: Not those transcribed from libraries: a lie is told about numbers, whoever computed them.
CASES = sorted(
    file.stem
    for file in builtin_folder().glob("*.yaml")
    if "tags: [library" not in file.read_text("utf-8")
)


class Liar(Backend):
    """Tells `lie` about the gradients that an honest method computed."""

    name = "liar"
    written = False
    lie: Lie = staticmethod(lambda found, _: found)

    def differentiate(self, program: Program, sample: Sample, task: Task = VJP) -> Gradients:
        found = ManualBackend().differentiate(program, sample, task)
        # The honest method reports more intermediates than it was asked for.
        found.intermediates = {name: found.intermediates[name] for name in task.intermediates}
        return type(self).lie(found, sample)


def each(change: Callable[[np.ndarray], np.ndarray]) -> Lie:
    """A lie that changes every gradient in the same way."""

    def lie(found: Gradients, _: Sample) -> Gradients:
        gradients = {path: change(array) for path, array in found.gradients.items()}
        return replace(found, gradients=gradients)

    return lie


def missing_key(found: Gradients, _: Sample) -> Gradients:
    first = next(iter(found.gradients))
    return replace(found, gradients={k: v for k, v in found.gradients.items() if k != first})


def mutated_input(found: Gradients, sample: Sample) -> Gradients:
    leaf = trees.flatten(sample.inputs)[sample.differentiable[0]]
    leaf[...] = leaf + 1
    return found


def scaled_value(found: Gradients, _: Sample) -> Gradients:
    return replace(found, values={k: array * (1 + 1e-6) for k, array in found.values.items()})


class Stale:
    """Returns what it computed for the previous sample."""

    def __init__(self) -> None:
        self.previous: Gradients | None = None

    def __call__(self, found: Gradients, _: Sample) -> Gradients:
        told, self.previous = self.previous or found, found
        return told


LIES: dict[str, Callable[[], Lie]] = {
    "zeros": lambda: each(np.zeros_like),
    "scaled": lambda: each(lambda array: array * (1 + 1e-6)),
    "nan": lambda: each(lambda array: np.full_like(array, np.nan)),
    "missing key": lambda: missing_key,
    "float32": lambda: each(lambda array: array.astype(np.float32)),
    "wrong shape": lambda: each(lambda array: array[np.newaxis]),
    "stale": Stale,
    "mutated input": lambda: mutated_input,
    "scaled value": lambda: scaled_value,
}


@pytest.fixture(autouse=True)
def liar() -> Iterator[None]:
    """Make `liar` a backend."""
    with backends.registered(Liar):
        yield


@pytest.fixture(scope="module")
def loaded() -> dict[str, Case]:
    return {name: load(builtin_folder() / f"{name}.yaml") for name in CASES}


DRAWS = ("draw0", "draw1", "draw2")


def told(
    case: Case, lie: Lie, monkeypatch: pytest.MonkeyPatch, points: tuple[str, ...] = ()
) -> list[list[Row]]:
    """The rows of every sample of a case, or of those at `points`, when `liar` tells a lie."""
    monkeypatch.setattr(Liar, "lie", staticmethod(lie))
    request = Request(backends=("liar",), modes=("value", "vjp"), points=points)
    return [rows for _, rows in Engine([case], request).run(cells([case], request))]


@pytest.mark.parametrize("name", CASES)
def test_the_wrapper_is_good_when_it_tells_the_truth(
    loaded: dict[str, Case], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = told(loaded[name], lambda gradients, _: gradients, monkeypatch)
    bad = [row for rows in found for row in rows if row.status != Status.PASS]
    if name.startswith("kink_"):
        bad = [row for row in bad if row.status != Status.KINK and not nowhere(row)]
    assert bad == []


def nowhere(row: Row) -> bool:
    """Whether no number is right, or none is known to be: off the domain, or at a jump."""
    said = ("the reference is not finite here", "no element of it is known", "no derivative exists")
    return any(each in row.detail for each in said)


#: Lies that another convention at a kink may make true.
RELATIVE = ("zeros", "scaled", "stale", "scaled value")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_seen_on_every_sample(
    loaded: dict[str, Case], name: str, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = loaded[name]
    points = DRAWS if name.startswith("kink_") and lie in RELATIVE else ()
    found = told(case, LIES[lie](), monkeypatch, points)
    # Nobody can tell what is stale at the first sample.
    judged = found[1:] if lie == "stale" else found
    assert judged
    judged = [rows for rows in judged if not any(map(nowhere, rows))]
    unseen = [rows[0].point for rows in judged if all(row.good for row in rows)]
    assert all(is_true(case, lie, point) for point in unseen), (unseen, lie)


def is_true(case: Case, lie: str, point: str) -> bool:
    """Whether a lie is none: the gradient of floor is zero, and so is twice that."""
    sample = draw_sample(case, point, "default", "float64")
    honest = ManualBackend().differentiate(case.program, sample)
    arrays = honest.values if lie == "scaled value" else honest.gradients
    if lie == "stale":
        before = DRAWS[DRAWS.index(point) - 1]
        sample = draw_sample(case, before, "default", "float64")
        told_ = ManualBackend().differentiate(case.program, sample)
        return all(np.array_equal(told_.gradients[key], arrays[key]) for key in arrays)
    return lie in RELATIVE and not any(np.any(array) for array in arrays.values())

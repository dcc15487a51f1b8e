"""A backend that lies turns every built-in case red: each lie, each case, each sample.

The liar wraps the honest hand-written backward, so everything but the lie is right; the control
test shows that without a lie the same wrapper is good everywhere. At a kink several numbers are
right, zero often among them, so a case of kinks is only told what is wrong everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from harness import backends, trees
from harness.backends.base import Backend
from harness.backends.manual import ManualBackend
from harness.cases.case import Case, load
from harness.cases.registry import builtin_folder
from harness.engine import Engine
from harness.model import Gradients, Row, Sample, Status
from harness.plan import Request, cells
from harness.staging import Program

Lie = Callable[[Gradients, Sample], Gradients]
CASES = sorted(file.stem for file in builtin_folder().glob("*.yaml"))


class Liar(Backend):
    """Tells `lie` about the gradients that an honest method computed."""

    name = "liar"
    lie: Lie = staticmethod(lambda found, _: found)

    def differentiate(
        self,
        program: Program,
        sample: Sample,
        *,
        gradient: bool = True,
        intermediates: Sequence[str] = (),
    ) -> Gradients:
        found = ManualBackend().differentiate(
            program, sample, gradient=gradient, intermediates=intermediates
        )
        # The honest method reports more intermediates than it was asked for.
        found.intermediates = {name: found.intermediates[name] for name in intermediates}
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
def liar(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make `liar` a backend, as an entry point of another package would."""
    entry = SimpleNamespace(name="liar", load=lambda: Liar)
    monkeypatch.setattr(backends, "_installed", lambda: {"liar": entry})
    backends.backend_class.cache_clear()
    yield
    backends.backend_class.cache_clear()


@pytest.fixture(scope="module")
def loaded() -> dict[str, Case]:
    return {name: load(builtin_folder() / f"{name}.yaml") for name in CASES}


def told(case: Case, lie: Lie, monkeypatch: pytest.MonkeyPatch) -> list[list[Row]]:
    """The rows of every sample of a case when `liar` tells a lie."""
    monkeypatch.setattr(Liar, "lie", staticmethod(lie))
    request = Request(backends=("liar",), modes=("value", "vjp"))
    return [rows for _, rows in Engine([case], request).run(cells([case], request))]


@pytest.mark.parametrize("name", CASES)
def test_the_wrapper_is_good_when_it_tells_the_truth(
    loaded: dict[str, Case], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = told(loaded[name], lambda gradients, _: gradients, monkeypatch)
    bad = [row for rows in found for row in rows if row.status != Status.PASS]
    if name.startswith("kink_"):
        # Where nothing finite is right, a case declares a gap of its own method.
        nowhere = "the reference is not finite here"
        bad = [row for row in bad if row.status != Status.KINK and nowhere not in row.detail]
    assert bad == []


#: Lies that another convention at a kink, a gradient of zero or a value of zero makes true.
RELATIVE = ("zeros", "scaled", "stale", "scaled value")


@pytest.mark.parametrize(
    ("lie", "name"),
    [
        (lie, name)
        for lie in LIES
        for name in CASES
        if not (name.startswith("kink_") and lie in RELATIVE)
    ],
)
def test_a_lie_is_seen_on_every_sample(
    loaded: dict[str, Case], name: str, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = told(loaded[name], LIES[lie](), monkeypatch)
    # Nobody can tell what is stale at the first sample.
    judged = found[1:] if lie == "stale" else found
    assert judged
    for rows in judged:
        assert any(not row.good for row in rows), (rows[0].point, lie)

"""The names of methods: text that knows its two parts, wherever it comes from."""

from __future__ import annotations

import pickle

import pytest

from harness import backends
from harness.errors import UsageError
from harness.label import Label
from harness.runs.plan import Cell


@pytest.mark.parametrize(
    ("text", "method", "variant", "native"),
    [
        ("torch", "torch", "", False),
        ("jax:jit", "jax", "jit", False),
        ("torch:native", "torch", "native", True),
    ],
)
def test_a_label_knows_its_parts(text: str, method: str, variant: str, native: bool) -> None:
    label = Label.of(method, variant)
    assert label == text
    assert (label.method, label.variant, label.native) == (method, variant, native)


def test_a_label_survives_the_way_to_a_worker() -> None:
    assert isinstance(pickle.loads(pickle.dumps(Label("jax:jit"))), Label)


def test_a_cell_may_be_given_its_label_as_text() -> None:
    assert Cell("c", "p", "default", "float64", "jax:jit").backend.method == "jax"


@pytest.mark.parametrize("text", ["tosch", "torch:compil"])
def test_an_unknown_label_is_refused_with_the_nearest_one(text: str) -> None:
    with pytest.raises(UsageError, match="did you mean"):
        backends.known_label(text)

"""Which numbers are a gradient at a kink, all of them together."""

from __future__ import annotations

import numpy as np
import pytest
from builders import numerical
from hypothesis import given
from hypothesis import strategies as st

from harness.truth.subgradient import Hull


def pieces(ties: list[list[float]], pairs: int = 24, seed: int = 0) -> np.ndarray:
    """Rows of the gradient of a sum of max(a_j v, b_j v), each tie of two vectors."""
    rng = np.random.default_rng(seed)
    rows = []
    vectors = np.array(ties)
    for _ in range(pairs):
        v = rng.normal(size=vectors.shape[-1])
        for sign in (1, -1):
            choice = (vectors @ (sign * v)).argmax(axis=1)
            rows.append(vectors[np.arange(len(vectors)), choice].sum(axis=0))
    return np.array(rows)


TWO = [[[1.0, 0.0], [0.0, 1.0]]]
THREE = [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]
APART = [[[1.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]]


@pytest.mark.parametrize(
    ("ties", "numbers", "inside"),
    [
        (TWO, [1, 0], True),
        (TWO, [0.3, 0.7], True),
        (TWO, [1, 1], False),
        (TWO, [0, 0], False),
        (THREE, [1 / 3, 1 / 3, 1 / 3], True),
        (THREE, [0.5, 0.5, 0], True),
        (THREE, [1, 1, 1], False),
        (THREE, [0.5, 0.5, 0.5], False),
        (APART, [1, 1], True),
        (APART, [0.2, 0.9], True),
        (APART, [1.1, 0.5], False),
    ],
)
def test_a_joint_gradient_lies_in_the_hull_of_the_pieces(
    ties: list[list[float]], numbers: list[float], inside: bool
) -> None:
    hull = Hull.of(pieces(ties))
    assert hull.surely
    assert bool(np.abs(hull.beyond(np.array(numbers, float))).max() < 1e-9) == inside


def test_two_hundred_ties_are_told_apart() -> None:
    """2**200 pieces, of which 64 are seen."""
    rng = np.random.default_rng(1)
    rows = []
    for _ in range(32):
        fall = rng.random(200) < 0.5
        rows += [np.where(fall, 1.0, 0.0), np.where(fall, 0.0, 1.0)]
    hull = Hull.of(np.repeat(np.array(rows), 3, axis=1) * np.tile([1.0, -2.0, 1e-30], 200))
    assert hull.surely
    assert len(hull.groups) == 200
    share = rng.random(200)
    numbers = np.repeat(share, 3) * np.tile([1.0, -2.0, 1e-30], 200)
    assert np.abs(hull.beyond(numbers)).max() < 1e-9
    numbers[3 * 77 + 2] *= -1  # however small, it must share its tie with its neighbours
    assert np.abs(hull.beyond(numbers)).max() > 1e-3


def test_few_pieces_do_not_say_surely_that_there_is_no_other() -> None:
    assert not Hull.of(pieces(APART, pairs=3)).surely


@numerical
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(2, 5))
def test_whatever_mixes_the_pieces_is_inside(seed: int, ties: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    rows = pieces(rng.normal(size=(ties, 2, size)).tolist(), seed=seed)
    weights = rng.dirichlet(np.ones(len(rows)))
    assert np.abs(Hull.of(rows).beyond(weights @ rows)).max() < 1e-7

"""The unforgivable bug: a ball that does not contain the true value. These tests hunt for one.

Few bits make the hunt harder on the balls: at 24 bits every operation rounds.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
import referee_trees as trees
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from referee_truth import DIGITS, STEP, elements, holds, numbers

from harness import referee as r
from harness.referee.array import BallArray
from harness.referee.taylor import Taylor

BITS = st.sampled_from([24, 53, 128, 300])
ORDER = 2
QUIET = settings(
    derandomize=True,
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
points = st.lists(trees.dyadics, min_size=trees.VARIABLES, max_size=trees.VARIABLES)
directions = st.lists(
    st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]),
    min_size=trees.VARIABLES,
    max_size=trees.VARIABLES,
)


def evaluated(tree: Any, x: list[float], v: list[float], bits: int, xp: Any = r.xp) -> Any:
    """The tree on series and on plain balls; None where the comparisons stay undecided."""

    def along() -> BallArray:
        return trees.balls(tree, xp, [r.lift_along(a, b, ORDER) for a, b in zip(x, v, strict=True)])

    def plain() -> BallArray:
        return trees.balls(tree, xp, [r.lift(np.float64(a)) for a in x])

    try:
        return r.with_precision(along, bits), r.with_precision(plain, bits)
    except r.Undecided:
        return None


def known(x: BallArray) -> range:
    """The coefficients that are claimed to be known."""
    return range(ORDER + 1 if x.order is None else min(ORDER, x.order) + 1)


def missed_rational(
    tree: Any, x: list[float], v: list[float], bits: int, xp: Any = r.xp
) -> list[str]:
    """Coefficients that the balls do not contain, against exact fractions."""
    series = [
        [Fraction(a), Fraction(b), *[Fraction(0)] * (trees.LENGTH - 2)]
        for a, b in zip(x, v, strict=True)
    ]
    found = evaluated(tree, x, v, bits, xp)
    try:
        truth = trees.rational(tree, series)
        at = trees.rational(tree, [trees.number(a) for a in x])
    except trees.Outside:
        return []
    if found is None:
        return []
    along, plain = found
    missed = [
        f"t**{k}: {elements(along, k)[0]} misses {truth[k]}"
        for k in known(along)
        if k < len(truth) and not holds(elements(along, k)[0], truth[k])
    ]
    if not holds(elements(plain, 0)[0], at[0]):
        missed.append(f"value: {elements(plain, 0)[0]} misses {at[0]}")
    return missed


def missed_real(tree: Any, x: list[float], v: list[float], bits: int, xp: Any = r.xp) -> list[str]:
    """Coefficients that the balls do not contain, against mpmath at 300 digits."""
    found = evaluated(tree, x, v, bits, xp)
    if found is None:
        return []
    with mpmath.workdps(DIGITS):
        h = mpmath.mpf(STEP)
        start, slope = list(numbers(x)), list(numbers(v))
        try:
            before, middle, after = (
                trees.real(tree, [a + t * b for a, b in zip(start, slope, strict=True)])
                for t in (-h, mpmath.mpf(0), h)
            )
        except trees.Outside:
            return []
        truth = [middle, (after - before) / (2 * h), (before - 2 * middle + after) / (2 * h * h)]
        # The error of a difference grows with the third and fourth derivative: skip the wild.
        if any(abs(each) > mpmath.mpf(10) ** 12 for each in truth):
            return []
    along, plain = found
    slack = mpmath.mpf("1e-45")
    missed = [
        f"t**{k}: {elements(along, k)[0]} misses {mpmath.nstr(truth[k], 30)}"
        for k in known(along)
        if not holds(elements(along, k)[0], truth[k], slack)
    ]
    if not holds(elements(plain, 0)[0], truth[0], slack):
        missed.append(f"value: {elements(plain, 0)[0]} misses {mpmath.nstr(truth[0], 30)}")
    return missed


@QUIET
@given(trees.expressions(trees.RATIONAL_UNARY, trees.RATIONAL), points, directions, BITS)
def test_rational_trees(tree: Any, x: list[float], v: list[float], bits: int) -> None:
    assert missed_rational(tree, x, v, bits) == []


@QUIET
@given(
    trees.expressions(
        ("negative", "square", "abs", "cube", *trees.SMOOTH_UNARY),
        (*trees.RATIONAL, *trees.SMOOTH_BINARY),
    ),
    points,
    directions,
    BITS,
)
def test_smooth_trees(tree: Any, x: list[float], v: list[float], bits: int) -> None:
    assert missed_real(tree, x, v, bits) == []


UNSOUND = ["add", "multiply", "divide", "abs", "maximum", "square"]


def shrunk(result: BallArray, k: int) -> BallArray:
    """Coefficient k moved by a few radii: what a forgotten rounding error looks like."""
    parts = list(result.series.parts)
    if k >= len(parts):
        return result
    out = np.empty(parts[k].shape, object)
    for index in np.ndindex(parts[k].shape):
        each = parts[k][index]
        out[index] = each.mid() * (1 + each.mid() * 0 + 2.0**-20)
    parts[k] = out
    return BallArray(Taylor(tuple(parts), result.series.order, result.series.degree))


@pytest.mark.parametrize("name", UNSOUND)
@pytest.mark.parametrize("k", [0, 1])
def test_the_hunt_finds_an_unsound_function(
    name: str, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    xp = r.namespace()
    right = getattr(xp, name)
    monkeypatch.setitem(xp.__dict__, name, lambda *each: shrunk(right(*each), k))
    tree = (name, ("multiply", 0, 0), 1) if name in trees.RATIONAL else (name, ("multiply", 0, 0))
    x, v = [1.1, 0.3, 0.7], [1.0, 0.25, -1.0]
    assert missed_rational(tree, x, v, 128, xp)
    if name not in ("floor", "sign"):
        assert missed_real(tree, x, v, 128, xp)


@QUIET
@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(0, 2**32 - 1),
    BITS,
)
def test_matrix_products_contain_the_exact_one(
    m: int, k: int, n: int, seed: int, bits: int
) -> None:
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        scaled = rng.normal(size=shape) * 10.0 ** rng.integers(-12, 12, shape)
        return np.where(rng.random(shape) < 0.3, 0.0, scaled)

    a, b, da, db = draw(m, k), draw(k, n), draw(m, k), draw(k, n)
    fractions = np.frompyfunc(Fraction, 1, 1)
    A, B, dA, dB = (fractions(each.astype(object)) for each in (a, b, da, db))
    product = r.with_precision(
        lambda: r.xp.matmul(r.lift_along(a, da, 2), r.lift_along(b, db, 2)), bits
    )
    for power, truth in enumerate((A @ B, dA @ B + A @ dB, dA @ dB)):
        for ball, number in zip(elements(product, power), truth.ravel(), strict=True):
            assert holds(ball, Fraction(number))


@QUIET
@given(st.integers(1, 5), st.integers(0, 2**32 - 1), st.sampled_from([24, 128]), st.booleans())
def test_determinants_and_inverses_contain_the_exact_ones(
    n: int, seed: int, bits: int, singular: bool
) -> None:
    rng = np.random.default_rng(seed)
    a, da = rng.integers(-3, 4, (n, n)).astype(float), rng.integers(-3, 4, (n, n)).astype(float)
    if singular:
        a[-1] = a[0] if n > 1 else 0.0
    entries = [
        [[Fraction(x), Fraction(v), Fraction(0)] for x, v in zip(*row, strict=True)]
        for row in zip(a, da, strict=True)
    ]
    truth = laplace(entries)

    def compute() -> tuple[BallArray, BallArray | None]:
        lifted = r.lift_along(a, da, 2)
        determinant = r.xp.linalg.det(lifted)
        try:
            return determinant, r.xp.linalg.inv(lifted) @ lifted
        except r.Undecided:
            return determinant, None

    determinant, unit = r.with_precision(compute, bits)
    for power in known(determinant):
        assert holds(elements(determinant, power)[0], truth[power])
    if truth[0] == 0:
        assert unit is None
    elif unit is not None:
        for power in range(3):
            wanted = np.eye(n).ravel() if power == 0 else np.zeros(n * n)
            for ball, number in zip(elements(unit, power), wanted, strict=True):
                assert holds(ball, Fraction(float(number)))


def laplace(rows: list[list[trees.Series]]) -> trees.Series:
    """The determinant by expansion along the first row."""
    if len(rows) == 1:
        return rows[0][0]
    total = [Fraction(0)] * len(rows[0][0])
    for column, head in enumerate(rows[0]):
        minor = [row[:column] + row[column + 1 :] for row in rows[1:]]
        term = trees.product(head, laplace(minor))
        total = [a + (-1) ** column * b for a, b in zip(total, term, strict=True)]
    return total

"""Random programs over arrays: ties, zeros, huge and tiny numbers, empty arrays, masks, integers.

Two witnesses share nothing with the calculus of series. numpy says what the values, shapes and
kinds are at ordinary numbers. And what a series claims to happen for t -> 0+, at kinks and
removable singularities too, plain balls of 9000 bits say at t = h, 2h, 3h with h = 2**-1500.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flint import arb

from harness import referee as r
from harness.errors import Unsupported
from harness.programs.namespace import of_numpy
from harness.referee.array import BallArray
from harness.referee.elements import balls_of
from harness.referee.taylor import constant

BITS, MANY = 256, 9000
STEP = arb((1, -1500))
NUMPY = of_numpy()
UNARY = """
    exp expm1 log log1p log2 log10 sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh sqrt
    square reciprocal abs negative positive sign floor ceil trunc round erf erfc lgamma digamma
""".split()
BINARY = """
    add subtract multiply divide pow maximum minimum hypot atan2 logaddexp remainder floor_divide
""".split()
COMPARED = "less less_equal greater greater_equal equal not_equal".split()
REDUCED = "sum prod mean var std max min logsumexp".split()


def unary(name: str) -> Callable[..., Any]:
    return lambda xp, x, y: getattr(xp, name)(x)


def binary(name: str) -> Callable[..., Any]:
    return lambda xp, x, y: getattr(xp, name)(x, y)


def chosen(name: str) -> Callable[..., Any]:
    return lambda xp, x, y: xp.where(getattr(xp, name)(x, y), 2 * x, y)


def masked(name: str) -> Callable[..., Any]:
    return lambda xp, x, y: getattr(xp, name)(x, y) * x + (1 - (x > 0)) * y


def filled(x: Any) -> Any:
    """x, if it has elements; of none, not everybody has exponentials whose largest is shifted."""
    if not x.size:
        raise ValueError("no element")
    return x


def reduced(name: str, axis: int | None) -> Callable[..., Any]:
    def of(xp: Any, x: Any, y: Any) -> Any:
        some = filled(x) if name == "logsumexp" else x
        return getattr(xp, name)(some, axis=axis, keepdims=axis is None)

    return of


def gram(xp: Any, x: Any) -> Any:
    return xp.matmul(x, xp.matrix_transpose(x))


STEPS: list[Callable[..., Any]] = [
    *[unary(name) for name in UNARY],
    *[binary(name) for name in BINARY] * 2,
    *[chosen(name) for name in COMPARED],
    *[masked(name) for name in COMPARED],
    *[reduced(name, axis) for name in REDUCED for axis in (None, -1)],
    lambda xp, x, y: x**2 - 2**y,
    lambda xp, x, y: x**1.5,
    lambda xp, x, y: 3 / x + x // 0.5,
    lambda xp, x, y: xp.astype(x, xp.int64) * y,
    lambda xp, x, y: xp.clip(x, -0.5, 1),
    lambda xp, x, y: xp.where(x == xp.max(x), x, y),
    lambda xp, x, y: xp.argmax(x, axis=-1) + 0 * xp.max(x, axis=-1),
    lambda xp, x, y: xp.sort(x),
    lambda xp, x, y: xp.cumulative_sum(x, axis=-1),
    lambda xp, x, y: xp.cumulative_prod(x, axis=-1),
    lambda xp, x, y: xp.concat([x, x[..., :1]], axis=-1),
    lambda xp, x, y: xp.stack([x, x]),
    lambda xp, x, y: xp.pad(x, 1, constant_values=2),
    lambda xp, x, y: xp.diff(x),
    lambda xp, x, y: x[..., 1:],
    lambda xp, x, y: x[..., :0],
    lambda xp, x, y: gram(xp, x) if x.ndim > 1 else xp.vecdot(x, x),
    lambda xp, x, y: xp.linalg.det(gram(xp, x)) if x.ndim > 1 else x,
    lambda xp, x, y: xp.linalg.vector_norm(x),
    lambda xp, x, y: xp.einsum("...i,...i->...", x, x),
    lambda xp, x, y: xp.softmax(filled(x)),
    lambda xp, x, y: xp.log_softmax(filled(x), axis=0),
    lambda xp, x, y: xp.segment_sum(x, xp.asarray(np.arange(x.shape[0]) % 2), 3),
    lambda xp, x, y: xp.set_at(x, x > 0, 0.0),
    lambda xp, x, y: xp.add_at(x, [0, 0], x[:1]),
    lambda xp, x, y: xp.flip(x) + xp.permute_dims(x, tuple(range(x.ndim))[::-1]),
]
SHAPES: list[tuple[int, ...]] = [(3,), (2, 3), (2, 2), (1, 3), (0,), (2, 0), (4,)]
ROUND = [0.0, 1.0, -1.0, 0.5, 2.0, -2.0, 0.1, 0.3, 3.0]
WILD = [*ROUND, 1e-8, 1e8, 1e-30, 1e30, 1e-300, 1e300, -1e5, 20.0, -20.0]


def drawn(seed: int) -> tuple[list[tuple[int, int, int]], list[np.ndarray], list[np.ndarray]]:
    """A program, its inputs and a direction of theirs."""
    rng = np.random.default_rng(seed)
    steps = [tuple(map(int, rng.integers(1 << 20, size=3))) for _ in range(rng.integers(1, 6))]
    shape = SHAPES[rng.integers(len(SHAPES))]
    values = (None, ROUND, WILD)[seed % 3]
    inputs = [
        rng.normal(size=each) if values is None else rng.choice(values, each)
        for each in (shape, (shape, (1,), shape[-1:])[rng.integers(3)])
    ]
    return steps, inputs, [rng.choice([1.0, -0.5, 0.25, 0.0], each.shape) for each in inputs]


def run(xp: Any, steps: list[tuple[int, int, int]], inputs: list[Any]) -> list[Any]:
    """Every value that the program makes; steps that the shapes do not allow are left out."""
    made = list(inputs)
    for step, i, j in steps:
        x = made[i % len(made)]
        try:
            result = STEPS[step % len(STEPS)](xp, x, made[j % len(made)])
        except (ValueError, IndexError):
            continue
        if result.size <= 64 and result.ndim:
            made.append(result)
    return made


REFUSED = (r.Undecided, Unsupported)


@pytest.mark.parametrize("seed", range(0, 450, 3))
def test_ordinary_numbers_give_what_numpy_gives(seed: int) -> None:
    steps, inputs, _ = drawn(seed)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the variance of no number
        wanted = run(NUMPY, steps, inputs)
    for numbered in (False, True):
        try:
            found = r.with_precision(
                lambda: run(r.xp, steps, [r.lift(each) for each in inputs]), BITS, numbered
            )
        except REFUSED:
            continue
        for ours, numpys in zip(found, wanted, strict=True):
            assert ours.shape == numpys.shape and ours.dtype.kind == numpys.dtype.kind
            middle, plain = r.midpoints(ours), np.asarray(numpys, float)
            both = np.isfinite(middle) & np.isfinite(plain) & (r.radii(ours) < 1e-9)
            size = np.max(np.abs(plain), initial=1.0, where=np.isfinite(plain))
            np.testing.assert_allclose(middle[both], plain[both], rtol=1e-6, atol=1e-9 * size)
            assert not (np.isfinite(plain) & np.isinf(middle)).any()


def beside(x: np.ndarray, v: np.ndarray, count: int) -> BallArray:
    return BallArray(constant(balls_of(x) + balls_of(v) * (STEP * count)))


def claimed(ball: arb, k: int, at: list[arb]) -> bool:
    """Whether coefficient k may be this ball, by the values at h, 2h and 3h."""
    a, b, c = at
    slope = (-5 * a + 8 * b - 3 * c) / (2 * STEP)
    truth = (3 * a - 3 * b + c, slope, (a - 2 * b + c) / (2 * STEP * STEP))[k]
    if not (ball.is_finite() and truth.is_finite()):
        return True
    return bool((ball + arb(0, 2.0**-100) * (1 + abs(truth) + abs(ball))).overlaps(truth))


def mistakes(seed: int, xp: Any) -> list[tuple[int, Any]] | None:
    """The coefficients that are not what they are claimed to be; None where nothing is claimed."""
    steps, inputs, v = drawn(seed)
    pairs = list(zip(inputs, v, strict=True))
    wrong: list[tuple[int, Any]] = []
    compared = 0
    try:
        points = [
            r.with_precision(
                lambda n=n: run(r.xp, steps, [beside(*each, n) for each in pairs]), MANY
            )  # type: ignore[misc]
            for n in (1, 2, 3)
        ]
    except REFUSED:
        return None
    for order, numbered in ((1, False), (1, True), (3, True)):
        lifted = [r.lift_along(*each, order) for each in pairs]
        try:
            found = r.with_precision(lambda: run(xp, steps, lifted), BITS, numbered)  # noqa: B023
        except REFUSED:
            continue
        compared += 1
        for ours, *values in zip(found, *points, strict=True):
            flat = [each.series.parts[0].ravel() for each in values]
            for k, part in enumerate(ours.series.parts[:3]):
                for ball, *at in zip(part.ravel(), *flat, strict=True):
                    if not r.with_precision(lambda: claimed(ball, k, at), MANY):  # noqa: B023
                        wrong.append((k, ball))
    return wrong if compared else None


@pytest.mark.parametrize("seed", range(300))
def test_a_series_says_what_happens_beside_the_point(seed: int) -> None:
    assert not mistakes(seed, r.xp)


def test_most_programs_are_decided() -> None:
    assert sum(mistakes(seed, r.xp) is None for seed in range(0, 300, 10)) <= 6


@pytest.mark.parametrize("name", ["maximum", "max", "less", "where", "sqrt", "softmax", "set_at"])
def test_a_planted_error_is_found(name: str) -> None:
    """A number off by 1e-12, or one branch taken for the other."""
    xp = r.namespace()
    right = getattr(xp, name)

    def planted(*arguments: Any, **options: Any) -> Any:
        found = right(*arguments, **options)
        return ~found if isinstance(found, r.Truth) else found * (1 + 2.0**-40)

    setattr(xp, name, planted)
    assert any(mistakes(seed, xp) for seed in range(300))

"""Shapes, broadcasting, axes, indices and dtypes as `array-api-strict` has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness import referee as r
from harness.dtypes import numpy_dtype, unit_roundoff
from harness.errors import Unsupported
from harness.referee import xp
from harness.referee.array import BallArray

strict = pytest.importorskip("array_api_strict")

QUIET = settings(derandomize=True, deadline=None, max_examples=25)
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)
SEEDS = st.integers(0, 2**32 - 1)


def data(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Distinct numbers of both signs, none of them zero."""
    size = int(np.prod(shape))
    rng = np.random.default_rng(seed)
    return (rng.permutation(size) - size / 3 + 0.1).reshape(shape)


def same(ours: Any, theirs: Any) -> None:
    """Equal shape, kind of dtype and numbers; series too, whose coefficients share the shape."""
    if isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)
        return
    wanted = np.asarray(theirs._array)
    got = r.midpoints(ours) if isinstance(ours, BallArray) else ours.decided("")
    assert ours.shape == wanted.shape
    assert ours.dtype.kind == wanted.dtype.kind
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)
    if isinstance(ours, BallArray) and ours.order is not None:
        for part in ours.series.parts:
            assert part.shape == wanted.shape
        assert ours.series.degrees().shape == wanted.shape


def lifted(x: np.ndarray) -> BallArray:
    return r.lift_along(x, np.ones(x.shape))


ELEMENTWISE = ["add", "subtract", "multiply", "divide", "maximum", "atan2", "less", "equal", "pow"]


@QUIET
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=4), SEEDS)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_broadcasting(name: str, shapes: Any, seed: int) -> None:
    a, b = (data(shape, seed) for shape in shapes.input_shapes)
    b = b + 0.017  # no ties: series break them
    if name == "pow":
        a = abs(a)
    theirs = getattr(strict, name)(strict.asarray(a), strict.asarray(b))
    same(getattr(xp, name)(r.lift(a), r.lift(b)), theirs)
    same(getattr(xp, name)(lifted(a), r.lift(b)), theirs)
    same(getattr(xp, name)(r.lift(a), lifted(b)), theirs)
    condition = strict.asarray(a) > strict.asarray(b)
    same(
        xp.where(lifted(a) > r.lift(b), lifted(a), 0 * lifted(b)),
        strict.where(condition, strict.asarray(a), 0 * strict.asarray(b)),
    )


@QUIET
@given(st.data(), SHAPES, SEEDS, st.booleans())
@pytest.mark.parametrize(
    "name", ["sum", "prod", "max", "min", "mean", "var", "std", "any", "all", "count_nonzero"]
)
def test_reductions(name: str, draw: Any, shape: tuple[int, ...], seed: int, keep: bool) -> None:
    a = data(shape, seed)
    axes = draw.draw(
        st.one_of(
            st.none(), hnp.valid_tuple_axes(len(shape)), st.integers(-len(shape), len(shape) - 1)
        )
    )
    theirs = getattr(strict, name)(strict.asarray(a), axis=axes, keepdims=keep)
    same(getattr(xp, name)(r.lift(a), axis=axes, keepdims=keep), theirs)
    if name not in ("any", "all", "count_nonzero", "std") or name == "sum":
        same(getattr(xp, name)(lifted(a), axis=axes, keepdims=keep), theirs)


@QUIET
@given(st.data(), SHAPES, SEEDS, st.booleans())
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_places(name: str, draw: Any, shape: tuple[int, ...], seed: int, keep: bool) -> None:
    a = data(shape, seed)
    axis = draw.draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1)))
    theirs = getattr(strict, name)(strict.asarray(a), axis=axis, keepdims=keep)
    same(getattr(xp, name)(lifted(a), axis=axis, keepdims=keep), theirs)


@QUIET
@given(st.data(), SHAPES, SEEDS, st.booleans())
@pytest.mark.parametrize("name", ["sort", "argsort"])
def test_sorting(name: str, draw: Any, shape: tuple[int, ...], seed: int, down: bool) -> None:
    a = np.round(data(shape, seed) / 2)  # ties: a stable order is asked for
    axis = draw.draw(st.integers(-len(shape), len(shape) - 1))
    theirs = getattr(strict, name)(strict.asarray(a), axis=axis, descending=down, stable=True)
    same(getattr(xp, name)(r.lift(a), axis=axis, descending=down), theirs)
    same(getattr(xp, name)(lifted(a), axis=axis, descending=down), theirs)


@QUIET
@given(st.data(), SHAPES, SEEDS)
def test_rearrangements(draw: Any, shape: tuple[int, ...], seed: int) -> None:
    a = data(shape, seed)
    n = len(shape)
    axis = draw.draw(st.integers(-n, n - 1))
    axes = tuple(draw.draw(st.permutations(range(n))))
    shift = draw.draw(st.integers(-5, 5))
    picks = draw.draw(st.lists(st.integers(0, shape[axis] - 1), min_size=1, max_size=4))
    calls: list[Any] = [
        lambda q, x: q.permute_dims(x, axes),
        lambda q, x: q.flip(x, axis=axis),
        lambda q, x: q.flip(x),
        lambda q, x: q.roll(x, shift, axis=axis),
        lambda q, x: q.roll(x, shift),
        lambda q, x: q.expand_dims(x, axis=axis),
        lambda q, x: q.reshape(x, (-1,)),
        lambda q, x: q.concat([x, x], axis=axis),
        lambda q, x: q.concat([x, x], axis=None),
        lambda q, x: q.stack([x, x], axis=axis),
        lambda q, x: q.unstack(x, axis=axis),
        lambda q, x: q.moveaxis(x, axis, 0),
        lambda q, x: q.repeat(x, 2, axis=axis),
        lambda q, x: q.tile(x, (2, 1)),
        lambda q, x: q.take(x, q.asarray(picks), axis=axis),
        lambda q, x: q.cumulative_sum(x, axis=axis),
        lambda q, x: q.cumulative_sum(x, axis=axis, include_initial=True),
        lambda q, x: q.cumulative_prod(x, axis=axis),
        lambda q, x: q.diff(x, axis=axis),
        lambda q, x: q.broadcast_to(x, (2, *shape)),
        lambda q, x: q.zeros_like(x),
        lambda q, x: q.ones_like(x),
        lambda q, x: q.take_along_axis(x, q.argsort(x, axis=axis), axis=axis),
        lambda q, x: q.squeeze(q.expand_dims(x, axis=0), axis=0),
        lambda q, x: q.broadcast_arrays(x, q.ones((2, *shape)))[0],
        lambda q, x: x[..., 0],
        lambda q, x: x[0, ...],
        lambda q, x: x[-1:, ...],
        lambda q, x: x[::-1, ...],
        lambda q, x: x[None, ..., None],
        lambda q, x: x[q.asarray(x > 0)],
    ]
    if n >= 2:
        calls += [
            lambda q, x: q.matrix_transpose(x),
            lambda q, x: x.mT,
            lambda q, x: q.tril(x, k=shift),
            lambda q, x: q.triu(x, k=shift),
            lambda q, x: q.linalg.diagonal(x, offset=min(shift, 0)) if n == 2 else x,
            lambda q, x: q.matmul(x, q.matrix_transpose(x)),
            lambda q, x: q.matmul(x, x[(0,) * (n - 1) + (slice(None),)]),
            lambda q, x: q.vecdot(x, x),
            lambda q, x: q.tensordot(x, x, axes=((axis,), (axis,))),
            lambda q, x: q.linalg.vector_norm(x, axis=axis, keepdims=True),
            lambda q, x: q.linalg.matrix_norm(x),
            lambda q, x: q.linalg.matrix_norm(x, ord=1, keepdims=True),
            lambda q, x: q.linalg.trace(x) if n == 2 else x,
            lambda q, x: q.linalg.pinv(x[..., :1]),
        ]
    for call in calls:
        same(call(xp, lifted(a)), call(strict, strict.asarray(a)))
        same(call(xp, r.lift(a)), call(strict, strict.asarray(a)))


@QUIET
@given(st.integers(0, 3), st.integers(1, 4), SEEDS)
def test_batches_of_linear_algebra(batch: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (batch, n, n) if batch else (n, n)
    a = rng.normal(size=shape) + 4 * np.eye(n)
    b = rng.normal(size=(n, 2))
    symmetric = a @ np.swapaxes(a, -1, -2)
    for x, s in ((r.lift(a), r.lift(symmetric)), (lifted(a), lifted(symmetric))):
        y, t = strict.asarray(a), strict.asarray(symmetric)
        same(xp.linalg.inv(x), strict.linalg.inv(y))
        same(xp.linalg.det(x), strict.linalg.det(y))
        same(tuple(xp.linalg.slogdet(x)), tuple(strict.linalg.slogdet(y)))
        same(xp.linalg.solve(x, b), strict.linalg.solve(y, strict.asarray(b)))
        same(xp.linalg.cholesky(s), strict.linalg.cholesky(t))
        same(xp.linalg.cholesky(s, upper=True), strict.linalg.cholesky(t, upper=True))
        same(xp.linalg.matrix_power(x, 3), strict.linalg.matrix_power(y, 3))


@QUIET
@given(hnp.arrays(np.float64, SHAPES, elements=st.floats(-9, 9)), st.data())
def test_basic_indexing(a: np.ndarray, draw: Any) -> None:
    key = draw.draw(hnp.basic_indices(a.shape, allow_newaxis=True, allow_ellipsis=True))
    found = lifted(a)[key]
    assert found.shape == a[key].shape
    assert np.array_equal(r.midpoints(found), a[key])


def test_creation() -> None:
    calls: list[Any] = [
        lambda q: q.zeros((2, 3)),
        lambda q: q.ones(4),
        lambda q: q.full((2, 2), 0.5),
        lambda q: q.full((2, 2), 3),
        lambda q: q.eye(3, 4, k=1),
        lambda q: q.arange(5),
        lambda q: q.arange(2, 9, 3),
        lambda q: q.arange(0.0, 1.0, 0.25),
        lambda q: q.arange(5, 0, -2),
        lambda q: q.linspace(0, 1, 5),
        lambda q: q.linspace(-1.0, 1.0, 4, endpoint=False),
        lambda q: q.meshgrid(q.arange(3), q.arange(2)),
        lambda q: q.meshgrid(q.arange(3), q.arange(2), indexing="ij"),
        lambda q: q.asarray([[1, 2], [3, 4]]),
        lambda q: q.asarray([0.5, 2]),
        lambda q: q.asarray([True, False]),
        lambda q: q.astype(q.asarray([1.5, -1.5]), q.int64),
        lambda q: q.astype(q.asarray([0.0, -1.5]), q.bool),
        lambda q: q.astype(q.asarray([1, 2]), q.float64),
        lambda q: q.astype(q.asarray([True, False]), q.int64),
        lambda q: q.zeros((2,), dtype=q.bool),
        lambda q: q.searchsorted(q.asarray([1.0, 2.0, 2.0, 3.0]), q.asarray([2.0, 0.0, 9.0])),
        lambda q: q.searchsorted(
            q.asarray([1.0, 2.0, 2.0, 3.0]), q.asarray([2.0, 0.0, 9.0]), side="right"
        ),
        lambda q: q.nonzero(q.asarray([0.0, 2.0, 3.0])),
        lambda q: q.asarray([1, 2]) + q.asarray([3, 4]),
        lambda q: q.asarray([1, 2]) // q.asarray([2, 2]),
        lambda q: q.asarray([-7, 7]) % q.asarray([3, -3]),
        lambda q: q.arange(4) == 2,
        lambda q: q.isfinite(q.asarray([1.0, q.inf, q.nan])),
        lambda q: q.signbit(q.asarray([1.0, -2.0])),
        lambda q: q.logical_and(q.asarray([True, False]), q.asarray([True, True])),
        lambda q: q.logical_xor(q.asarray([True, False]), q.asarray([True, True])),
        lambda q: q.logical_or(q.asarray([True, False]), q.asarray([False, False])),
        lambda q: q.logical_not(q.asarray([True, False])),
        lambda q: q.not_equal(q.asarray([1.0, 2.0]), q.asarray([1.0, 3.0])),
        lambda q: q.greater_equal(q.asarray([1.0, 2.0]), q.asarray([1.0, 3.0])),
        lambda q: q.less_equal(q.asarray([1.0, 2.0]), q.asarray([1.0, 3.0])),
        lambda q: q.greater(q.asarray([1.0, 4.0]), q.asarray([1.0, 3.0])),
        lambda q: q.sum(q.zeros((0, 3)), axis=0),
        lambda q: q.prod(q.zeros((0, 3)), axis=0),
        lambda q: q.round(q.asarray([0.5, 1.5, 2.5, -0.5, -1.5, 2.4])),
        lambda q: q.trunc(q.asarray([1.5, -1.5, 2.0, -0.2])),
        lambda q: q.cumulative_sum(q.arange(4)),
    ]
    for call in calls:
        same(call(xp), call(strict))
    assert xp.finfo(r.lift(np.ones(2, np.float32)).dtype).eps == np.finfo(np.float32).eps
    assert xp.result_type(r.lift(np.ones(2, np.float32)), xp.float64) == np.float64
    assert xp.isdtype(xp.float32, "real floating") and xp.can_cast(xp.float32, xp.float64)
    assert xp.iinfo(xp.int8).max == 127


def test_shapes_that_do_not_fit() -> None:
    a, b = r.lift(np.ones((2, 3))), r.lift(np.ones((2, 3)))
    for call in (
        lambda: a @ b,
        lambda: xp.matmul(a, r.lift(1.0)),
        lambda: xp.max(xp.zeros(0)),
        lambda: xp.argmax(xp.zeros(0)),
        lambda: xp.linalg.det(a),
        lambda: xp.tensordot(a, b, axes=1),
        lambda: xp.take(a, [0]),
        lambda: xp.cumulative_sum(a),
        lambda: a + r.lift(np.ones(2)),
        lambda: xp.linalg.cross(a[:, :2], b),
        lambda: xp.sum(a, axis=(0, 0)),
    ):
        with pytest.raises(ValueError):
            call()
    with pytest.raises(IndexError):
        a[r.lift(0.5)]
    with pytest.raises(TypeError):
        xp.where(a, a, b)
    with pytest.raises(TypeError):
        a + "x"


@pytest.mark.parametrize(
    ("labels", "promoted"),
    [
        (("bfloat16", 2.0), "bfloat16"),
        (("bfloat16", 2), "bfloat16"),
        (("bfloat16", "bfloat16"), "bfloat16"),
        (("bfloat16", "int64"), "bfloat16"),
        (("bfloat16", "float16"), "float32"),
        (("bfloat16", "float64"), "float64"),
        (("float32", 1.5), "float32"),
        (("float32", "float64"), "float64"),
        (("int32", 1.5), "float64"),
        (("int32", "int64"), "int64"),
    ],
)
def test_labels_promote_as_the_formats_do(labels: Any, promoted: str) -> None:
    numbers = [
        r.lift(np.ones(2, numpy_dtype(each))) if isinstance(each, str) else each for each in labels
    ]
    assert xp.result_type(*numbers).name == promoted
    assert (numbers[0] * numbers[1]).dtype.name == promoted


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_a_label_tells_its_format(dtype: str) -> None:
    x = r.lift(np.ones(2, numpy_dtype(dtype)))
    assert float(xp.finfo(x.dtype).eps) == 2 * unit_roundoff(dtype)
    assert xp.isdtype(x.dtype, "real floating")
    assert not xp.isdtype(x.dtype, "integral")
    assert xp.can_cast(x, xp.float64)


SMALL = np.array([20, 3], np.uint8)


@pytest.mark.parametrize(
    "function",
    [
        lambda k: k * k,
        lambda k: k + np.uint8(250),
        lambda k: k - np.uint8(4),
        lambda k: -k,
        lambda k: k**2,
        lambda k: xp.square(k),
        lambda k: xp.negative(k),
        lambda k: xp.multiply(k, k),
        lambda k: xp.pow(k, k),
        lambda k: k @ k,
        lambda k: xp.sum(xp.stack([k] * 13), axis=0, dtype=xp.uint8),
        lambda k: xp.prod(xp.stack([k] * 20)),
        lambda k: abs(r.lift(np.array(-128, np.int8))),
        lambda k: xp.astype(xp.astype(k, xp.float64) * 100.5, xp.uint8),
    ],
)
def test_integers_that_would_wrap_round_are_unsupported(function: Any) -> None:
    with pytest.raises(Unsupported):
        function(r.lift(SMALL))


@pytest.mark.parametrize(
    "function",
    [
        lambda xp, k: k + k,
        lambda xp, k: xp.sum(xp.stack([k] * 13)),
        lambda xp, k: xp.prod(k * k[1]),
        lambda xp, k: xp.cumulative_sum(xp.concat([k] * 13)),
        lambda xp, k: xp.cumulative_sum(k, dtype=xp.float64),
        lambda xp, k: xp.cumulative_prod(k, dtype=xp.int32),
        lambda xp, k: xp.exp(xp.astype(k, xp.float64)),
        lambda xp, k: k - k,
    ],
)
def test_integers_have_the_width_of_numpy(function: Any) -> None:
    ours, plain = function(xp, r.lift(SMALL)), function(np, SMALL)
    assert ours.dtype == plain.dtype
    np.testing.assert_allclose(r.midpoints(ours), plain.astype(float), rtol=1e-15)


@pytest.mark.parametrize(
    "function",
    [
        lambda xp, x: xp.sort(x),
        lambda xp, x: xp.argsort(x),
        lambda xp, x: xp.sort(x, axis=0, descending=True),
        lambda xp, x: xp.tensordot(x, x, axes=((1,), (1,))),
        lambda xp, x: xp.tensordot(x, x, axes=((0,), (0,))),
        lambda xp, x: xp.tensordot(x, x, axes=2),
        lambda xp, x: xp.cumulative_sum(x, axis=1),
        lambda xp, x: xp.linalg.outer(x[0, :], x[0, :]),
    ],
)
def test_arrays_without_elements(function: Any) -> None:
    ours = function(xp, r.lift_along(np.zeros((3, 0)), np.zeros((3, 0))))
    plain = function(strict, strict.asarray(np.zeros((3, 0))))
    assert ours.shape == plain.shape
    assert r.midpoints(ours).tolist() == np.asarray(plain).tolist()


@pytest.mark.parametrize("shape", [(), (2, 2)])
def test_outer_is_for_vectors(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="vectors"):
        xp.linalg.outer(r.lift(np.ones(shape)), r.lift(np.ones(2)))


def test_a_tolerance_for_the_rank_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="rtol"):
        xp.linalg.pinv(r.lift(np.eye(2)), rtol=0.1)

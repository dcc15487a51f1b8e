"""Every function of the namespace that returns numbers, with its meaning said in mpmath.

One table serves the test of values and derivatives and the test that a planted error is caught.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np


@dataclass(frozen=True)
class Entry:
    """`ours(xp, *arrays)` against `truth(*object arrays of mpf)`.

    `name` is what a planted error replaces (`linalg.det` in the nested namespace). `sides` gives
    each argument's interval and shape.
    """

    name: str
    ours: Callable[..., Any]
    truth: Callable[..., Any]
    sides: tuple[tuple[float, float, tuple[int, ...]], ...]
    label: str = ""

    @property
    def id(self) -> str:
        return f"{self.name}{'-' if self.label else ''}{self.label}"


def each(function: Callable[..., Any]) -> Callable[..., Any]:
    return np.frompyfunc(function, 1, 1)


def each2(function: Callable[..., Any]) -> Callable[..., Any]:
    return np.frompyfunc(function, 2, 1)


def owner(xp: Any, name: str) -> tuple[Any, str]:
    """The namespace that holds a dotted name, and the last part of it."""
    *outer, last = name.split(".")
    return (getattr(xp, outer[0]) if outer else xp), last


def call(xp: Any, name: str) -> Any:
    space, last = owner(xp, name)
    return getattr(space, last)


def unary(name: str, truth: Callable[[Any], Any], low: float, high: float) -> Entry:
    return Entry(name, lambda xp, x: call(xp, name)(x), each(truth), ((low, high, (4,)),))


def binary(
    name: str, truth: Callable[..., Any], low: float, high: float, other: tuple[float, float]
) -> Entry:
    return Entry(
        name,
        lambda xp, x, y: call(xp, name)(x, y),
        each2(truth),
        ((low, high, (4,)), (*other, (4,))),
    )


def shaped(
    name: str, truth: Callable[..., Any], *shapes: tuple[int, ...], label: str = "", **keywords: Any
) -> Entry:
    return Entry(
        name,
        lambda xp, *arrays: call(xp, name)(*arrays, **keywords),
        truth,
        tuple((-2.0, 2.0, shape) for shape in shapes),
        label,
    )


def matrix(x: np.ndarray) -> Any:
    return mp.matrix(x.tolist())


def norm(x: np.ndarray, p: float) -> Any:
    return mp.root(sum(abs(each) ** p for each in x.ravel()), int(p))


def matrix_truth(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arrays: function(*[matrix(each) for each in arrays])


def spd(xp: Any, x: Any) -> Any:
    return xp.matmul(x, xp.matrix_transpose(x)) + 3 * xp.eye(3)


def spd_truth(x: np.ndarray) -> Any:
    return matrix(x @ x.T + 3 * np.eye(3, dtype=object))


def var(x: np.ndarray, axis: Any, correction: int) -> Any:
    count = x.size if axis is None else x.shape[axis]
    middle = np.sum(x, axis=axis, keepdims=True) / mp.mpf(count)
    return np.sum((x - middle) ** 2, axis=axis) / mp.mpf(count - correction)


def tri(x: np.ndarray, keep: Callable[[int, int], bool]) -> np.ndarray:
    out = np.array(x)
    for i, j in np.ndindex(x.shape):
        if not keep(i, j):
            out[i, j] = mp.mpf(0)
    return out


def log_total(x: np.ndarray, axis: int) -> np.ndarray:
    return each(mp.log)(np.sum(each(mp.exp)(x), axis=axis, keepdims=True))


def log_gamma(x: Any) -> Any:
    return mp.log(abs(mp.gamma(x)))


SMOOTH = [
    unary("exp", mp.exp, -5, 5),
    unary("expm1", mp.expm1, -3, 3),
    unary("log", mp.log, 0.01, 9),
    unary("log1p", lambda x: mp.log(1 + x), -0.9, 5),
    unary("log2", lambda x: mp.log(x) / mp.log(2), 0.01, 9),
    unary("log10", lambda x: mp.log(x) / mp.log(10), 0.01, 9),
    unary("sin", mp.sin, -9, 9),
    unary("cos", mp.cos, -9, 9),
    unary("tan", mp.tan, -1.5, 1.5),
    unary("asin", mp.asin, -0.95, 0.95),
    unary("acos", mp.acos, -0.95, 0.95),
    unary("atan", mp.atan, -9, 9),
    unary("sinh", mp.sinh, -4, 4),
    unary("cosh", mp.cosh, -4, 4),
    unary("tanh", mp.tanh, -4, 4),
    unary("asinh", mp.asinh, -9, 9),
    unary("acosh", mp.acosh, 1.1, 9),
    unary("atanh", mp.atanh, -0.95, 0.95),
    unary("sqrt", mp.sqrt, 0.01, 9),
    unary("square", lambda x: x * x, -3, 3),
    unary("reciprocal", lambda x: 1 / x, 0.1, 3),
    unary("negative", lambda x: -x, -3, 3),
    unary("positive", lambda x: +x, -3, 3),
    unary("abs", abs, -3, 3),
    unary("sign", mp.sign, -3, 3),
    unary("real", lambda x: x, -3, 3),
    unary("conj", lambda x: x, -3, 3),
    unary("floor", mp.floor, -9, 9),
    unary("ceil", mp.ceil, -9, 9),
    unary("trunc", lambda x: mp.sign(x) * mp.floor(abs(x)), -9, 9),
    unary("round", mp.nint, -9, 9),
    unary("erf", mp.erf, -3, 3),
    unary("erfc", mp.erfc, -3, 3),
    unary("gamma", mp.gamma, -2.9, 4),
    unary("lgamma", log_gamma, -2.9, 4),
    unary("digamma", mp.digamma, -2.9, 4),
]
BINARY = [
    binary("add", lambda x, y: x + y, -3, 3, (-3, 3)),
    binary("subtract", lambda x, y: x - y, -3, 3, (-3, 3)),
    binary("multiply", lambda x, y: x * y, -3, 3, (-3, 3)),
    binary("divide", lambda x, y: x / y, -3, 3, (0.2, 3)),
    binary("pow", lambda x, y: x**y, 0.1, 3, (-3, 3)),
    binary("atan2", mp.atan2, -3, 3, (-3, 3)),
    binary("hypot", mp.hypot, -3, 3, (0.1, 3)),
    binary("logaddexp", lambda x, y: mp.log(mp.exp(x) + mp.exp(y)), -9, 9, (-9, 9)),
    binary("maximum", max, -3, 3, (-3, 3)),
    binary("minimum", min, -3, 3, (-3, 3)),
    binary("copysign", lambda x, y: abs(x) * mp.sign(y), -3, 3, (-3, 3)),
    binary("floor_divide", lambda x, y: mp.floor(x / y), -9, 9, (0.3, 2)),
    binary("remainder", lambda x, y: x - mp.floor(x / y) * y, -9, 9, (0.3, 2)),
]
CLIPPED = Entry(
    "clip",
    lambda xp, x: xp.clip(x, -1.0, 1.5),
    each(lambda x: min(max(x, mp.mpf(-1)), mp.mpf(1.5))),
    ((-3, 3, (8,)),),
)
WHERE = Entry(
    "where",
    lambda xp, x, y: xp.where(x > y, x * y, x - y),
    each2(lambda x, y: x * y if x > y else x - y),
    ((-3, 3, (8,)), (-3, 3, (8,))),
)
A = (3, 4)
REDUCTIONS = [
    shaped("sum", np.sum, A),
    shaped("sum", lambda x: np.sum(x, axis=0), A, label="axis", axis=0),
    shaped("prod", np.prod, A),
    shaped("prod", lambda x: np.prod(x, axis=1), A, label="axis", axis=1),
    shaped("mean", lambda x: np.sum(x) / x.size, A),
    shaped("var", lambda x: var(x, None, 0), A),
    shaped("var", lambda x: var(x, 0, 1), A, label="axis", axis=0, correction=1),
    shaped("std", lambda x: each(mp.sqrt)(var(x, 1, 0)), A, axis=1),
    shaped("max", lambda x: np.max(x, axis=1), A, axis=1),
    shaped("min", lambda x: np.min(x), A),
    shaped("argmax", lambda x: mp.mpf(int(np.argmax(x))), A),
    shaped("argmin", lambda x: mp.mpf(int(np.argmin(x))), A),
    shaped("cumulative_sum", lambda x: np.cumsum(x, axis=1), A, axis=1),
    shaped("cumulative_prod", lambda x: np.cumprod(x, axis=0), A, axis=0),
    shaped("sort", lambda x: np.sort(x, axis=1), A, axis=1),
    shaped("sort", lambda x: np.sort(x)[::-1], (7,), label="descending", descending=True),
    shaped(
        "argsort",
        lambda x: np.argsort([float(v) for v in x]).astype(object),
        (7,),
    ),
    shaped("diff", lambda x: np.diff(x), A),
]
BEYOND = [
    shaped("logsumexp", lambda x: mp.log(sum(each(mp.exp)(x).ravel())), A),
    shaped("logsumexp", lambda x: log_total(x, 0)[0], A, label="axis", axis=0),
    shaped("softmax", lambda x: each(mp.exp)(x - log_total(x, 1)), A),
    shaped("softmax", lambda x: each(mp.exp)(x - log_total(x, 0)), A, label="axis", axis=0),
    shaped("log_softmax", lambda x: x - log_total(x, 1), A),
    shaped("pad", lambda x: np.pad(x, ((1, 0), (0, 2))), A, pad_width=((1, 0), (0, 2))),
    Entry(
        "einsum",
        lambda xp, x, y: xp.einsum("ij,kj->ik", x, y),
        lambda x, y: x @ y.T,
        ((-2, 2, A), (-2, 2, (2, 4))),
    ),
    Entry(
        "segment_sum",
        lambda xp, x: xp.segment_sum(x, xp.asarray([2, 0, 2]), 4),
        lambda x: np.stack([x[1], 0 * x[0], x[0] + x[2], 0 * x[0]]),
        ((-2, 2, A),),
    ),
    Entry(
        "one_hot",
        lambda xp, x: xp.one_hot(xp.asarray([2, 0, 5]), 4) * x,
        lambda x: x * np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]),
        ((-2, 2, A),),
    ),
    Entry(
        "set_at",
        lambda xp, x, y: xp.set_at(x, (slice(None), 1), y),
        lambda x, y: np.stack([x[:, 0], y, x[:, 2], x[:, 3]], axis=1),
        ((-2, 2, A), (-2, 2, (3,))),
    ),
    Entry(
        "add_at",
        lambda xp, x, y: xp.add_at(x, [0, 0, 2], y),
        lambda x, y: x + np.stack([y[0] + y[1], 0 * y[1], y[2]]),
        ((-2, 2, A), (-2, 2, A)),
    ),
]
LINALG = [
    shaped("matmul", lambda x, y: x @ y, (3, 4), (4, 2)),
    shaped("matmul", lambda x, y: x @ y, (2, 3, 4), (2, 4, 2), label="batch"),
    shaped("matmul", lambda x, y: x @ y, (4,), (4,), label="vectors"),
    shaped("tensordot", lambda x, y: np.tensordot(x, y, 2), (2, 3, 4), (3, 4, 2)),
    shaped("vecdot", lambda x, y: np.sum(x * y, axis=-1), (3, 4), (4,)),
    shaped("matrix_transpose", lambda x: x.T, A),
    shaped("linalg.det", matrix_truth(mp.det), (4, 4)),
    shaped(
        "linalg.slogdet",
        lambda x: [mp.sign(mp.det(matrix(x))), mp.log(abs(mp.det(matrix(x))))],
        (3, 3),
    ),
    shaped("linalg.inv", matrix_truth(lambda x: x**-1), (3, 3)),
    shaped("linalg.solve", matrix_truth(mp.lu_solve), (3, 3), (3, 1)),
    shaped("linalg.pinv", matrix_truth(lambda x: (x.T * x) ** -1 * x.T), (4, 2)),
    Entry(
        "linalg.cholesky",
        lambda xp, x: xp.linalg.cholesky(spd(xp, x)),
        lambda x: mp.cholesky(spd_truth(x)),
        ((-2, 2, (3, 3)),),
    ),
    Entry(
        "linalg.matrix_power",
        lambda xp, x: xp.linalg.matrix_power(x, 3),
        lambda x: x @ x @ x,
        ((-2, 2, (3, 3)),),
    ),
    Entry(
        "linalg.matrix_power",
        lambda xp, x: xp.linalg.matrix_power(x, -2),
        matrix_truth(lambda x: x**-2),
        ((-2, 2, (3, 3)),),
        "negative",
    ),
    shaped("linalg.trace", np.trace, (3, 3)),
    shaped("linalg.diagonal", np.diagonal, (3, 3)),
    shaped("linalg.outer", np.outer, (3,), (4,)),
    shaped(
        "linalg.cross",
        lambda a, b: np.array(
            [
                a[1] * b[2] - a[2] * b[1],
                a[2] * b[0] - a[0] * b[2],
                a[0] * b[1] - a[1] * b[0],
            ],
            object,
        ),
        (3,),
        (3,),
    ),
    shaped("linalg.vector_norm", lambda x: norm(x, 2), (5,)),
    shaped("linalg.vector_norm", lambda x: norm(x, 1), (5,), label="1", ord=1),
    shaped("linalg.vector_norm", lambda x: norm(x, 3), (5,), label="3", ord=3),
    shaped("linalg.vector_norm", lambda x: max(abs(x)), (5,), label="inf", ord=math.inf),
    shaped("linalg.matrix_norm", lambda x: norm(x, 2), A),
    shaped("linalg.matrix_norm", lambda x: max(np.sum(abs(x), axis=0)), A, label="1", ord=1),
]
REARRANGED = [
    shaped("reshape", lambda x: x, A, shape=(2, 6)),
    shaped("permute_dims", lambda x: x.T, A, axes=(1, 0)),
    shaped("flip", lambda x: np.flip(x, 1), A, axis=1),
    shaped("roll", lambda x: np.roll(x, 1, 0), A, shift=1, axis=0),
    shaped("broadcast_to", lambda x: np.broadcast_to(x, (2, 3, 4)), A, shape=(2, 3, 4)),
    shaped("tril", lambda x: tri(x, lambda i, j: i >= j), A),
    shaped("triu", lambda x: tri(x, lambda i, j: j - i >= 1), A, k=1),
    Entry(
        "repeat",
        lambda xp, x: xp.repeat(x, 2, axis=1),
        lambda x: np.repeat(x, 2, 1),
        ((-2, 2, A),),
    ),
    Entry("tile", lambda xp, x: xp.tile(x, (2, 1)), lambda x: np.tile(x, (2, 1)), ((-2, 2, A),)),
    Entry(
        "concat",
        lambda xp, x, y: xp.concat([x, y], axis=1),
        lambda x, y: np.concatenate([x, y], axis=1),
        ((-2, 2, A), (-2, 2, A)),
    ),
    Entry(
        "stack",
        lambda xp, x, y: xp.stack([x, y], axis=1),
        lambda x, y: np.stack([x, y], axis=1),
        ((-2, 2, A), (-2, 2, A)),
    ),
    Entry(
        "take",
        lambda xp, x: xp.take(x, xp.asarray([2, 0]), axis=1),
        lambda x: x[:, [2, 0]],
        ((-2, 2, A),),
    ),
    Entry(
        "take_along_axis",
        lambda xp, x: xp.take_along_axis(x, xp.asarray([[1], [0], [3]]), axis=1),
        lambda x: np.take_along_axis(x, np.array([[1], [0], [3]]), 1),
        ((-2, 2, A),),
    ),
    Entry("expand_dims", lambda xp, x: xp.expand_dims(x, axis=0), lambda x: x, ((-2, 2, A),)),
    Entry("squeeze", lambda xp, x: xp.squeeze(x[None], axis=0), lambda x: x, ((-2, 2, A),)),
    Entry("moveaxis", lambda xp, x: xp.moveaxis(x, 0, 1), lambda x: x.T, ((-2, 2, A),)),
    Entry("unstack", lambda xp, x: xp.unstack(x), lambda x: x, ((-2, 2, A),)),
    Entry("asarray", lambda xp, x: xp.asarray(x), lambda x: x, ((-2, 2, A),)),
    Entry("astype", lambda xp, x: xp.astype(x, xp.float32), lambda x: x, ((-2, 2, A),)),
    Entry(
        "broadcast_arrays",
        lambda xp, x, y: xp.broadcast_arrays(x, y),
        lambda x, y: list(np.broadcast_arrays(x, y)),
        ((-2, 2, A), (-2, 2, (4,))),
    ),
    Entry(
        "meshgrid",
        lambda xp, x, y: xp.meshgrid(x, y),
        lambda x, y: list(np.meshgrid(x, y)),
        ((-2, 2, (3,)), (-2, 2, (2,))),
    ),
]
CREATED = [
    Entry("zeros_like", lambda xp, x: xp.zeros_like(x), lambda x: 0 * x, ((-2, 2, A),)),
    Entry("ones_like", lambda xp, x: xp.ones_like(x), lambda x: 0 * x + 1, ((-2, 2, A),)),
    Entry("full_like", lambda xp, x: xp.full_like(x, 3), lambda x: 0 * x + 3, ((-2, 2, A),)),
    Entry("zeros", lambda xp, x: x + xp.zeros(4), lambda x: x, ((-2, 2, A),)),
    Entry("ones", lambda xp, x: x * xp.ones(4), lambda x: x, ((-2, 2, A),)),
    Entry("full", lambda xp, x: x * xp.full((4,), 0.5), lambda x: x / 2, ((-2, 2, A),)),
    Entry(
        "eye", lambda xp, x: x * xp.eye(3, 4), lambda x: tri(x, lambda i, j: i == j), ((-2, 2, A),)
    ),
    Entry(
        "arange",
        lambda xp, x: x * xp.arange(1, 9, 2),
        lambda x: x * np.array([1, 3, 5, 7]),
        ((-2, 2, A),),
    ),
    Entry(
        "linspace",
        lambda xp, x: x * xp.linspace(0, 1, 4),
        lambda x: x * np.arange(4) / mp.mpf(3),
        ((-2, 2, A),),
    ),
]
TABLE = [
    *SMOOTH, *BINARY, CLIPPED, WHERE, *REDUCTIONS, *BEYOND, *LINALG, *REARRANGED, *CREATED,
]  # fmt: skip

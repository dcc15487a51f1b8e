"""Linear algebra over BallArray: what has one answer over the reals and needs no iteration.

Eigenvalues and singular values are left out: FLINT certifies them for isolated eigenvalues of
balls, not for series, and a decomposition with a sign convention (`qr`) has no one answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from harness.errors import Unsupported
from harness.referee import analytic, compare, matrices, naming, powers, rounding, taylor
from harness.referee.analytic import number
from harness.referee.array import BallArray, balls, binary, dtype_of, real
from harness.referee.elements import ZERO, full, size_of
from harness.referee.reductions import axes_of, sum_series
from harness.referee.reductions import max as largest
from harness.referee.reductions import min as smallest
from harness.referee.reductions import sum as total
from harness.referee.shapes import matrix_transpose
from harness.referee.taylor import Taylor, constant


class Slogdet(NamedTuple):
    """The sign of a determinant and the logarithm of its absolute value."""

    sign: BallArray
    logabsdet: BallArray


def _square(x: Any, name: str) -> BallArray:
    array = real(balls(x))
    if array.ndim < 2 or array.shape[-1] != array.shape[-2]:
        raise ValueError(f"`linalg.{name}` needs square matrices, not shape {array.shape}")
    return array


def matmul(x1: Any, x2: Any, /) -> BallArray:
    """The matrix product, leading axes broadcast. Raises ValueError for shapes that do not fit."""
    return binary(matrices.matmul, x1, x2)


def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> BallArray:
    """The sum of products along `axis`, the others broadcast."""
    product = binary(taylor.multiply, x1, x2)
    return total(product, axis=axis)


def outer(x1: Any, x2: Any, /) -> BallArray:
    """The products of all pairs from two vectors (m,) and (n,): (m, n). Raises ValueError for
    arrays of another number of axes."""
    a, b = balls(x1), balls(x2)
    if (a.ndim, b.ndim) != (1, 1):
        raise ValueError(f"outer: shapes {a.shape} and {b.shape} are not those of two vectors")
    return a[:, None] * b[None, :]


def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> BallArray:
    """Sums of products over pairs of axes: the last and first `axes`, or two lists of axes."""
    a, b = balls(x1), balls(x2)
    if isinstance(axes, int):
        left, right = tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes))
    else:
        left, right = (tuple(each) if isinstance(each, list | tuple) else (each,) for each in axes)
    left, right = axes_of(left, a.ndim), axes_of(right, b.ndim)
    if [a.shape[i] for i in left] != [b.shape[i] for i in right]:
        raise ValueError(f"tensordot: shapes {a.shape} and {b.shape} do not fit over {axes}")
    rows = tuple(i for i in range(a.ndim) if i not in left)
    columns = tuple(i for i in range(b.ndim) if i not in right)
    shape = (*[a.shape[i] for i in rows], *[b.shape[i] for i in columns])
    inner = size_of(tuple(a.shape[i] for i in left))
    if not inner or not size_of(shape):
        return BallArray(constant(full(ZERO, shape)), dtype_of(a, b))
    first = a.mapped(lambda each: np.transpose(each, (*rows, *left)).reshape(-1, inner))
    second = b.mapped(lambda each: np.transpose(each, (*right, *columns)).reshape(inner, -1))
    return (first @ second).reshape(shape)


def det(x: Any, /) -> BallArray:
    """The determinant of square matrices; exact zeros and derivatives at singular ones too."""
    array = _square(x, "det")
    return BallArray(matrices.batched(matrices.determinant, array.series), array.dtype)


def slogdet(x: Any, /) -> Slogdet:
    """Sign and log |det|. Raises Undecided where the sign is unknown."""
    value = det(x)
    sign = BallArray(rounding.sign(value.series), value.dtype)
    size = analytic.log(compare.absolute(value.series))
    return Slogdet(sign, BallArray(size, value.dtype))


def solve(x1: Any, x2: Any, /) -> BallArray:
    """X with x1 X = x2; x2 is a vector if it is 1-d, else matrices. Raises Undecided."""
    a, b = _square(x1, "solve"), balls(x2)
    vector = b.ndim == 1
    if vector:
        b = b[:, None]
    series = matrices.batched(matrices.solve, a.series, b.series)
    found = BallArray(series, dtype_of(a, b))
    return found[..., 0] if vector else found


def inv(x: Any, /) -> BallArray:
    """The inverse of square matrices. Raises Undecided where one may be singular."""
    array = _square(x, "inv")
    unit = matrices.identity(array.shape[-1])
    series = matrices.batched(lambda each: matrices.solve(each, unit), array.series)
    return BallArray(series, array.dtype)


def pinv(x: Any, /, *, rtol: Any = None) -> BallArray:
    """The pseudoinverse of matrices of full rank. Raises Undecided for others, and Unsupported with
    `rtol`, which needs singular values."""
    if rtol is not None:
        raise Unsupported("referee: `xp.linalg.pinv` with `rtol`: no singular values")
    array = real(balls(x))
    turned = array.mT
    if array.shape[-2] >= array.shape[-1]:
        return solve(turned @ array, turned)
    return solve(array @ turned, array).mT


def matrix_power(x: Any, n: int, /) -> BallArray:
    """The product of `n` factors x; of its inverse for n < 0, the unit matrix for 0."""
    array = _square(x, "matrix_power")
    if n < 0:
        return matrix_power(inv(array), -n)
    unit = matrices.identity(array.shape[-1])
    result = BallArray(taylor.spread(unit, array.shape), array.dtype)
    for bit in bin(n)[2:] if n else "":
        result = result @ result
        if bit == "1":
            result = result @ array
    return result


@naming.named_whole
def _cholesky(a: Taylor) -> Taylor:
    n = a.shape[0]
    if not n:
        return a
    columns: list[Taylor] = []
    work = a
    for step in range(n):
        # The first column of what is left, by its root; then its outer product is taken away.
        pivot = powers.sqrt(work.at(np.s_[0, 0]))
        column = taylor.divide(work.at(np.s_[:, 0]), pivot)
        zeros = constant(full(ZERO, (step,)))
        columns.append(taylor.joined([zeros, column], np.concatenate))
        rest = column.at(np.s_[1:])
        square = taylor.multiply(rest.at(np.s_[:, None]), rest.at(np.s_[None, :]))
        work = taylor.subtract(work.at(np.s_[1:, 1:]), square)
    return taylor.joined(columns, lambda parts: np.stack(parts, axis=1))


def _symmetrically_moved(a: Taylor) -> Taylor:
    turned = a.mapped(lambda each: np.swapaxes(each, -1, -2))
    apart = compare.signs(constant(a.parts[0]), constant(turned.parts[0]))
    if a.degree is None or (apart.positive | apart.negative).any():
        return a
    middle = taylor.multiply(taylor.add(a, turned), number(0.5))
    return Taylor((a.parts[0], *middle.parts[1:]), a.order, middle.degree)


def cholesky(x: Any, /, *, upper: bool = False) -> BallArray:
    """L with L L^T = x, lower triangular; L^T if `upper`. NaN where x is not positive definite.

    Only the lower triangle is read, as LAPACK does. But a symmetric x moves within the symmetric
    matrices: along the symmetric part of its direction, as all frameworks differentiate it (Murray,
    Differentiation of the Cholesky decomposition, 2016).
    """
    array = _square(x, "cholesky")
    series = _symmetrically_moved(array.series)
    found = BallArray(matrices.batched(_cholesky, series), array.dtype)
    return found.mT if upper else found


def diagonal(x: Any, /, *, offset: int = 0) -> BallArray:
    """The diagonal of matrices, as the last axis."""
    return balls(x).mapped(lambda each: np.diagonal(each, offset=offset, axis1=-2, axis2=-1))


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> BallArray:
    """The sum of the diagonal."""
    return total(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> BallArray:
    """The cross product of vectors of three elements along `axis`."""
    a, b = (balls(each) for each in (x1, x2))
    if a.shape[axis] != 3 or b.shape[axis] != 3:
        raise ValueError(f"cross: shapes {a.shape} and {b.shape} have no 3 along axis {axis}")
    u, v = (each.mapped(lambda part: np.moveaxis(part, axis, -1)) for each in (a, b))

    def rolled(x: BallArray, shift: int) -> BallArray:
        return x.mapped(lambda each: np.roll(each, shift, -1))

    w = rolled(u, -1) * rolled(v, -2) - rolled(u, -2) * rolled(v, -1)
    return w.mapped(lambda each: np.moveaxis(each, -1, axis))


def vector_norm(
    x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2
) -> BallArray:
    """The p-norm along `axis`: (sum |x|**p)**(1/p), its limits for p = inf, -inf, and the number
    of non-zeros for p = 0. At zero, the 2-norm is one-sided along a lift of order 2."""
    array = real(balls(x))
    if ord == 2:
        squares = taylor.multiply(array.series, array.series)
        axes = axes_of(axis, array.ndim)
        return BallArray(powers.sqrt(sum_series(squares, axes, keepdims)), array.dtype)
    size = abs(array)
    if ord == math.inf:
        return largest(size, axis=axis, keepdims=keepdims)
    if ord == -math.inf:
        return smallest(size, axis=axis, keepdims=keepdims)
    if ord == 0:
        return total(
            abs(BallArray(rounding.sign(size.series), array.dtype)), axis=axis, keepdims=keepdims
        )
    if ord == 1:
        return total(size, axis=axis, keepdims=keepdims)
    sums = total(size**ord, axis=axis, keepdims=keepdims)
    root = taylor.divide(number(1), number(ord))
    return BallArray(powers.power(sums.series, root), array.dtype)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> BallArray:
    """The Frobenius norm, or the largest (smallest) sum of columns, 1 (-1), or rows, inf (-inf).

    Raises Unsupported for the norms that need singular values.
    """
    array = real(balls(x))
    if ord == "fro":
        return vector_norm(array, axis=(-2, -1), keepdims=keepdims)
    if ord not in (1, -1, math.inf, -math.inf):
        raise Unsupported(f"referee: `xp.linalg.matrix_norm` of order {ord!r}: no singular values")
    axis = -2 if ord in (1, -1) else -1
    sums = total(abs(array), axis=axis, keepdims=True)
    extreme = largest if ord > 0 else smallest
    found = extreme(sums, axis=(-2, -1), keepdims=True)
    return found if keepdims else found[..., 0, 0]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        matmul, vecdot, outer, tensordot, det, slogdet, solve, inv, pinv, matrix_power, cholesky,
        diagonal, trace, cross, vector_norm, matrix_norm, matrix_transpose,
    )
}  # fmt: skip

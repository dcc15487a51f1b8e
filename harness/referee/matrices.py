"""Matrix products, inverses and determinants of series of balls.

`arb_mat` multiplies two 256 x 256 matrices in 0.1 s where elementwise products would need 4 s. It
keeps exact zeros exact. A product of series is the Cauchy product of its coefficient matrices, and
a linear system A(t) X(t) = B(t) is solved power by power with one factorisation:
A_0 X_k = B_k - sum_(j>0) A_j X_(k-j).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb_mat

from harness.referee import naming, taylor
from harness.referee.elements import (
    ONE,
    ZERO,
    Integers,
    Objects,
    Shape,
    balls_of,
    filled,
    full,
    size_of,
)
from harness.referee.taylor import INFINITE, Taylor, constant
from harness.referee.undecided import Undecided


def matrix(array: Objects) -> Any:
    """An `arb_mat` from a 2-d array."""
    rows, columns = array.shape
    return arb_mat(rows, columns, array.ravel().tolist())


def array(found: Any) -> Objects:
    """A 2-d array from an `arb_mat`."""
    return filled(found.entries(), (found.nrows(), found.ncols()))


def matmul(x: Taylor, y: Taylor) -> Taylor:
    """`x @ y` as the standard has it: vectors are promoted, leading axes broadcast.

    Raises ValueError for shapes that do not fit.
    """
    if not x.shape or not y.shape:
        raise ValueError("matmul: 0-d operand; use `*`")
    row, column = len(x.shape) == 1, len(y.shape) == 1
    if row:
        x = x.at(np.s_[None, :])
    if column:
        y = y.at(np.s_[:, None])
    if x.shape[-1] != y.shape[-2]:
        raise ValueError(f"matmul: shapes {x.shape} and {y.shape} do not fit")
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    if not batch:
        out = _product(x, y)
    else:
        m, k, n = x.shape[-2], x.shape[-1], y.shape[-1]
        count = size_of(batch)
        flat_x = reshaped(taylor.spread(x, (*batch, m, k)), (count, m, k))
        flat_y = reshaped(taylor.spread(y, (*batch, k, n)), (count, k, n))
        if count == 0:
            return constant(full(ZERO, _squeezed((*batch, m, n), row, column)))
        out = stacked(
            [_product(flat_x.at(index), flat_y.at(index)) for index in range(count)], batch
        )
    shape = _squeezed(out.shape, row, column)
    return out if shape == out.shape else out.mapped(lambda each: each.reshape(shape))


def _squeezed(shape: Shape, row: bool, column: bool) -> Shape:
    last = () if column else shape[-1:]
    first = () if row else shape[-2:-1]
    return (*shape[:-2], *first, *last)


def stacked(members: list[Taylor], batch: Shape) -> Taylor:
    """Results per element of a flattened batch as one array of shape (*batch, ...)."""
    joined = taylor.joined(members, np.stack)
    return joined.mapped(lambda each: each.reshape((*batch, *each.shape[1:])))


def _product(x: Taylor, y: Taylor) -> Taylor:
    if x.shape[0] < y.shape[1]:
        # FLINT turns the right factor round, which is better a small one: (10, 316) @ (316, 316)
        # takes 30 ms as it stands and 18 ms as a transpose.
        return _ordered_product(y.mapped(np.transpose), x.mapped(np.transpose)).mapped(np.transpose)
    return _ordered_product(x, y)


def _ordered_product(x: Taylor, y: Taylor) -> Taylor:
    left = [matrix(each) for each in x.parts]
    right = [matrix(each) for each in y.parts]
    if x.degree is None and y.degree is None:
        return naming.named_product(x, y, constant(array(left[0] * right[0])))
    order = min(x.order, y.order)
    parts = []
    for k in range(order + 1):
        total: Any = None
        for i in range(k + 1):
            if i < len(left) and k - i < len(right):
                term = left[i] * right[k - i]
                total = term if total is None else total + term
        parts.append(array(total))
    result = Taylor(tuple(parts), order, _product_degree(x.degrees(), y.degrees()))
    return naming.named_product(x, y, result)


def _product_degree(x: Integers, y: Integers) -> Integers:
    """A bound: the largest of each row plus the largest of each column."""
    rows = x.max(axis=1, initial=0)[:, None]
    columns = y.max(axis=0, initial=0)[None, :]
    return np.asarray(np.minimum(rows + columns, INFINITE))


def reshaped(x: Taylor, shape: Shape) -> Taylor:
    """The same elements in C order under another shape."""
    return x.mapped(lambda each: each.reshape(shape))


@naming.named_whole
def solve(a: Taylor, b: Taylor) -> Taylor:
    """X with A X = B for matrices (n, n) and (n, m).

    Raises Undecided where A(0) cannot be told from a singular matrix.
    """
    first = matrix(a.parts[0])
    order = min(a.order, b.order)
    above = [matrix(each) for each in b.parts]
    try:
        if a.degree is None and b.degree is None:
            return constant(array(first.solve(above[0])))
        inverse = first.inv()
    except ZeroDivisionError:
        raise Undecided("`linalg.solve`: the matrix cannot be told from a singular one") from None
    others = [matrix(each) for each in a.parts]
    found: list[Any] = []
    for k in range(order + 1):
        rest = above[k] if k < len(above) else arb_mat(*b.shape)
        for j in range(1, k + 1):
            if j < len(others):
                rest = rest - others[j] * found[k - j]
        found.append(inverse * rest)
    shape = b.shape
    moving = int(b.degrees().max(initial=0)) if a.degree is None or not a.degree.any() else INFINITE
    return Taylor(tuple(map(array, found)), order, np.full(shape, moving))


def identity(n: int) -> Taylor:
    """The unit matrix."""
    out = full(ZERO, (n, n))
    for i in range(n):
        out[i, i] = ONE
    return constant(out)


@naming.named_whole
def determinant(a: Taylor) -> Taylor:
    """det of a matrix (n, n), by elimination, or without divisions where no pivot is certain.

    Elimination: n**3 / 3 products, and sharp balls. Berkowitz' algorithm (1984): n**4 / 4 products
    and no division, so it gives the derivative of the determinant of a singular matrix.
    """
    n = a.shape[0]
    if n == 0:
        return constant(full(ONE, ()))
    if a.degree is None:
        return constant(matrix(a.parts[0]).det())
    work, negate = a, False
    result: Taylor | None = None
    for step in range(n):
        pivot = largest(work.parts[0][:, 0])
        if pivot is None:
            rest = _berkowitz(work)
            result = rest if result is None else taylor.multiply(result, rest)
            break
        if pivot:
            # Rotating rows 0..pivot takes `pivot` transpositions.
            negate ^= pivot % 2 == 1
            order = [pivot, *[i for i in range(n - step) if i != pivot]]
            work = work.at(order)
        head = work.at(np.s_[0, 0])
        result = head if result is None else taylor.multiply(result, head)
        if step == n - 1:
            break
        factors = taylor.divide(work.at(np.s_[1:, :1]), head)
        row = work.at(np.s_[:1, 1:])
        work = taylor.subtract(work.at(np.s_[1:, 1:]), taylor.multiply(factors, row))
    assert result is not None
    return taylor.negative(result) if negate else result


def largest(column: Objects) -> int | None:
    """The index of the largest entry that is certainly not zero; None where there is none."""
    best, size = None, ZERO
    for index, each in enumerate(column):
        lower = each.abs_lower()
        if lower > size:
            best, size = index, lower
    return best


def _berkowitz(a: Taylor) -> Taylor:
    """det by the division-free algorithm of Berkowitz (Inf. Process. Lett. 18, 1984)."""
    n = a.shape[0]

    def block(rows: slice, columns: slice) -> Taylor:
        return a.at(np.s_[rows, columns])

    # Coefficients of det(x - A_m) of the leading m x m blocks, highest power first.
    polynomial = [constant(full(ONE, (1, 1))), taylor.negative(block(slice(0, 1), slice(0, 1)))]
    for m in range(1, n):
        row, column = block(slice(m, m + 1), slice(0, m)), block(slice(0, m), slice(m, m + 1))
        square = block(slice(0, m), slice(0, m))
        corner = block(slice(m, m + 1), slice(m, m + 1))
        toeplitz = [constant(full(ONE, (1, 1))), taylor.negative(corner)]
        vector = column
        for _ in range(m):
            toeplitz.append(taylor.negative(matmul(row, vector)))
            vector = matmul(square, vector)
        polynomial = [
            _total([taylor.multiply(toeplitz[i - j], polynomial[j]) for j in range(min(i, m) + 1)])
            for i in range(m + 2)
        ]
    result = polynomial[-1].at(np.s_[0, 0])
    return taylor.negative(result) if n % 2 else result


def _total(terms: list[Taylor]) -> Taylor:
    result = terms[0]
    for each in terms[1:]:
        result = taylor.add(result, each)
    return result


def batched(function: Callable[..., Taylor], *arrays: Taylor, inner: int = 2) -> Taylor:
    """`function` over the leading axes of arrays whose last `inner` axes it takes."""
    if all(len(each.shape) == inner for each in arrays):
        return function(*arrays)
    batch = np.broadcast_shapes(*[each.shape[: len(each.shape) - inner] for each in arrays])
    flat = []
    for each in arrays:
        last = each.shape[len(each.shape) - inner :]
        whole = taylor.spread(each, (*batch, *last))
        flat.append(reshaped(whole, (size_of(batch), *last)))
    members = [function(*[each.at(index) for each in flat]) for index in range(size_of(batch))]
    if not members:  # what a result looks like, unit matrices tell
        units = [constant(balls_of(np.eye(each.shape[-2], each.shape[-1]))) for each in flat]
        shape = function(*units).shape
        return constant(full(ZERO, (*batch, *shape)))
    return stacked(members, batch)

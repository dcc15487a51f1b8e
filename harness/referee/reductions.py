"""Sums, products, extremes and running totals along axes.

Extremes and products are folded in pairs of neighbours, log2(n) vectorised passes: a maximum of
1e5 elements so takes 1e5 comparisons and no Python loop over them, and an earlier element keeps
its place before an equal later one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.referee import compare, naming, powers, taylor, truth
from harness.referee.analytic import number
from harness.referee.array import INTEGER, BallArray, Dtype, balls, held, real
from harness.referee.elements import (
    ONE,
    ZERO,
    Integers,
    Objects,
    balls_of,
    boxed,
    floats_of,
    full,
    greater_mask,
    less_mask,
    size_of,
)
from harness.referee.taylor import Taylor, constant
from harness.referee.truth import Truth

#: Typed loosely: the stubs of numpy know no ball as an operand.
_add: Any = np.add
Axis = int | tuple[int, ...] | None


def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes as non-negative numbers; all of them for None. Raises AxisError or ValueError."""
    if axis is None:
        return tuple(range(ndim))
    chosen = axis if isinstance(axis, tuple) else (axis,)
    found = tuple(int(np.lib.array_utils.normalize_axis_index(each, ndim)) for each in chosen)
    if len(set(found)) < len(found):
        raise ValueError("duplicate value in `axis`")
    return found


def _kept(shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> tuple[int, ...]:
    if keepdims:
        return tuple(1 if index in axes else n for index, n in enumerate(shape))
    return tuple(n for index, n in enumerate(shape) if index not in axes)


def lined_up(x: Taylor, axes: tuple[int, ...]) -> Taylor:
    """The reduced axes flattened into one, the last."""
    if axes == (len(x.shape) - 1,):
        return x
    return x.mapped(lambda each: _rows(each, axes))


def _rows(part: Any, axes: tuple[int, ...]) -> Any:
    others = tuple(index for index in range(part.ndim) if index not in axes)
    shape = (*[part.shape[index] for index in others], size_of(tuple(part.shape[i] for i in axes)))
    return np.transpose(part, (*others, *sorted(axes))).reshape(shape)


def _total(part: Objects, axes: tuple[int, ...], keepdims: bool) -> Objects:
    if part.size == 0:
        return full(ZERO, _kept(part.shape, axes, keepdims))
    return boxed(_add.reduce(part, axis=axes, keepdims=keepdims))


def sum_series(x: Taylor, axes: tuple[int, ...], keepdims: bool = False) -> Taylor:
    """The sum along `axes`."""
    parts = tuple(_total(each, axes, keepdims) for each in x.parts)
    result = constant(parts[0])
    if x.degree is not None:
        degree = np.asarray(np.max(x.degree, axis=axes, keepdims=keepdims, initial=0))
        result = Taylor(parts, x.order, degree)
    return naming.named_sum(x, result, lambda each: _rows(each, axes))


def sum(x: Any, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> BallArray:
    """The sum along `axis`; 0 of no element."""
    array = balls(x)
    series = sum_series(array.series, axes_of(axis, array.ndim), keepdims)
    return held(BallArray(series, _accumulated(array.dtype, dtype)))


def _accumulated(label: Dtype, dtype: Any) -> Dtype:
    """The label of a sum or product: integers are added up in 64 bits unless `dtype` says so."""
    if dtype is not None:
        found: Dtype = np.dtype(dtype)
        return found
    wide: dict[str, Dtype] = {"i": INTEGER, "u": np.dtype(np.uint64)}
    return wide.get(label.kind, label)


def segment_sum(data: Any, segment_ids: Any, num_segments: int, /) -> BallArray:
    """Row i, of `num_segments`, is the sum of the rows of `data` whose id is i; rows of other ids
    are left out, as frameworks leave them out."""
    array, ids = balls(data), balls(segment_ids).as_index()
    known = np.flatnonzero((ids >= 0) & (ids < num_segments))
    rows, places = array.series.at(known), ids[known]
    shape = (num_segments, *array.shape[1:])

    def totals(part: Objects) -> Objects:
        total = full(ZERO, shape)
        _add.at(total, places, part)
        return total

    parts = tuple(totals(each) for each in rows.parts)
    result = constant(parts[0])
    if rows.degree is not None:
        degree = np.zeros(shape, np.int64)
        np.maximum.at(degree, places, rows.degree)
        result = Taylor(parts, rows.order, degree)
    result = naming.named_segments(rows, result, places)
    return held(BallArray(result, array.dtype))


def fold(x: Taylor, function: Callable[[Taylor, Taylor], Taylor]) -> Taylor:
    """`function` over the last axis, neighbours first; that axis is left with one element."""
    while x.shape[-1] > 1:
        left, right, rest = (x.at(part) for part in _halves(x.shape[-1]))
        x = _behind(function(left, right), rest)
    return x


def _halves(n: int) -> tuple[Any, Any, Any]:
    """Indices along the last axis: left neighbours, right ones, and the one that has none."""
    even = n - n % 2
    return np.s_[..., :even:2], np.s_[..., 1::2], np.s_[..., even:]


def _behind(x: Taylor, rest: Taylor) -> Taylor:
    return taylor.joined([x, rest], _concatenated) if rest.size else x


def _concatenated(arrays: list[Any]) -> Any:
    return np.concatenate(arrays, axis=-1)


def _collapsed(
    x: Any, axis: Axis, keepdims: bool, function: Callable[[Taylor], Taylor]
) -> BallArray:
    """`function`, which leaves the last axis with one element, over `axis`."""
    array = balls(x)
    axes = axes_of(axis, array.ndim)
    shape = _kept(array.shape, axes, keepdims)
    series = function(lined_up(array.series, axes))
    return BallArray(series.mapped(lambda each: each.reshape(shape)), array.dtype)


def _foremost(x: Taylor, sign: int) -> Integers | None:
    """The index along the last axis, which it keeps, of the largest element (smallest for `sign`
    -1) at t = 0: floats guess it, one comparison of balls with it proves it. None where it is not
    certain everywhere."""
    guess = np.argmax(sign * floats_of(x.parts[0]), axis=-1, keepdims=True)
    best = np.take_along_axis(x.parts[0], guess, -1)
    beaten = greater_mask(best, x.parts[0]) if sign > 0 else less_mask(best, x.parts[0])
    np.put_along_axis(beaten, guess, True, -1)
    return guess if beaten.all() else None


def prod(x: Any, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> BallArray:
    """The product along `axis`, without divisions; 1 of no element."""
    array = balls(x)
    axes = axes_of(axis, array.ndim)
    if size_of(tuple(array.shape[index] for index in axes)) == 0:
        result = BallArray(constant(full(ONE, _kept(array.shape, axes, keepdims))), array.dtype)
    else:
        result = _collapsed(array, axis, keepdims, lambda each: fold(each, taylor.multiply))
    return held(BallArray(result.series, _accumulated(array.dtype, dtype)))


def _extreme(x: Any, axis: Axis, keepdims: bool, name: str, sign: int) -> BallArray:
    array = balls(x)
    if size_of(tuple(array.shape[index] for index in axes_of(axis, array.ndim))) == 0:
        raise ValueError(f"`{name}` of no element")

    def extreme(x: Taylor) -> Taylor:
        place = _foremost(x, sign)
        if place is None:
            return fold(x, compare.maximum if sign > 0 else compare.minimum)
        return x.mapped(lambda each: np.take_along_axis(each, place, -1))

    return _collapsed(array, axis, keepdims, extreme)


def max(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> BallArray:
    """The largest for t -> 0+. Raises Undecided, and ValueError for no element."""
    return _extreme(x, axis, keepdims, "max", 1)


def min(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> BallArray:
    """The smallest for t -> 0+. Raises Undecided, and ValueError for no element."""
    return _extreme(x, axis, keepdims, "min", -1)


def _arg(x: Any, axis: int | None, keepdims: bool, sign: int, name: str) -> BallArray:
    array = balls(x)
    axes = axes_of(axis, array.ndim)
    series = lined_up(array.series, axes)
    if series.shape[-1] == 0:
        raise ValueError(f"`{name}` of no element")
    certain = _foremost(series, sign)
    if certain is not None:
        return integers(certain.reshape(_kept(array.shape, axes, keepdims)))
    indices = np.broadcast_to(np.arange(series.shape[-1]), series.shape)
    while series.shape[-1] > 1:
        parts = _halves(series.shape[-1])
        left, right, rest = (series.at(part) for part in parts)
        found = compare.decided(compare.signs(left, right), name, ties=True)
        worse = found.negative if sign > 0 else found.positive
        series = _behind(taylor.select(worse, right, left), rest)
        first, second, last = (indices[part] for part in parts)
        indices = _concatenated([np.where(worse, second, first), last])
    return integers(indices.reshape(_kept(array.shape, axes, keepdims)))


def integers(values: Integers) -> BallArray:
    """An array of exact integers."""
    return BallArray(constant(balls_of(np.asarray(values))), INTEGER)


def argmax(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> BallArray:
    """The index of the first largest element for t -> 0+. Raises Undecided, OrderExhausted."""
    return _arg(x, axis, keepdims, 1, "argmax")


def argmin(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> BallArray:
    """The index of the first smallest element for t -> 0+. Raises Undecided, OrderExhausted."""
    return _arg(x, axis, keepdims, -1, "argmin")


def _count(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    return size_of(tuple(shape[index] for index in axes))


def mean(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> BallArray:
    """The arithmetic mean along `axis`; NaN of no element."""
    array = real(balls(x))
    axes = axes_of(axis, array.ndim)
    total = sum_series(array.series, axes, keepdims)
    return BallArray(taylor.divide(total, number(_count(array.shape, axes))), array.dtype)


def var(
    x: Any, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False
) -> BallArray:
    """The variance along `axis`, with `correction` taken from the number of elements."""
    array = real(balls(x))
    axes = axes_of(axis, array.ndim)
    count = number(_count(array.shape, axes))
    # Less the first element everywhere, equal ones are exact zeros, and so is their variance.
    first = array.series.at(tuple(np.s_[:1] if i in axes else np.s_[:] for i in range(array.ndim)))
    above = taylor.subtract(array.series, first) if array.size else array.series
    middle = taylor.divide(sum_series(above, axes, True), count)
    deviation = taylor.subtract(above, middle)
    squares = sum_series(taylor.multiply(deviation, deviation), axes, keepdims)
    return BallArray(
        taylor.divide(squares, taylor.subtract(count, number(correction))), array.dtype
    )


def std(
    x: Any, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False
) -> BallArray:
    """The square root of the variance; of a constant, one-sided along a lift of order 2."""
    variance = var(x, axis=axis, correction=correction, keepdims=keepdims)
    return BallArray(powers.sqrt(variance.series), variance.dtype)


def _as_truth(x: Any) -> Truth:
    return truth.truth(x) if isinstance(x, Truth | bool) else _numpy_truth(x)


def _numpy_truth(x: Any) -> Truth:
    if isinstance(x, np.ndarray) and x.dtype == bool:
        return truth.truth(x)
    return balls(x) != 0


def all(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Truth:
    """Whether all elements along `axis` are true, or not zero."""
    return _as_truth(x).all(axis, keepdims)


def any(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Truth:
    """Whether some element along `axis` is true, or not zero."""
    return _as_truth(x).any(axis, keepdims)


def count_nonzero(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> BallArray:
    """How many elements along `axis` are true, or not zero. Raises Undecided."""
    mask = _as_truth(x).decided("count_nonzero")
    return integers(np.asarray(np.sum(mask, axis=axis, keepdims=keepdims, dtype=np.int64)))


def nonzero(x: Any, /) -> tuple[BallArray, ...]:
    """The indices of the elements that are true, or not zero. Raises Undecided."""
    return tuple(integers(each) for each in np.nonzero(_as_truth(x).decided("nonzero")))


def _running(
    x: Any,
    axis: int | None,
    dtype: Any,
    include_initial: bool,
    name: str,
    step: Callable[[Taylor, Taylor], Taylor],
    start: Any,
) -> BallArray:
    array = balls(x)
    if axis is None:
        if array.ndim > 1:
            raise ValueError(f"`{name}` of {array.ndim} axes needs `axis`")
        axis = 0
    (place,) = axes_of(axis, array.ndim)
    series = array.series.mapped(lambda each: np.moveaxis(each, place, 0))
    slices: list[Taylor] = []
    if include_initial:
        slices.append(constant(full(start, series.shape[1:])))
    total: Taylor | None = None
    for index in range(series.shape[0]):
        each = series.at(index)
        total = each if total is None else step(total, each)
        slices.append(total)
    label = _accumulated(array.dtype, dtype)
    if not slices:
        return BallArray(array.series, label)
    joined = taylor.joined(slices, np.stack)
    return held(BallArray(joined.mapped(lambda each: np.moveaxis(each, 0, place)), label))


def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> BallArray:
    """Running sums along `axis`, after a 0 if `include_initial`."""
    return _running(x, axis, dtype, include_initial, "cumulative_sum", taylor.add, ZERO)


def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> BallArray:
    """Running products along `axis`, after a 1 if `include_initial`."""
    return _running(x, axis, dtype, include_initial, "cumulative_prod", taylor.multiply, ONE)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        sum, segment_sum, prod, max, min, argmax, argmin, mean, var, std, all, any, count_nonzero,
        nonzero, cumulative_sum, cumulative_prod,
    )
}  # fmt: skip

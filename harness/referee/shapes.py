"""Arrays from numbers, and arrays rearranged: nothing here touches the value of an element."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from flint import arb

from harness.errors import Unsupported
from harness.referee import record, rounding, taylor, truth
from harness.referee.analytic import number
from harness.referee.array import INTEGER, REAL, BallArray, Dtype, balls, held, promoted, real
from harness.referee.elements import ONE, ZERO
from harness.referee.elements import full as filled_with
from harness.referee.reductions import axes_of, integers
from harness.referee.taylor import Taylor, constant
from harness.referee.truth import Truth

Shape = int | Sequence[int]


def _shape(shape: Shape) -> tuple[int, ...]:
    return (int(shape),) if not isinstance(shape, Sequence) else tuple(int(n) for n in shape)


def _array(x: Any) -> Any:
    """Truth values stay what they are; anything else becomes balls."""
    if isinstance(x, Truth):
        return x
    if isinstance(x, bool | np.bool_) or (isinstance(x, np.ndarray) and x.dtype == bool):
        return truth.truth(x)
    if isinstance(x, list | tuple) and _booleans(x):
        return truth.truth(np.asarray(x))
    return balls(x)


def _booleans(x: Any) -> bool:
    """Whether nested lists hold booleans and nothing else."""
    if isinstance(x, list | tuple):
        return len(x) > 0 and all(_booleans(each) for each in x)
    return isinstance(x, bool | np.bool_)


def _label(dtype: Any, default: Dtype) -> Dtype:
    found = default if dtype is None else np.dtype(dtype)
    if found.kind == "c":
        raise Unsupported("referee: balls are real; no complex dtype")
    return found


def _full(value: arb, shape: tuple[int, ...], dtype: Dtype) -> Any:
    if dtype.kind == "b":
        # `bool(arb(0))` is True: python-flint gives a ball no truth value of its own.
        return truth.truth(np.full(shape, not value.is_zero()))
    return BallArray(constant(filled_with(value, shape)), dtype)


def zeros(shape: Shape, *, dtype: Any = None, device: Any = None) -> Any:
    """Exact zeros."""
    return _full(ZERO, _shape(shape), _label(dtype, REAL))


def ones(shape: Shape, *, dtype: Any = None, device: Any = None) -> Any:
    """Exact ones."""
    return _full(ONE, _shape(shape), _label(dtype, REAL))


def full(shape: Shape, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """Every element `fill_value`, a number or a 0-d array."""
    value = _array(fill_value)
    spread = value.mapped(lambda each: np.broadcast_to(each, _shape(shape)))
    return spread if dtype is None else astype(spread, dtype)


def zeros_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
    """Exact zeros in the shape of x."""
    return zeros(_array(x).shape, dtype=_label(dtype, _array(x).dtype))


def ones_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
    """Exact ones in the shape of x."""
    return ones(_array(x).shape, dtype=_label(dtype, _array(x).dtype))


def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """Every element `fill_value`, in the shape of x."""
    return full(_array(x).shape, fill_value, dtype=_label(dtype, _array(x).dtype))


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None
) -> Any:
    """Ones on diagonal `k`."""
    mask = np.eye(n_rows, n_cols, k, dtype=bool)
    return astype(truth.truth(mask), _label(dtype, REAL))


def one_hot(labels: Any, /, num_classes: int, *, dtype: Any = None) -> BallArray:
    """Ones where the last axis, of length `num_classes`, is at its label, and zeros; of shape
    (*labels.shape, num_classes). A label that is no class has zeros."""
    mask = balls(labels).as_index()[..., None] == np.arange(num_classes)
    found: BallArray = astype(truth.truth(np.asarray(mask)), _label(dtype, REAL))
    return found


def arange(
    start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None
) -> BallArray:
    """start, start + step, ... below `stop`, each of them exact as far as the precision goes."""
    if stop is None:
        start, stop = 0, start
    ends = [balls(each) for each in (start, stop, step)]
    length = (ends[1] - ends[0]) / ends[2]
    (found,) = rounding.ceil(length.series).parts[0].ravel()
    count = int(found.unique_fmpz())
    indices = integers(np.arange(count if count > 0 else 0))
    whole = all(each.dtype.kind in "iu" for each in ends)
    result = ends[0] + ends[2] * indices
    return BallArray(result.series, _label(dtype, INTEGER if whole else REAL))


def linspace(
    start: Any,
    stop: Any,
    /,
    num: int,
    *,
    dtype: Any = None,
    device: Any = None,
    endpoint: bool = True,
) -> BallArray:
    """`num` points from `start` to `stop`, evenly spaced over the reals."""
    first, last = real(balls(start)), real(balls(stop))
    steps = num - 1 if endpoint else num
    fractions = integers(np.arange(num)) / (steps if steps > 0 else 1)
    return BallArray((first + (last - first) * fractions).series, _label(dtype, REAL))


def meshgrid(*arrays: Any, indexing: str = "xy") -> list[BallArray]:
    """Coordinate arrays of the grid spanned by 1-d arrays."""
    members = [balls(each) for each in arrays]
    places = np.meshgrid(*[np.arange(each.size) for each in members], indexing=indexing)  # type: ignore[call-overload]
    return [
        member.reshape(-1).mapped(partial(_chosen, place))
        for member, place in zip(members, places, strict=True)
    ]


def _triangle(x: Any, mask_of: Callable[..., Any], k: int) -> BallArray:
    # np.tril itself would put the integer 0 between the balls.
    array = balls(x)
    mask = mask_of(np.ones(array.shape[-2:], bool), k)
    return BallArray(taylor.select(mask, array.series, number(0)), array.dtype)


def _chosen(places: Any, part: Any) -> Any:
    return part[places]


def tril(x: Any, /, *, k: int = 0) -> BallArray:
    """Zeros above diagonal `k`."""
    return _triangle(x, np.tril, k)


def triu(x: Any, /, *, k: int = 0) -> BallArray:
    """Zeros below diagonal `k`."""
    return _triangle(x, np.triu, k)


def asarray(x: Any, /, *, dtype: Any = None, device: Any = None, copy: Any = None) -> Any:
    """Balls of numbers, numpy arrays or nested lists of either, exactly."""
    array = _array(x)
    return array if dtype is None else astype(array, dtype)


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """x under another label: integers are truncated, booleans compared. Reals are not rounded, but
    within `record.narrowing` they get the radius that rounding to the label may cause."""
    array, label = _array(x), _label(dtype, REAL)
    if label.kind == "b":
        return array if isinstance(array, Truth) else array != 0
    if isinstance(array, Truth):
        array = balls(array)
    if label.kind in "iu" and array.dtype.kind not in "iu":
        return held(BallArray(rounding.trunc(array.series), label))
    if rounding.is_narrower(label, array.dtype):
        record.narrow()
        if record.narrows():
            return BallArray(rounding.narrowed(array.series, label), label)
    return held(BallArray(array.series, label))


def broadcast_to(x: Any, /, shape: Shape) -> Any:
    """x repeated along new or single axes."""
    return _array(x).mapped(lambda each: np.broadcast_to(each, _shape(shape)))


def broadcast_arrays(*arrays: Any) -> list[Any]:
    """All of them in their common shape."""
    members = [_array(each) for each in arrays]
    shape = np.broadcast_shapes(*[each.shape for each in members])
    return [broadcast_to(each, shape) for each in members]


def reshape(x: Any, /, shape: Shape, *, copy: Any = None) -> Any:
    """The same elements in C order under another shape."""
    return _array(x).mapped(lambda each: each.reshape(_shape(shape)))


def permute_dims(x: Any, /, axes: Sequence[int]) -> Any:
    """The axes in another order."""
    return _array(x).mapped(lambda each: np.transpose(each, tuple(axes)))


def matrix_transpose(x: Any, /) -> Any:
    """The last two axes swapped."""
    return _array(x).mT


def moveaxis(x: Any, source: Any, destination: Any, /) -> Any:
    """Axes moved to other places."""
    return _array(x).mapped(lambda each: np.moveaxis(each, source, destination))


def expand_dims(x: Any, /, *, axis: Any = 0) -> Any:
    """A new axis of length 1 at each place in `axis`."""
    return _array(x).mapped(lambda each: np.expand_dims(each, axis))


def squeeze(x: Any, /, axis: Any) -> Any:
    """Axes of length 1 taken away."""
    return _array(x).mapped(lambda each: np.squeeze(each, axis))


def flip(x: Any, /, *, axis: Any = None) -> Any:
    """The order along `axis` reversed."""
    return _array(x).mapped(lambda each: np.flip(each, axis))


def roll(x: Any, /, shift: Any, *, axis: Any = None) -> Any:
    """Elements moved round along `axis`."""
    return _array(x).mapped(lambda each: np.roll(each, shift, axis))


def tile(x: Any, repetitions: Any, /) -> Any:
    """x repeated as a whole."""
    return _array(x).mapped(lambda each: np.tile(each, repetitions))


def repeat(x: Any, repeats: Any, /, *, axis: int | None = None) -> Any:
    """Each element repeated."""
    counts = indices_of(repeats)
    return _array(x).mapped(lambda each: np.repeat(each, counts, axis))


def _together(arrays: Sequence[Any], function: Callable[[list[Any]], Any]) -> Any:
    members = [_array(each) for each in arrays]
    if all(isinstance(each, Truth) for each in members):
        pairs = [each.certain() for each in members]
        return Truth(function([yes for yes, _ in pairs]), function([no for _, no in pairs]))
    balled = [balls(each) for each in members]
    series = taylor.joined([each.series for each in balled], function)
    return BallArray(series, promoted(*[each.dtype for each in balled]))


def concat(arrays: Sequence[Any], /, *, axis: int | None = 0) -> Any:
    """Arrays one after the other along `axis`; flattened first for None."""
    return _together(arrays, lambda parts: np.concatenate(parts, axis=axis))


def stack(arrays: Sequence[Any], /, *, axis: int = 0) -> Any:
    """Arrays of one shape along a new axis."""
    return _together(arrays, lambda parts: np.stack(parts, axis=axis))


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The slices along `axis`."""
    array = _array(x)
    (place,) = axes_of(axis, array.ndim)
    return tuple(array.mapped(lambda each: np.moveaxis(each, place, 0)))


def indices_of(x: Any) -> Any:
    """Integers for numpy to index with."""
    if isinstance(x, BallArray):
        return x.as_index()
    return np.asarray(x, np.int64) if isinstance(x, list | tuple) else x


def take(x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
    """The elements at `indices` along `axis`."""
    array, at = _array(x), indices_of(indices)
    if axis is None and array.ndim != 1:
        raise ValueError(f"`take` of {array.ndim} axes needs `axis`")
    place = 0 if axis is None else axis
    return array.mapped(lambda each: np.take(each, at, axis=place))


def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Any:
    """For each place along the other axes, the elements at its own indices."""
    at = indices_of(indices)
    return _array(x).mapped(lambda each: np.take_along_axis(each, at, axis))


def diff(
    x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None
) -> BallArray:
    """The `n`-th differences of neighbours along `axis`."""
    members = [each for each in (prepend, x, append) if each is not None]
    array = concat(members, axis=axis) if len(members) > 1 else balls(x)
    (place,) = axes_of(axis, array.ndim)
    for _ in range(n):
        after = array.mapped(lambda each: np.moveaxis(np.moveaxis(each, place, 0)[1:], 0, place))
        before = array.mapped(lambda each: np.moveaxis(np.moveaxis(each, place, 0)[:-1], 0, place))
        array = after - before
    return balls(array)


def constant_of(value: arb) -> BallArray:
    """A 0-d array of one ball."""
    return BallArray(Taylor((filled_with(value, ()),)))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        zeros, ones, full, zeros_like, ones_like, full_like, eye, one_hot, arange, linspace,
        meshgrid, tril, triu, asarray, astype, broadcast_to, broadcast_arrays, reshape,
        permute_dims, matrix_transpose, moveaxis, expand_dims, squeeze, flip, roll, tile,
        repeat, concat, stack, unstack, take, take_along_axis, diff,
    )
}  # fmt: skip
FUNCTIONS["empty"] = zeros
FUNCTIONS["empty_like"] = zeros_like

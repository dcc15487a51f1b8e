"""A numpy in which every array stands for many, because one evaluation per element is what makes
numeric differences slow: of 10 microseconds for a small function, 9 are Python.

`forward` is written for one input, so that nobody can tell from outside along which axis its
inputs could be stacked. Here every array has a hidden leading axis, one lane per perturbed copy,
which each function leaves alone: it sums over the axes of the case, and broadcasts behind the
hidden one. What is not in this file, or would need another answer in each lane (`if x > 0`), is
refused with Unsupported, and the caller evaluates one input at a time.

Numbers with an imaginary part are refused by every function that is not analytic: `abs` of a
complex number is no derivative of anything.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from harness.differences.lanes import Batched
from harness.errors import Unsupported
from harness.model import Array
from harness.programs.namespace import Namespace, of_numpy

_numpy: Any = of_numpy()

#: Elementwise functions through which the derivative of the imaginary part is that of the real one.
#: Not log1p: numpy's complex one loses the digits that it exists for.
_ANALYTIC = frozenset(
    """
    add subtract multiply divide negative positive reciprocal square sqrt pow
    exp expm1 log log2 log10 sin cos tan sinh cosh tanh asin acos atan asinh acosh atanh
    """.split()
)
_ELEMENTWISE = frozenset(
    """
    abs atan2 ceil clip copysign floor floor_divide hypot log1p logaddexp maximum minimum remainder
    round sign signbit trunc isfinite isinf isnan where
    equal not_equal less less_equal greater greater_equal
    logical_and logical_not logical_or logical_xor
    bitwise_and bitwise_invert bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift
    """.split()
)
#: Those of scipy, which is not imported for nothing.
_SPECIAL = ("erf", "erfc", "lgamma", "digamma")
#: Functions over one axis, several or all, and whether they are analytic.
_REDUCTIONS = dict.fromkeys("sum prod mean".split(), True) | dict.fromkeys(
    "max min all any var std".split(), False
)
#: Functions along one axis, with the default; None for all elements in a row.
_ALONG = {
    **dict.fromkeys("cumulative_sum cumulative_prod roll repeat take argmax argmin".split()),
    **dict.fromkeys("diff sort argsort".split(), -1),
}
_ALONG_ANALYTIC = frozenset("cumulative_sum cumulative_prod roll repeat take diff".split())
#: Functions of matrices, which numpy stacks by itself, where they are analytic.
_STACKED = frozenset("matrix_transpose tril triu".split())
_LINALG_STACKED = frozenset("det inv matrix_transpose trace".split())
#: What has nothing to do with the numbers in an array.
_PLAIN = frozenset(
    """
    e inf nan newaxis pi bool float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64
    arange empty eye full linspace ones zeros finfo iinfo isdtype can_cast
    """.split()
)


def _special(name: str, x: Any) -> Any:
    return getattr(_numpy, name)(x)


def _refuse(name: str) -> Any:
    raise Unsupported(f"batched: `{name}` in this form")


def _raw(array: Any) -> Array:
    return array.stacked if isinstance(array, Batched) else np.asarray(array)


def _behind(array: Any, ndim: int) -> Any:
    """The numbers of an operand, so that it broadcasts behind the hidden axis."""
    if not isinstance(array, Batched):
        return array
    stacked = array.stacked
    new = (1,) * (ndim - array.ndim)
    return stacked.reshape(stacked.shape[0], *new, *stacked.shape[1:]) if new else stacked


def _analytic(name: str, kept: bool, *operands: Any) -> None:
    if not kept and any(_complex(each) for each in operands):
        raise Unsupported(f"`xp.{name}` is not analytic")


def _complex(operand: Any) -> bool:
    return isinstance(operand, Batched) and operand.complex


def _elementwise(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    kept = name in _ANALYTIC

    def call(*operands: Any, **options: Any) -> Any:
        batched = [each for each in operands if isinstance(each, Batched)]
        if not batched:
            return function(*operands, **options)
        if options:
            operands, options = (*operands, *options.values()), {}
            if name != "clip" or len(operands) != 3:
                _refuse(name)
        _analytic(name, kept, *operands)
        first = batched[0]
        if all(each.spots is first.spots and each.shape == first.shape for each in batched):
            found = _of_spots(function, operands, first)
            if found is not None:
                return found
        ndim = max(len(np.shape(each)) for each in map(_lane, operands))
        return Batched(np.asarray(function(*(_behind(each, ndim) for each in operands))))

    return call


def _lane(operand: Any) -> Any:
    """An operand's shape, as numpy's `shape` would tell it."""
    return np.empty(operand.shape, bool) if isinstance(operand, Batched) else operand


def _of_spots(function: Callable[..., Any], operands: Sequence[Any], first: Batched) -> Any:
    """Elementwise, where the lanes differ in one element; None where they will not."""
    if first.spots is None:
        return None
    whole, spot = [], []
    for each in operands:
        if isinstance(each, Batched):
            whole.append(each.common)
            spot.append(each.own)
            continue
        whole.append(each)
        if np.ndim(each) == 0:
            spot.append(each)
        elif np.shape(each) == first.shape:
            spot.append(np.asarray(each).reshape(-1)[first.spots])
        else:
            return None
    return Batched(None, np.asarray(function(*whole)), first.spots, np.asarray(function(*spot)))


def _axes(name: str, ndim: int, axis: Any) -> Any:
    """The same axes, counted behind the hidden one."""
    if isinstance(axis, tuple):
        return tuple(_axes(name, ndim, each) for each in axis)
    place = operator.index(axis)
    if not -ndim <= place < ndim:
        raise Unsupported(f"batched: `{name}` over axis {place} of {ndim}")
    return place % ndim + 1


def _reduction(name: str, function: Callable[..., Any], kept: bool) -> Callable[..., Any]:
    def call(x: Any, /, *, axis: Any = None, **options: Any) -> Any:
        if not isinstance(x, Batched):
            return function(x, axis=axis, **options)
        _analytic(name, kept, x)
        if options.get("dtype") is not None:
            _refuse(name)
        if name in ("sum", "mean") and axis is None and not options and x.change is not None:
            whole = function(x.common)
            if np.isfinite(whole):
                return Batched(whole + x.change / (x.size if name == "mean" else 1))
        every = tuple(range(1, x.ndim + 1))
        axes = every if axis is None else _axes(name, x.ndim, axis)
        return Batched(np.asarray(function(x.stacked, axis=axes, **options)))

    return call


def _along(name: str, function: Callable[..., Any], default: int | None) -> Callable[..., Any]:
    kept = name in _ALONG_ANALYTIC

    def call(x: Any, /, *others: Any, axis: Any = default, **options: Any) -> Any:
        if any(isinstance(each, Batched) for each in others):
            _refuse(name)
        if not isinstance(x, Batched):
            return function(x, *others, axis=axis, **options)
        _analytic(name, kept, x)
        if axis is None and x.ndim != 1:
            _refuse(name)
        place = 1 if axis is None else _axes(name, x.ndim, axis)
        return Batched(np.asarray(function(x.stacked, *others, axis=place, **options)))

    return call


def _stackable(name: str, function: Callable[..., Any], kept: bool = True) -> Callable[..., Any]:
    def call(x: Any, /, **options: Any) -> Any:
        if not isinstance(x, Batched):
            return function(x, **options)
        _analytic(name, kept, x)
        if x.ndim < 2:
            _refuse(name)
        return Batched(np.asarray(function(x.stacked, **options)))

    return call


def _matmul(a: Any, b: Any) -> Any:
    """Where one operand has no lanes, those of the other become rows of one long matrix."""
    if not isinstance(a, Batched) and not isinstance(b, Batched):
        return np.matmul(a, b)
    one, two = (len(np.shape(_lane(each))) for each in (a, b))
    if 0 in (one, two):
        _refuse("matmul")
    left, right = _raw(a), _raw(b)
    left = left[..., None, :] if one == 1 else left
    right = right[..., :, None] if two == 1 else right
    if not isinstance(b, Batched) and right.ndim == 2:
        rows = np.ascontiguousarray(left).reshape(-1, left.shape[-1])
        found = _product(rows, right).reshape(*left.shape[:-1], right.shape[-1])
    elif not isinstance(a, Batched) and left.ndim == 2:
        turned = np.ascontiguousarray(right.swapaxes(-1, -2))
        rows = _product(turned.reshape(-1, turned.shape[-1]), left.T)
        found = rows.reshape(*turned.shape[:-1], left.shape[0]).swapaxes(-1, -2)
    else:
        ndim = max(one, two, 2)
        left = _padded(left, a, ndim)
        right = _padded(right, b, ndim)
        found = np.matmul(left, right)
    found = found[..., 0, :] if one == 1 else found
    return Batched(found[..., 0] if two == 1 else found)


def _product(rows: Array, matrix: Array) -> Array:
    """A complex number times a real one is two products, not the four that numpy makes of it."""
    if rows.dtype.kind != "c" or matrix.dtype.kind == "c":
        return np.asarray(rows @ matrix)
    found = np.empty((len(rows), matrix.shape[-1]), rows.dtype)
    found.real = np.ascontiguousarray(rows.real) @ matrix
    found.imag = np.ascontiguousarray(rows.imag) @ matrix
    return found


def _padded(matrices: Array, operand: Any, ndim: int) -> Array:
    """`matrices` with `ndim` axes behind the hidden one, if it has that."""
    if not isinstance(operand, Batched):
        return matrices
    new = (1,) * (ndim + 1 - matrices.ndim)
    return matrices.reshape(matrices.shape[0], *new, *matrices.shape[1:])


def _reshape(x: Any, /, shape: Any, *, copy: bool | None = None) -> Any:
    if not isinstance(x, Batched):
        return np.reshape(x, shape)
    shape = shape if isinstance(shape, tuple | list) else (shape,)
    if x.spots is not None:
        assert x.common is not None
        return Batched(None, x.common.reshape(shape), x.spots, x.own)
    return Batched(x.stacked.reshape(x.lanes, *x.stacked[0].reshape(shape).shape))


def _expand_dims(x: Any, /, *, axis: int = 0) -> Any:
    shape = np.expand_dims(_lane(x), axis).shape
    return _reshape(x, shape)


def _squeeze(x: Any, /, axis: Any) -> Any:
    return _reshape(x, np.squeeze(_lane(x), axis).shape)


def _broadcast_to(x: Any, /, shape: Any) -> Any:
    if not isinstance(x, Batched):
        return np.broadcast_to(x, shape)
    shape = shape if isinstance(shape, tuple | list) else (shape,)
    return Batched(np.broadcast_to(_behind(x, len(shape)), (x.lanes, *shape)))


def _broadcast_arrays(*arrays: Any) -> Any:
    shape = np.broadcast_shapes(*(np.shape(_lane(each)) for each in arrays))
    return [_broadcast_to(each, shape) for each in arrays]


def _permute_dims(x: Any, /, axes: Any) -> Any:
    if not isinstance(x, Batched):
        return np.transpose(x, axes)
    return Batched(x.stacked.transpose(0, *_axes("permute_dims", x.ndim, tuple(axes))))


def _moveaxis(x: Any, source: Any, destination: Any, /) -> Any:
    if not isinstance(x, Batched):
        return np.moveaxis(x, source, destination)
    places = (_axes("moveaxis", x.ndim, each) for each in (source, destination))
    return Batched(np.moveaxis(x.stacked, *places))


def _flip(x: Any, /, *, axis: Any = None) -> Any:
    if not isinstance(x, Batched):
        return np.flip(x, axis=axis)
    every = tuple(range(1, x.ndim + 1))
    return Batched(np.flip(x.stacked, every if axis is None else _axes("flip", x.ndim, axis)))


def _joining(name: str, extra: int) -> Callable[..., Any]:
    """`stack`, whose result has an axis more, and `concat`."""
    function = getattr(_numpy, name)

    def call(arrays: Sequence[Any], /, *, axis: Any = 0) -> Any:
        lanes = next((each.lanes for each in arrays if isinstance(each, Batched)), None)
        if lanes is None:
            return function(arrays, axis=axis)
        if axis is None:
            _refuse(name)
        every = [
            each.stacked
            if isinstance(each, Batched)
            else np.broadcast_to(each, (lanes, *np.shape(each)))
            for each in arrays
        ]
        return Batched(function(every, axis=_axes(name, every[0].ndim - 1 + extra, axis)))

    return call


def _unstack(x: Any, /, *, axis: int = 0) -> Any:
    if not isinstance(x, Batched):
        return _numpy.unstack(x, axis=axis)
    turned = np.moveaxis(x.stacked, _axes("unstack", x.ndim, axis), 0)
    return tuple(Batched(each) for each in turned)


def _like(name: str) -> Callable[..., Any]:
    function = getattr(_numpy, name)

    def call(x: Any, /, *others: Any, dtype: Any = None, **options: Any) -> Any:
        model = np.empty(x.shape, x.dtype) if isinstance(x, Batched) else x
        return function(model, *others, dtype=dtype, **options)

    return call


def _astype(x: Any, dtype: Any, /, **_options: Any) -> Any:
    if not isinstance(x, Batched):
        return _numpy.astype(x, dtype)
    if _complex(x):
        if np.dtype(dtype) != x.dtype:
            _refuse("astype")
        return x
    return Batched(x.stacked.astype(dtype))


def _asarray(x: Any, /, **options: Any) -> Any:
    if isinstance(x, Batched):
        return x if options.get("dtype") is None else _astype(x, options["dtype"])
    return _numpy.asarray(x, **options)


def _result_type(*operands: Any) -> Any:
    return _numpy.result_type(
        *(each.dtype if isinstance(each, Batched) else each for each in operands)
    )


_HANDLERS: dict[str, Callable[..., Any]] = {
    "matmul": _matmul,
    "reshape": _reshape,
    "expand_dims": _expand_dims,
    "squeeze": _squeeze,
    "broadcast_to": _broadcast_to,
    "broadcast_arrays": _broadcast_arrays,
    "permute_dims": _permute_dims,
    "moveaxis": _moveaxis,
    "flip": _flip,
    "stack": _joining("stack", 1),
    "concat": _joining("concat", 0),
    "unstack": _unstack,
    "astype": _astype,
    "asarray": _asarray,
    "result_type": _result_type,
    **{name: _like(name) for name in ("zeros_like", "ones_like", "full_like", "empty_like")},
    **{name: getattr(_numpy, name) for name in _PLAIN},
    **{name: _elementwise(name, getattr(_numpy, name)) for name in _ANALYTIC | _ELEMENTWISE},
    **{name: _elementwise(name, partial(_special, name)) for name in _SPECIAL},
    **{name: _reduction(name, getattr(_numpy, name), kept) for name, kept in _REDUCTIONS.items()},
    **{name: _along(name, getattr(_numpy, name), axis) for name, axis in _ALONG.items()},
    **{name: _stackable(name, getattr(_numpy, name)) for name in _STACKED},
}
_LINALG = {
    "matmul": _matmul,
    **{name: _stackable(name, getattr(_numpy.linalg, name)) for name in _LINALG_STACKED},
    "cholesky": _stackable("linalg.cholesky", _numpy.linalg.cholesky, False),
}

#: The namespace; arrays without lanes go through it as they would through numpy.
xp = Namespace(
    "batched",
    object(),
    _HANDLERS | {"linalg": Namespace("batched", object(), _LINALG, prefix="xp.linalg")},
)
Batched.xp = xp

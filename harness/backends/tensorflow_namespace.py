"""tf.experimental.numpy is nearly the array API: it lacks 33 of its names, and one of its rules.

The rule is that a Python number takes the dtype of the array beside it: there `add(x, 1.0)` and
`maximum(x, 0.0)` of a float32 array are float64. tensorflow can be told otherwise, for the whole
process, which would change every tensor of a user's own tests too; so numbers are converted here,
before its functions see them. That also leaves `maximum(x, 0.0)` the maximum that it says it is:
tf.experimental.numpy replaces it by relu when handed a Python 0, whose derivative at 0 is another.

For `harness.backends.tensorflow` alone, which hands the module in: nothing is imported here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from harness.dtypes import finfo, isdtype
from harness.errors import Unsupported
from harness.programs.namespace import Namespace, named_result

#: Standard name -> name in tf.experimental.numpy.
_ALIASES = dict(
    pair.split(":")
    for pair in """
    acos:arccos acosh:arccosh asin:arcsin asinh:arcsinh atan:arctan atanh:arctanh
    bitwise_invert:bitwise_not bool:bool_ permute_dims:transpose trunc:fix
    """.split()
)

#: Functions of one array; tf.experimental.numpy takes bfloat16 for no float and looks for a method
#: that only the global switch adds. Standard name -> name of the kernel itself in tf.math.
_UNARY = {"isfinite": "is_finite", "isinf": "is_inf", "isnan": "is_nan"} | {
    name: name
    for name in """
    acos acosh asin asinh atan atanh ceil cos cosh exp expm1 floor log log1p sin sinh sqrt tan tanh
    """.split()
}

#: Functions of two arrays, either of which may be a Python number; None: of the same name.
_BINARY: dict[str, str | None] = {"atan2": "arctan2", "pow": "power"} | dict.fromkeys(
    """
    add subtract multiply divide floor_divide remainder maximum minimum hypot logaddexp nextafter
    equal not_equal greater greater_equal less less_equal
    """.split()
)

_GAPS = {
    "fft": "tensorflow transforms complex arrays only",
    "from_dlpack": "a case has no other library to take an array from",
} | dict.fromkeys(
    ("unique_all", "unique_counts", "unique_inverse", "unique_values"),
    "tensorflow does not sort what it finds unique",
)


def namespace(tf: Any) -> Namespace:
    """The array API namespace of tensorflow, given its module."""
    linalg = Namespace("tensorflow", tf.linalg, _linalg(tf), prefix="xp.linalg")
    overrides = {**_main(tf), "linalg": linalg}
    return _Namespace(tf, overrides)


class _Namespace(Namespace):
    """A tensor's own brackets take slices, single integers and one mask; numpy's take more."""

    def __init__(self, tf: Any, overrides: dict[str, Any]) -> None:
        super().__init__("tensorflow", tf.experimental.numpy, overrides, gaps=_GAPS)
        self._tf = tf

    def plain_index(self, key: Any) -> Any:
        tf = self._tf
        if isinstance(key, tuple):
            return tuple(map(self.plain_index, key))
        if tf.is_tensor(key) and not tf.executing_eagerly():
            found = tf.get_static_value(key)
            if found is None:
                raise Unsupported("tensorflow: an index that a compiled function computes")
            return found
        return super().plain_index(key)

    def item(self, array: Any, key: Any) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        mask = len(parts) == 1 and getattr(key, "dtype", None) in (self._tf.bool, np.dtype(bool))
        listed = any(isinstance(each, list) or getattr(each, "shape", ()) for each in parts)
        return self.gathered(array, key) if listed and not mask else array[key]


def _is_bfloat16(x: Any) -> bool:
    return getattr(getattr(x, "dtype", None), "name", "") == "bfloat16"


def _promoter(tf: Any) -> Callable[..., list[Any]]:
    def promoted(*operands: Any) -> list[Any]:
        """The operands as tensors of one dtype. Python numbers adapt, integers give way."""
        dtypes = [tf.as_dtype(each.dtype) for each in operands if hasattr(each, "dtype")]
        wide = [each for each in dtypes if each.is_floating or each.is_complex] or dtypes
        numbers = [each for each in operands if not hasattr(each, "dtype")]
        # numpy takes bfloat16 for no float, and would let a Python number widen it.
        if wide and not wide[0].is_integer and not any(isinstance(n, complex) for n in numbers):
            numbers = []
        dtype = np.result_type(*(each.as_numpy_dtype for each in wide), *numbers)
        return [
            tf.cast(each, dtype) if hasattr(each, "dtype") else tf.constant(each, dtype)
            for each in operands
        ]

    return promoted


def _main(tf: Any) -> dict[str, Any]:
    """Standard functions that tf.experimental.numpy lacks, or has under other terms."""
    tnp, promoted = tf.experimental.numpy, _promoter(tf)

    def binary(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x1, x2, /: function(*promoted(x1, x2))

    def unary(name: str) -> Callable[..., Any]:
        kernel, function = getattr(tf.math, _UNARY[name]), getattr(tnp, _ALIASES.get(name, name))
        return lambda x, /: (kernel if _is_bfloat16(x) else function)(x)

    def numpy_dtype(dtype: Any) -> Any:
        if isinstance(dtype, str):
            return dtype
        if isinstance(dtype, tuple):
            return tuple(map(numpy_dtype, dtype))
        return np.dtype(tf.as_dtype(dtype.dtype if tf.is_tensor(dtype) else dtype).as_numpy_dtype)

    def asarray(obj: Any, /, *, dtype: Any = None, copy: bool | None = None) -> Any:
        return tnp.asarray(obj, dtype=dtype)

    def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None) -> Any:
        numbers = (0, start, step) if stop is None else (start, stop, step)
        # tnp.arange counts in float32, whatever dtype it then gives.
        wanted = dtype or ("float64" if any(isinstance(n, float) for n in numbers) else "int64")
        return tf.range(*(asarray(each, dtype=wanted) for each in numbers))

    def linspace(
        start: Any, stop: Any, /, num: int, *, dtype: Any = None, endpoint: bool = True
    ) -> Any:
        result = tnp.linspace(start, stop, num, endpoint=endpoint)  # it ignores a tf.DType
        return result if dtype is None else tf.cast(result, dtype)

    def where(condition: Any, x1: Any, x2: Any, /) -> Any:
        return tf.where(condition, *promoted(x1, x2))

    def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
        if min is None and max is None:
            return x
        present = [each for each in (x, min, max) if each is not None]
        bounds = iter(promoted(*present)[1:])
        low, high = (None if each is None else next(bounds) for each in (min, max))
        return tnp.clip(x, low, high)

    def concat(arrays: Sequence[Any], /, *, axis: int | None = 0) -> Any:
        parts = promoted(*arrays)
        if axis is None:
            return tf.concat([tf.reshape(each, [-1]) for each in parts], 0)
        return tf.concat(parts, axis)

    def copysign(x1: Any, x2: Any, /) -> Any:
        size, sign = promoted(x1, x2)
        return tf.where(tnp.signbit(sign), -tf.abs(size), tf.abs(size))

    def take(x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
        if axis is None:
            x, axis = tf.reshape(x, [-1]), 0
        # `gather` does not count from the end, and tnp.take silently takes element 0 there.
        indices = tf.convert_to_tensor(indices)
        return tf.gather(x, tf.where(indices < 0, indices + x.shape[axis], indices), axis=axis)

    def cumulative(function: Any, start: Any) -> Callable[..., Any]:
        def running(
            x: Any,
            /,
            *,
            axis: int | None = None,
            dtype: Any = None,
            include_initial: bool = False,
        ) -> Any:
            axis = 0 if axis is None else axis % x.ndim
            result = function(x if dtype is None else tf.cast(x, dtype), axis)
            if not include_initial:
                return result
            first = start(tf.gather(result, [0], axis=axis))
            return tf.concat([first, result], axis)

        return running

    def variance(
        x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False
    ) -> Any:
        result = tf.math.reduce_variance(x, axis, keepdims)
        if not correction:
            return result
        count = x.shape.num_elements() / math.prod(tf.reduce_sum(x, axis).shape)
        return result * (count / (count - correction))

    def deviation(
        x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False
    ) -> Any:
        if not correction:
            return tf.math.reduce_std(x, axis, keepdims)
        return tf.sqrt(variance(x, axis=axis, correction=correction, keepdims=keepdims))

    def direction(descending: bool) -> str:
        return "DESCENDING" if descending else "ASCENDING"

    def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
        return tf.sort(x, axis, direction(descending))

    def argsort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
        return tf.argsort(x, axis, direction(descending), stable=True)

    def extreme(function: Any) -> Callable[..., Any]:
        def position(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
            result = function(x, axis)
            if not keepdims:
                return result
            return (
                tf.reshape(result, [1] * x.ndim) if axis is None else tf.expand_dims(result, axis)
            )

        return position

    def searchsorted(x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None) -> Any:
        ordered = x1 if sorter is None else take(x1, sorter, axis=0)
        found = tf.searchsorted(ordered, tf.reshape(x2, [-1]), side)
        return tf.reshape(found, x2.shape)

    def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
        left, right = promoted(x1, x2)
        return tf.reduce_sum(tf.math.conj(left) * right, axis)

    return {
        **{name: getattr(tnp, other) for name, other in _ALIASES.items()},
        **{name: unary(name) for name in _UNARY},
        **{name: binary(getattr(tnp, other or name)) for name, other in _BINARY.items()},
        "nan": math.nan,
        "arange": arange,
        "argmax": extreme(tnp.argmax),
        "argmin": extreme(tnp.argmin),
        "argsort": argsort,
        "asarray": asarray,
        "astype": lambda x, dtype, /, *, copy=True: tf.cast(x, dtype),
        "bitwise_left_shift": tf.bitwise.left_shift,
        "bitwise_right_shift": tf.bitwise.right_shift,
        "can_cast": lambda start, to, /: np.can_cast(numpy_dtype(start), numpy_dtype(to)),
        "clip": clip,
        "concat": concat,
        "copysign": copysign,
        "count_nonzero": lambda x, /, **options: tf.math.count_nonzero(x, **options),
        "cumulative_prod": cumulative(tf.math.cumprod, tf.ones_like),
        "cumulative_sum": cumulative(tf.math.cumsum, tf.zeros_like),
        "expand_dims": lambda x, /, axis=0: tnp.expand_dims(x, axis),
        "finfo": lambda dtype, /: finfo(numpy_dtype(dtype)),
        "isdtype": lambda dtype, kind: isdtype(numpy_dtype(dtype), numpy_dtype(kind)),
        "linspace": linspace,
        "matrix_transpose": tf.linalg.matrix_transpose,
        "reshape": lambda x, /, shape, *, copy=None: tf.reshape(x, shape),
        "round": tf.round,  # tnp.round asks for methods that only the global switch adds
        "searchsorted": searchsorted,
        "sort": sort,
        "std": deviation,
        "take": take,
        "take_along_axis": lambda x, indices, /, *, axis=-1: tnp.take_along_axis(x, indices, axis),
        "unstack": lambda x, /, *, axis=0: tuple(tf.unstack(x, axis=axis)),
        "var": variance,
        "vecdot": vecdot,
        "where": where,
    }


def _linalg(tf: Any) -> dict[str, Any]:
    """`xp.linalg`: tf.linalg has most of it, under other signatures and orders of results."""
    la, tnp, main = tf.linalg, tf.experimental.numpy, _main(tf)

    def svd(x: Any, /, *, full_matrices: bool = True) -> tuple[Any, ...]:
        s, u, v = la.svd(x, full_matrices=full_matrices)
        return u, s, la.adjoint(v)

    def svdvals(x: Any, /) -> Any:
        return la.svd(x, compute_uv=False)

    def solve(x1: Any, x2: Any, /) -> Any:
        return la.solve(x1, x2[:, None])[..., 0] if x2.ndim == 1 else la.solve(x1, x2)

    def matrix_power(x: Any, n: int, /) -> Any:
        if n < 0:
            return matrix_power(la.inv(x), -n)
        power = la.eye(x.shape[-1], batch_shape=x.shape[:-2], dtype=x.dtype)
        for _ in range(n):
            power = la.matmul(power, x)
        return power

    def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Any:
        if not isinstance(axis, tuple):
            return tf.norm(x, ord, axis, keepdims)
        # A pair of axes would make it the norm of a matrix.
        chosen = [each % x.ndim for each in axis]
        kept = [size for each, size in enumerate(x.shape) if each not in chosen]
        rows = tnp.moveaxis(x, chosen, list(range(-len(chosen), 0)))
        result = tf.norm(tf.reshape(rows, [*kept, -1]), ord, -1)
        shape = [1 if each in chosen else size for each, size in enumerate(x.shape)]
        return tf.reshape(result, shape) if keepdims else result

    def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
        if ord != "nuc":
            return tf.norm(x, ord, (-2, -1), keepdims)
        result = tf.reduce_sum(svdvals(x), -1)
        return result[..., None, None] if keepdims else result

    def diagonal(x: Any, /, *, offset: int = 0) -> Any:
        return la.diag_part(x, k=offset)

    return {
        "cross": lambda x1, x2, /, *, axis=-1: tnp.cross(x1, x2, axis=axis),
        "diagonal": diagonal,
        "eigh": named_result("eigenvalues eigenvectors", la.eigh),
        "matmul": tnp.matmul,
        "matrix_norm": matrix_norm,
        "matrix_power": matrix_power,
        "outer": lambda x1, x2, /: x1[:, None] * x2[None, :],
        "qr": named_result("Q R", lambda x, /, *, mode="reduced": la.qr(x, mode == "complete")),
        "slogdet": named_result("sign logabsdet", la.slogdet),
        "solve": solve,
        "svd": named_result("U S Vh", svd),
        "svdvals": svdvals,
        "tensordot": tnp.tensordot,
        "trace": lambda x, /, *, offset=0: tf.reduce_sum(diagonal(x, offset=offset), -1),
        "vecdot": main["vecdot"],
        "vector_norm": vector_norm,
    }

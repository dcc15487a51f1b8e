"""How many rounding errors each function of the standard makes, and where.

One error of size h for arithmetic, four for transcendental functions (the frameworks' float32
`tanh` and `exp` are off by up to 4.3 ulp), none for what selects or moves numbers. A function of
several operations is made of those, since its error may be many times that of its result:
`logaddexp` near zero, a variance of nearly equal numbers. A matrix is decomposed with a backward
stable method: what comes out is the exact answer for a matrix nearby.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.dtypes import finfo, isdtype
from harness.errors import Unsupported
from harness.model import Array
from harness.programs.namespace import Namespace, of_numpy

if TYPE_CHECKING:
    from harness.rounding.rounded import Rounding

_numpy: Any = of_numpy()

_ARITHMETIC = "add subtract multiply divide reciprocal square sqrt remainder"
_TRANSCENDENTAL = """
    acos acosh asin asinh atan atan2 atanh cos cosh exp expm1 hypot log log10 log1p log2 sin sinh
    tan tanh
    """
_EXACT = """
    abs negative positive sign signbit copysign conj real ceil floor trunc round floor_divide clip
    maximum minimum max min where sort argsort argmax argmin take take_along_axis nonzero
    count_nonzero searchsorted unique_all unique_counts unique_inverse unique_values all any
    equal not_equal less less_equal greater greater_equal isfinite isinf isnan
    logical_and logical_not logical_or logical_xor bitwise_and bitwise_left_shift bitwise_invert
    bitwise_or bitwise_right_shift bitwise_xor
    empty empty_like eye full_like ones ones_like zeros zeros_like tril triu
    broadcast_arrays broadcast_to concat expand_dims flip matrix_transpose meshgrid moveaxis
    permute_dims repeat reshape roll squeeze stack tile unstack
    """
#: Size of the error of a function's result, in units of the step.
ERRORS = {
    **dict.fromkeys(_EXACT.split(), 0.0),
    **dict.fromkeys(_ARITHMETIC.split(), 1.0),
    **dict.fromkeys(_TRANSCENDENTAL.split(), 4.0),
}
#: Numbers that the code itself brings: rounded once, where the dtype does not hold them.
_CONSTANT = frozenset("arange asarray full linspace".split())
_PLAIN = frozenset(
    """
    e inf nan newaxis pi bool float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64
    """.split()
)
_ABOUT_DTYPES = frozenset("can_cast finfo iinfo isdtype result_type".split())
_COMPLEX = "the model of rounding is for the reals"
GAPS = {
    **dict.fromkeys(("complex64", "complex128", "imag", "fft"), _COMPLEX),
    "nextafter": "the neighbour of a number depends on its dtype",
    "from_dlpack": "such data would escape the model of rounding",
}
#: Powers that every library treats by themselves.
_POWERS = {0.0: 0.0, 1.0: 0.0, 2.0: 1.0, -1.0: 1.0, 0.5: 1.0}


def namespace(rounding: Rounding) -> Namespace:
    """The `xp` whose operations make the errors of `rounding`; each is built when it is used."""
    linalg = Namespace("rounding", _Lifted(rounding, Linalg(rounding)), prefix="xp.linalg")
    main = _Standard(rounding, Composed(rounding))
    return Namespace("rounding", main, {"linalg": linalg}, gaps=GAPS)


class _Lifted:
    """The public methods of `source` as functions of the arrays of `rounding`."""

    def __init__(self, rounding: Rounding, source: Any) -> None:
        self._rounding, self._source = rounding, source

    def __getattr__(self, name: str) -> Any:
        return self._rounding.lift(getattr(self._source, name))


class _Standard(_Lifted):
    """The main namespace: what is composed, else numpy's own function with an error planted."""

    def __getattr__(self, name: str) -> Any:
        rounding = self._rounding
        if hasattr(self._source, name):
            return super().__getattr__(name)
        if name in ERRORS:
            return rounding.lift(getattr(_numpy, name), ERRORS[name])
        if name in _PLAIN:
            return getattr(_numpy, name)
        if name in _ABOUT_DTYPES:
            function = {"finfo": finfo, "isdtype": isdtype}.get(name, getattr(_numpy, name))
            return lambda *args: function(*map(_dtype, args))
        if name in _CONSTANT:
            function = getattr(_numpy, name)
            return rounding.lift(lambda *a, **options: rounding.constant(function(*a, **options)))
        raise AttributeError(name)


def _dtype(value: Any) -> Any:
    from harness.rounding.rounded import Rounded

    return value.dtype if isinstance(value, Rounded) else value


class Composed:
    """Functions of numpy arrays that make more than one rounding error, or none of the usual."""

    def __init__(self, rounding: Rounding) -> None:
        self._perturb, self._perturb_terms = rounding.perturb, rounding.perturb_terms
        self._constant, self._carried = rounding.constant, rounding.carried

    def astype(self, x: Array, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
        result = x.astype(self._carried(dtype), copy=copy)
        return result if x.dtype.kind == "f" else self._constant(result)

    def sum(self, x: Array, /, *, axis: Any = None, **options: Any) -> Any:
        return _numpy.sum(self._perturb_terms(x, axis), axis=axis, **options)

    def mean(self, x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Any:
        total = self.sum(x, axis=axis, keepdims=keepdims)
        return self._perturb(total / (x.size / max(np.size(total), 1)))

    def var(
        self, x: Array, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False
    ) -> Any:
        centred = self._perturb(x - self.mean(x, axis=axis, keepdims=True))
        total = self.sum(self._perturb(centred * centred), axis=axis, keepdims=keepdims)
        return self._perturb(total / (x.size / max(np.size(total), 1) - correction))

    def std(self, x: Array, /, **options: Any) -> Any:
        return self._perturb(np.sqrt(self.var(x, **options)))

    def prod(self, x: Array, /, **options: Any) -> Any:
        return _numpy.prod(self._perturb(x), **options)

    def cumulative_prod(self, x: Array, /, **options: Any) -> Any:
        return _numpy.cumulative_prod(self._perturb(x), **options)

    def cumulative_sum(self, x: Array, /, *, axis: int | None = None, **options: Any) -> Any:
        # Every partial sum errs, and hands its error on.
        total = _numpy.cumulative_sum(x, axis=axis, **options)
        return total + np.cumsum(self._perturb(total) - total, axis=-1 if axis is None else axis)

    def pow(self, x: Any, y: Any, /) -> Any:
        return self._perturb(_numpy.pow(x, y), _POWERS.get(float(y), 4) if np.ndim(y) == 0 else 4)

    def logaddexp(self, a: Any, b: Any, /) -> Any:
        # Near zero it is a difference of rounded numbers.
        larger, apart = np.maximum(a, b), self._perturb(np.subtract(a, b))
        rest = self._perturb(np.log1p(self._perturb(np.exp(-np.abs(apart)), 4)), 4)
        return np.where(np.isfinite(larger), self._perturb(larger + rest), np.logaddexp(a, b))

    def erf(self, x: Array, /) -> Any:
        return self._special("erf", x)

    def erfc(self, x: Array, /) -> Any:
        return self._special("erfc", x)

    def lgamma(self, x: Array, /) -> Any:
        return self._special("lgamma", x)

    def digamma(self, x: Array, /) -> Any:
        return self._special("digamma", x)

    def _special(self, name: str, x: Array) -> Any:
        # Libraries round on the way: x * x before the exponential of `erfc`, and the terms that
        # cancel at the zeros of `lgamma` and `digamma`. An error of x is as large.
        return self._perturb(getattr(_numpy, name)(self._perturb(x)), 4)

    def diff(
        self, x: Array, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None
    ) -> Any:
        parts = [each for each in (prepend, x, append) if each is not None]
        result = np.concatenate(parts, axis=axis)
        for _ in range(n):
            result = self._perturb(np.diff(result, axis=axis))
        return result

    def matmul(self, a: Array, b: Array, /) -> Any:
        # A sum's errors differ from element to element, so both sides carry them: rows of `a`
        # alone would err alike in every column, and a difference of columns would show nothing.
        if a.ndim and b.ndim:
            a, b = self._perturb_terms(a, -1), self._perturb_terms(b, max(b.ndim - 2, 0))
        return self._perturb(np.matmul(a, b))

    def vecdot(self, a: Array, b: Array, /, *, axis: int = -1) -> Any:
        return self.sum(self._perturb(a * b), axis=axis)

    def tensordot(self, a: Array, b: Array, /, *, axes: Any = 2) -> Any:
        if isinstance(axes, int):
            axes = tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes))
        first, second = (
            self._perturb_terms(each, tuple(summed))
            for each, summed in zip((a, b), axes, strict=True)
        )
        return self._perturb(np.tensordot(first, second, axes))


def _by_row_and_column(size: Array) -> Array:
    """The errors of Gaussian elimination keep the scale of each row and of each column."""
    rows = size.max(axis=-1, keepdims=True)
    columns = (size / np.where(rows > 0, rows, 1)).max(axis=-2, keepdims=True)
    return np.asarray(rows * columns)


def _by_diagonal(size: Array) -> Array:
    """Those of a Cholesky decomposition keep the scale of the diagonal."""
    root = np.sqrt(np.diagonal(size, axis1=-2, axis2=-1))
    return np.asarray(root[..., :, None] * root[..., None, :])


def _largest(size: Array) -> Array:
    """Those of orthogonal transformations keep the norm alone."""
    return np.asarray(size.max(axis=(-2, -1), keepdims=True))


_DECOMPOSITIONS = {
    **dict.fromkeys("det inv slogdet solve".split(), _by_row_and_column),
    "cholesky": _by_diagonal,
    **dict.fromkeys("eigh eigvalsh pinv qr svd svdvals".split(), _largest),
}


class Linalg:
    """Functions of `xp.linalg`, of numpy arrays."""

    def __init__(self, rounding: Rounding) -> None:
        self._rounding = rounding
        self._perturb = rounding.perturb
        main = Composed(rounding)
        self.sum, self.matmul, self.vecdot = main.sum, main.matmul, main.vecdot
        self.tensordot = main.tensordot
        linalg = _numpy.linalg
        self.diagonal, self.matrix_rank = linalg.diagonal, linalg.matrix_rank
        self.matrix_transpose = linalg.matrix_transpose

    def __getattr__(self, name: str) -> Any:
        if name not in _DECOMPOSITIONS:
            raise AttributeError(name)
        function, scale = getattr(_numpy.linalg, name), _DECOMPOSITIONS[name]

        def call(a: Array, /, *others: Any, **options: Any) -> Any:
            if self._rounding.carrier is not np.float64:
                kind = self._rounding.carrier.__name__
                raise Unsupported(f"rounding: numpy has no `linalg.{name}` in {kind}")
            others = tuple(self._perturb(each) for each in others)
            result = function(self._nearby(a, scale), *others, **options)
            if isinstance(result, tuple):
                return type(result)(*(self._perturb(each, 4) for each in result))
            return self._perturb(result, 4)

        return call

    def _nearby(self, a: Array, scale: Callable[[Array], Array]) -> Array:
        if not a.size or not self._rounding.errs(a):
            return a
        return np.asarray(
            a + self._rounding.step * self._rounding.signs(a.shape) * scale(np.abs(a))
        )

    def outer(self, a: Array, b: Array, /) -> Any:
        return self._perturb(np.outer(a, b))

    def cross(self, a: Array, b: Array, /, *, axis: int = -1) -> Any:
        crossed = _numpy.linalg.cross(self._perturb(a), self._perturb(b), axis=axis)
        return self._perturb(crossed)

    def trace(self, x: Array, /, *, offset: int = 0, dtype: Any = None) -> Any:
        return self.sum(self.diagonal(x, offset=offset), axis=-1, dtype=dtype)

    def vector_norm(
        self, x: Array, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2
    ) -> Any:
        if ord == 2:
            squares = self.sum(self._perturb(x * x), axis=axis, keepdims=keepdims)
            return self._perturb(np.sqrt(squares))
        if ord == 1:
            return self.sum(np.abs(x), axis=axis, keepdims=keepdims)
        if ord == 0 or math.isinf(ord):
            return _numpy.linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)
        powers = self.sum(self._perturb(np.abs(x) ** ord, 4), axis=axis, keepdims=keepdims)
        return self._perturb(powers ** (1 / ord), 4)

    def matrix_norm(self, x: Array, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
        if ord == "fro":
            return self.vector_norm(x, axis=(-2, -1), keepdims=keepdims)
        norm = _numpy.linalg.matrix_norm
        if ord in (2, -2, "nuc"):
            return self._perturb(norm(self._nearby(x, _largest), keepdims=keepdims, ord=ord), 4)
        axis = -2 if abs(ord) == 1 else -1
        return norm(self._rounding.perturb_terms(x, axis), keepdims=keepdims, ord=ord)

    def matrix_power(self, x: Array, n: int, /) -> Any:
        if n == 0:
            return _numpy.linalg.matrix_power(x, 0)
        result = base = x if n > 0 else self.inv(x)
        for _ in range(abs(n) - 1):
            result = self.matmul(result, base)
        return result

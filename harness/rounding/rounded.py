"""A numpy in which every operation errs, because a tolerance is only honest if rounding set it.

How much error a correct program may show depends on the program: a softmax keeps every digit, a
variance of nearly equal numbers loses most. Nobody can say that in one `rtol`, but the program
can: run it with the result of every operation multiplied by 1 + c h, plus or minus at random, and
see how far its results move. The step h is a multiple of u, the unit roundoff of the sample's
dtype. Here are the arrays and the errors; `harness.rounding.functions` has the functions.

The numbers are held in float64 whatever the sample's dtype, so that only the planted errors show.
With a step of zero and a carrier of `np.longdouble`, the same arrays are a reference for float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from harness.dtypes import FORMATS, numpy_dtype
from harness.errors import Unsupported
from harness.model import Array
from harness.programs.namespace import Namespace
from harness.rounding.functions import namespace

_POOL = 4096
_OPERATORS = """
    add:add sub:subtract mul:multiply truediv:divide floordiv:floor_divide mod:remainder pow:pow
    matmul:matmul and:bitwise_and or:bitwise_or xor:bitwise_xor lshift:bitwise_left_shift
    rshift:bitwise_right_shift
    """
_UNARY_AND_COMPARISONS = """
    neg:negative pos:positive abs:abs invert:bitwise_invert
    lt:less le:less_equal gt:greater ge:greater_equal eq:equal ne:not_equal
    """


class _Missing(Unsupported, AttributeError):
    """What an array lacks. An AttributeError too, so that `hasattr` says no."""


class Rounded:
    """An array of the erring namespace: operators, indexing and shape, as the standard has them."""

    __slots__ = ("data", "rounding")

    def __init__(self, data: Array, rounding: Rounding) -> None:
        self.data = data
        self.rounding = rounding

    @property
    def dtype(self) -> Any:
        """The dtype that the numbers have in the sample, not the one that carries them."""
        return numpy_dtype(self.rounding.dtype) if self.data.dtype.kind == "f" else self.data.dtype

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    device = property(lambda self: "cpu")
    T = property(lambda self: Rounded(self.data.T, self.rounding))
    mT = property(lambda self: Rounded(self.data.mT, self.rounding))

    def __getitem__(self, key: Any) -> Rounded:
        return Rounded(np.asarray(self.data[self.rounding.unwrap(key)]), self.rounding)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.data[self.rounding.unwrap(key)] = self.rounding.unwrap(value)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Rounded]:
        return (self[index] for index in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __index__(self) -> int:
        return self.data.__index__()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.data, dtype=dtype) if copy or dtype else self.data

    def __array_namespace__(self, *, api_version: str | None = None) -> Namespace:
        return self.rounding.xp

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        # Reached by a numpy scalar or array left of an operator, and by `np.exp(x)`.
        name = {"power": "pow"}.get(ufunc.__name__, ufunc.__name__)
        if method != "__call__" or options:
            raise Unsupported(f"rounding: `np.{ufunc.__name__}` in this form; use `xp.{name}`")
        return getattr(self.rounding.xp, name)(*inputs)

    def __array_function__(self, function: Any, *_: Any) -> Any:
        name = function.__name__
        raise Unsupported(f"rounding: `np.{name}` of an array of `xp`; use `xp.{name}`")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _Missing(f"rounding: an array has no `.{name}`; use `xp.{name}`")

    def __repr__(self) -> str:
        return f"Rounded({self.data!r}, {self.rounding.dtype})"


def _method(name: str) -> Callable[..., Any]:
    return lambda self, *other: getattr(self.rounding.xp, name)(self, *other)


def _reflected(name: str) -> Callable[..., Any]:
    return lambda self, other: getattr(self.rounding.xp, name)(other, self)


for _pair in (_OPERATORS + _UNARY_AND_COMPARISONS).split():
    _name, _, _function = _pair.partition(":")
    setattr(Rounded, f"__{_name}__", _method(_function))
    if _pair in _OPERATORS:
        setattr(Rounded, f"__r{_name}__", _reflected(_function))
Rounded.__hash__ = None  # type: ignore[assignment]


class Rounding:
    """One random choice of every rounding error in a program; `xp` is the namespace that errs.

    dtype:   of the sample: float64, float32, float16 or bfloat16.
    step:    h, the size of one rounding error relative to the result; 0 for none at all.
    seed:    what the signs of the errors are drawn from.
    carrier: the dtype that holds the numbers.
    """

    def __init__(
        self,
        dtype: str,
        step: float,
        seed: int | Sequence[int] = 0,
        carrier: type[np.floating[Any]] = np.float64,
    ) -> None:
        self.dtype, self.step, self.carrier = dtype, step, carrier
        self._format = FORMATS[dtype]
        self._rng = np.random.default_rng(seed)
        self._pool: Array = np.empty(0)
        self._used = 0
        self.xp = namespace(self)

    def errs(self, data: Array) -> bool:
        """Whether operations on `data` err: integers and booleans do not."""
        return self.step != 0 and data.dtype.kind == "f"

    def signs(self, shape: Sequence[int]) -> Array:
        """+1 or -1 at random, one per element; not to be written to."""
        count = math.prod(shape)
        if self._used + count > self._pool.size:
            bits = np.frombuffer(self._rng.bytes(max(count, _POOL) // 8 + 1), np.uint8)
            self._pool, self._used = 1.0 - 2.0 * np.unpackbits(bits), 0
        self._used += count
        return self._pool[self._used - count : self._used].reshape(shape)

    def perturb(self, data: Any, c: float = 1.0) -> Any:
        """`data` after one rounding error of size c h. A subnormal result is flushed to zero, as
        some frameworks do, or doubled; where none does, it errs as if it were the smallest normal
        number."""
        data = np.asarray(data)
        if not c or not self.errs(data):
            return data
        relative = (c * self.step) * self.signs(data.shape)
        tiny = self._format.tiny
        subnormal = (np.abs(data) < tiny) & (data != 0)
        if subnormal.any():
            size = np.where(subnormal, np.abs(data), tiny)
            error = np.sign(relative) if self._format.flushes else relative * (tiny / size)
            relative = np.where(subnormal, error, relative)
        return data * (1 + relative)  # and not data + ..., which is NaN for an infinity

    def perturb_terms(self, data: Array, axis: Any = None) -> Array:
        """`data` with the errors of a running sum over `axis` put into its terms.

        The float32 sum of 1e5 positive numbers is off by 2 u in one framework and by 264 u in the
        next, depending on the order in which it adds. The worst is one running sum, where every
        partial sum errs: a term is multiplied by each error made after it was added.
        """
        axes = range(data.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        places = [place % data.ndim for place in axes]
        count = math.prod(data.shape[place] for place in places)
        if count < 2 or not self.errs(data):
            return data
        order = [*(place for place in range(data.ndim) if place not in places), *places]
        rest = [data.shape[place] for place in order[: data.ndim - len(places)]]
        signs = self.signs((*rest, count)).copy()
        signs[..., 0] = 0  # the first term is copied, not added
        errors = np.cumsum(signs[..., ::-1], axis=-1)[..., ::-1]
        errors = errors.reshape([data.shape[place] for place in order])
        relative = np.clip(self.step * errors.transpose(np.argsort(order)), -0.5, 0.5)
        return np.asarray(data * (1 + relative))

    def constant(self, data: Any) -> Any:
        """Numbers that the code brings, in the carrier; those that the dtype does not hold err."""
        data = np.asarray(data)
        if data.dtype.kind != "f":
            return data
        data = data.astype(self.carrier, copy=False)
        if not self.step:
            return data
        digits = np.frexp(data)[0] / self._format.unit
        inexact = np.isfinite(data) & (digits != np.rint(digits))
        return np.where(inexact, self.perturb(data), data) if inexact.any() else data

    def carried(self, dtype: Any) -> Any:
        """The dtype to compute in where the code asks for `dtype`."""
        if dtype is None:
            return None
        wanted = np.dtype(dtype)
        if wanted.kind == "c":
            raise Unsupported(f"rounding: `{wanted}`; the model of rounding is for the reals")
        if wanted.name not in FORMATS:
            return wanted
        if FORMATS[wanted.name].unit > self._format.unit:
            raise Unsupported(f"rounding: `{wanted}` inside a sample of {self.dtype}")
        return self.carrier

    def leaf(self, array: Array, errs: bool = False) -> Any:
        """A sample's array, locked; the numbers of its own dtype are exact, unless it `errs`."""
        floating = array.dtype.kind == "f" or array.dtype.name == self.dtype
        data = array.astype(self.carrier) if floating else array.copy()
        data = np.asarray(self.perturb(data, 1.0 if errs else 0.0))
        data.flags.writeable = False
        return Rounded(data, self)

    def unwrap(self, value: Any) -> Any:
        """What numpy gets in place of what a case passes."""
        if isinstance(value, Rounded):
            return value.data
        if isinstance(value, float | np.floating | np.ndarray):
            return self.constant(value)
        if isinstance(value, list | tuple):
            return type(value)([self.unwrap(each) for each in value])
        return value

    def wrap(self, value: Any) -> Any:
        """What a case gets in place of what numpy returns."""
        if isinstance(value, np.ndarray | np.generic):
            if value.dtype.kind == "c":
                raise Unsupported("rounding: complex numbers; the model of rounding is for reals")
            if value.dtype.kind == "f":
                value = value.astype(self.carrier, copy=False)
            return Rounded(np.asarray(value), self)
        if isinstance(value, list | tuple):
            items = [self.wrap(each) for each in value]
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        return value

    def lift(self, function: Callable[..., Any], c: float = 0.0) -> Callable[..., Any]:
        """A function of numpy arrays as one of `Rounded`; its result errs by c h."""

        def call(*args: Any, **options: Any) -> Any:
            if "dtype" in options:
                options["dtype"] = self.carried(options["dtype"])
            result = function(
                *[self.unwrap(each) for each in args],
                **{name: self.unwrap(each) for name, each in options.items()},
            )
            return self.wrap(self.perturb(result, c) if c else result)

        return call


__all__ = ["Rounded", "Rounding"]

"""`BallArray`: the array that a case's code holds when it runs in ball arithmetic.

It looks like an array of the Python array API standard and hides that each element is a FLINT ball,
or a truncated Taylor series of balls. `dtype` is a label: it tells integers (indices, labels) from
reals, and which float format the inputs came in, so that `xp.finfo(x.dtype)` answers as it does in
the frameworks. No number is ever rounded to it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from flint import arb

from harness.dtypes import FORMATS
from harness.errors import Unsupported
from harness.referee import compare, matrices, powers, record, rounding, taylor, truth
from harness.referee.elements import Integers, Objects, balls_of, floats_of
from harness.referee.hidden import Hidden
from harness.referee.taylor import Taylor, constant
from harness.referee.truth import Truth
from harness.referee.undecided import Undecided

Dtype = np.dtype[Any]
REAL = np.dtype(np.float64)
INTEGER = np.dtype(np.int64)


class BallArray(Hidden):
    """An n-dimensional array of balls or of series of balls; immutable.

    Comparisons give a `Truth`. An integer array is exact and can serve as an index.
    """

    __slots__ = ("_dtype", "_series")

    def __init__(self, series: Taylor, dtype: Dtype = REAL) -> None:
        self._series = series
        self._dtype = dtype

    @property
    def series(self) -> Taylor:
        """The coefficients; for the modules of this package."""
        return self._series

    @property
    def shape(self) -> tuple[int, ...]:
        return self._series.parts[0].shape

    @property
    def dtype(self) -> Dtype:
        """The numpy dtype that this array stands for."""
        return self._dtype

    @property
    def order(self) -> int | None:
        """The highest power of t that is known; None for an array that does not depend on t."""
        return None if self._series.degree is None else self._series.order

    def mapped(self, function: Callable[[Any], Any]) -> BallArray:
        """The same array with its elements moved, copied or selected by `function`."""
        return BallArray(self._series.mapped(function), self._dtype)

    def as_index(self) -> Integers:
        """The integers as numpy indexes with. Raises IndexError for an array of reals, Undecided
        for balls that hold more than one."""
        if self._dtype.kind not in "iu":
            raise IndexError(f"an index must be of integers, not of `{self._dtype}`")
        numbers = [_whole(each) for each in self._series.parts[0].ravel()]
        return np.array(numbers, np.int64).reshape(self.shape)

    def __index__(self) -> int:
        return int(self.as_index()[()])

    def __int__(self) -> int:
        return self.__index__()

    def __float__(self) -> float:
        raise TypeError("a ball is no float; take `midpoints(x)` for its midpoint")

    def __bool__(self) -> bool:
        return bool(self != 0)

    def __repr__(self) -> str:
        kind = "constant" if self.order is None else f"order {self.order}"
        return f"BallArray({self._series.parts[0]}, {kind}, {self._dtype})"

    def __add__(self, other: Any) -> BallArray:
        return binary(taylor.add, self, other)

    def __radd__(self, other: Any) -> BallArray:
        return binary(taylor.add, other, self)

    def __sub__(self, other: Any) -> BallArray:
        return binary(taylor.subtract, self, other)

    def __rsub__(self, other: Any) -> BallArray:
        return binary(taylor.subtract, other, self)

    def __mul__(self, other: Any) -> BallArray:
        return binary(taylor.multiply, self, other)

    def __rmul__(self, other: Any) -> BallArray:
        return binary(taylor.multiply, other, self)

    def __truediv__(self, other: Any) -> BallArray:
        return real_binary(taylor.divide, self, other)

    def __rtruediv__(self, other: Any) -> BallArray:
        return real_binary(taylor.divide, other, self)

    def __floordiv__(self, other: Any) -> BallArray:
        return binary(rounding.floor_divide, self, other)

    def __rfloordiv__(self, other: Any) -> BallArray:
        return binary(rounding.floor_divide, other, self)

    def __mod__(self, other: Any) -> BallArray:
        return binary(rounding.remainder, self, other)

    def __rmod__(self, other: Any) -> BallArray:
        return binary(rounding.remainder, other, self)

    def __pow__(self, other: Any) -> BallArray:
        if type(other) is int:  # no array of exponents for the commonest power
            found = BallArray(powers.integer_power(self._series, other), self._dtype)
            return real(found) if other < 0 else held(found)
        return binary(powers.power, self, other)

    def __rpow__(self, other: Any) -> BallArray:
        return binary(powers.power, other, self)

    def __matmul__(self, other: Any) -> BallArray:
        return binary(matrices.matmul, self, other)

    def __rmatmul__(self, other: Any) -> BallArray:
        return binary(matrices.matmul, other, self)

    def __neg__(self) -> BallArray:
        return held(BallArray(taylor.negative(self._series), self._dtype))

    def __pos__(self) -> BallArray:
        return self

    def __abs__(self) -> BallArray:
        return held(BallArray(compare.absolute(self._series), self._dtype))

    def __lt__(self, other: Any) -> Truth:
        return truth.less(signs(self, other))

    def __gt__(self, other: Any) -> Truth:
        return truth.less(signs(other, self))

    def __le__(self, other: Any) -> Truth:
        return truth.less_equal(signs(self, other))

    def __ge__(self, other: Any) -> Truth:
        return truth.less_equal(signs(other, self))

    def __eq__(self, other: Any) -> Truth:  # type: ignore[override]
        return truth.equal(signs(self, other))

    def __ne__(self, other: Any) -> Truth:  # type: ignore[override]
        return ~truth.equal(signs(self, other))


def _whole(ball: arb) -> int:
    found = ball.unique_fmpz()
    if found is None:
        raise Undecided("`index`: a ball that holds more than one integer; raise the precision")
    return int(found)


def _on_bits(name: str) -> Callable[..., Any]:
    def of(*_: Any) -> Any:
        raise Unsupported(f"referee: `{name}` works on bits, not on real numbers")

    return of


for _name in "and or xor lshift rshift rand ror rxor rlshift rrshift invert".split():
    setattr(BallArray, f"__{_name}__", _on_bits(_name))


def balls(value: Any) -> BallArray:
    """`value` as a BallArray: one already, truth values, a Python or numpy number or array, or
    nested lists of numbers. Binary floats and integers are taken exactly.

    Raises Unsupported for complex numbers, TypeError for anything else.
    """
    if isinstance(value, BallArray):
        return value
    if isinstance(value, Truth):
        if record.ties() == "open":
            return BallArray(constant(_between(value)), INTEGER)
        return BallArray(constant(balls_of(value.decided("arithmetic on a mask"))), INTEGER)
    if isinstance(value, bool | int):
        return BallArray(constant(arb(int(value))), INTEGER)
    if type(value) is float:
        return BallArray(constant(arb(value)))
    if isinstance(value, arb):
        return BallArray(constant(value))
    if isinstance(value, complex):
        raise Unsupported("referee: balls are real; got a complex number")
    if isinstance(value, np.ndarray | np.generic):
        plain = np.asarray(value)
        return BallArray(constant(balls_of(plain)), _label(plain.dtype))
    if isinstance(value, list | tuple):
        return nested(value)
    raise TypeError(f"cannot make balls of a `{type(value).__name__}`")


def _between(mask: Truth) -> Objects:
    """0 and 1, and the ball of both where the mask is unknown."""
    yes, no = mask.certain()
    found = balls_of(yes)
    found[~(yes | no)] = arb(0.5, 0.5)
    return found


def nested(value: Any) -> BallArray:
    """Nested lists of numbers, or of arrays, as one array."""
    members = [balls(each) for each in value]
    if not members:
        return balls(np.zeros(0))
    series = taylor.joined([each.series for each in members], np.stack)
    return BallArray(series, promoted(*[each.dtype for each in members]))


def _label(dtype: Dtype) -> Dtype:
    return INTEGER if dtype.kind == "b" else dtype


@cache
def promoted(*labels: Any) -> Dtype:
    """The dtype that labels, and Python's `int` and `float`, promote to. numpy knows it, but for
    bfloat16: that with integers is bfloat16, and with float16 the float32 that holds both."""
    names = {each.name for each in labels if isinstance(each, np.dtype)}
    if "bfloat16" not in names:
        return np.result_type(*[each() if isinstance(each, type) else each for each in labels])
    wider = [np.dtype(name) for name in names if name in FORMATS and name != "bfloat16"]
    return np.result_type(np.float32, *wider) if wider else np.dtype("bfloat16")


def _kind(value: Any) -> Any:
    if isinstance(value, BallArray):
        return value.dtype
    if isinstance(value, Truth | bool):
        return int
    if type(value) in (int, float):
        return type(value)
    return balls(value).dtype


def dtype_of(x: Any, y: Any) -> Dtype:
    """The label of a result; Python numbers take the label of the array that they meet."""
    return promoted(_kind(x), _kind(y))


def binary(function: Callable[[Taylor, Taylor], Taylor], x: Any, y: Any) -> BallArray:
    """`function` of two operands, one of them perhaps a number or a numpy array.

    Raises Unsupported for integers that leave the range of their width.
    """
    try:
        a, b = balls(x), balls(y)
    except TypeError:
        return NotImplemented  # type: ignore[no-any-return]
    return held(BallArray(function(a.series, b.series), dtype_of(x, y)))


def real_binary(function: Callable[[Taylor, Taylor], Taylor], x: Any, y: Any) -> BallArray:
    """The same for a function whose results are real, whatever its operands."""
    try:
        a, b = balls(x), balls(y)
    except TypeError:
        return NotImplemented  # type: ignore[no-any-return]
    return real(BallArray(function(a.series, b.series), dtype_of(x, y)))


def held(x: BallArray) -> BallArray:
    """x itself, if the integers that it stands for are wide enough for it; others would wrap round.

    Raises Unsupported.
    """
    if x.dtype.kind in "iu":
        limits, parts = np.iinfo(x.dtype), x.series.parts[0]
        floats = floats_of(parts)
        near = parts[(floats <= limits.min) | (floats >= limits.max)]
        if any(each < int(limits.min) or each > int(limits.max) for each in near):
            raise Unsupported(f"referee: a result outside the range of `{x.dtype}`")
    return x


def real(x: BallArray) -> BallArray:
    """The same numbers, labelled as reals."""
    return x if x.dtype.kind not in "iub" else BallArray(x.series, REAL)


def signs(x: Any, y: Any) -> compare.Signs:
    """The signs of x - y."""
    return compare.signs(balls(x).series, balls(y).series)

"""Functions of tracked arrays that are made of others, or whose rules need more than one line."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import array_api_compat.numpy
import numpy as np

from harness.derived.rules import summed_to, unsupported
from harness.derived.tape import Tracked, plain

if TYPE_CHECKING:
    from harness.derived.tape import Tape

_numpy: Any = array_api_compat.numpy


def _axes(ndim: int, axis: Any) -> tuple[int, ...]:
    """The axes of a reduction, counted from the front."""
    if axis is None:
        return tuple(range(ndim))
    given = axis if isinstance(axis, tuple) else (axis,)
    return tuple(operator.index(each) % ndim for each in given)


def _kept(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """The shape of a reduction that keeps its axes."""
    return tuple(1 if place in axes else length for place, length in enumerate(shape))


class Composed:
    """Functions of the main namespace."""

    def __init__(self, tape: Tape) -> None:
        self._tape, self._below = tape, tape.below

    @property
    def _xp(self) -> Any:
        return self._tape.xp

    def asarray(self, x: Any, /, *, dtype: Any = None, **options: Any) -> Any:
        if isinstance(x, Tracked):
            return x if dtype is None else self.astype(x, dtype)
        if isinstance(x, list | tuple) and any(isinstance(each, Tracked) for each in x):
            return self.stack([self.asarray(each, dtype=dtype) for each in x])
        return Tracked(self._below.asarray(x, dtype=dtype, **options), self._tape)

    def astype(self, x: Any, dtype: Any, /, **options: Any) -> Any:
        value = self._below.astype(plain(x), dtype, **options)
        if not self._below.isdtype(value.dtype, "real floating"):
            return Tracked(value, self._tape)
        origin = x.dtype
        back = [lambda g: self._below.astype(g, origin)]
        return self._tape.operation("astype", value, [x], back)

    def sum(self, x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
        if dtype is not None:
            x = self.astype(x, dtype)
        xp, shape = self._below, tuple(x.shape)
        axes = _axes(len(shape), axis)
        errors = self._tape.errors
        factor = None if errors is None else errors.terms(shape, axes)
        value = plain(x) if factor is None else plain(x) * factor
        total = xp.sum(value, axis=axes, keepdims=keepdims)

        def pull(g: Any) -> Any:
            spread = xp.broadcast_to(xp.reshape(g, _kept(shape, axes)), shape)
            return spread if factor is None else spread * factor

        return self._tape.operation("sum", total, [x], [pull])

    def mean(self, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
        count = math.prod(x.shape[each] for each in _axes(x.ndim, axis))
        return self.sum(x, axis=axis, keepdims=keepdims) / count

    def var(
        self, x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False
    ) -> Any:
        count = math.prod(x.shape[each] for each in _axes(x.ndim, axis))
        centred = x - self.mean(x, axis=axis, keepdims=True)
        return self.sum(centred * centred, axis=axis, keepdims=keepdims) / (count - correction)

    def std(self, x: Any, /, **options: Any) -> Any:
        return self._xp.sqrt(self.var(x, **options))

    def prod(
        self, x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False
    ) -> Any:
        """The product of the others is that of those before and of those behind: one may be 0."""
        if dtype is not None:
            x = self.astype(x, dtype)
        xp, shape = self._below, tuple(x.shape)
        axes = _axes(len(shape), axis)
        value, kept = plain(x), _kept(shape, axes)
        order = [*(each for each in range(len(shape)) if each not in axes), *axes]
        rows = [shape[each] for each in order[: len(shape) - len(axes)]]
        count = math.prod(shape[each] for each in axes)

        def pull(g: Any) -> Any:
            flat = xp.reshape(xp.permute_dims(value, order), (*rows, count))
            one = xp.ones((*rows, 1), dtype=flat.dtype)

            def before(each: Any) -> Any:
                return xp.cumulative_prod(xp.concat([one, each[..., :-1]], axis=-1), axis=-1)

            others = before(flat) * xp.flip(before(xp.flip(flat, axis=-1)), axis=-1)
            spread = xp.reshape(others, [shape[each] for each in order])
            return xp.reshape(g, kept) * xp.permute_dims(spread, np.argsort(order).tolist())

        total = xp.prod(value, axis=axes, keepdims=keepdims)
        return self._tape.operation("prod", total, [x], [pull])

    def max(self, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
        return self._extreme("argmax", x, axis, keepdims)

    def min(self, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
        return self._extreme("argmin", x, axis, keepdims)

    def _extreme(self, which: str, x: Any, axis: Any, keepdims: bool) -> Any:
        """The first of several equal ones."""
        shape, axes = tuple(x.shape), _axes(x.ndim, axis)
        order = [*(each for each in range(len(shape)) if each not in axes), *axes]
        rows = [shape[each] for each in order[: len(shape) - len(axes)]]
        flat = self._xp.reshape(self._xp.permute_dims(x, order), (*rows, -1))
        best = getattr(self._below, which)(plain(flat), axis=-1, keepdims=True)
        found = self._xp.take_along_axis(flat, Tracked(best, self._tape), axis=-1)
        return self._xp.reshape(found, _kept(shape, axes) if keepdims else tuple(rows))

    def cumulative_sum(self, x: Any, /, *, axis: int | None = None, **options: Any) -> Any:
        if options:
            unsupported("cumulative_sum")
        xp, place = self._below, -1 if axis is None else axis

        def pull(g: Any) -> Any:
            return xp.flip(xp.cumulative_sum(xp.flip(g, axis=place), axis=place), axis=place)

        total = xp.cumulative_sum(plain(x), axis=place)
        return self._tape.operation("cumulative_sum", total, [x], [pull])

    def cumulative_prod(self, x: Any, /, *, axis: int | None = None, **options: Any) -> Any:
        if options:
            unsupported("cumulative_prod")
        xp, value, place = self._below, plain(x), -1 if axis is None else axis
        f = xp.cumulative_prod(value, axis=place)

        def pull(g: Any) -> Any:
            later = xp.cumulative_sum(xp.flip(g * f, axis=place), axis=place)
            return xp.flip(later, axis=place) / value

        return self._tape.operation("cumulative_prod", f, [x], [pull])

    def where(self, condition: Any, x: Any, y: Any, /) -> Any:
        xp, chosen, one, two = self._below, plain(condition), plain(x), plain(y)

        def first(g: Any) -> Any:
            return summed_to(xp, xp.where(chosen, g, xp.zeros_like(g)), one)

        def second(g: Any) -> Any:
            return summed_to(xp, xp.where(chosen, xp.zeros_like(g), g), two)

        value = xp.where(chosen, one, two)
        return self._tape.operation("where", value, [x, y], [first, second])

    def clip(self, x: Any, /, min: Any = None, max: Any = None) -> Any:
        if min is not None:
            x = self._xp.maximum(x, self._like(min, x))
        return x if max is None else self._xp.minimum(x, self._like(max, x))

    def _like(self, bound: Any, x: Any) -> Any:
        return bound if hasattr(bound, "shape") else self._below.asarray(bound, dtype=x.dtype)

    def matmul(self, a: Any, b: Any, /) -> Any:
        xp = self._below
        one, two = plain(a), plain(b)
        errors = self._tape.errors
        if errors is not None:
            along = errors.terms(tuple(one.shape), (one.ndim - 1,))
            down = errors.terms(tuple(two.shape), (max(two.ndim - 2, 0),))
        else:
            along = down = None
        left = one if along is None else one * along
        right = two if down is None else two * down

        def matrices(g: Any) -> tuple[Any, Any, Any]:
            g = xp.expand_dims(g, axis=-1) if two.ndim == 1 else g
            g = xp.expand_dims(g, axis=-2) if one.ndim == 1 else g
            rows = xp.expand_dims(left, axis=0) if one.ndim == 1 else left
            columns = xp.expand_dims(right, axis=1) if two.ndim == 1 else right
            return g, rows, columns

        def first(g: Any) -> Any:
            g, _, columns = matrices(g)
            found = xp.matmul(g, xp.matrix_transpose(columns))
            found = found[..., 0, :] if one.ndim == 1 else found
            found = summed_to(xp, found, one)
            return found if along is None else found * along

        def second(g: Any) -> Any:
            g, rows, _ = matrices(g)
            found = xp.matmul(xp.matrix_transpose(rows), g)
            found = found[..., 0] if two.ndim == 1 else found
            found = summed_to(xp, found, two)
            return found if down is None else found * down

        return self._tape.operation("matmul", xp.matmul(left, right), [a, b], [first, second])

    def vecdot(self, a: Any, b: Any, /, *, axis: int = -1) -> Any:
        return self.sum(a * b, axis=axis)

    def tensordot(self, a: Any, b: Any, /, *, axes: Any = 2) -> Any:
        if isinstance(axes, int):
            axes = tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes))
        one, two = (_axes(x.ndim, tuple(each)) for x, each in zip((a, b), axes, strict=True))
        rest = [
            [each for each in range(x.ndim) if each not in used] for x, used in ((a, one), (b, two))
        ]
        count = math.prod(a.shape[each] for each in one)
        rows = self._xp.reshape(self._xp.permute_dims(a, (*rest[0], *one)), (-1, count))
        columns = self._xp.reshape(self._xp.permute_dims(b, (*two, *rest[1])), (count, -1))
        shape = [x.shape[each] for x, places in zip((a, b), rest, strict=True) for each in places]
        return self._xp.reshape(self.matmul(rows, columns), tuple(shape))

    def concat(self, arrays: Sequence[Any], /, *, axis: int | None = 0) -> Any:
        return self._joined("concat", arrays, axis)

    def stack(self, arrays: Sequence[Any], /, *, axis: int = 0) -> Any:
        return self._joined("stack", arrays, axis)

    def _joined(self, name: str, arrays: Sequence[Any], axis: int | None) -> Any:
        function = getattr(_numpy, name)
        value = getattr(self._below, name)([plain(each) for each in arrays], axis=axis)
        return self._tape.moved(lambda *places: function(places, axis=axis), value, list(arrays))

    def unstack(self, x: Any, /, *, axis: int = 0) -> Any:
        turned = self._xp.moveaxis(x, axis, 0)
        return tuple(turned[index] for index in range(turned.shape[0]))

    def broadcast_arrays(self, *arrays: Any) -> Any:
        shape = np.broadcast_shapes(*(tuple(each.shape) for each in arrays))
        return [self._xp.broadcast_to(each, shape) for each in arrays]

    def meshgrid(self, *arrays: Any, indexing: str = "xy") -> Any:
        """Every array over the axes of all."""
        grids = _numpy.meshgrid(*(np.arange(each.shape[0]) for each in arrays), indexing=indexing)
        return [each[places] for each, places in zip(arrays, grids, strict=True)]

    def sort(
        self, x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True
    ) -> Any:
        order = self._below.argsort(plain(x), axis=axis, descending=descending, stable=stable)
        return self._xp.take_along_axis(x, Tracked(order, self._tape), axis=axis)

    def diff(
        self, x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None
    ) -> Any:
        parts = [each for each in (prepend, x, append) if each is not None]
        found = self._xp.moveaxis(self.concat(parts, axis=axis), axis, -1)
        for _ in range(n):
            found = found[..., 1:] - found[..., :-1]
        return self._xp.moveaxis(found, -1, axis)


class Linalg:
    """Functions of `xp.linalg`."""

    def __init__(self, tape: Tape) -> None:
        self._tape, self._below = tape, tape.below
        main = Composed(tape)
        self.matmul, self.vecdot, self.tensordot = main.matmul, main.vecdot, main.tensordot
        self._sum = main.sum

    @property
    def _xp(self) -> Any:
        return self._tape.xp

    def matrix_transpose(self, x: Any, /) -> Any:
        return self._xp.matrix_transpose(x)

    def diagonal(self, x: Any, /, *, offset: int = 0) -> Any:
        value = self._below.linalg.diagonal(plain(x), offset=offset)
        diagonal = _numpy.linalg.diagonal
        return self._tape.moved(lambda places: diagonal(places, offset=offset), value, [x])

    def trace(self, x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
        return self._sum(self.diagonal(x, offset=offset), axis=-1, dtype=dtype)

    def outer(self, a: Any, b: Any, /) -> Any:
        return self._xp.expand_dims(a, axis=1) * self._xp.expand_dims(b, axis=0)

    def cross(self, a: Any, b: Any, /, *, axis: int = -1) -> Any:
        x, y = (self._xp.moveaxis(each, axis, -1) for each in (a, b))
        parts = [
            x[..., (i + 1) % 3] * y[..., (i + 2) % 3] - x[..., (i + 2) % 3] * y[..., (i + 1) % 3]
            for i in range(3)
        ]
        return self._xp.stack(parts, axis=axis)

    def vector_norm(
        self, x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2
    ) -> Any:
        xp, along = self._xp, {"axis": axis, "keepdims": keepdims}
        if ord == 2:
            return xp.sqrt(self._sum(x * x, **along))
        if ord == 1:
            return self._sum(xp.abs(x), **along)
        if math.isinf(ord):
            return (xp.max if ord > 0 else xp.min)(xp.abs(x), **along)
        return unsupported("linalg.vector_norm")

    def matrix_norm(self, x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
        if ord != "fro":
            unsupported("linalg.matrix_norm")
        return self.vector_norm(x, axis=(-2, -1), keepdims=keepdims)

    def matrix_power(self, x: Any, n: int, /) -> Any:
        if n == 0:
            return Tracked(self._below.linalg.matrix_power(plain(x), 0), self._tape)
        found = base = x if n > 0 else self.inv(x)
        for _ in range(abs(n) - 1):
            found = self.matmul(found, base)
        return found

    def inv(self, x: Any, /) -> Any:
        xp = self._below
        f = xp.linalg.inv(plain(x))
        turned = xp.matrix_transpose(f)
        pull = lambda g: -xp.matmul(xp.matmul(turned, g), turned)  # noqa: E731
        return self._tape.operation("inv", f, [x], [pull])

    def det(self, x: Any, /) -> Any:
        xp, value = self._below, plain(x)
        f = xp.linalg.det(value)

        def pull(g: Any) -> Any:
            return xp.reshape(g * f, (*f.shape, 1, 1)) * self._inverse_transposed(value)

        return self._tape.operation("det", f, [x], [pull])

    def slogdet(self, x: Any, /) -> Any:
        xp, value = self._below, plain(x)
        found = xp.linalg.slogdet(value)
        sign, logarithm = found[0], found[1]

        def pull(g: Any) -> Any:
            return xp.reshape(g, (*logarithm.shape, 1, 1)) * self._inverse_transposed(value)

        size = self._tape.operation("slogdet", logarithm, [x], [pull])
        kind: Callable[..., Any] = type(found) if hasattr(found, "_fields") else lambda *a: a
        return kind(Tracked(sign, self._tape), size)

    def _inverse_transposed(self, value: Any) -> Any:
        return self._below.matrix_transpose(self._below.linalg.inv(value))

    def solve(self, a: Any, b: Any, /) -> Any:
        xp, matrix, right = self._below, plain(a), plain(b)
        f = xp.linalg.solve(matrix, right)

        def second(g: Any) -> Any:
            return summed_to(xp, xp.linalg.solve(xp.matrix_transpose(matrix), g), right)

        def first(g: Any) -> Any:
            back = xp.linalg.solve(xp.matrix_transpose(matrix), g)
            one, two = back, f
            if right.ndim == 1:
                one, two = xp.expand_dims(back, axis=-1), xp.expand_dims(f, axis=-1)
            return summed_to(xp, -xp.matmul(one, xp.matrix_transpose(two)), matrix)

        return self._tape.operation("solve", f, [a, b], [first, second])

    def cholesky(self, x: Any, /, *, upper: bool = False) -> Any:
        if upper:
            return self.matrix_transpose(self.cholesky(x))
        xp = self._below
        f = xp.linalg.cholesky(plain(x))

        def pull(g: Any) -> Any:
            """Half of it belongs to either triangle, as in the frameworks."""
            turned = xp.matrix_transpose(f)
            inner = xp.matmul(turned, g)
            half = xp.tril(inner) - xp.tril(xp.triu(inner)) / 2
            left = xp.linalg.solve(turned, half)
            found = xp.matrix_transpose(xp.linalg.solve(turned, xp.matrix_transpose(left)))
            return (found + xp.matrix_transpose(found)) / 2

        return self._tape.operation("cholesky", f, [x], [pull])

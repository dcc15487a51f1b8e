"""Autograd speaks numpy's dialect of 2015, and a case is written in the array API standard.

Its numpy module wraps every function of numpy, so each standard name is there, but many of them
have no VJP, and a few have one that misreads a newer keyword: `var` takes `correction` and ignores
it. What can be said with something that autograd differentiates is said that way here. What cannot
(`qr`, `nextafter`) is left as it is: its value is right, and autograd itself names the missing VJP.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from harness.backends.base import FrameworkBackend, Primal
from harness.dtypes import locked
from harness.errors import Unsupported
from harness.model import Array
from harness.programs.namespace import Namespace, named_result


class AutogradBackend(FrameworkBackend):
    """HIPS autograd: over numpy, reverse mode mostly; not every function has a JVP."""

    name = "autograd"
    module = "autograd"
    startup = 0.2
    dtypes = ("float64", "float32", "float16")
    distributions = ("autograd", "numpy")
    install = "python -m pip install 'gradient-harness[autograd]'"

    @cached_property
    def xp(self) -> Namespace:
        import autograd.numpy as anp

        linalg = Namespace("autograd", anp.linalg, _linalg(anp), prefix="xp.linalg")
        return Namespace("autograd", anp, {**_main(anp), **_constant(), "linalg": linalg})

    def asarray(self, array: Array) -> Any:
        if array.dtype.kind == "V":
            raise Unsupported("autograd: no bfloat16: numpy has none, and autograd takes no other")
        return np.array(array)

    def traced(self, array: Array) -> Any:
        return self.asarray(array) if array.dtype.kind == "V" else locked(array)

    def forward(self, function: Primal, variables: list[Any]) -> tuple[Any, ...]:
        with _quiet():
            return function(variables)

    def vjp(
        self, function: Primal, variables: list[Any], cotangents: list[Any]
    ) -> tuple[tuple[Any, ...], list[Any]]:
        from autograd.builtins import tuple as boxed_tuple
        from autograd.core import make_vjp
        from autograd.tracer import getval

        outputs: tuple[Any, ...] = ()

        def primal(boxes: Any) -> Any:
            nonlocal outputs
            raw = function([boxes[index] for index in range(len(variables))])
            outputs = tuple(getval(each) for each in raw)
            return boxed_tuple(raw[: len(cotangents)])

        with _quiet():
            pullback, _ = make_vjp(primal, list(variables))
            results = pullback(tuple(cotangents))
        return outputs, list(results)

    def jvp(
        self, function: Primal, variables: list[Any], tangents: list[Any]
    ) -> tuple[tuple[Any, ...], list[Any]]:
        from autograd.core import JVPNode
        from autograd.tracer import getval, isbox, new_box, trace_stack

        # As `make_jvp` does it, but with a box per variable: it passes a list of tangents through
        # sparse lists, and asks for the vector space of outputs that may be booleans.
        with _quiet(), trace_stack.new_trace() as trace:
            pairs = zip(variables, tangents, strict=True)
            raw = function([new_box(x, trace, JVPNode.new_root(v)) for x, v in pairs])
        outputs = tuple(getval(each) for each in raw)
        # The JVPs of `where`, `maximum`, `max` and others multiply by float64 arrays of their own;
        # its VJPs end in the dtype of their argument.
        return outputs, [
            np.asarray(each._node.g, value.dtype) if isbox(each) else None
            for each, value in zip(raw, outputs, strict=True)
        ]

    def unsupported(self, error: Exception) -> bool:
        # A box is not a whole array: it has no `mT` and no `//`, and no `float()` of it is known.
        # And the JVPs of `var` and `std` over several axes use a name that their module lacks.
        text = str(error)
        return (
            isinstance(error, NotImplementedError)
            or (
                isinstance(error, AttributeError | TypeError)
                and ("'ArrayBox'" in text or "unsupported in linalg" in text)
            )
            or (isinstance(error, NameError) and _module_of(error).startswith("autograd."))
        )


def _module_of(error: Exception) -> str:
    """The module in which an exception arose."""
    name, trace = "", error.__traceback__
    while trace is not None:
        name, trace = str(trace.tb_frame.f_globals.get("__name__", "")), trace.tb_next
    return name


@contextmanager
def _quiet() -> Iterator[None]:
    """A NaN, and a gradient of zeros, is judged by the harness; a warning would only be noise."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Output seems independent of input")
        yield


def _constant() -> dict[str, Any]:
    """Names that no gradient passes through: dtypes, and functions constant almost everywhere."""
    from autograd.extend import notrace_primitive

    # Autograd subclasses the integer types, and numpy takes a subclass for an object dtype.
    dtypes = (
        "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 "
        "complex128 finfo iinfo isdtype can_cast"
    )
    return {
        **{name: getattr(np, name) for name in dtypes.split()},
        "signbit": notrace_primitive(np.signbit),
    }


def _main(anp: Any) -> dict[str, Any]:
    """Standard functions, by name, made of what autograd differentiates."""
    from autograd.extend import notrace_primitive
    from autograd.tracer import isbox

    cast = notrace_primitive(lambda x, dtype: np.asarray(x).astype(dtype))

    def astype(x: Any, dtype: Any, /, *, copy: bool = True) -> Any:
        # Autograd would pass a gradient through integers as if nothing had been rounded.
        if not np.issubdtype(dtype, np.inexact):
            return cast(x, dtype)
        return x if not copy and x.dtype == dtype else anp.astype(x, dtype)

    def asarray(obj: Any, /, *, dtype: Any = None, copy: bool | None = None) -> Any:
        array = obj if hasattr(obj, "dtype") and not copy else anp.array(obj)
        return array if dtype is None or array.dtype == dtype else astype(array, dtype)

    def reshape(x: Any, /, shape: Any, *, copy: bool | None = None) -> Any:
        return anp.reshape(x, shape)

    def broadcast_to(x: Any, /, shape: Any) -> Any:
        # Its VJP takes no new leading axes, and asks for a tuple.
        x, shape = asarray(x), tuple(shape)
        leading = (1,) * (len(shape) - x.ndim)
        return anp.broadcast_to(anp.reshape(x, leading + tuple(x.shape)), shape)

    def broadcast_arrays(*arrays: Any) -> tuple[Any, ...]:
        shape = np.broadcast_shapes(*(each.shape for each in arrays))
        return tuple(broadcast_to(each, shape) for each in arrays)

    def meshgrid(*arrays: Any, indexing: str = "xy") -> tuple[Any, ...]:
        count = len(arrays)
        order = list(range(count))
        if indexing == "xy" and count > 1:
            order[:2] = 1, 0
        columns = [
            anp.reshape(each, tuple(-1 if axis == place else 1 for axis in range(count)))
            for each, place in zip(arrays, order, strict=True)
        ]
        return broadcast_arrays(*columns)

    def concat(arrays: Sequence[Any], /, *, axis: int | None = 0) -> Any:
        if axis is None:
            return anp.concatenate([anp.ravel(each) for each in arrays], 0)
        return anp.concatenate(list(arrays), axis)

    def take(x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
        if axis is None:
            x, axis = anp.ravel(x), 0
        return x[(slice(None),) * (axis % x.ndim) + (np.asarray(indices),)]

    def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Any:
        grid = list(np.ogrid[tuple(slice(size) for size in np.shape(indices))])
        grid[axis] = indices
        return x[tuple(grid)]

    order = notrace_primitive(
        lambda x, axis, descending: (
            np.flip(x.shape[axis] - 1 - np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
            if descending
            else np.argsort(x, axis, kind="stable")
        )
    )

    def argsort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
        return order(x, axis, descending)

    def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
        # Autograd differentiates the sorting of one axis only; the permutation says it for all.
        return take_along_axis(x, order(x, axis, descending), axis=axis)

    def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
        before = (slice(None),) * (axis % x.ndim)
        return tuple(x[(*before, index)] for index in range(x.shape[axis]))

    def flip(x: Any, /, *, axis: Any = None) -> Any:
        axes = range(x.ndim) if axis is None else np.atleast_1d(axis) % x.ndim
        return x[tuple(slice(None, None, -1 if each in axes else 1) for each in range(x.ndim))]

    def cumulative(step: Any, start: float) -> Any:
        def function(
            x: Any,
            /,
            *,
            axis: int | None = None,
            dtype: Any = None,
            include_initial: bool = False,
        ) -> Any:
            x = x if dtype is None else astype(x, dtype)
            axis = 0 if axis is None else axis % x.ndim
            result = step(x, axis)
            if not include_initial:
                return result
            shape = [1 if each == axis else size for each, size in enumerate(x.shape)]
            return anp.concatenate([np.full(shape, start, x.dtype), result], axis)

        return function

    def running_product(x: Any, axis: int) -> Any:
        products: list[Any] = []
        for slab in unstack(x, axis=axis):
            products.append(products[-1] * slab if products else slab)
        return anp.stack(products, axis=axis)

    def spread(function: Any) -> Any:
        def corrected(
            x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False
        ) -> Any:
            return function(x, axis=axis, ddof=correction, keepdims=keepdims)

        return corrected

    def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
        if isbox(min) or isbox(max):  # the VJP of `clip` is that of its first argument only
            x = x if min is None else anp.maximum(x, min)
            return x if max is None else anp.minimum(x, max)
        return anp.clip(x, min, max)

    def where(condition: Any, x1: Any, x2: Any, /) -> Any:
        # Its VJP does not sum over the axes that broadcasting added.
        parts = [each for each in (condition, x1, x2) if hasattr(each, "dtype")]
        shape = np.broadcast_shapes(*(each.shape for each in parts))
        x1, x2 = (broadcast_to(each, shape) if isbox(each) else each for each in (x1, x2))
        return anp.where(condition, x1, x2)

    def special(name: str) -> Any:
        def function(x: Any, /) -> Any:
            import autograd.scipy.special

            result = getattr(autograd.scipy.special, name)(x)
            # Of float16 scipy makes a wider float.
            return result if result.dtype == x.dtype else astype(result, x.dtype)

        return function

    def stop_gradient(x: Any, /) -> Any:
        while isbox(x):
            x = x._value
        return x

    negative = notrace_primitive(np.signbit)

    def copysign(x1: Any, x2: Any, /) -> Any:
        return anp.where(negative(x2), -anp.abs(x1), anp.abs(x1))

    return {
        "astype": astype,
        "asarray": asarray,
        "reshape": reshape,
        "broadcast_to": broadcast_to,
        "broadcast_arrays": broadcast_arrays,
        "meshgrid": meshgrid,
        "concat": concat,
        "take": take,
        "take_along_axis": take_along_axis,
        "argsort": argsort,
        "sort": sort,
        "unstack": unstack,
        "flip": flip,
        "cumulative_sum": cumulative(anp.cumsum, 0),
        "cumulative_prod": cumulative(running_product, 1),
        "std": spread(anp.std),
        "var": spread(anp.var),
        "clip": clip,
        "where": where,
        "copysign": copysign,
        "stop_gradient": stop_gradient,
        "erf": special("erf"),
        "erfc": special("erfc"),
        "lgamma": special("gammaln"),
        "digamma": special("digamma"),
        "positive": lambda x, /: x,
        "matrix_transpose": lambda x, /: anp.swapaxes(x, -1, -2),
        "vecdot": lambda x1, x2, /, *, axis=-1: anp.sum(anp.conj(x1) * x2, axis=axis),
        "expand_dims": lambda x, /, axis=0: anp.expand_dims(x, axis),
    }


def _linalg(anp: Any) -> dict[str, Any]:
    """Functions of `xp.linalg`, made of what autograd differentiates."""
    la, main = anp.linalg, _main(anp)

    def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Any:
        axes = range(x.ndim) if axis is None else np.atleast_1d(axis) % x.ndim
        chosen = tuple(int(each) for each in axes)
        if ord == 1:
            return anp.sum(anp.abs(x), axis=chosen, keepdims=keepdims)
        if abs(ord) == math.inf:
            extreme = anp.max if ord > 0 else anp.min
            return extreme(anp.abs(x), axis=chosen, keepdims=keepdims)
        # The VJP of `norm` takes one axis, and would expand a kept one a second time.
        kept = [size for each, size in enumerate(x.shape) if each not in chosen]
        rows = anp.moveaxis(x, chosen, tuple(range(-len(chosen), 0)))
        result = la.norm(anp.reshape(rows, (*kept, -1)), ord, -1)
        shape = [1 if each in chosen else size for each, size in enumerate(x.shape)]
        return anp.reshape(result, shape) if keepdims else result

    def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
        result = la.norm(x, ord, (x.ndim - 2, x.ndim - 1))  # its VJP takes no negative axes
        return result[..., None, None] if keepdims else result

    def diagonal(x: Any, /, *, offset: int = 0) -> Any:
        rows, columns = np.nonzero(np.eye(x.shape[-2], x.shape[-1], k=offset))
        return x[..., rows, columns]

    def matrix_power(x: Any, n: int, /) -> Any:
        if n < 0:
            return matrix_power(la.inv(x), -n)
        power = main["broadcast_to"](np.eye(x.shape[-1], dtype=x.dtype), x.shape)
        for _ in range(n):
            power = anp.matmul(power, x)
        return power

    def svd(x: Any, /, *, full_matrices: bool = True) -> Any:
        # The full decomposition has no VJP; of a square matrix the reduced one is the same.
        return la.svd(x, full_matrices=full_matrices and x.shape[-1] != x.shape[-2])

    return {
        "vector_norm": vector_norm,
        "matrix_norm": matrix_norm,
        "diagonal": diagonal,
        "matrix_power": matrix_power,
        "svd": named_result("U S Vh", svd),
        "eigh": named_result("eigenvalues eigenvectors", la.eigh),
        "qr": named_result("Q R", la.qr),
        "slogdet": named_result("sign logabsdet", la.slogdet),
        "svdvals": lambda x, /: svd(x, full_matrices=False)[1],
        "eigvalsh": lambda x, /: la.eigh(x)[0],
        "trace": lambda x, /, *, offset=0: anp.sum(diagonal(x, offset=offset), axis=-1),
        "outer": lambda x1, x2, /: x1[:, None] * x2[None, :],
        "cross": lambda x1, x2, /, *, axis=-1: anp.cross(x1, x2, axis=axis),
        "matmul": anp.matmul,
        "tensordot": anp.tensordot,
        "matrix_transpose": main["matrix_transpose"],
        "vecdot": main["vecdot"],
    }


BACKEND = AutogradBackend

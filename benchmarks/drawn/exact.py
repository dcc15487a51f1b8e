"""The `xp` of an independent judge: mpmath numbers in numpy's object arrays.

It shares nothing with the harness but the programs: no ball arithmetic, no staging, no derivative
rule. `forward` and `backward` are run as text, with so many bits that what cancels does no harm;
derivatives of `forward` are differences with a step so small that they are as good as exact.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import CodeType, SimpleNamespace
from typing import Any

import mpmath
import numpy as np
from mpmath import mp, mpf

#: Beyond this power of two nothing is evaluated: an exponential of it would fill the memory.
LARGEST = 4000

Numbers = dict[str, np.ndarray]


class Beyond(Exception):
    """The program leaves the real numbers, or those that fit into a memory, at this point."""


def _of(function: Callable[..., Any]) -> Callable[..., Any]:
    """An elementwise function of object arrays from one of mpmath numbers."""

    def checked(*numbers: Any) -> Any:
        numbers = tuple(mpf(each) for each in numbers)
        if any(mpmath.mag(each) > LARGEST for each in numbers if each):
            raise Beyond("a number is too large")
        try:
            found = function(*numbers)
        except (ZeroDivisionError, ValueError, OverflowError) as error:
            raise Beyond(str(error)) from None
        if isinstance(found, mpmath.mpc) or not mpmath.isfinite(found):
            raise Beyond("outside of the domain")
        return found

    return lambda *arrays: _array(np.frompyfunc(checked, len(arrays), 1)(*map(_array, arrays)))


def _array(value: Any) -> Any:
    """Lists and scalars as arrays, of objects where they are no integers or booleans."""
    array = np.asarray(value)
    return array.astype(object) if array.dtype.kind == "f" else array


def _logaddexp(x: mpf, y: mpf) -> mpf:
    high, low = max(x, y), min(x, y)
    # 1 + exp(-huge) is 1 in any precision.
    return high if low - high < -4 * mp.prec else high + mpmath.log1p(mpmath.exp(low - high))


def _tanh(x: mpf) -> mpf:
    return mpmath.sign(x) if abs(x) > 4 * mp.prec else mpmath.tanh(x)


def _like(number: float) -> Callable[..., Any]:
    def filled(array: Any, *_: Any, **__: Any) -> Any:
        return np.full(np.shape(array), mpf(number), dtype=object)

    return filled


def _axis(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis


def _mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    total = np.sum(x, axis=axis, keepdims=keepdims)
    return total / (np.size(x) // max(np.size(total), 1))


def _var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    c = x - _mean(x, axis, True)
    return _mean(c * c, axis, keepdims)


def _matrix(x: Any) -> Any:
    return mpmath.matrix(np.asarray(x, dtype=object).tolist())


def _back(x: Any) -> Any:
    return np.array(x.tolist(), dtype=object).reshape(x.rows, x.cols)


def _linear(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arrays: Any) -> Any:
        try:
            return function(*arrays)
        except (ZeroDivisionError, ValueError) as error:
            raise Beyond(str(error)) from None

    return run


@_linear
def _inv(x: Any) -> Any:
    return _back(mpmath.inverse(_matrix(x)))


@_linear
def _solve(x: Any, y: Any) -> Any:
    return np.matmul(_inv(x), y)


@_linear
def _det(x: Any) -> Any:
    return np.asarray(mpmath.det(_matrix(x)), dtype=object)


@_linear
def _cholesky(x: Any) -> Any:
    return _back(mpmath.cholesky(_matrix(x)))


def _slogdet(x: Any) -> Any:
    det = _det(x)
    return _sign(det), _log(_absolute(det))


_sign = _of(mpmath.sign)
_log = _of(mpmath.log)
_absolute = _of(abs)
_floor = _of(mpmath.floor)


def _clip(x: Any, low: Any, high: Any) -> Any:
    return np.minimum(np.maximum(x, mpf(low)), mpf(high))


def _astype(x: Any, dtype: Any) -> Any:
    array = np.asarray(x)
    return np.frompyfunc(lambda each: mpf(int(each)), 1, 1)(array) if array.dtype != object else x


def _asarray(x: Any, dtype: Any = None) -> Any:
    array = np.asarray(x)
    return _astype(array, None) if dtype is not None and array.dtype.kind != "f" else _array(array)


def _full(shape: Any, value: Any, dtype: Any = None) -> Any:
    return np.full(shape, mpf(value), dtype=object)


XP = SimpleNamespace(
    **{
        name: _of(getattr(mpmath, name))
        for name in "exp expm1 log1p sin cos tan sinh cosh atan asinh sqrt hypot sign atan2".split()
    },
    log=_log,
    log2=_of(lambda x: mpmath.log(x, 2)),
    tanh=_of(_tanh),
    abs=_absolute,
    floor=_floor,
    round=_of(mpmath.nint),
    square=lambda x: x * x,
    logaddexp=_of(_logaddexp),
    maximum=np.maximum,
    minimum=np.minimum,
    where=np.where,
    clip=_clip,
    astype=_astype,
    asarray=_asarray,
    arange=np.arange,
    zeros_like=_like(0),
    ones_like=_like(1),
    full_like=lambda x, value: _full(np.shape(x), value),
    full=_full,
    eye=lambda n, dtype=None: _astype(np.eye(n, dtype=int), None),
    sum=np.sum,
    mean=_mean,
    var=_var,
    std=lambda x: XP.sqrt(_var(x)),
    prod=np.prod,
    max=np.max,
    min=np.min,
    argmax=np.argmax,
    argsort=lambda x: np.argsort(x, kind="stable"),
    sort=np.sort,
    cumulative_sum=lambda x, axis=0: np.cumsum(x, axis=axis),
    cumulative_prod=lambda x, axis=0: np.cumprod(x, axis=axis),
    matmul=np.matmul,
    vecdot=lambda x, y: np.sum(x * y),
    tensordot=np.tensordot,
    matrix_transpose=np.matrix_transpose,
    permute_dims=np.transpose,
    reshape=np.reshape,
    expand_dims=np.expand_dims,
    broadcast_to=np.broadcast_to,
    concat=lambda arrays, axis=0: np.concatenate(arrays, axis=axis),
    stack=np.stack,
    flip=np.flip,
    roll=np.roll,
    take=np.take,
    linalg=SimpleNamespace(
        inv=_inv,
        solve=_solve,
        det=_det,
        slogdet=_slogdet,
        cholesky=_cholesky,
        trace=np.trace,
        diagonal=np.diagonal,
        outer=np.outer,
        vector_norm=lambda x, ord=2: XP.sqrt(np.sum(x * x)) if ord == 2 else np.sum(_absolute(x)),
    ),
)


@dataclass(frozen=True)
class Exact:
    """The two functions of a text, ready to run on mpmath numbers."""

    outputs: tuple[str, ...]
    cotangents: tuple[str, ...]
    forward: tuple[CodeType, ...]
    backward: tuple[CodeType, ...]
    gradients: CodeType

    def values(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Every name of `forward`."""
        names = {"xp": XP, **inputs}
        _run(self.forward, names)
        return names

    def value(self, inputs: Mapping[str, Any], cotangents: Mapping[str, Any]) -> Any:
        """<cotangents, outputs>."""
        names = self.values(inputs)
        return sum(np.sum(names[each] * cotangents[each]) for each in self.outputs)

    def names(self, inputs: Mapping[str, Any], cotangents: Mapping[str, Any]) -> dict[str, Any]:
        """Every name of both functions; one of `forward` hides none of `backward`."""
        names = self.values(inputs)
        given = (cotangents[each] for each in self.outputs)
        names |= dict(zip(self.cotangents, given, strict=True))
        _run(self.backward, names)
        return names

    def gradient(self, inputs: Mapping[str, Any], cotangents: Mapping[str, Any]) -> Numbers:
        """What `backward` returns."""
        names = self.names(inputs, cotangents)
        try:
            found = eval(self.gradients, names)
        except (ZeroDivisionError, TypeError) as error:
            raise Beyond(str(error)) from None
        return {name: np.asarray(each, dtype=object) for name, each in found.items()}


def _run(statements: Sequence[CodeType], names: dict[str, Any]) -> None:
    """Run them one by one: what numpy makes of an array without dimensions is made one again."""
    for code in statements:
        try:
            exec(code, names)
        except (ZeroDivisionError, OverflowError) as error:
            raise Beyond(f"{type(error).__name__}: {error}") from None
        for name in code.co_names:
            value = names.get(name)
            if isinstance(value, mpf | mpmath.mpc):
                names[name] = value = np.asarray(value, dtype=object)
            if isinstance(value, np.ndarray) and value.dtype == object:
                for each in value.ravel():
                    if isinstance(each, mpmath.mpc) or not mpmath.isfinite(each):
                        raise Beyond("no finite real number")


@cache
def exact(text: str) -> Exact:
    """A program from its text, which is that of straight lines and one `return` each."""
    functions = {
        node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)
    }
    forward, backward = functions["forward"], functions["backward"]

    def returned(function: ast.FunctionDef) -> ast.expr:
        last = function.body[-1]
        assert isinstance(last, ast.Return) and last.value is not None
        return last.value

    def block(function: ast.FunctionDef) -> tuple[CodeType, ...]:
        return tuple(
            compile(ast.Module([each], []), function.name, "exec") for each in function.body[:-1]
        )

    answer = returned(forward)
    names = [answer] if isinstance(answer, ast.Name) else answer.elts  # type: ignore[attr-defined]
    outputs = tuple(each.id for each in names)
    parameters = [each.arg for each in backward.args.args]
    return Exact(
        outputs,
        tuple(parameters[1 : 1 + len(outputs)]),
        block(forward),
        block(backward),
        compile(ast.Expression(returned(backward)), "gradients", "eval"),
    )


def lifted(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Float arrays as mpmath numbers, exactly; others as they are."""
    convert = np.frompyfunc(lambda each: mpf(float(each)), 1, 1)
    return {
        name: np.asarray(convert(each), dtype=object).reshape(each.shape)
        for name, each in arrays.items()
    }

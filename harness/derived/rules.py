"""What the cotangent of each function's result makes of its arguments': the rules of the textbooks,
as the frameworks have them.

A rule is written over the namespace of the arrays, so that it is done in balls, or errs, as they
do. Where a derivative can be told from the result, frameworks do that (`1 - tanh(x)**2`), though it
loses digits that another formula keeps; `EXACT` has those others. Where there is no derivative, at
a kink, the rule takes one side or the middle, as it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.errors import Unsupported
from harness.programs.namespace import Namespace

if TYPE_CHECKING:
    from harness.derived.tape import Tape

#: (xp, cotangent of the result, result, argument) -> cotangent of the argument.
Unary: TypeAlias = Callable[[Any, Any, Any, Any], Any]
#: The same of two arguments.
Binary: TypeAlias = Callable[[Any, Any, Any, Any, Any], Any]

UNARY: dict[str, Unary] = {
    "abs": lambda xp, g, f, x: g * xp.sign(x),
    "acos": lambda xp, g, f, x: -g / xp.sqrt(1 - x * x),
    "acosh": lambda xp, g, f, x: g / xp.sqrt(x * x - 1),
    "asin": lambda xp, g, f, x: g / xp.sqrt(1 - x * x),
    "asinh": lambda xp, g, f, x: g / xp.sqrt(x * x + 1),
    "atan": lambda xp, g, f, x: g / (1 + x * x),
    "atanh": lambda xp, g, f, x: g / (1 - x * x),
    "conj": lambda xp, g, f, x: g,
    "cos": lambda xp, g, f, x: -g * xp.sin(x),
    "cosh": lambda xp, g, f, x: g * xp.sinh(x),
    "exp": lambda xp, g, f, x: g * f,
    "expm1": lambda xp, g, f, x: g * (f + 1),
    "log": lambda xp, g, f, x: g / x,
    "log1p": lambda xp, g, f, x: g / (1 + x),
    "log2": lambda xp, g, f, x: g / (x * xp.log(xp.full_like(x, 2.0))),
    "log10": lambda xp, g, f, x: g / (x * xp.log(xp.full_like(x, 10.0))),
    "negative": lambda xp, g, f, x: -g,
    "positive": lambda xp, g, f, x: g,
    "real": lambda xp, g, f, x: g,
    "reciprocal": lambda xp, g, f, x: -g * f * f,
    "sin": lambda xp, g, f, x: g * xp.cos(x),
    "sinh": lambda xp, g, f, x: g * xp.cosh(x),
    "sqrt": lambda xp, g, f, x: g / (2 * f),
    "square": lambda xp, g, f, x: 2 * g * x,
    "tan": lambda xp, g, f, x: g * (1 + f * f),
    "tanh": lambda xp, g, f, x: g * (1 - f * f),
}
#: The derivatives that lose digits when they are told from the result, told from the argument.
EXACT: dict[str, Unary] = {
    "expm1": lambda xp, g, f, x: g * xp.exp(x),
    "tanh": lambda xp, g, f, x: g / xp.square(xp.cosh(x)),
}


def _larger(xp: Any, g: Any, x: Any, y: Any) -> Any:
    """The cotangent of `x`, if `x` is the larger; half of it if both are the same."""
    return xp.where(x > y, g, xp.where(x < y, xp.zeros_like(g), g / 2))


BINARY: dict[str, tuple[Binary, Binary]] = {
    "add": (lambda xp, g, f, x, y: g, lambda xp, g, f, x, y: g),
    "atan2": (
        lambda xp, g, f, x, y: g * y / (x * x + y * y),
        lambda xp, g, f, x, y: -g * x / (x * x + y * y),
    ),
    "copysign": (
        lambda xp, g, f, x, y: g * xp.sign(x) * xp.sign(f),
        lambda xp, g, f, x, y: xp.zeros_like(g),
    ),
    "divide": (lambda xp, g, f, x, y: g / y, lambda xp, g, f, x, y: -g * ((x / y) / y)),
    "hypot": (lambda xp, g, f, x, y: g * x / f, lambda xp, g, f, x, y: g * y / f),
    "logaddexp": (
        lambda xp, g, f, x, y: g * xp.exp(x - f),
        lambda xp, g, f, x, y: g * xp.exp(y - f),
    ),
    "maximum": (
        lambda xp, g, f, x, y: _larger(xp, g, x, y),
        lambda xp, g, f, x, y: _larger(xp, g, y, x),
    ),
    "minimum": (
        lambda xp, g, f, x, y: _larger(xp, g, y, x),
        lambda xp, g, f, x, y: _larger(xp, g, x, y),
    ),
    "multiply": (lambda xp, g, f, x, y: g * y, lambda xp, g, f, x, y: g * x),
    "pow": (
        lambda xp, g, f, x, y: g * y * x ** (y - 1),
        lambda xp, g, f, x, y: g * f * xp.log(x),
    ),
    "remainder": (lambda xp, g, f, x, y: g, lambda xp, g, f, x, y: -g * xp.floor(x / y)),
    "subtract": (lambda xp, g, f, x, y: g, lambda xp, g, f, x, y: -g),
}
#: Functions that only move, repeat or leave out elements of their first argument.
MOVING = frozenset(
    """
    broadcast_to expand_dims flip matrix_transpose moveaxis permute_dims repeat reshape roll squeeze
    take take_along_axis tile tril triu
    """.split()
)
#: Functions whose results are the same in a neighbourhood, or have nothing to do with the numbers.
CONSTANT = frozenset(
    """
    e inf nan newaxis pi bool float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64
    all any arange argmax argmin argsort bitwise_and bitwise_invert bitwise_left_shift bitwise_or
    bitwise_right_shift bitwise_xor can_cast ceil count_nonzero empty empty_like equal eye finfo
    floor floor_divide full full_like greater greater_equal iinfo isdtype isfinite isinf isnan less
    less_equal linspace logical_and logical_not logical_or logical_xor nonzero not_equal ones
    ones_like result_type round searchsorted sign signbit trunc zeros zeros_like
    """.split()
)


def namespace(tape: Tape) -> Namespace:
    """The `xp` of tracked arrays."""
    # Here, since what is composed of other functions calls them through the namespace.
    from harness.derived.composed import Composed, Linalg

    linalg = Namespace(
        "derived", _Functions(tape, Linalg(tape), tape.below.linalg), prefix="xp.linalg"
    )
    return Namespace("derived", _Functions(tape, Composed(tape), tape.below), {"linalg": linalg})


class _Functions:
    """Functions of tracked arrays: those of `composed`, else what there are rules for."""

    def __init__(self, tape: Tape, composed: Any, below: Any) -> None:
        self._tape, self._composed, self._below = tape, composed, below

    def __getattr__(self, name: str) -> Any:
        if hasattr(self._composed, name):
            return getattr(self._composed, name)
        if name in UNARY:
            return partial(self._unary, name)
        if name in BINARY:
            return partial(self._binary, name)
        if name in MOVING:
            return partial(self._moving, name)
        if name in CONSTANT:
            return self._constant(name)
        raise AttributeError(name)

    def _unary(self, name: str, x: Any, /) -> Any:
        from harness.derived.tape import plain

        xp, value = self._tape.below, plain(x)
        f = getattr(xp, name)(value)
        rule = (EXACT if self._tape.exact else {}).get(name, UNARY[name])
        return self._tape.operation(name, f, [x], [lambda g: rule(xp, g, f, value)])

    def _binary(self, name: str, x: Any, y: Any, /) -> Any:
        from harness.derived.tape import plain

        xp, one, two = self._tape.below, plain(x), plain(y)
        f = getattr(xp, name)(one, two)

        def pull(rule: Binary, argument: Any) -> Callable[[Any], Any]:
            return lambda g: summed_to(xp, rule(xp, g, f, one, two), argument)

        pulls = [pull(rule, each) for rule, each in zip(BINARY[name], (one, two), strict=True)]
        return self._tape.operation(name, f, [x, y], pulls)

    def _moving(self, name: str, x: Any, /, *others: Any, **options: Any) -> Any:
        from harness.derived.tape import indices, numpy_namespace, plain

        value = getattr(self._below, name)(
            plain(x), *map(plain, others), **{key: plain(each) for key, each in options.items()}
        )
        rest = tuple(map(indices, others))
        named = {key: indices(each) for key, each in options.items()}
        function = getattr(numpy_namespace, name)
        return self._tape.moved(lambda places: function(places, *rest, **named), value, [x])

    def _constant(self, name: str) -> Any:
        from harness.derived.tape import Tracked, plain

        function = getattr(self._below, name)
        if not callable(function) or isinstance(function, type):
            return function

        def call(*args: Any, **options: Any) -> Any:
            found = function(
                *map(plain, args), **{key: plain(each) for key, each in options.items()}
            )
            if isinstance(found, tuple):
                return tuple(Tracked(each, self._tape) for each in found)
            return Tracked(found, self._tape) if hasattr(found, "shape") else found

        return call


def summed_to(xp: Any, g: Any, argument: Any) -> Any:
    """The cotangent of an argument that was broadcast to the shape of `g`."""
    shape = tuple(getattr(argument, "shape", ()))
    if tuple(g.shape) == shape:
        return g
    extra = len(g.shape) - len(shape)
    axes = [*range(extra)]
    axes += [extra + i for i, n in enumerate(shape) if n == 1 and g.shape[extra + i] != 1]
    return xp.reshape(xp.sum(g, axis=tuple(axes)), shape) if axes else xp.reshape(g, shape)


def unsupported(name: str) -> Any:
    """Raises Unsupported for a function in a form that has no rule."""
    raise Unsupported(f"derived: no rule for `{name}` in this form")

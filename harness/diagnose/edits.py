"""What an author may have meant: the expressions that are one slip of the pen away from another.

Data flow alone cannot tell a wrong local from the line that uses it; a line that becomes right by
undoing one common mistake is the better suspect, and its user wants to see the remedy. Each rule
undoes one kind of mistake that people make in a backward pass, the most frequent first: a sign, a
comparison, a transpose, the wrong array of those in scope, a sum, a factor or a term too few or
too many, the inner derivative of the chain rule. A rule gives Python text, since that is shorter
to write and to read than syntax trees.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass

#: Functions of which one is easily taken for the other.
_TWINS = {
    one: other
    for pair in (
        "sin cos",
        "sinh cosh",
        "exp expm1",
        "log log1p",
        "maximum minimum",
        "max min",
        "argmax argmin",
        "zeros_like ones_like",
        "sum mean",
        "cumulative_sum cumulative_prod",
    )
    for one, other in (pair.split(), pair.split()[::-1])
}
_REDUCTIONS = ("sum", "mean", "prod", "max", "min")
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
#: Derivatives that end a chain, of an array `{0}` in scope.
_INNER = (
    "{0}**2",
    "(1 - {0})",
    "(1 + {0})",
    "(1 - {0}**2)",
    "(1 + {0}**2)",
    "{0} * (1 - {0})",
    "xp.sqrt({0})",
    "xp.sign({0})",
    "xp.exp({0})",
    "xp.cos({0})",
    "xp.sin({0})",
    "xp.sqrt(1 - {0}**2)",
)


@dataclass(frozen=True)
class Scope:
    """What a line of `backward` may use: `shapes` of the arrays in scope; `numbers`, `keys` (of a
    subscript), `tests` (comparisons) and `functions` of `xp` that the case uses anywhere. Of what
    is in scope, `masks` are arrays of booleans, `unread` the names that no line reads, and `parts`
    subscripts of arrays as they stand somewhere."""

    shapes: Mapping[str, tuple[int, ...]]
    numbers: tuple[float, ...] = ()
    keys: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    functions: frozenset[str] = frozenset()
    masks: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    def like(self, name: str) -> list[str]:
        """The other arrays of the same shape."""
        shape = self.shapes.get(name)
        return [each for each, other in self.shapes.items() if other == shape and each != name]


Rule = Callable[[ast.expr, str, Scope, bool], Iterator[str]]


def variants(rule: Rule, node: ast.expr, scope: Scope, place: bool = True) -> Iterator[ast.expr]:
    """`node` with one of its parts rewritten by `rule`; `node` itself is not changed.

    `place`: it is no factor of a product. A factor or a sign given to one factor would be the same
    as one given to the product.
    """
    if not isinstance(node, ast.Slice | ast.Tuple | ast.Starred):  # parts of a subscript
        for text in rule(node, f"({ast.unparse(node)})", scope, place):
            yield ast.parse(text, mode="eval").body
    yield from _within(rule, node, scope)


def _within(rule: Rule, node: ast.AST, scope: Scope) -> Iterator[ast.expr]:
    product = isinstance(node, ast.UnaryOp) or (
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div)
    )
    for field, value in ast.iter_fields(node):
        if field == "func":
            continue
        children = value if isinstance(value, list) else [value]
        for index, child in enumerate(children):
            if isinstance(child, ast.expr):
                found: Iterator[ast.AST] = variants(rule, child, scope, not product)
            elif isinstance(child, ast.keyword):
                found = _within(rule, child, scope)
            else:
                continue
            for new in found:
                changed = copy(node)
                several = [*children[:index], new, *children[index + 1 :]]
                setattr(changed, field, several if isinstance(value, list) else new)
                yield changed  # type: ignore[misc]


def _unread(node: ast.expr, text: str, scope: Scope, place: bool) -> Iterator[str]:
    """A name that nobody reads was meant to be read."""
    for name in scope.unread:
        if isinstance(node, ast.Name) and node.id != name:
            yield name
        if place and not isinstance(node, ast.Constant | ast.Compare):
            for sign in "*/+-":
                yield f"{text} {sign} {name}"
            yield f"{text} * {name}[..., None]"
            for other in (*scope.shapes, *scope.parts):
                for sign in "+-":
                    yield f"{text} {sign} {name} * {other}"
                    yield f"{text} {sign} {name} / {other}"


def _forgotten_mask(node: ast.expr, text: str, scope: Scope, place: bool) -> Iterator[str]:
    if place and not isinstance(node, ast.Constant | ast.Compare):
        for name in scope.masks:
            for index in ("", "[..., None]"):
                yield f"xp.where({name}{index}, {text}, xp.zeros_like({text}))"


def _sign(node: ast.expr, text: str, _: Scope, place: bool) -> Iterator[str]:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield f"({ast.unparse(node.operand)})"
    elif place and not isinstance(node, ast.Constant | ast.Compare):
        yield f"-{text}"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        sign = "-" if isinstance(node.op, ast.Add) else "+"
        yield f"({ast.unparse(node.left)}) {sign} ({ast.unparse(node.right)})"
        yield f"({ast.unparse(node.right)}) - ({ast.unparse(node.left)})"


def _comparison(node: ast.expr, _text: str, _: Scope, _place: bool) -> Iterator[str]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right = ast.unparse(node.left), ast.unparse(node.comparators[0])
        yield from (f"({left}) {sign} ({right})" for sign in _COMPARISONS)
    if _called(node) == "where" and len(_arguments(node)) == 3:
        condition, one, other = _arguments(node)
        yield f"xp.where({condition}, {other}, {one})"


def _transposed(node: ast.expr, text: str, scope: Scope, _place: bool) -> Iterator[str]:
    if _called(node) == "matrix_transpose":
        yield _arguments(node)[0]
    elif isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield ast.unparse(node.value)
    elif _called(node) == "matmul" and len(_arguments(node)) == 2:
        one, other = _arguments(node)
        yield f"xp.matmul({other}, {one})"
        yield f"xp.matmul(xp.matrix_transpose({one}), {other})"
        yield f"xp.matmul({one}, xp.matrix_transpose({other}))"
        yield f"xp.matrix_transpose({text})"
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        one, other = ast.unparse(node.left), ast.unparse(node.right)
        yield f"({other}) @ ({one})"
        yield f"xp.matrix_transpose({one}) @ ({other})"
        yield f"({one}) @ xp.matrix_transpose({other})"
    elif isinstance(node, ast.Name) and len(scope.shapes.get(node.id, ())) >= 2:
        yield f"xp.matrix_transpose({node.id})"


def _other_array(node: ast.expr, _text: str, scope: Scope, _place: bool) -> Iterator[str]:
    if isinstance(node, ast.Name) and node.id in scope.shapes:
        yield from scope.like(node.id)
        near = scope.like(node.id)
        yield from (each for each in scope.shapes if each not in near and each != node.id)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from (repr(key) for key in scope.keys)


def _swapped(node: ast.expr, _text: str, _: Scope, _place: bool) -> Iterator[str]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Pow):
        turned = copy(node)
        turned.left, turned.right = node.right, node.left
        yield ast.unparse(turned)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
        sign = "*" if isinstance(node.op, ast.Div) else "/"
        yield f"({ast.unparse(node.left)}) {sign} ({ast.unparse(node.right)})"


def _function(node: ast.expr, _text: str, _: Scope, _place: bool) -> Iterator[str]:
    name = _called(node)
    if name in _TWINS:
        yield f"xp.{_TWINS[name]}({', '.join(_arguments(node))})"
    if name not in ("", "where", "matmul", "asarray"):
        yield _arguments(node)[0]


def _reduction(node: ast.expr, text: str, scope: Scope, _place: bool) -> Iterator[str]:
    """A sum (or what else the case reduces by) over another axis, or one that was left out."""
    known = [each for each in _REDUCTIONS if each in ("sum", "mean") or each in scope.functions]
    if _called(node) in _REDUCTIONS:
        known, text = [_called(node)], _arguments(node)[0]
    elif isinstance(node, ast.Constant | ast.Compare | ast.UnaryOp):
        return
    for name in known:
        yield f"xp.{name}({text})"
        for axis in (0, -1, 1):
            yield f"xp.{name}({text}, axis={axis}, keepdims=True)"
            yield f"xp.{name}({text}, axis={axis})"
    if isinstance(node, ast.Name):
        yield f"{node.id}[..., None]"
        yield f"{node.id}[None, ...]"


def _too_many(node: ast.expr, _text: str, _: Scope, _place: bool) -> Iterator[str]:
    """A term or a factor too many."""
    if isinstance(node, ast.BinOp):
        yield ast.unparse(node.left)
        yield ast.unparse(node.right)
    elif _called(node) == "where":
        yield from _arguments(node)[1:3]


def _number(node: ast.expr, _text: str, scope: Scope, _place: bool) -> Iterator[str]:
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        for other in (value + 1, value - 1, 2 * value, value / 2, -value, *scope.numbers):
            whole = int(other) if isinstance(value, int) and other == int(other) else other
            yield f"({whole!r})"


def _factor(_node: ast.expr, text: str, scope: Scope, place: bool) -> Iterator[str]:
    """A constant that was left out: 2, or the length of an axis."""
    if place:
        yield f"2 * {text}"
        yield f"{text} / 2"
        for size in dict.fromkeys(_sizes(scope)):
            yield f"{text} / {size}"
            yield f"{text} * {size}"


def _sizes(scope: Scope) -> Iterator[str]:
    """One expression for each axis length other than 1 of the arrays in scope."""
    lengths = {
        length: f"{name}.shape[{axis}]"
        for name, shape in reversed(list(scope.shapes.items()))
        for axis, length in enumerate(shape)
        if length != 1
    }
    yield from lengths.values()


def _mask(node: ast.expr, text: str, scope: Scope, place: bool) -> Iterator[str]:
    if place and not isinstance(node, ast.Constant | ast.Compare):
        for test in dict.fromkeys([*scope.tests, *(f"{name} > 0" for name in scope.shapes)]):
            for rest in ("zeros", "ones"):
                yield f"xp.where({test}, {text}, xp.{rest}_like({text}))"
                yield f"xp.where({test}, xp.{rest}_like({text}), {text})"


def _array_factor(node: ast.expr, text: str, scope: Scope, place: bool) -> Iterator[str]:
    if place and not isinstance(node, ast.Constant | ast.Compare):
        for name, shape in scope.shapes.items():
            yield f"{text} * {name}"
            yield f"{text} / {name}"
            if shape:
                yield f"{text} * {name}[..., None]"
                yield f"{text} / {name}[..., None]"


def _term(node: ast.expr, text: str, scope: Scope, place: bool) -> Iterator[str]:
    """A term that was left out: an array, the mean, or the same with another array."""
    if not place or isinstance(node, ast.Constant | ast.Compare):
        return
    for name in scope.shapes:
        yield f"{text} + {name}"
        yield f"{text} - {name}"
    yield f"{text} - xp.mean({text})"
    yield f"{text} - xp.mean({text}, axis=-1, keepdims=True)"
    yield f"{text} - xp.sum({text}, axis=-1, keepdims=True)"
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} & set(scope.shapes)
    for name in sorted(names):
        for other in scope.like(name):
            yield f"{text} + ({ast.unparse(_Renamed(name, other).visit(ast.parse(text)))})"
    for number in (1, *scope.numbers):
        yield f"{text} + {number!r}"
        yield f"{number!r} - {text}"


class _Renamed(ast.NodeTransformer):
    def __init__(self, name: str, other: str) -> None:
        self.name, self.other = name, other

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.other, node.ctx) if node.id == self.name else node


def _inner(node: ast.expr, text: str, scope: Scope, place: bool) -> Iterator[str]:
    """The derivative of the inner function, which the chain rule asks for."""
    if isinstance(node, ast.Name) and node.id in scope.shapes:
        yield from (pattern.format(node.id) for pattern in _INNER)
    if place and isinstance(node, ast.BinOp | ast.Name | ast.Call):
        for name in scope.shapes:
            for pattern in _INNER:
                yield f"{text} * ({pattern.format(name)})"
                yield f"{text} / ({pattern.format(name)})"


#: The most frequent mistakes first; of several repairs that are right the first is told.
RULES: tuple[Rule, ...] = (
    _unread,
    _forgotten_mask,
    _sign,
    _comparison,
    _transposed,
    _other_array,
    _swapped,
    _function,
    _reduction,
    _too_many,
    _number,
    _factor,
    _mask,
    _array_factor,
    _term,
    _inner,
)


def _called(node: ast.expr) -> str:
    """`sum` of `xp.sum(...)`, "" for every other expression."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
        return ""
    owner = node.func.value
    return node.func.attr if isinstance(owner, ast.Name) and owner.id == "xp" else ""


def _arguments(node: ast.expr) -> list[str]:
    assert isinstance(node, ast.Call)
    positional = [ast.unparse(each) for each in node.args]
    return [*positional, *(f"{each.arg}={ast.unparse(each.value)}" for each in node.keywords)]

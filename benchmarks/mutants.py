"""Faults to find: a checker is worth what it catches, and nobody knows what that is until the
faults are planted on purpose.

Every operator rewrites one expression of a correct `backward` the way a tired author would: a term
dropped, a sign flipped, the wrong saved array. The rewritten expression replaces the text of the
old one in place, so a mutant differs from the case's file in exactly one line and every line keeps
its number.
"""

from __future__ import annotations

import ast
import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.cases.case import Case
from harness.cases.sampling import NUMPY
from harness.diagnose.dataflow import returned
from harness.errors import CaseError
from harness.model import Sample
from harness.programs import trees
from harness.programs.program import Program
from harness.programs.source import Code, parse
from harness.programs.staging import StagedProgram
from harness.programs.syntax import SCOPES, assigned_names

#: Relative sizes of the scaled faults. Written `e + e * d`, since the float 1 + 1e-25 is 1.
SIZES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8, 1e-10, 1e-13, 1e-16, 1e-20, 1e-25, 1e-30)
COARSE = SIZES[0]


@dataclass(frozen=True)
class Mutant:
    """A faulty text of a case's Python file. `d` is the size of a scaled fault, else 0; `site` is
    the same for one scaled fault in all its sizes, and `coarse` its text with d = 0.1."""

    operator: str
    line: int
    source: str
    text: str = field(repr=False)
    d: float = 0.0
    site: str = ""
    coarse: str = field(default="", repr=False)

    def code(self, case: Case) -> Code:
        """The mutant parsed. Raises CaseError for one that breaks the contract of a case."""
        return parse(self.text, case.code.file)

    def program(self, case: Case) -> Program:
        """The mutant ready to run."""
        return StagedProgram.of(self.code(case))


@dataclass(frozen=True)
class Scope:
    """What one run of `backward` tells: `shapes` of its names, of its `return <path>`s; names that
    are `saved` (parameters), and the line that first assigns each `local`."""

    shapes: Mapping[str, tuple[int, ...]]
    saved: tuple[str, ...]
    local: Mapping[str, int]


Rewrite = Callable[[ast.expr, Scope], Iterator[ast.expr]]


def mutants(case: Case, sample: Sample, sizes: tuple[float, ...] = SIZES) -> list[Mutant]:
    """Every mutant of the case's backward; `sample` is where the shapes of its names are found."""
    tree = ast.parse(case.code.text)
    function = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "backward")
    scope = _scope(case, sample, function)
    found: dict[str, Mutant] = {}

    def add(operator: str, old: ast.expr, new: ast.expr, **scaled: Any) -> None:
        text = replaced(case.code.text, old, new)
        if text is None or text in found or text == case.code.text:
            return
        line = text.split("\n")[old.lineno - 1].strip()
        mutant = Mutant(operator, old.lineno, line, text, **scaled)
        try:
            mutant.code(case)
        except CaseError:
            return
        found[text] = mutant

    for node in expressions(function):
        for operator, rewrite in LOCAL.items():
            for new in rewrite(node, scope):
                add(operator, node, new)
    for node, name in wholes(function):
        shape = scope.shapes.get(name)
        if shape is None:
            continue
        add("flip a sign", node, ast.UnaryOp(ast.USub(), node))
        if len(shape) >= 2:
            add("transpose", node, _call("matrix_transpose", node))
        site = f"{node.lineno}:{node.col_offset}"
        faults: dict[str, Callable[[float], ast.expr]] = {
            "scale": lambda d, node=node: _sum(node, ast.Constant(d)),
            "scale one element": lambda d, node=node, shape=shape, site=site: _sum(
                node, _one_hot(shape, d, site)
            ),
        }
        for operator, fault in faults.items():
            if operator == "scale" or math.prod(shape) > 1:
                coarse = replaced(case.code.text, node, fault(COARSE)) or ""
                for d in sizes:
                    add(operator, node, fault(d), d=d, site=site, coarse=coarse)
    return list(found.values())


def wholes(function: ast.FunctionDef) -> list[tuple[ast.expr, str]]:
    """Every assigned value with its name, and every returned gradient as `return <path>`."""
    found = []
    for node in _nodes(function):
        names = assigned_names(node)
        if len(names) == 1 and isinstance(node, ast.Assign | ast.AugAssign):
            found.append((node.value, names[0]))
        elif isinstance(node, ast.Return) and node.value is not None:
            leaves = returned(node.value)
            found += [(value, f"return {path}") for path, value in leaves]
    return found


def _scope(case: Case, sample: Sample, function: ast.FunctionDef) -> Scope:
    trace = case.program.forward(NUMPY, sample.inputs)
    result, recorded = case.program.backward(NUMPY, sample.cotangents, sample.inputs, trace)
    names = tuple(argument.arg for argument in function.args.args[1:])
    values = {**sample.inputs, **trace.saved}
    values = {name: values[name] for name in names[len(sample.cotangents) :]}
    values |= dict(zip(names, sample.cotangents, strict=False)) | dict(recorded)
    given = result if isinstance(result, dict) else {"": result}
    values |= {f"return {path}": leaf for path, leaf in trees.flatten(given).items()}
    shapes = {
        name: np.shape(value)
        for name, value in values.items()
        if isinstance(value, np.ndarray | np.floating | float)
        and np.asarray(value).dtype.kind == "f"
    }
    local: dict[str, int] = {}
    for node in _nodes(function):
        for name in assigned_names(node):
            assert isinstance(node, ast.stmt)
            local.setdefault(name, node.lineno)
    return Scope(shapes, names, local)


def _nodes(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Every node of the function's own scope, the arguments left out."""
    stack: list[ast.AST] = list(reversed(function.body))
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, SCOPES):
            stack.extend(reversed(list(ast.iter_child_nodes(node))))


def expressions(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """What is read; a wrong target only leaves a name undefined, which Python itself reports."""
    for node in _nodes(function):
        if isinstance(node, ast.expr) and not isinstance(getattr(node, "ctx", None), ast.Store):
            yield node


def replaced(text: str, old: ast.expr, new: ast.expr) -> str | None:
    """`text` with the source of `old` replaced; None where it stands on several lines."""
    if old.lineno != old.end_lineno:
        return None
    lines = text.split("\n")
    line = lines[old.lineno - 1].encode()  # offsets of a syntax tree count bytes
    source = ast.unparse(ast.fix_missing_locations(copy.deepcopy(new)))
    source = source if isinstance(new, ast.Name | ast.Constant | ast.Call) else f"({source})"
    lines[old.lineno - 1] = (
        line[: old.col_offset] + source.encode() + line[old.end_col_offset :]
    ).decode()
    return "\n".join(lines)


def _call(function: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Attribute(ast.Name("xp"), function), list(arguments), [])


def _sum(node: ast.expr, d: ast.expr) -> ast.expr:
    """`node + node * d`."""
    return ast.BinOp(node, ast.Add(), ast.BinOp(node, ast.Mult(), d))


def _one_hot(shape: tuple[int, ...], d: float, site: str) -> ast.expr:
    """An array of this shape, `d` in one element chosen by `site`, else zero."""
    size = math.prod(shape)
    at = sum(map(ord, site)) % size
    flat = f"xp.asarray([0.0] * {at} + [{d!r}] + [0.0] * {size - at - 1})"
    return ast.parse(f"xp.reshape({flat}, {shape!r})", mode="eval").body


def _function(node: ast.expr) -> str:
    """`sum` of `xp.sum(...)`, "" for every other expression."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return ""
    owner = node.func.value
    return node.func.attr if isinstance(owner, ast.Name) and owner.id == "xp" else ""


def _binary(node: ast.expr, left: ast.expr, op: ast.operator, right: ast.expr) -> ast.expr:
    return ast.copy_location(ast.BinOp(left, op, right), node)


def _drop_term(node: ast.expr, _: Scope) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        yield node.left
        negative = isinstance(node.op, ast.Sub)
        yield ast.UnaryOp(ast.USub(), node.right) if negative else node.right


def _drop_factor(node: ast.expr, _: Scope) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div | ast.Pow):
        yield node.left
        if isinstance(node.op, ast.Mult):
            yield node.right


def _flip_sign(node: ast.expr, _: Scope) -> Iterator[ast.expr]:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        yield _binary(node, node.left, other, node.right)


def _swap(node: ast.expr, _: Scope) -> Iterator[ast.expr]:
    ordered = ast.Sub | ast.Div | ast.Pow | ast.MatMult
    if isinstance(node, ast.BinOp) and isinstance(node.op, ordered):
        yield _binary(node, node.right, node.op, node.left)
    elif isinstance(node, ast.Call) and _function(node) == "matmul" and len(node.args) == 2:
        yield _call("matmul", *reversed(node.args))


def _drop_reduction(node: ast.expr, _: Scope) -> Iterator[ast.expr]:
    if isinstance(node, ast.Call) and _function(node) in ("sum", "mean", "max", "prod"):
        yield node.args[0]
        if _function(node) == "sum":
            yield ast.Call(ast.Attribute(ast.Name("xp"), "mean"), node.args, node.keywords)


_OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}


def _mask(node: ast.expr, _: Scope) -> Iterator[ast.expr]:
    if isinstance(node, ast.Call) and _function(node) == "where" and len(node.args) == 3:
        condition, one, other = node.args
        yield one
        yield other
        yield _call("where", condition, other, one)
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in _OPPOSITE:
        yield ast.Compare(node.left, [_OPPOSITE[type(node.ops[0])]()], node.comparators)


def _transpose(node: ast.expr, _: Scope) -> Iterator[ast.expr]:
    if isinstance(node, ast.Call) and _function(node) == "matrix_transpose":
        yield node.args[0]
    elif isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield node.value
    elif isinstance(node, ast.Call) and _function(node) == "matmul" and len(node.args) == 2:
        left, right = node.args
        yield _call("matmul", _call("matrix_transpose", left), right)
        yield _call("matmul", left, _call("matrix_transpose", right))


def _off_by_one(node: ast.expr, _: Scope) -> Iterator[ast.expr]:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        for step in (1, -1):
            value = ast.Constant(abs(node.value + step))
            yield ast.UnaryOp(ast.USub(), value) if node.value + step < 0 else value


def _wrong_saved(node: ast.expr, scope: Scope) -> Iterator[ast.expr]:
    """Another array of the same shape among those that `backward` was given."""
    if isinstance(node, ast.Name) and node.id in scope.saved and node.id in scope.shapes:
        for other in scope.saved:
            if other != node.id and scope.shapes.get(other) == scope.shapes[node.id]:
                yield ast.Name(other)


def _stale(node: ast.expr, scope: Scope) -> Iterator[ast.expr]:
    """A local of the same shape that was assigned before, or the cotangent that it came from."""
    if not (isinstance(node, ast.Name) and node.id in scope.local and node.id in scope.shapes):
        return
    earlier = [name for name, line in scope.local.items() if line < node.lineno]
    for other in [*earlier, *(name for name in scope.saved if name.startswith("d"))]:
        if other != node.id and scope.shapes.get(other) == scope.shapes[node.id]:
            yield ast.Name(other)


#: Operators that need no more than the expression itself.
LOCAL: dict[str, Rewrite] = {
    "drop a term": _drop_term,
    "drop a factor": _drop_factor,
    "flip a sign": _flip_sign,
    "swap operands": _swap,
    "drop a reduction": _drop_reduction,
    "drop or invert a mask": _mask,
    "transpose": _transpose,
    "off by one": _off_by_one,
    "wrong saved array": _wrong_saved,
    "stale intermediate": _stale,
}

OPERATORS = (*LOCAL, "scale", "scale one element")

"""Arrays are values in a case: what looks like a write into one binds its name to a new one.

`d[k] = e` and `d += e` change an array in numpy and torch, and with it whatever shares its memory;
jax and tensorflow know no such thing. A case is one text for all of them, so it means `d = the same
with other elements`, in every method: its statements are rewritten before it runs, and what a
namespace makes of `xp.set_at` is all that a method has to know of them.

Here the statements are found and rewritten, as calls of what is in `harness.programs.values`.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from copy import deepcopy
from typing import Any, TypeVar

from harness.programs.syntax import (
    TEMPORARY,
    VALUES,
    Definition,
    parameters,
    takes_namespace,
    variables,
    walk_scope,
)
from harness.programs.values import BORROWED, LENT, OWN

_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.MatMult: "matmul",
    ast.Div: "truediv",
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.Pow: "pow",
    ast.LShift: "lshift",
    ast.RShift: "rshift",
    ast.BitAnd: "and_",
    ast.BitOr: "or_",
    ast.BitXor: "xor",
}


def rebind(function: ast.FunctionDef, kept: Collection[str] = ()) -> None:
    """Rewrite a function that has `xp`, and those inside it, in place. `kept` are names whose
    values are read after it has returned."""
    _Rebinding(function, kept).run()


def rebind_all(tree: ast.Module, kept: Collection[str]) -> None:
    """Rewrite every function of a module that takes `xp`; `kept` is what `backward` asks for."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and takes_namespace(node):
            rebind(node, kept if node.name == "forward" else ())


class _Rebinding(ast.NodeTransformer):
    """Rewrites the statements of one function."""

    def __init__(self, function: Definition, kept: Collection[str]) -> None:
        self.function, self.kept = function, kept
        self.owner = LENT if function.name == "backward" else OWN
        self.helper = function.name not in ("forward", "backward")
        self.parameters = parameters(function)
        self.variables = variables(function)
        self.bound = {
            (node.id, _start(node))
            for node, _ in walk_scope(function)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        self.loads = [
            (node.id, _start(node))
            for node in ast.walk(function)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        ]
        self.loops = [
            (_start(node), _end(node))
            for node, _ in walk_scope(function)
            if isinstance(node, ast.For | ast.While)
        ]
        self.count = 0

    def run(self) -> None:
        self.function.body = [
            new for each in self.function.body for new in _several(self.visit(each))
        ]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        inner = _Rebinding(node, ())
        inner.owner, inner.helper = self.owner, True
        inner.run()
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            return node
        return _at(node, _call("item", _name("xp"), node.value, _key(node.slice)))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if isinstance(node.target, ast.Subscript) and node.value is not None:
            return self.visit_Assign(_at(node, ast.Assign([node.target], node.value)))
        node.value = self.visit(node.value) if node.value is not None else None
        return node

    def visit_Assign(self, node: ast.Assign) -> Any:
        node.value = self.visit(node.value)
        whole = node.targets[0]
        if len(node.targets) == 1 and isinstance(whole, ast.Subscript):
            return self.write(whole, node.value, node)
        writes: list[tuple[ast.Subscript, str]] = []
        node.targets = [self.without_writes(each, writes) for each in node.targets]
        parts = [self.write(each, _name(name), node) for each, name in writes]
        return [node, *(new for part in parts for new in part)]

    def without_writes(self, target: ast.expr, found: list[tuple[ast.Subscript, str]]) -> ast.expr:
        """`target` with a name in the place of each element that it writes to."""
        if isinstance(target, ast.Subscript):
            found.append((target, self.temporary()))
            return _at(target, ast.Name(found[-1][1], ast.Store()))
        if isinstance(target, ast.Tuple | ast.List):
            target.elts = [self.without_writes(each, found) for each in target.elts]
        elif isinstance(target, ast.Starred):
            target.value = self.without_writes(target.value, found)
        return target

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        name, value = ast.Constant(_OPERATORS[type(node.op)]), self.visit(node.value)
        target = node.target
        if isinstance(target, ast.Subscript):
            return self.write(target, value, node, name)
        if isinstance(target, ast.Name):
            old, owner = _at(target, _name(target.id)), ast.Constant(self.owner)
            return _at(node, ast.Assign([target], _call("augmented", name, old, value, owner)))
        node.value = value
        return node

    def write(
        self,
        target: ast.Subscript,
        value: ast.expr,
        node: ast.stmt,
        operator: ast.Constant | None = None,
    ) -> list[ast.stmt]:
        """The statements that write `value` at `target`, or combine it with what is there."""
        key = self.visit(_key(target.slice))
        owner = root = target.value
        while isinstance(root, ast.Subscript):
            root = root.value
        if not isinstance(root, ast.Name) or root.id not in self.variables:
            owner = self.visit(owner)
            if operator is not None:
                old = _call("item", _name("xp"), deepcopy(owner), deepcopy(key))
                value = _call("augmented", operator, old, value, ast.Constant(self.owner))
            return [_at(node, ast.Expr(_call("through", owner, key, value)))]
        readers = self.readers(node, root.id)
        whose = ast.Constant(self.whose(root.id, node))
        name = ast.Name(root.id, ast.Store())

        def new(old: ast.expr) -> ast.expr:
            if operator is None:
                return _call("written", _name("xp"), old, key, value, readers, whose)
            return _call("updated", _name("xp"), old, key, operator, value, readers, whose)

        if not isinstance(owner, ast.Subscript):
            return [_at(node, ast.Assign([name], new(owner)))]
        # The container gets the new array, and the recorder the container.
        outer, place = self.member(owner.value), self.visit(deepcopy(_key(owner.slice)))
        written = ast.Expr(_call("through", outer, place, new(self.member(owner))))
        return [_at(node, written), _at(node, ast.Assign([name], _name(root.id)))]

    def whose(self, name: str, node: ast.stmt) -> str:
        """Whose an array is that stands under a name, so far as the text tells."""
        earlier = any(each == name and place < _start(node) for each, place in self.bound)
        return BORROWED if self.helper and name in self.parameters and not earlier else self.owner

    def member(self, node: ast.expr) -> ast.expr:
        """A container's member, as an expression that refuses that of an array."""
        if isinstance(node, ast.Subscript):
            place = self.visit(deepcopy(_key(node.slice)))
            return _at(node, _call("within", self.member(node.value), place))
        return node

    def readers(self, node: ast.stmt, name: str) -> ast.expr:
        """How to get at what is read later under other names than the one that is written to."""
        names = sorted(self.read_after(node) - {name})
        functions: list[ast.expr] = [ast.Lambda(_NO_ARGUMENTS, _name(each)) for each in names]
        return ast.Dict([ast.Constant(each) for each in names], functions)

    def read_after(self, node: ast.stmt) -> set[str]:
        """The variables of the function that may be read after a statement, be it in the next round
        of a loop or by `backward`."""
        around = [loop for loop in self.loops if loop[0] <= _start(node) < loop[1]]
        names = {
            name
            for name, place in self.loads
            if place >= _end(node) or any(first <= place < last for first, last in around)
        }
        return ((names | {*self.kept}) & self.variables) - {"xp"}

    def temporary(self) -> str:
        self.count += 1
        return f"{TEMPORARY}{self.count}"


_NO_ARGUMENTS = ast.arguments([], [], None, [], [], None, [])


def _several(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found]


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _call(function: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Attribute(_name(VALUES), function, ast.Load()), list(arguments), [])


def _key(node: ast.expr) -> ast.expr:
    """What stands in brackets, as an expression that can stand elsewhere."""
    if isinstance(node, ast.Slice):
        parts = (node.lower, node.upper, node.step)
        return _at(node, _call("slice", *(each or ast.Constant(None) for each in parts)))
    if isinstance(node, ast.Tuple):
        return _at(node, ast.Tuple([_key(each) for each in node.elts], ast.Load()))
    return node


def _start(node: ast.expr | ast.stmt) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _end(node: ast.expr | ast.stmt) -> tuple[int, int]:
    return node.end_lineno or node.lineno, node.end_col_offset or 0


_Node = TypeVar("_Node", bound=ast.AST)


def _at(place: ast.expr | ast.stmt, node: _Node) -> _Node:
    """`node`, on the first line of `place`, with everything in it that has no line of its own. (Of
    a call that ends on another line, a traceback names that.)"""
    node = ast.copy_location(node, place)
    node.end_lineno, node.end_col_offset = place.lineno, place.col_offset  # type: ignore[attr-defined]
    return ast.fix_missing_locations(node)

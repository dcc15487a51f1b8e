"""Every expression of `forward` or `backward`, watched while it runs, whatever the names are.

A stage has a name, an expression has none. Here each of them is handed to a hook with its number,
once for every time that it is evaluated, and what the hook returns stands in its place: so a value
can be recorded, moved, or replaced without asking what anybody called it.
"""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Literal

from harness.diagnose.dataflow import function_at
from harness.programs.source import Code
from harness.programs.staging import StagedProgram, execute
from harness.programs.syntax import SCOPES

#: The name under which watched code finds the hook.
_HOOK = "__watched__"
#: Expressions that have a value of their own.
_VALUES = (
    *(ast.BinOp, ast.UnaryOp, ast.Call, ast.Subscript, ast.Name, ast.Attribute),
    *(ast.IfExp, ast.Compare, ast.BoolOp),
)
#: Keywords whose values are no numbers that a gradient is computed from.
_PLAIN = frozenset({"dtype", "axis", "keepdims"})

Hook = Callable[[int, Any], Any]


@dataclass(frozen=True)
class Site:
    """An expression of `function`, as it stands in `statement`; both nodes belong to the tree of
    `dataflow.function_at`. `target` is what the statement assigns it to (`return` for a gradient
    that is returned), "" for a part of such a value."""

    key: int
    function: str
    node: ast.expr
    statement: ast.stmt
    target: str

    @property
    def line(self) -> int:
        """Where its statement begins; a member of a display has a line of its own."""
        whole = getattr(self.statement, "value", None) is self.node
        return self.statement.lineno if whole else self.node.lineno


class Watched:
    """`forward` or `backward` of a program and the functions of the same file that it calls, with
    hooks in them.

    Raises LookupError where its source is not known.
    """

    def __init__(
        self, code: Code, program: StagedProgram, role: Literal["forward", "backward"]
    ) -> None:
        self.functions = functions(code, program, role)
        self.sites: list[Site] = []
        names = frozenset(self.functions) | code.functions | {"xp", *dir(builtins)}
        hooked = []
        for name, function in self.functions.items():
            memo: dict[int, Any] = {}
            twin = deepcopy(function, memo)
            back = {id(memo[id(each)]): each for each in ast.walk(function)}
            hooks = _Hooks(self.sites, name, names, back)
            twin.name, twin.decorator_list = name, []
            twin.body = [hooks.visit(each) for each in twin.body]
            hooked.append(twin)
        self.program, self._names = rewritten(code, program, role, hooked, {_HOOK: _silent})

    @contextmanager
    def by(self, hook: Hook) -> Iterator[None]:
        """While this lasts, `hook(key, value)` is asked for what stands in the place of a value."""
        self._names[_HOOK] = hook
        try:
            yield
        finally:
            self._names[_HOOK] = _silent


def _silent(_key: int, value: Any) -> Any:
    return value


def rewritten(
    code: Code,
    program: StagedProgram,
    role: str,
    functions: Iterable[ast.FunctionDef],
    names: Mapping[str, Any],
) -> tuple[StagedProgram, dict[str, Any]]:
    """The program with other `functions`, that of the role among them, which find `names` besides
    what they found before; and the dict in which they look names up."""
    original = program.functions[role]
    outer = inspect.getclosurevars(original).nonlocals
    known = {**original.__globals__, **outer, **names}
    module = ast.fix_missing_locations(ast.Module([*functions], []))
    run = execute(replace(code, text=ast.unparse(module)), known)
    every = {**program.functions, role: run[role]}
    return StagedProgram(program.forward_code, program.backward_code, lambda: every), known


def functions(code: Code, program: StagedProgram, role: str) -> dict[str, ast.FunctionDef]:
    """The function of a role, and those of the same file that it calls, directly or not, by name;
    without those that are decorated, or hidden by a name of an enclosing function. They belong to
    the trees of `dataflow.function_at`.

    Raises LookupError where the source of the role itself is not known.
    """
    procedure = code.backward if role == "backward" else code.forward
    root = function_at(code.text, procedure.line) if procedure and procedure.staged else None
    if root is None:
        raise LookupError(f"the source of `{role}` is not known")
    hidden = inspect.getclosurevars(program.functions[role]).nonlocals
    module = {
        node.name: node.lineno
        for node in ast.parse(code.text).body
        if isinstance(node, ast.FunctionDef) and not node.decorator_list
    }
    found: dict[str, ast.FunctionDef] = {role: root}
    waiting = [root]
    while waiting:
        for name in sorted(called(waiting.pop())):
            known = name in found or name in hidden or name in ("forward", "backward")
            helper = None if known or name not in module else function_at(code.text, module[name])
            if helper is not None:
                found[name] = helper
                waiting.append(helper)
    return found


def called(function: ast.AST) -> set[str]:
    """The names that are called as functions."""
    calls = (node for node in ast.walk(function) if isinstance(node, ast.Call))
    return {node.func.id for node in calls if isinstance(node.func, ast.Name)}


def members(value: ast.expr) -> Iterator[ast.expr]:
    """The values in a display or a comprehension, else the expression itself."""
    if isinstance(value, ast.Dict):
        for each in value.values:
            yield from members(each)
    elif isinstance(value, ast.Tuple | ast.List):
        for each in value.elts:
            yield from members(each)
    elif isinstance(value, ast.ListComp | ast.GeneratorExp):
        yield from members(value.elt)
    else:
        yield value


def _written(statement: ast.stmt) -> Iterator[tuple[ast.expr, str]]:
    """The values that a statement assigns, returns or puts into a list, and where to."""
    if isinstance(statement, ast.Assign):
        for each in members(statement.value):
            yield each, ast.unparse(statement.targets[0])
    elif isinstance(statement, ast.AugAssign):
        yield statement.value, ast.unparse(statement.target)
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        for each in members(statement.value):
            yield each, ast.unparse(statement.target)
    elif isinstance(statement, ast.Return) and statement.value is not None:
        for each in members(statement.value):
            yield each, "return"
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        method = statement.value.func
        if isinstance(method, ast.Attribute) and method.attr in ("append", "extend", "insert"):
            yield statement.value.args[-1], ast.unparse(method.value)


class _Hooks(ast.NodeTransformer):
    """Puts a hook around every expression of a copied function; `back` leads from its nodes to the
    original ones."""

    def __init__(
        self, sites: list[Site], function: str, skipped: frozenset[str], back: Mapping[int, ast.AST]
    ) -> None:
        self.sites, self.function, self.skipped, self.back = sites, function, skipped, back
        self.statement: ast.stmt = ast.Pass()
        self.targets: dict[int, str] = {}

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.stmt) and not isinstance(node, SCOPES):
            self.statement = node
            self.targets |= {id(each): target for each, target in _written(node)}
        if not isinstance(node, ast.expr) or isinstance(getattr(node, "ctx", None), ast.Store):
            return self.generic_visit(node)
        target = self.targets.get(id(node), "")
        named = isinstance(node, ast.Name) and node.id in self.skipped
        if named or not (isinstance(node, _VALUES) or target):
            return self.generic_visit(node) if not named else node
        key = len(self.sites)
        expression, statement = self.back[id(node)], self.back[id(self.statement)]
        assert isinstance(expression, ast.expr)
        assert isinstance(statement, ast.stmt)
        self.sites.append(Site(key, self.function, expression, statement, target))
        inside = self.generic_visit(node)
        assert isinstance(inside, ast.expr)
        call = ast.Call(ast.Name(_HOOK, ast.Load()), [ast.Constant(key), inside], [])
        return ast.copy_location(call, node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.arguments):  # annotations and defaults
            return node
        if isinstance(node, ast.Call):
            node.args = [self.visit(each) for each in node.args]
            for each in node.keywords:
                if each.arg not in _PLAIN:
                    each.value = self.visit(each.value)
            if isinstance(node.func, ast.Attribute) and not isinstance(node.func.value, ast.Name):
                node.func.value = self.visit(node.func.value)
            return node
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            node.value = self.visit(node.value)  # an index is no number to move
            return node
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in ("T", "mT"):
                node.value = self.visit(node.value)
            return node
        return super().generic_visit(node)

"""What a syntax tree says about the names of a function: which it has, and which it binds where."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeAlias

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
#: The names in staged code of its recorder and of what its writes become, and how the names of its
#: own variables begin.
RECORDER, VALUES, TEMPORARY = "__stage__", "__values__", "__written_"


def walk_scope(node: ast.AST) -> Iterator[tuple[ast.AST, bool]]:
    """Every node of a function's own scope, and whether it stands in a loop."""

    def walk(parent: ast.AST, looped: bool) -> Iterator[tuple[ast.AST, bool]]:
        for child in ast.iter_child_nodes(parent):
            yield child, looped
            if not isinstance(child, SCOPES):
                inside = looped or isinstance(child, ast.For | ast.While)
                yield from walk(child, inside)

    yield from walk(node, False)


def parameters(node: Definition) -> set[str]:
    """The names of the parameters of a function."""
    return {each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)}


def variables(node: Definition) -> set[str]:
    """The parameters of a function and the names that it binds itself."""
    bound = (name for child, _ in walk_scope(node) for name in stored_here(child))
    return parameters(node) | {*bound}


def takes_namespace(node: Definition) -> bool:
    """Whether a function has a parameter `xp`."""
    return "xp" in parameters(node)


def assigned_names(node: ast.AST) -> list[str]:
    """The names that an assignment binds, or [] for every other statement: `d` for `d = e` and for
    `d[k] = e`. An attribute that is written to is none, and a mere annotation binds nothing."""
    bound = [name for target in _targets(node) for name in stored(target)]
    return [name for name in (*bound, *written(node)) if not name.startswith(TEMPORARY)]


def written(node: ast.AST) -> list[str]:
    """The names of the arrays and containers of which an assignment writes an element."""
    found = []
    for target in _targets(node):
        for each in ast.walk(target):
            if isinstance(each, ast.Subscript) and isinstance(each.ctx, ast.Store):
                root: ast.expr = each
                while isinstance(root, ast.Subscript):
                    root = root.value
                found += [root.id] if isinstance(root, ast.Name) else []
    return found


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    if isinstance(node, ast.AugAssign) or (isinstance(node, ast.AnnAssign) and node.value):
        return [node.target]
    return []


def stored_here(node: ast.AST) -> list[str]:
    """The name of a node that is one and is bound."""
    return stored(node) if isinstance(node, ast.Name) else []


def stored(node: ast.AST) -> list[str]:
    """Every name that is bound anywhere in a tree."""
    nodes = (each for each in ast.walk(node) if isinstance(each, ast.Name))
    return [each.id for each in nodes if isinstance(each.ctx, ast.Store)]

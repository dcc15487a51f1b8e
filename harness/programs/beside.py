"""Modules beside a case: what several cases share may stand in one file of their folder.

`import losses` in a case means `losses.py` of its own folder, wherever Python is started and
whatever else is called `losses`. Such a module is part of the case: it is read and checked with it,
travels with it into other processes, and arrays are values in it too.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Mapping
from typing import Any

from harness.programs.rebinding import rebind_all
from harness.programs.source import Module, deep_recursion, parse_module
from harness.programs.syntax import VALUES
from harness.programs.values import RUNTIME


def runtime(modules: Mapping[str, Module]) -> types.SimpleNamespace:
    """What the code of one case finds under the name VALUES: what its writes become, and `module`,
    which gives the module of a name, executed once."""
    loaded: dict[str, types.ModuleType] = {}

    def module(name: str) -> types.ModuleType:
        if name not in loaded:
            source = modules[name]
            loaded[name] = found = types.ModuleType(name)
            vars(found).update({"__file__": source.file, VALUES: values})
            tree = parse_module(source.text, source.file)
            with deep_recursion():
                rewrite(tree, modules)
            exec(compile(tree, source.file, "exec"), vars(found))
        return loaded[name]

    values = types.SimpleNamespace(**vars(RUNTIME), module=module)
    return values


def rewrite(tree: ast.Module, modules: Mapping[str, Module], kept: Any = ()) -> None:
    """Make the writes of a file values, and its imports of `modules` those of the case's folder;
    `kept` as in `rebind_all`."""
    rebind_all(tree, kept)
    _Imports(modules).visit(tree)
    ast.fix_missing_locations(tree)


class _Imports(ast.NodeTransformer):
    """Turns `import losses as l` into `l = __values__.module("losses")`."""

    def __init__(self, modules: Mapping[str, Module]) -> None:
        self.modules = modules

    def visit_Import(self, node: ast.Import) -> Any:
        own = [alias for alias in node.names if alias.name in self.modules]
        other = [alias for alias in node.names if alias.name not in self.modules]
        found: list[ast.stmt] = [
            _assigned(node, alias.asname or alias.name, _module(alias.name)) for alias in own
        ]
        return [*found, ast.copy_location(ast.Import(other), node)] if other else found

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        if node.level or node.module not in self.modules:
            return node
        return [
            _assigned(
                node,
                alias.asname or alias.name,
                ast.Attribute(_module(node.module or ""), alias.name, ast.Load()),
            )
            for alias in node.names
        ]


def _assigned(node: ast.stmt, name: str, value: ast.expr) -> ast.stmt:
    return ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], value), node)


def _module(name: str) -> ast.expr:
    function = ast.Attribute(ast.Name(VALUES, ast.Load()), "module", ast.Load())
    return ast.Call(function, [ast.Constant(name)], [])

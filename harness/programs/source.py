"""A case's Python file, read without running it.

What `forward` and `backward` take, assign and return is known from the syntax tree alone. So a case
that breaks the contract is refused, with its line, before anything is computed, and a process that
only plans a run never executes a case's code.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from harness.errors import CaseError, did_you_mean
from harness.programs.namespace import LINALG, NAMES
from harness.programs.program import Stage
from harness.programs.syntax import (
    RECORDER,
    TEMPORARY,
    VALUES,
    Definition,
    assigned_names,
    stored,
    stored_here,
    variables,
    walk_scope,
    written,
)

#: Levels of a syntax tree. Python compiles about 950 from a tree, fewer inside of other calls.
_DEEPEST = 700
#: Calls inside each other; `deepcopy` takes four for each level.
_DEEP = 10_000


@dataclass(frozen=True)
class Procedure:
    """What can be known of `forward` or `backward` without running it.

    `parameters` leaves out the leading `xp`; `returns` are the names in the return statement
    (empty where it returns an expression); `fleeting` those that something else than an assignment
    binds (`:=`, `for`), which nobody records. `source` is the text of the whole definition.
    `staged`: its source was read, so all of this is known; else only the parameters are.
    """

    name: str
    line: int
    parameters: tuple[str, ...]
    stages: tuple[Stage, ...]
    returns: tuple[str, ...]
    fleeting: frozenset[str] = frozenset()
    source: str = ""
    staged: bool = True

    def stage(self, name: str) -> Stage | None:
        """The last assignment to `name`, or None."""
        return next((stage for stage in reversed(self.stages) if stage.name == name), None)


class Module(NamedTuple):
    """A Python file beside a case, and its text."""

    file: str
    text: str


@dataclass(frozen=True)
class Code:
    """A case's Python file, parsed and checked but not run. Plain data: it can be pickled.
    `modules` are those of its own folder that it imports, or that they import, by name."""

    file: str
    text: str
    forward: Procedure
    backward: Procedure | None
    natives: Mapping[str, tuple[str, ...]]
    functions: frozenset[str]
    modules: Mapping[str, Module] = field(default_factory=dict)

    @property
    def intermediates(self) -> tuple[str, ...]:
        """Names of `forward` that may be perturbed, in order; outputs are not among them."""
        return tuple(
            stage.name
            for stage in self.forward.stages
            if stage.single and stage.name not in self.forward.returns
        )


def parse(text: str, file: Path | str, modules: Mapping[str, Module] | None = None) -> Code:
    """Parse a case's Python file and check it against the contract, and the `modules` beside it.

    Raises CaseError, with the line, for: a syntax error; no `forward`; a `forward` that does not
    end in `return name`; a parameter of `backward` that `forward` does not know; an `xp` function
    that does not exist.
    """
    tree = parse_module(text, file)
    with deep_recursion():
        for module in (modules or {}).values():
            for node in ast.walk(parse_module(module.text, module.file)):
                if isinstance(node, Definition):
                    check_namespace(node, module.file)
        return replace(_parsed(tree, text, file), modules=modules or {})


def parse_module(text: str, file: Path | str) -> ast.Module:
    """The tree of a Python file. Raises CaseError for a syntax error, with its line, and for what
    is too deep to be compiled."""
    try:
        tree = ast.parse(text, str(file))
    except (SyntaxError, ValueError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        text_there = (error.text or "").strip() if isinstance(error, SyntaxError) else ""
        remedy = f"mend `{text_there}`" if text_there else ""
        raise CaseError(f"syntax error: {message}", file=file, line=line, remedy=remedy) from None
    except (RecursionError, MemoryError):  # as ast.parse says that its stack is full
        tree = None
    if tree is None or too_deep(tree):
        raise CaseError(
            f"an expression is nested more than {_DEEPEST} deep",
            file=file,
            line=_longest_statement(text),
            remedy="split it into several assignments, or write a sum over an array",
        )
    return tree


def too_deep(tree: ast.AST) -> bool:
    """Whether Python would not compile a tree any more."""
    level = [tree]
    for _ in range(_DEEPEST):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return bool(level)


def _longest_statement(text: str) -> int | None:
    """The line on which the statement of most words begins; None where there are no words."""
    line, words = 0, 0
    found: tuple[int, int | None] = (0, None)
    with suppress(tokenize.TokenError, SyntaxError):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            line, words = line or token.start[0], words + 1
            found = max(found, (words, line), key=lambda each: each[0])
            if token.type == tokenize.NEWLINE:
                line = words = 0
    return found[1]


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Walking the tree of `x + x + ...` takes several calls inside each other for every term, and
    Python allows a thousand. Compiled code, which the same limit keeps from filling its stack, is
    never called in here."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _DEEP))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _parsed(tree: ast.Module, text: str, file: Path | str) -> Code:
    nodes = {node.name: node for node in tree.body if isinstance(node, Definition)}
    if "forward" not in nodes:
        near = did_you_mean("forward", nodes) if nodes else "the file defines no function"
        raise CaseError(
            f"no function `forward`; {near}",
            file=file,
            remedy="define `def forward(xp, ...)` with one parameter per input",
        )
    forward = read_procedure(nodes["forward"], text, file)
    check_returns(nodes["forward"], forward, file)
    backward = read_procedure(nodes["backward"], text, file) if "backward" in nodes else None
    if backward is not None:
        check_backward(forward, backward, nodes["backward"], file)
    for node in nodes.values():
        check_namespace(node, file)
    natives = {
        name.removeprefix("native_"): tuple(arg.arg for arg in node.args.args)
        for name, node in nodes.items()
        if name.startswith("native_")
    }
    for backend, parameters in natives.items():
        if set(parameters) - set(forward.parameters):
            extra = sorted(set(parameters) - set(forward.parameters))[0]
            raise CaseError(
                f"`native_{backend}` asks for `{extra}`, which is no parameter of `forward`; "
                + did_you_mean(extra, forward.parameters),
                file=file,
                line=nodes[f"native_{backend}"].lineno,
            )
    return Code(str(file), text, forward, backward, natives, frozenset(nodes))


def read_procedure(node: Definition, text: str, file: Path | str) -> Procedure:
    """What a function definition says. Raises CaseError for what is no plain function of arrays:
    other parameters than positional ones, `async`, `yield`, the name of the recorder."""
    _check_plain(node, file)
    arguments = node.args
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.defaults:
        remedy = f"write `def {node.name}(xp, ...)` without defaults, `*` or `**`"
        if node.name not in ("forward", "backward"):
            remedy += f"; if a decorator returned `{node.name}`, it lacks `functools.wraps`"
        raise CaseError(
            f"`{node.name}` takes plain positional parameters only",
            file=file,
            line=node.lineno,
            remedy=remedy,
        )
    names = tuple(argument.arg for argument in [*arguments.posonlyargs, *arguments.args])
    if not names or names[0] != "xp":
        raise CaseError(
            f"the first parameter of `{node.name}` must be `xp`, the array namespace",
            file=file,
            line=node.lineno,
            remedy=f"write `def {node.name}(xp, {', '.join(names)})`",
        )
    bound = Counter(names)
    lines = text.split("\n")  # `splitlines` would also split at a form feed
    found: list[tuple[str, int, bool]] = []
    own = variables(node)
    for child, looped in walk_scope(node):
        if isinstance(child, ast.stmt):
            changed = [name for name in assigned_names(child) if name in own]
            found += [(name, child.lineno, looped) for name in changed]
            bound.update(name for name in written(child) if name in own)
        if isinstance(child, ast.AnnAssign) and not child.value:
            bound.subtract(stored(child.target))  # a mere annotation
        bound.update(stored_here(child))
    stages = tuple(
        Stage(name, str(file), line, lines[line - 1].strip(), bound[name] == 1 and not looped)
        for name, line, looped in found
    )
    fleeting = frozenset(+bound) - {*names, *(stage.name for stage in stages)}
    return Procedure(
        node.name,
        node.lineno,
        names[1:],
        stages,
        _returned(node),
        fleeting,
        ast.get_source_segment(text, node) or ast.unparse(node),
    )


def _check_plain(node: Definition, file: Path | str) -> None:
    if isinstance(node, ast.AsyncFunctionDef):
        raise CaseError(
            f"`{node.name}` is `async`, so a call of it computes nothing",
            file=file,
            line=node.lineno,
            remedy=f"write `def {node.name}(xp, ...)`",
        )
    for child, _ in walk_scope(node):
        if isinstance(child, ast.Yield | ast.YieldFrom):
            raise CaseError(
                f"`{node.name}` is a generator, so a call of it computes nothing",
                file=file,
                line=child.lineno,
                remedy="end it in `return` instead of `yield`",
            )
    for each in ast.walk(node):
        name = each.id if isinstance(each, ast.Name) else getattr(each, "arg", "")
        if name in (RECORDER, VALUES) or (name or "").startswith(TEMPORARY):
            raise CaseError(
                f"`{name}` is a name that staged code uses itself",
                file=file,
                line=getattr(each, "lineno", node.lineno),
                remedy="choose another name",
            )


def _returns(node: Definition) -> list[ast.expr | None]:
    return [child.value for child, _ in walk_scope(node) if isinstance(child, ast.Return)]


def _returned(node: Definition) -> tuple[str, ...]:
    """The names of the return statement, or () where it returns anything else."""
    named: set[tuple[str, ...]] = set()
    for value in _returns(node):
        elements = value.elts if isinstance(value, ast.Tuple) else [value]
        named.add(tuple(each.id if isinstance(each, ast.Name) else "" for each in elements))
    names = named.pop() if len(named) == 1 else ()
    return names if all(names) else ()


#: Expressions that are no single value.
_SEVERAL: tuple[type[ast.expr], ...] = (
    *(ast.Tuple, ast.List, ast.Dict, ast.Set),
    *(ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp),
)


def check_returns(
    node: Definition, forward: Procedure, file: Path | str, nameless: bool = False
) -> None:
    """Raise CaseError for outputs that have no names; with `nameless`, a single one needs none."""
    values = _returns(node)
    single = bool(values) and not any(
        value is None
        or isinstance(value, _SEVERAL)
        or (isinstance(value, ast.Constant) and value.value is None)
        for value in values
    )
    if not forward.returns and not (nameless and single):
        raise CaseError(
            f"`{node.name}` must end in `return name`, or `return name1, name2`",
            file=file,
            line=node.body[-1].lineno,
            remedy="give the result a name first: `f = ...`, then `return f`",
        )


def check_backward(
    forward: Procedure, backward: Procedure, node: Definition | None, file: Path | str
) -> None:
    """Raise CaseError for a `backward` that asks for what `forward` does not have."""
    line = node.lineno if node is not None else backward.line
    count = len(forward.returns)
    if len(backward.parameters) < count:
        cotangents = ", ".join(f"d{name}" for name in forward.returns)
        raise CaseError(
            f"`backward` takes {len(backward.parameters)} cotangents, `forward` has {count} "
            "outputs",
            file=file,
            line=line,
            remedy=f"write `def backward(xp, {cotangents}, ...)`",
        )
    known = {*forward.parameters, *(stage.name for stage in forward.stages)}
    for name in backward.parameters[count:]:
        if name in forward.fleeting - known:
            raise CaseError(
                f"`backward` asks for `{name}`, which `forward` binds in an expression or a loop, "
                "where it is not recorded",
                file=file,
                line=line,
                remedy=f"let `forward` assign it in a statement of its own: `{name} = ...`",
            )
        if name not in known and not forward.staged:
            raise CaseError(
                f"`backward` asks for `{name}`, which is no input, and more is not known of a "
                "`forward` that is not staged: a method, a lambda, a partial, a decorated function",
                file=file,
                line=line,
                remedy=f"compute `{name}` from inputs, or write `forward` as a plain function",
            )
        if name not in known:
            raise CaseError(
                f"`backward` asks for `{name}`, which is neither an input nor an intermediate of "
                f"`forward`; {did_you_mean(name, known)}",
                file=file,
                line=line,
                remedy="name an input, or a variable that `forward` assigns",
            )


def check_namespace(node: Definition, file: Path | str) -> None:
    """Raise CaseError for an `xp` function that does not exist."""
    for child in ast.walk(node):
        if not isinstance(child, ast.Attribute):
            continue
        owner = ast.unparse(child.value)
        valid = {"xp": NAMES, "xp.linalg": LINALG}.get(owner)
        if valid is not None and child.attr not in valid:
            raise CaseError(
                f"`{owner}.{child.attr}` does not exist; {did_you_mean(child.attr, valid)}",
                file=file,
                line=child.lineno,
                remedy="`xp` has the Python array API standard, and what README lists besides",
            )

"""Staged code: every assignment of `forward` becomes something to record, hand on and perturb.

A backward pass needs the intermediates of the forward pass, and a fault can only be named if the
cotangent of each of them is known. Neither should cost the author anything, so the harness rewrites
the syntax tree of the two functions, the way pytest rewrites asserts: `q = expr` becomes
`q = __stage__("q", expr)`, on the same line. `__stage__` is a `Recorder`: it keeps the value, and
adds a zero-valued leaf to it where the gradient with respect to `q` is wanted.

Parsing is static. A case's Python runs only when a `Program` is made from its `Code`.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import CodeType
from typing import Any

from harness.errors import CaseError, did_you_mean
from harness.namespace import LINALG, STANDARD

_STAGE = "__stage__"
_Function = ast.FunctionDef
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


@dataclass(frozen=True)
class Stage:
    """One `name = expression`. `single`: assigned once and in no loop, so it can be perturbed."""

    name: str
    line: int
    source: str
    single: bool


@dataclass(frozen=True)
class Procedure:
    """What can be known of `forward` or `backward` without running it.

    `parameters` leaves out the leading `xp`; `returns` are the names in the return statement
    (empty where it returns an expression).
    """

    name: str
    line: int
    parameters: tuple[str, ...]
    stages: tuple[Stage, ...]
    returns: tuple[str, ...]

    def stage(self, name: str) -> Stage | None:
        """The last assignment to `name`, or None."""
        return next((stage for stage in reversed(self.stages) if stage.name == name), None)


class Recorder:
    """Receives each staged assignment: adds the leaf asked for, keeps the value, passes it on."""

    def __init__(self, leaves: Mapping[str, Any] | None = None) -> None:
        self.leaves = leaves or {}
        self.values: dict[str, Any] = {}

    def __call__(self, name: str, value: Any) -> Any:
        if name in self.leaves:
            value = value + self.leaves[name]
        self.values[name] = value
        return value


@dataclass(frozen=True)
class Code:
    """A case's Python file, parsed and checked but not run. Plain data: it can be pickled."""

    file: str
    text: str
    forward: Procedure
    backward: Procedure | None
    natives: Mapping[str, tuple[str, ...]]
    functions: frozenset[str]

    @property
    def intermediates(self) -> tuple[str, ...]:
        """Names of `forward` that may be perturbed, in order; outputs are not among them."""
        return tuple(
            stage.name
            for stage in self.forward.stages
            if stage.single and stage.name not in self.forward.returns
        )

    def compiled(self) -> CodeType:
        """Byte code of the whole file with the two functions staged."""
        tree = ast.parse(self.text, self.file)
        for node in tree.body:
            if isinstance(node, _Function) and node.name in ("forward", "backward"):
                _rewrite(node)
        return compile(ast.fix_missing_locations(tree), self.file, "exec")


@dataclass(frozen=True)
class Trace:
    """One run of `forward`: its outputs in order, and every named intermediate."""

    outputs: tuple[Any, ...]
    saved: Mapping[str, Any]


class Program:
    """A case's functions, ready to run. `functions` maps names to callables of the case's file;
    `forward` and `backward` among them take the recorder before `xp`."""

    def __init__(
        self,
        forward: Procedure,
        backward: Procedure | None,
        functions: Callable[[], Mapping[str, Callable[..., Any]]],
    ) -> None:
        self.forward_code = forward
        self.backward_code = backward
        self._functions = functions

    @classmethod
    def of(cls, code: Code) -> Program:
        """The program of a parsed file; the file is executed at the first use of a function."""

        def functions() -> dict[str, Any]:
            names: dict[str, Any] = {"__name__": Path(code.file).stem, "__file__": code.file}
            exec(code.compiled(), names)
            return names

        return cls(code.forward, code.backward, functions)

    @cached_property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        """Every name that the case's file defines."""
        return self._functions()

    def forward(
        self, xp: Any, inputs: Mapping[str, Any], leaves: Mapping[str, Any] | None = None
    ) -> Trace:
        """Run `forward` on `inputs`, with each of `leaves` added to the intermediate it names."""
        recorder = Recorder(leaves)
        arguments = [inputs[name] for name in self.forward_code.parameters]
        result = self.functions["forward"](recorder, xp, *arguments)
        outputs = result if len(self.forward_code.returns) > 1 else (result,)
        return Trace(tuple(outputs), recorder.values)

    def backward(
        self, xp: Any, cotangents: tuple[Any, ...], inputs: Mapping[str, Any], trace: Trace
    ) -> tuple[Any, Mapping[str, Any]]:
        """Run `backward`; what it returned, and every local that it assigned."""
        assert self.backward_code is not None
        recorder = Recorder()
        wanted = self.backward_code.parameters[len(self.forward_code.returns) :]
        # An intermediate hides an input of the same name: it is the later value.
        found = {**inputs, **trace.saved}
        arguments = [found[name] for name in wanted]
        result = self.functions["backward"](recorder, xp, *cotangents, *arguments)
        return result, recorder.values


def parse(text: str, file: Path | str) -> Code:
    """Parse a case's Python file and check it against the contract.

    Raises CaseError, with the line, for: a syntax error; no `forward`; a `forward` that does not
    end in `return name`; a parameter of `backward` that `forward` does not know; an `xp` function
    that does not exist.
    """
    try:
        tree = ast.parse(text, str(file))
    except (SyntaxError, ValueError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        raise CaseError(f"syntax error: {message}", file=file, line=line) from None
    nodes = {node.name: node for node in tree.body if isinstance(node, _Function)}
    if "forward" not in nodes:
        near = did_you_mean("forward", nodes) if nodes else "the file defines no function"
        raise CaseError(
            f"no function `forward`; {near}",
            file=file,
            remedy="define `def forward(xp, ...)` with one parameter per input",
        )
    forward = _procedure(nodes["forward"], text, file)
    _check_returns(nodes["forward"], forward, file)
    backward = _procedure(nodes["backward"], text, file) if "backward" in nodes else None
    if backward is not None:
        _check_backward(forward, backward, nodes["backward"], file)
    for node in nodes.values():
        _check_namespace(node, file)
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


def program_of(
    forward: Callable[..., Any], backward: Callable[..., Any] | None = None
) -> tuple[Program, str, int]:
    """A program from two Python functions, with the file and line of the first.

    They are staged where their source can be read. Where it cannot (a lambda, an interactive
    prompt), they run as they are: no intermediate is known then, so `backward` may ask for inputs
    only. Unlike a case file, `forward` may return an expression; its outputs are then called `f`.
    """
    file = inspect.getsourcefile(forward) or "<unknown>"
    first, staged_forward = _stage_function(forward, "forward")
    second, staged_backward = (
        _stage_function(backward, "backward") if backward is not None else (None, None)
    )
    if not first.returns:
        first = Procedure(first.name, first.line, first.parameters, first.stages, ("f",))
    if second is not None:
        _check_backward(first, second, None, file)
    functions = {"forward": staged_forward, "backward": staged_backward}
    return Program(first, second, lambda: functions), file, first.line  # type: ignore[arg-type,return-value]


def fault_line(error: BaseException, file: str) -> int | None:
    """The line of `file` on which `error` arose: the innermost frame of the traceback in it."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _walk_scope(node: ast.AST) -> Iterator[tuple[ast.AST, bool]]:
    """Every node of a function's own scope, and whether it stands in a loop."""

    def walk(parent: ast.AST, looped: bool) -> Iterator[tuple[ast.AST, bool]]:
        for child in ast.iter_child_nodes(parent):
            yield child, looped
            if not isinstance(child, _SCOPES):
                inside = looped or isinstance(child, ast.For | ast.While)
                yield from walk(child, inside)

    yield from walk(node, False)


def _target(node: ast.AST) -> str | None:
    """The name that a plain assignment binds, or None for every other statement."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
    elif isinstance(node, ast.AugAssign):
        target = node.target
    else:
        return None
    return target.id if isinstance(target, ast.Name) else None


def _procedure(node: _Function, text: str, file: Path | str) -> Procedure:
    arguments = node.args
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.defaults:
        raise CaseError(
            f"`{node.name}` takes plain positional parameters only",
            file=file,
            line=node.lineno,
            remedy=f"write `def {node.name}(xp, ...)` without defaults, `*` or `**`",
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
    lines = text.splitlines()
    found: list[tuple[str, int, bool]] = []
    for child, looped in _walk_scope(node):
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            bound[child.id] += 1
        name = _target(child)
        if name is not None and isinstance(child, ast.stmt):
            found.append((name, child.lineno, looped))
    stages = tuple(
        Stage(name, line, lines[line - 1].strip(), bound[name] == 1 and not looped)
        for name, line, looped in found
    )
    return Procedure(node.name, node.lineno, names[1:], stages, _returned(node))


def _returned(node: _Function) -> tuple[str, ...]:
    """The names of the return statement, or () where it returns anything else."""
    returns = [child for child, _ in _walk_scope(node) if isinstance(child, ast.Return)]
    named: set[tuple[str, ...]] = set()
    for statement in returns:
        value = statement.value
        elements = value.elts if isinstance(value, ast.Tuple) else [value]
        named.add(tuple(each.id if isinstance(each, ast.Name) else "" for each in elements))
    names = named.pop() if len(named) == 1 else ()
    return names if all(names) else ()


def _check_returns(node: _Function, forward: Procedure, file: Path | str) -> None:
    if not forward.returns:
        last = node.body[-1].lineno
        raise CaseError(
            "`forward` must end in `return name`, or `return name1, name2`",
            file=file,
            line=last,
            remedy="give the result a name first: `f = ...`, then `return f`",
        )


def _check_backward(
    forward: Procedure, backward: Procedure, node: _Function | None, file: Path | str
) -> None:
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
        if name not in known:
            raise CaseError(
                f"`backward` asks for `{name}`, which is neither an input nor an intermediate of "
                f"`forward`; {did_you_mean(name, known)}",
                file=file,
                line=line,
                remedy="name an input, or a variable that `forward` assigns",
            )


def _check_namespace(node: _Function, file: Path | str) -> None:
    for child in ast.walk(node):
        if not isinstance(child, ast.Attribute):
            continue
        owner = ast.unparse(child.value)
        valid = {"xp": STANDARD, "xp.linalg": LINALG}.get(owner)
        if valid is not None and child.attr not in valid:
            raise CaseError(
                f"`{owner}.{child.attr}` does not exist; {did_you_mean(child.attr, valid)}",
                file=file,
                line=child.lineno,
                remedy="`xp` follows the Python array API standard",
            )


def _rewrite(node: _Function) -> None:
    """Make `node` take the recorder first and send every plain assignment through it."""

    class Rewriter(ast.NodeTransformer):
        def visit_Assign(self, child: ast.Assign) -> ast.AST:
            name = _target(child)
            if name is not None:
                child.value = ast.copy_location(_record(name, child.value), child.value)
            return child

        def visit_AugAssign(self, child: ast.AugAssign) -> Any:
            name = _target(child)
            if name is None:
                return child
            record = ast.Expr(_record(name, ast.Name(name, ast.Load())))
            return [child, ast.copy_location(record, child)]

        def skip(self, child: ast.AST) -> ast.AST:
            return child

        visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = visit_ClassDef = skip

    rewriter = Rewriter()
    body: list[ast.stmt] = []
    for statement in node.body:
        result = rewriter.visit(statement)
        body.extend(result if isinstance(result, list) else [result])
    node.body = body
    node.args.args.insert(0, ast.arg(_STAGE))
    if node.args.posonlyargs:
        node.args.posonlyargs.insert(0, node.args.args.pop(0))


def _record(name: str, value: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(_STAGE, ast.Load()), [ast.Constant(name), value], [])


def _stage_function(
    function: Callable[..., Any], name: str
) -> tuple[Procedure, Callable[..., Any]]:
    """A live function, staged where its source can be read and as it is where it cannot."""
    source = _source(function)
    if source is None:
        parameters = tuple(inspect.signature(function).parameters)[1:]
        line = getattr(getattr(function, "__code__", None), "co_firstlineno", 0)
        procedure = Procedure(name, line, parameters, (), ())
        return procedure, lambda _recorder, *arguments: function(*arguments)
    file, text, node = source
    procedure = _procedure(node, text, file)
    _check_namespace(node, file)
    _rewrite(node)
    node.decorator_list = []
    # Free variables become parameters of an enclosing function, whose cells then hold them.
    closure = inspect.getclosurevars(function).nonlocals
    outer = ast.parse(f"def __outer__({', '.join(closure)}):\n    return {node.name}")
    enclosing = outer.body[0]
    assert isinstance(enclosing, _Function)
    enclosing.body.insert(0, node)
    names: dict[str, Any] = {}
    scope = {**function.__globals__}
    exec(compile(ast.fix_missing_locations(outer), file, "exec"), scope, names)
    return procedure, names["__outer__"](**closure)


def _source(function: Callable[..., Any]) -> tuple[str, str, _Function] | None:
    """File, text of the whole file up to the function, and syntax tree; None where unreadable."""
    try:
        lines, first = inspect.getsourcelines(function)
        file = inspect.getsourcefile(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError):
        return None
    node = tree.body[0] if tree.body else None
    if not isinstance(node, _Function) or file is None:
        return None
    ast.increment_lineno(tree, first - 1)
    return file, "\n" * (first - 1) + "".join(lines), node

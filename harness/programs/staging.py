"""Staged code: every assignment of `forward` becomes something to record, hand on and perturb.

A backward pass needs the intermediates of the forward pass, and a fault can only be named if the
cotangent of each of them is known. Neither should cost the author anything, so the harness rewrites
the syntax tree of the two functions, the way pytest rewrites asserts: `q = expr` is followed by
`q = __stage__("q", q)`, on the same line; what writes into arrays is made an assignment before that
(`harness.programs.rebinding`). `__stage__` is a `Recorder`: it keeps the value, and adds
a zero-valued leaf to it where the gradient with respect to `q` is wanted.

`harness.programs.source` reads a case without running it; the code runs when a `Program` is first
used.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import cached_property
from types import ModuleType
from typing import Any

from harness.errors import HarnessError, UsageError
from harness.programs.beside import rewrite, runtime
from harness.programs.operators import stopping
from harness.programs.program import Stage, Trace
from harness.programs.rebinding import rebind
from harness.programs.source import (
    Code,
    Procedure,
    check_backward,
    check_namespace,
    check_returns,
    deep_recursion,
    read_procedure,
    too_deep,
)
from harness.programs.syntax import RECORDER, SCOPES, VALUES, Definition, assigned_names
from harness.programs.values import RUNTIME


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


class StagedProgram:
    """The program that Python source says, ready to run. `functions` maps names to callables of the
    file; `forward` and `backward` among them take the recorder before `xp`."""

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
    def of(cls, code: Code) -> StagedProgram:
        """The program of a parsed file; the file is executed at the first use of a function."""

        def functions() -> dict[str, Any]:
            # Who wants to know where a function or a class comes from (torch.compile, dataclasses)
            # looks for its module. A name of its own hides none: a case may be called `token`.
            module = ModuleType(f"harness case {code.file}")
            module.__file__ = code.file
            sys.modules[module.__name__] = module
            return execute(code, vars(module))

        return cls(code.forward, code.backward, functions)

    @cached_property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        """Every name that the case's file defines."""
        found: Mapping[str, Callable[..., Any]] = _kept_going(self._functions)
        return found

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of its inputs, in order."""
        return self.forward_code.parameters

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names that `forward` returns."""
        return self.forward_code.returns

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The assignments of `forward`."""
        return self.forward_code.stages

    @property
    def backward_stages(self) -> tuple[Stage, ...] | None:
        """Those of `backward`, if there is one."""
        return None if self.backward_code is None else self.backward_code.stages

    @property
    def text(self) -> str:
        """The source of both functions."""
        written = self.backward_code
        return self.forward_code.source + ("" if written is None else written.source)

    def native(self, framework: str) -> Callable[..., Any] | None:
        """The case's `native_<framework>`, called by the names of its parameters."""
        name = f"native_{framework}"
        if name not in self.functions:
            return None
        code = self.functions[name].__code__
        names = code.co_varnames[: code.co_argcount]
        return lambda **inputs: self.call(name, **{each: inputs[each] for each in names})

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Run a function of the case's file. Raises what it raises, and HarnessError where it would
        end the process."""
        return _kept_going(self.functions[name], *arguments, **options)

    def forward(
        self, xp: Any, inputs: Mapping[str, Any], leaves: Mapping[str, Any] | None = None
    ) -> Trace:
        """Run `forward` on `inputs`, with each of `leaves` added to the intermediate it names."""
        recorder = Recorder(leaves)
        stopping.begin()
        arguments = [inputs[name] for name in self.forward_code.parameters]
        result = self.call("forward", recorder, xp, *arguments)
        outputs = result if len(self.forward_code.returns) > 1 else (result,)
        if len(outputs) == 1 and (result is None or isinstance(result, tuple | list | dict)):
            kind = type(result).__name__
            raise HarnessError(
                f"`forward` returned a {kind} where one array is expected; several outputs need "
                "names: `return name1, name2`"
            )
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
        for name in wanted:
            if name not in found:
                raise HarnessError(
                    f"`backward` asks for `{name}`, which this run of `forward` did not assign"
                )
        arguments = [found[name] for name in wanted]
        result = self.call("backward", recorder, xp, *cotangents, *arguments)
        return result, recorder.values


def program_of(
    forward: Callable[..., Any], backward: Callable[..., Any] | None = None
) -> tuple[StagedProgram, str, int]:
    """A program from two Python functions, with the file and line of the first.

    They are staged where their source can be read. Where it cannot (a lambda, an interactive
    prompt), they run as they are: no intermediate is known then, so `backward` may ask for inputs
    only. Unlike a case file, `forward` may return an expression; its outputs are then called `f`.
    """
    forward = _uncached(forward)
    file = _file_of(forward)
    second, staged_backward = (
        _stage_function(_uncached(backward), "backward") if backward is not None else (None, None)
    )
    kept = second.parameters if second is not None else ()
    first, staged_forward = _stage_function(forward, "forward", kept)
    if second is not None:
        check_backward(first, second, None, file)
    functions = {"forward": staged_forward, "backward": staged_backward}
    return StagedProgram(first, second, lambda: functions), file, first.line  # type: ignore[arg-type,return-value]


def _kept_going(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a case's code. What would end the process and is no Ctrl-C becomes an exception like
    any other: `sys.exit(0)` in a case would end the run as if all had been well."""
    try:
        return function(*arguments, **options)
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        what = f"{type(error).__name__}: {error}: a case must not end the program that runs it"
        raise HarnessError(what).with_traceback(error.__traceback__) from None


def _uncached(function: Callable[..., Any]) -> Callable[..., Any]:
    """Without `functools.cache`, which changes nothing but the time; arrays cannot be its keys."""
    while hasattr(function, "cache_info") and hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def _file_of(function: Callable[..., Any]) -> str:
    try:
        return inspect.getsourcefile(function) or "<unknown>"
    except TypeError:  # a partial, a builtin, an object with `__call__`
        return "<unknown>"


def fault_line(error: BaseException, file: str) -> int | None:
    """The line of `file` on which `error` arose: the innermost frame of the traceback in it."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def execute(code: Code, names: dict[str, Any]) -> dict[str, Any]:
    """Run a case's file in `names`, its globals; returns them, with the two functions staged.

    Among the globals themselves they stay as they are written, so that they can call each other.
    """
    tree = ast.parse(code.text, code.file)
    staged = {}
    with deep_recursion():
        rewrite(tree, code.modules, code.backward.parameters if code.backward else ())
        for node in list(tree.body):
            if isinstance(node, ast.FunctionDef) and node.name in ("forward", "backward"):
                staged[node.name] = copy = _staged(node)
                tree.body.insert(tree.body.index(node) + 1, copy)
        ast.fix_missing_locations(tree)
    names[VALUES] = runtime(code.modules)
    exec(compile(tree, code.file, "exec"), names)
    return {**names, **{name: names[copy.name] for name, copy in staged.items()}}


class _Recording(ast.NodeTransformer):
    """Hands every name that an assignment binds to the recorder, right after it."""

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, SCOPES):
            return node
        node, names = self.generic_visit(node), assigned_names(node)
        return [node, *(_record(name, node) for name in names)] if names else node


def _record(name: str, after: ast.AST) -> ast.stmt:
    """`name = __stage__("name", name)`, on the line of the assignment."""
    arguments: list[ast.expr] = [ast.Constant(name), ast.Name(name, ast.Load())]
    call = ast.Call(ast.Name(RECORDER, ast.Load()), arguments, [])
    return ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], call), after)


def _staged(original: ast.FunctionDef) -> ast.FunctionDef:
    """A copy under another name, which takes the recorder first and hands it what it assigns."""
    node = _Recording().generic_visit(deepcopy(original))
    assert isinstance(node, ast.FunctionDef)
    node.name = f"__staged_{original.name}__"
    node.args.args.insert(0, ast.arg(RECORDER))
    if node.args.posonlyargs:
        node.args.posonlyargs.insert(0, node.args.args.pop(0))
    return node


def _stage_function(
    function: Callable[..., Any], name: str, kept: Collection[str] = ()
) -> tuple[Procedure, Callable[..., Any]]:
    """A live function, staged where its source can be read and as it is where it cannot. `kept` are
    names whose values are read after it has returned."""
    source = _source(function)
    if source is None:
        return _unstaged(function, name)
    file, text, node = source
    with deep_recursion():
        procedure = read_procedure(node, text, file)
        check_namespace(node, file)
    if name == "forward":
        check_returns(node, procedure, file, nameless=True)
        procedure = replace(procedure, returns=procedure.returns or ("f",))
    assert isinstance(node, ast.FunctionDef)
    with deep_recursion():
        rebind(node, kept)
        node = _staged(node)
    node.decorator_list = []
    # Free variables become parameters of an enclosing function, whose cells then hold them.
    closure = inspect.getclosurevars(function).nonlocals
    outer = ast.parse(f"def __outer__({', '.join(closure)}):\n    return {node.name}")
    enclosing = outer.body[0]
    assert isinstance(enclosing, ast.FunctionDef)
    enclosing.body.insert(0, node)
    names: dict[str, Any] = {}
    scope = {**function.__globals__, VALUES: RUNTIME}
    with deep_recursion():
        ast.fix_missing_locations(outer)
    exec(compile(outer, file, "exec"), scope, names)
    return procedure, names["__outer__"](**closure)


def _unstaged(function: Callable[..., Any], name: str) -> tuple[Procedure, Callable[..., Any]]:
    """A function as it is. Parameters that come after a `*` are passed by keyword, those of them
    that have a default (what a `partial` fixes, say) not at all."""
    try:
        parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
        if any(each.kind is each.VAR_POSITIONAL for each in parameters):  # an honest decorator
            parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise UsageError(f"the parameters of `{name}` are not known: {error}") from None
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        raise UsageError(f"`{name}` takes `*args`, so nobody knows the names of its inputs")
    names = [each.name for each in parameters if each.kind < each.VAR_POSITIONAL]
    keywords = [
        each.name
        for each in parameters
        if each.kind is each.KEYWORD_ONLY and each.default is each.empty
    ]

    def run(_recorder: Recorder, *arguments: Any) -> Any:
        by_name = dict(zip(keywords, arguments[len(names) :], strict=True))
        return function(*arguments[: len(names)], **by_name)

    line = getattr(getattr(function, "__code__", None), "co_firstlineno", 0)
    return Procedure(name, line, (*names, *keywords)[1:], (), ("f",), staged=False), run


def _source(function: Callable[..., Any]) -> tuple[str, str, Definition] | None:
    """File, text of the whole file up to the function, and syntax tree; None where unreadable."""
    # A decorated function is run as it is: staging it would silently drop the decorator.
    if not inspect.isfunction(function) or hasattr(function, "__wrapped__"):
        return None
    try:
        lines, first = inspect.getsourcelines(function)
        file = inspect.getsourcefile(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    if too_deep(tree):
        return None
    node = tree.body[0] if tree.body else None
    # The name differs where a lambda stands inside the function that was found.
    if not isinstance(node, Definition) or node.name != function.__name__ or file is None:
        return None
    ast.increment_lineno(tree, first - 1)
    return file, "\n" * (first - 1) + "".join(lines), node

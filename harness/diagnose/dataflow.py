"""Which assignments of `backward` a gradient depends on, and which of them is to blame.

Some assignments can be checked by themselves: `dq` is the cotangent of the intermediate `q`, and a
returned gradient is that of its input. An accumulator or a mean cannot. But a fault spreads along
the data flow and nowhere else, so the line at fault is one on which every wrong result depends and
no right one does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache


@dataclass(frozen=True)
class Step:
    """One assignment of `backward`, or one returned gradient (`name` is then `return W`).

    `needs` are the positions of the steps whose values it uses directly. `alias`: it hands one
    value on as it is (`return {"W": dW}`). `size` counts the operators, names and numbers of its
    expression. `node` is the assignment, or the returned expression, in the tree of `function_at`.
    """

    name: str
    line: int
    source: str
    needs: frozenset[int]
    alias: bool = False
    size: int = 0
    node: ast.expr | ast.stmt | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Suspect:
    """A step that explains every wrong result. `proved`: it is wrong itself, and everything that
    it is computed from is known to be right."""

    step: Step
    proved: bool


def steps(text: str, line: int) -> tuple[Step, ...]:
    """The assignments of a function in the order of the file, then its returned gradients.

    `text` is the source of the module, `line` that of the function's `def`; nothing is found where
    there is none. Branches are read as if each of them might have run, loops as if they ran twice:
    a step needs every definition that may have reached it.
    """
    function = function_at(text, line)
    return _Reader(text.split("\n")).read(function) if function is not None else ()


@lru_cache(maxsize=64)
def function_at(text: str, line: int) -> ast.FunctionDef | None:
    """The function whose `def` stands on `line` of a module, to be read and not to be changed: the
    same text has the same tree each time, so that its nodes can be found in it again."""
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))
    return next((node for node in functions if node.lineno == line), None)


class _Reader:
    """Follows the definitions that reach each statement."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.found: list[Step] = []
        self.positions: dict[tuple[int, str], int] = {}
        self.reaching: dict[str, frozenset[int]] = {}
        self.literals: dict[str, ast.expr] = {}

    def read(self, function: ast.FunctionDef) -> tuple[Step, ...]:
        self.visit(function.body, nested=False)
        return tuple(self.found)

    def visit(self, body: list[ast.stmt], nested: bool) -> None:
        """`nested`: the statements may not run, so what reached them before reaches on."""
        for statement in body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if isinstance(statement, ast.Return) and statement.value is not None:
                self.leave(statement.value)
            self.assign(statement, nested)
            loop = isinstance(statement, ast.For | ast.While)
            for _ in range(2 if loop else 1):
                for part in ("body", "orelse", "finalbody"):
                    self.visit(getattr(statement, part, None) or [], True)

    def leave(self, value: ast.expr) -> None:
        if isinstance(value, ast.Name):
            value = self.literals.get(value.id, value)
        for label, each in returned(value):
            alias = isinstance(each, ast.Name)
            self.add(f"return {label}", each, self.uses(each), alias)

    def assign(self, statement: ast.stmt, nested: bool) -> None:
        targets = _targets(statement)
        if not targets:
            return
        source = statement.iter if isinstance(statement, ast.For) else statement
        alias = isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Name)
        label = ", ".join(targets)
        position = self.add(label, statement, self.uses(source), alias)
        for target in targets:
            earlier = self.reaching.get(target, frozenset()) if nested else frozenset[int]()
            self.reaching[target] = earlier | {position}
            self.literals.pop(target, None)
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict):
            self.literals[label] = statement.value

    def add(self, label: str, node: ast.expr | ast.stmt, needs: frozenset[int], alias: bool) -> int:
        """The position of the step, which is added unless a loop has brought it already."""
        position = self.positions.setdefault((id(node), label), len(self.found))
        if position < len(self.found):
            needs |= self.found[position].needs
            self.found[position] = replace(self.found[position], needs=needs)
        else:
            # Without its line breaks: the first line of a formatted statement is `dq = (`.
            source = " ".join(" ".join(self.lines[node.lineno - 1 : node.end_lineno]).split())
            written = node.iter if isinstance(node, ast.For) else node
            size = sum(_mistakable(each) for each in ast.walk(written))
            self.found.append(Step(label, node.lineno, source, needs, alias, size, node))
        return position

    def uses(self, node: ast.AST) -> frozenset[int]:
        """Every definition that `node` reads; `a += b` reads `a` too."""
        names = {
            each.id
            for each in ast.walk(node)
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)
        }
        if isinstance(node, ast.AugAssign):
            names |= {each.id for each in ast.walk(node.target) if isinstance(each, ast.Name)}
        return frozenset[int]().union(*(self.reaching.get(each, ()) for each in names))


def suspects(flow: tuple[Step, ...], verdicts: Mapping[int, bool]) -> list[Suspect]:
    """The steps to blame, most suspicious first.

    `verdicts` says of some positions in `flow` whether their value is right. A step is a suspect if
    every wrong one depends on it (or is it) and no right one does. A suspect that is known to be
    wrong while all that it needs is known to be right comes first, with `proved`; then the others,
    the longest expression first, since it offers the most occasions for a mistake; a step that
    only hands a value on comes last. Where no single step explains everything, the first wrong one
    is the only suspect.
    """
    reach = _reach(flow)
    wrong = [position for position, right in verdicts.items() if not right]
    if not wrong:
        return []
    verdicts = _handed_on(flow, verdicts)
    right = [position for position, fine in verdicts.items() if fine]
    common = frozenset.intersection(*(reach[position] for position in wrong))
    exonerated = frozenset[int]().union(*(reach[position] for position in right))
    candidates = sorted(common - exonerated) or [min(wrong)]

    def rank(position: int) -> tuple[int, int, int]:
        if _proved(position, flow, verdicts):
            return 0, 0, position
        return (2 if flow[position].alias else 1), -flow[position].size, position

    ordered = sorted(candidates, key=rank)
    return [Suspect(flow[each], _proved(each, flow, verdicts)) for each in ordered]


def ancestry(flow: tuple[Step, ...], last: Sequence[Step]) -> list[Step]:
    """The steps given and all that they are computed from, the nearest first."""
    reach = _reach(flow)
    wanted = {need for step in last for need in reach[flow.index(step)]}
    return [flow[position] for position in sorted(wanted, reverse=True)]


def _handed_on(flow: tuple[Step, ...], verdicts: Mapping[int, bool]) -> dict[int, bool]:
    """`verdicts`, and what they say of a local `dx` that is returned as it is: right if it is right
    anywhere, since then it is the return that takes it for something else. A local with another
    name is not meant to be a gradient, and the return may lack a factor."""
    known = dict(verdicts)
    reach = _reach(flow)
    fine = frozenset[int]().union(*(reach[each] for each, right in verdicts.items() if right))
    for position in reversed(range(len(flow))):
        step = flow[position]
        if not (step.alias and step.name.startswith("return ") and len(step.needs) == 1):
            continue
        (source,) = step.needs
        if not flow[source].name.startswith("d"):
            continue
        if position in known and source not in verdicts and (known[position] or source not in fine):
            known[source] = known.get(source, False) or known[position]
    return known


def _proved(position: int, flow: tuple[Step, ...], verdicts: Mapping[int, bool]) -> bool:
    if verdicts.get(position) is not False:
        return False
    return all(verdicts.get(need) is True for need in flow[position].needs)


def _mistakable(node: ast.AST) -> bool:
    """Whether a part of an expression offers an occasion for a mistake."""
    if isinstance(node, ast.Name):
        return node.id != "xp" and isinstance(node.ctx, ast.Load)
    return isinstance(node, ast.BinOp | ast.UnaryOp | ast.Compare | ast.Constant)


def _reach(flow: tuple[Step, ...]) -> list[frozenset[int]]:
    """For each step, itself and every step that it depends on, also through a loop."""
    reach = [frozenset({position}) for position in range(len(flow))]
    changed = True
    while changed:
        changed = False
        for position, step in enumerate(flow):
            wider = reach[position].union(*(reach[need] for need in step.needs))
            changed = changed or wider != reach[position]
            reach[position] = wider
    return reach


#: Methods that write into a list or a dict.
_FILLING = frozenset({"append", "extend", "insert", "update"})


def _targets(statement: ast.stmt) -> list[str]:
    """The names that a statement binds or writes into."""
    if isinstance(statement, ast.Assign):
        roots: list[ast.expr] = list(statement.targets)
    elif isinstance(statement, ast.AugAssign | ast.AnnAssign | ast.For):
        roots = [statement.target]
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        called = statement.value.func
        filled = isinstance(called, ast.Attribute) and called.attr in _FILLING
        roots = [called] if filled else []
    else:
        return []
    names = []
    for root in roots:
        while isinstance(root, ast.Subscript | ast.Attribute):
            root = root.value  # writing into `g[i]` binds nothing but changes `g`
        names += [each.id for each in _unpacked(root) if isinstance(each, ast.Name)]
    return names


def _unpacked(target: ast.expr) -> Iterator[ast.expr]:
    if isinstance(target, ast.Tuple | ast.List):
        for each in target.elts:
            yield from _unpacked(each)
    elif isinstance(target, ast.Starred):
        yield target.value
    else:
        yield target


def returned(value: ast.expr, prefix: str = "") -> Iterator[tuple[str, ast.expr]]:
    """The gradients of a return expression by input path; by position where it is a tuple."""
    if isinstance(value, ast.Dict):
        for key, each in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant):
                name = str(key.value)
                yield from returned(each, f"{prefix}.{name}" if prefix else name)
    elif isinstance(value, ast.Tuple | ast.List):
        for index, each in enumerate(value.elts):
            yield from returned(each, f"{prefix}.{index}" if prefix else str(index))
    else:
        yield prefix, value

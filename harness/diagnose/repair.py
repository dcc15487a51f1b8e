"""The line that becomes right by undoing one common mistake, and what it becomes.

"The fault is in this line or in that" leaves the work to the author. Here the rules of `edits` are
tried on every suspected line. A trial costs little: float64 gradients along one direction, against
differences of `forward`. What passes is certified, at the sample and at other points, with other
cotangents: a mask that is right where no number falls between two thresholds is a repair of this
point only. Nothing is said unless it is proved, so a wrong guess costs time and no more.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import islice
from types import CodeType
from typing import Any, TypeVar

import numpy as np

from harness import trees
from harness.backends.manual import ManualBackend
from harness.diagnose.dataflow import Step, Suspect, function_at
from harness.diagnose.edits import RULES, Scope, variants
from harness.model import Array, Sample, Task
from harness.source import Code
from harness.staging import Recorder, StagedProgram, execute
from harness.truth.certificate import Certificate, certify

#: Lines that are tried, expressions in all, and those of them that may be certified.
LINES, TRIES, PROOFS = 5, 1200, 12
#: Numbers in inputs and intermediates beyond which nothing is tried: a transpose that does not
#: belong there makes an outer product of two vectors, here of 128 MiB at most.
ELEMENTS = 4096
#: Points besides the sample's own at which a repair has to be right.
POINTS = 3
#: Relative step of the differences, and how well gradients have to agree with them.
STEP, AGREED = 2.0**-17, 1e-5
#: The name under which an edited line finds its new expression.
_HOLE = "__edited__"


def repairs(
    code: Code, program: StagedProgram, sample: Sample, found: Sequence[Suspect]
) -> dict[int, str]:
    """Line -> what stands there when it is repaired, for the suspects `found`, most likely first.

    Every gradient is then verified at the float64 `sample` and at the points around it. Only lines
    that are right by a repair of the same, most frequent kind are given; none where the case is
    large, or no single edit helps. Never raises for what the case does.
    """
    function = function_at(code.text, code.backward.line) if code.backward else None
    size = sum(np.size(leaf) for leaf in trees.flatten(sample.inputs).values())
    size += sum(int(np.prod(shape)) for shape in sample.intermediates.values())
    # An edited `while` may never end.
    if function is None or size > ELEMENTS or _any(function, ast.While):
        return {}
    found = [each for each in found if each.proved] or found
    lines = list(dict.fromkeys(each.step.line for each in found))[:LINES]
    # What an edited backward makes numpy say is nobody's business.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            bench = _Bench(code, program, sample, function)
        except Exception:  # `forward` raises, and says so elsewhere
            return {}
        return bench.repairs([each.step for each in found if each.step.line in lines])


@dataclass(frozen=True)
class _Edit:
    """One expression in the place of another, by the rule of that number."""

    rule: int
    line: int
    value: ast.expr
    new: ast.expr


class _Bench:
    """Tries edited versions of one backward at one sample."""

    def __init__(
        self, code: Code, program: StagedProgram, sample: Sample, function: ast.FunctionDef
    ) -> None:
        self.code, self.program, self.sample, self.function = code, program, sample, function
        self.slopes = _slopes(program, sample)
        self.shapes = _shapes(program, sample)
        self.points = [_elsewhere(sample, seed) for seed in range(POINTS)]
        self.proofs = PROOFS
        self.holes: dict[int, dict[str, Any]] = {}

    def repairs(self, steps: Sequence[Step]) -> dict[int, str]:
        """The lines that one edit makes right, that which adds least first: a sign too many on one
        line is a likelier mistake than a sign too few on the next."""
        with contextlib.suppress(Exception):  # it may be wrong by raising
            if self._agrees(self.program):
                return {}  # a fault too small for differences to see, which would pass any edit
        found: list[_Edit] = []
        for edit in islice(self._edits(steps), TRIES):
            if found and found[0].rule != edit.rule:
                break
            if self._right(edit):
                found.append(edit)
        best: dict[int, str] = {}
        for edit in sorted(found, key=lambda each: _size(each.new) - _size(each.value)):
            statement = _put(_statement(self.function, edit.value), edit.value, edit.new)
            best.setdefault(edit.line, _written(statement))
        return best

    def _edits(self, steps: Sequence[Step]) -> Iterator[_Edit]:
        """Every edit once, rule by rule; within a rule the first suspect first."""
        tried: set[tuple[int, str]] = set()
        places = [(step, self._scope(step), value) for step in steps for value in _values(step)]
        for number, rule in enumerate(RULES):
            for step, scope, value in places:
                needed = self._needed(value)
                for new in variants(rule, value, scope):
                    text = ast.unparse(new)
                    if (id(value), text) not in tried and needed(new):
                        tried.add((id(value), text))
                        yield _Edit(number, step.line, value, new)

    def _needed(self, value: ast.expr) -> Callable[[ast.expr], bool]:
        """Whether an edit of `value` leaves no more parameters and locals unread than there are:
        nobody computes what is not needed, so that is no repair, whatever it gives."""
        bound = _names(self.function, ast.Store) | {each.arg for each in self.function.args.args}
        without = bound - _names(_put(self.function, value, ast.Constant(None)), ast.Load)
        unread = bound - _names(self.function, ast.Load)
        return lambda new: len(without - _names(new, ast.Load)) <= len(unread)

    def _scope(self, step: Step) -> Scope:
        """What may be used on a line: parameters, and locals that were assigned before. A cotangent
        has no place in what was computed without one."""
        stored = [
            (each.id, each.lineno)
            for each in ast.walk(self.function)
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
        ]
        assert self.code.backward is not None and step.node is not None
        cotangents = set(self.code.backward.parameters[: len(self.sample.cotangents)])
        hidden = {name for name, _ in stored} - {name for name, at in stored if at < step.line}
        if not step.name.startswith(("d", "return ")) and not _names(step.node) & cotangents:
            hidden |= cotangents
        shapes = {name: shape for name, shape in self.shapes.items() if name not in hidden}
        forward = function_at(self.code.text, self.code.forward.line)
        nodes = [*ast.walk(self.function), *(ast.walk(forward) if forward else ())]
        constants = [each.value for each in nodes if isinstance(each, ast.Constant)]
        tests = [each for each in nodes if isinstance(each, ast.Compare)]
        return Scope(
            shapes,
            tuple(dict.fromkeys(each for each in constants if isinstance(each, int | float))),
            tuple(dict.fromkeys(each for each in constants if isinstance(each, str))),
            tuple(ast.unparse(each) for each in tests if _names(each) <= {"xp", *shapes}),
            frozenset(each.attr for each in nodes if isinstance(each, ast.Attribute)),
        )

    def _right(self, edit: _Edit) -> bool:
        """Whether the edited backward is right, at this sample and around it."""
        try:
            program = self._program(edit.value, compile(_expression(edit.new), "edit", "eval"))
            if self.proofs <= 0 or not self._agrees(program):
                return False
            self.proofs -= 1
            if not _verified(certify(program, self.sample)):
                return False
            others = [certify(program, point) for point in self.points]
        except Exception:  # whatever an edited backward raises
            return False
        # Some of them may lie outside the domain of `forward`, or at a kink.
        states = {each.state for each in others}
        return any(map(_verified, others)) and not {"wrong", "close"} & states

    def _program(self, value: ast.expr, new: CodeType) -> StagedProgram:
        """The backward with `new` in the place of `value`. There it evaluates what it is told, so
        that it has to be compiled once for all edits of a line, which saves most of the time."""
        functions = self._with_hole(value)
        functions["backward"].__globals__[_HOLE] = lambda names: eval(
            new, {**functions["backward"].__globals__, **names}
        )
        return StagedProgram(
            self.program.forward_code, self.program.backward_code, lambda: functions
        )

    def _with_hole(self, value: ast.expr) -> dict[str, Any]:
        if id(value) not in self.holes:
            hole = ast.parse(f"{_HOLE}(locals())", mode="eval").body
            edited = copy(_put(self.function, value, hole))
            edited.name, edited.decorator_list = "backward", []
            original = self.program.functions["backward"]
            names = {**original.__globals__, **inspect.getclosurevars(original).nonlocals}
            run = execute(replace(self.code, text=ast.unparse(edited)), names)
            self.holes[id(value)] = {**self.program.functions, "backward": run["backward"]}
        return self.holes[id(value)]

    def _agrees(self, program: StagedProgram) -> bool:
        """Whether every gradient agrees with differences of `forward` along a direction."""
        found = ManualBackend().differentiate(program, self.sample).gradients
        for path, (direction, slope, noise) in self.slopes.items():
            if found[path].shape != direction.shape or not np.all(np.isfinite(found[path])):
                return False
            terms = found[path] * direction
            allowed = AGREED * max(float(np.sum(np.abs(terms))), abs(slope)) + noise
            if not abs(float(np.sum(terms)) - slope) <= allowed:
                return False
        return True


def _expression(new: ast.expr) -> ast.Expression:
    return ast.fix_missing_locations(ast.Expression(new))


def _verified(certificate: Certificate) -> bool:
    return certificate.state == "verified"


def _slopes(program: StagedProgram, sample: Sample) -> dict[str, tuple[Array, float, float]]:
    """Leaf path -> a direction, the derivative of <cotangents, outputs> along it by central
    differences, and how far rounding moves it. Steps are relative: they keep to the domain."""
    leaves = trees.flatten(sample.inputs)
    found = {}
    for path in sample.differentiable:
        rng = np.random.default_rng([*path.encode()])
        direction = rng.uniform(0.5, 1, leaves[path].shape) * np.abs(leaves[path])
        direction *= rng.choice([-1.0, 1.0], direction.shape)
        ahead, behind = (_value(program, sample, path, side * direction) for side in (STEP, -STEP))
        noise = 2.0**-48 * max(abs(ahead), abs(behind)) / STEP
        found[path] = direction, (ahead - behind) / (2 * STEP), noise
    return found


def _value(program: StagedProgram, sample: Sample, path: str, offset: Array) -> float:
    def move(here: str, leaf: Array) -> Array:
        return leaf + offset if here == path else leaf

    moved = replace(sample, inputs=dict(trees.map_with_path(move, sample.inputs)))
    values = ManualBackend().differentiate(program, moved, Task("value")).values
    outputs = [values[name] for name in program.outputs]
    return sum(
        float(np.sum(output * cotangent))
        for output, cotangent in zip(outputs, sample.cotangents, strict=True)
    )


def _shapes(program: StagedProgram, sample: Sample) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays that `backward` is given or assigns, as far as it runs."""
    code, xp = program.backward_code, ManualBackend().xp
    assert code is not None
    known = {**sample.inputs, **program.forward(xp, sample.inputs).saved}
    values = dict(zip(code.parameters, sample.cotangents, strict=False))
    count = len(sample.cotangents)
    values |= {name: known[name] for name in code.parameters[count:]}
    recorder = Recorder()
    copies = [trees.map_with_path(lambda _, leaf: np.copy(leaf), each) for each in values.values()]
    with contextlib.suppress(Exception):  # what is wrong with it may be that it raises
        program.call("backward", recorder, xp, *copies)
    arrays = {name: each for name, each in (values | recorder.values).items() if _is_array(each)}
    return {name: np.shape(each) for name, each in arrays.items()}


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.floating) and value.dtype.kind == "f"


def _elsewhere(sample: Sample, seed: int) -> Sample:
    """Another point of the same shapes, with other cotangents. Every differentiable number is
    moved by up to an eighth, a half or seven eighths of itself, and so keeps its sign; a zero is
    moved by as much of 1, since at a zero much is right by accident."""
    rng = np.random.default_rng(seed)
    reach = (1 / 8, 1 / 2, 7 / 8)[seed % 3]

    def move(path: str, leaf: Array) -> Array:
        if path not in sample.differentiable:
            return leaf
        size = np.where(leaf == 0, 1, np.abs(leaf))
        moved = leaf + reach * rng.uniform(-1, 1, leaf.shape) * size
        return np.asarray(np.clip(moved, *sample.domains.get(path, (-np.inf, np.inf))))

    return replace(
        sample,
        inputs=dict(trees.map_with_path(move, sample.inputs)),
        cotangents=tuple(np.asarray(rng.normal(size=each.shape)) for each in sample.cotangents),
    )


def _values(step: Step) -> Iterator[ast.expr]:
    """What may be edited of an assignment, a loop or a returned gradient."""
    node = step.node
    if isinstance(node, ast.expr):
        yield node
    elif isinstance(node, ast.For):
        yield node.iter
    elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Expr) and node.value:
        yield node.value


def _statement(function: ast.FunctionDef, value: ast.expr) -> ast.stmt:
    """The innermost statement of `function` around an expression."""
    around = [
        each
        for each in ast.walk(function)
        if isinstance(each, ast.stmt) and any(inside is value for inside in ast.walk(each))
    ]
    return around[-1]


_Node = TypeVar("_Node", bound=ast.AST)


def _put(tree: _Node, old: ast.AST, new: ast.AST) -> _Node:
    """`tree` with `new` in the place of `old`; everything else is shared, nothing is changed."""
    if tree is old:
        return new  # type: ignore[return-value]
    changed = tree
    for field, value in ast.iter_fields(tree):
        children = value if isinstance(value, list) else [value]
        placed = [_put(each, old, new) if isinstance(each, ast.AST) else each for each in children]
        if any(one is not other for one, other in zip(placed, children, strict=True)):
            changed = copy(tree)
            setattr(changed, field, placed if isinstance(value, list) else placed[0])
    return changed


def _size(node: ast.AST) -> int:
    return sum(1 for _ in ast.walk(node))


def _any(node: ast.AST, kind: type[ast.AST]) -> bool:
    return any(isinstance(each, kind) for each in ast.walk(node))


def _names(node: ast.AST, context: type[ast.expr_context] = ast.expr_context) -> set[str]:
    names = (each for each in ast.walk(node) if isinstance(each, ast.Name))
    return {each.id for each in names if isinstance(each.ctx, context)}


def _written(statement: ast.stmt) -> str:
    """A statement in one line, with the quotes that most people write."""
    text = ast.unparse(statement).split("\n")[0]
    return text if '"' in text else text.replace("'", '"')

"""Tries edited versions of one backward: what one gives, whether it is right, whether for certain.

A search tries thousands of expressions, so the cheapest question comes first: is the expression,
where it stands, what is required there (`diagnose.required`)? Next, are all gradients right at this
point? Last, is it proved, here and at other points? A mask that is right where no number falls
between two thresholds is a repair of this point only.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator
from copy import copy, deepcopy
from dataclasses import dataclass, replace
from enum import Enum
from types import CodeType
from typing import Any, TypeVar

import numpy as np

from harness.backends.manual import ManualBackend
from harness.diagnose.dataflow import function_at
from harness.diagnose.edits import Scope
from harness.diagnose.evidence import Evidence
from harness.diagnose.points import NUMPY, elsewhere
from harness.diagnose.required import Required, Runs, flat_gradients, is_number
from harness.diagnose.watched import rewritten
from harness.model import Array, Sample, Task
from harness.programs import trees
from harness.programs.staging import StagedProgram
from harness.truth.certificate import certify
from harness.truth.proof import Certificate

#: Points besides the sample's own at which a repair is certified, and how many of them have to say
#: that it is right; the others may lie outside of the domain, or at a kink.
POINTS, ENOUGH = 7, 2
#: Relative step of differences, and how well gradients have to agree with them, and with the truth.
STEP, AGREED, EQUAL = 2.0**-17, 1e-5, 1e-8
#: How much of that the rounding of literals explains.
ROUNDED = 1e-12
#: How well an expression has to agree with what is required of it.
NEAR = 1e-6
#: The name under which an edited line finds its new expression.
_HOLE = "__edited__"


class Proof(Enum):
    """What is known of an edit: it is wrong; right at this point; certified there and elsewhere."""

    NONE = 0
    HERE = 1
    CERTIFIED = 2


@dataclass(frozen=True)
class Place:
    """An expression that may be edited: `value` in a `statement` of `function`, on `line`."""

    function: str
    line: int
    statement: ast.stmt
    value: ast.expr


class Bench:
    """Edits of one backward at one sample.

    Raises what `forward` raises.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.code, self.program, self.sample = evidence.code, evidence.program, evidence.sample
        self.functions = evidence.watched.functions
        self._slopes = {} if evidence.point else _slopes(self.program, self.sample)
        self._values = _values(evidence)
        self._others: list[Sample] = []
        self._holes: dict[int, tuple[StagedProgram, dict[str, Any]]] = {}
        self._wanted: dict[int, list[tuple[dict[str, Any], Array, Array]]] = {}

    def right(self, program: StagedProgram | None = None, equal: float = EQUAL) -> bool:
        """Whether a program, or the one in question, has the right gradients at this point, to
        `equal` relative to the largest number."""
        program = program or self.program
        found = ManualBackend().differentiate(program, self.sample).gradients
        point = self.evidence.point
        if point is not None:
            truth = point.gradient(self.sample.cotangents)
            got = flat_gradients(found, point)
            return bool(np.all(np.abs(got - truth) <= equal * np.max(np.abs(truth), initial=0.0)))
        for path, (direction, slope, noise) in self._slopes.items():
            if found[path].shape != direction.shape or not np.all(np.isfinite(found[path])):
                return False
            terms = found[path] * direction
            allowed = AGREED * max(float(np.sum(np.abs(terms))), abs(slope)) + noise
            if not abs(float(np.sum(terms)) - slope) <= allowed:
                return False
        return True

    def plausible(self, place: Place, new: CodeType) -> bool:
        """Whether an expression gives what is required in its place, as far as that is known."""
        try:
            for names, wanted, known in self._wanted_at(place):
                got = np.asarray(eval(new, names), np.float64)
                off = np.abs(np.broadcast_to(got, wanted.shape) - wanted).ravel()[known]
                if not np.all(off <= NEAR * np.max(np.abs(wanted), initial=1e-300)):
                    return False
        except Exception:  # whatever an edited line raises
            return False
        return True

    def tried(self, place: Place, new: CodeType) -> StagedProgram | None:
        """The program with another expression in a place, if its gradients are right here."""
        program, names = self._with_hole(place)
        names[_HOLE] = lambda here: eval(new, {**names, **here})
        try:
            return program if self.right(program) else None
        except Exception:  # whatever an edited backward raises
            return None

    def proof(self, program: StagedProgram) -> Proof:
        """What is proved of a program that is right here."""
        try:
            here = certify(program, self.sample)
            if here.state == "wrong":
                # The literals of a source are rounded, and in another expression otherwise.
                return Proof.HERE if self.right(program, ROUNDED) else Proof.NONE
            self._others = self._others or [elsewhere(self.sample, each) for each in range(POINTS)]
            others = [_certified(program, each) for each in self._others]
        except Exception:  # whatever an edited backward raises
            return Proof.NONE
        found = [each for each in others if each is not None]
        if any(each.state == "wrong" for each in found):
            return Proof.NONE
        certified = _verified(here) and sum(map(_verified, found)) >= ENOUGH
        return Proof.CERTIFIED if certified else Proof.HERE

    def scope(self, place: Place) -> Scope:
        """What may be used in a place: parameters, and locals that were assigned before. A
        cotangent has no place in what was computed without one."""
        function = self.functions[place.function]
        stored = [
            (each.id, each.lineno)
            for each in ast.walk(function)
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
        ]
        parameters = {each.arg for each in function.args.args}
        hidden = {name for name, _ in stored} - parameters
        hidden -= {name for name, at in stored if at < place.line}
        if place.function == "backward" and self.evidence.without_cotangent(place.value):
            assert self.code.backward is not None
            hidden |= {*self.code.backward.parameters[: len(self.sample.cotangents)]}
        visible = {
            name: value
            for (owner, name), value in self._values.items()
            if owner == place.function and name not in hidden
        }
        shapes = {name: np.shape(each) for name, each in visible.items() if _is_array(each)}
        masks = [name for name, each in visible.items() if _is_mask(each)]
        forward = function_at(self.code.text, self.code.forward.line)
        trees_ = [*self.functions.values(), *([forward] if forward else [])]
        nodes = [each for tree in trees_ for each in ast.walk(tree)]
        constants: list[Any] = [each.value for each in nodes if isinstance(each, ast.Constant)]
        tests = [each for each in nodes if isinstance(each, ast.Compare)]
        read = names(function, ast.Load)
        return Scope(
            shapes,
            tuple(dict.fromkeys(each for each in constants if type(each) in (int, float))),
            tuple(dict.fromkeys(each for each in constants if isinstance(each, str))),
            tuple(ast.unparse(each) for each in tests if names(each) <= {"xp", *visible}),
            frozenset(each.attr for each in nodes if isinstance(each, ast.Attribute)),
            tuple(masks),
            tuple(name for name in visible if name not in read),
            tuple(dict.fromkeys(_parts(function))),
        )

    def _with_hole(self, place: Place) -> tuple[StagedProgram, dict[str, Any]]:
        """The program in which a place evaluates what it is told, so that it has to be compiled
        once for all edits of it, which saves most of the time; and its globals."""
        if id(place.value) not in self._holes:
            hole = ast.parse(f"{_HOLE}(locals())", mode="eval").body
            edited = []
            for name, function in self.functions.items():
                changed = copy(put(function, place.value, hole))
                changed.name, changed.decorator_list = name, []
                edited.append(changed)
            found = rewritten(self.code, self.program, "backward", edited, {_HOLE: None})
            self._holes[id(place.value)] = found
        return self._holes[id(place.value)]

    def _wanted_at(self, place: Place) -> list[tuple[dict[str, Any], Array, Array]]:
        """What is required in a place: names that it sees, the value, and where that is known; of
        the two evaluations that are most wrong."""
        if id(place.value) not in self._wanted:
            required = self.evidence.required.get(id(place.value))
            found = [] if required is None else self._required(place, required)
            self._wanted[id(place.value)] = found
        return self._wanted[id(place.value)]

    def _required(
        self, place: Place, required: Required
    ) -> list[tuple[dict[str, Any], Array, Array]]:
        program, known_names = self._with_hole(place)
        code = compile(expression(place.value), "place", "eval")
        hook = required.hook()
        start, found = 0, []

        def hole(here: dict[str, Any]) -> Any:
            nonlocal start
            # Lists, and arrays that are written into, change afterwards.
            names = {**known_names, **{name: _kept(each) for name, each in here.items()}}
            value = eval(code, {**known_names, **here})
            if not is_number(value):
                return value
            wanted = np.asarray(hook(required.site.key, value), np.float64)
            part = slice(start, start + wanted.size)
            start += wanted.size
            size = float(np.max(np.abs(required.shift[part]), initial=0.0))
            found.append((size, names, wanted, required.known[part]))
            return wanted if isinstance(value, np.ndarray) else wanted[()]

        known_names[_HOLE] = hole
        point = self.evidence.point
        assert point is not None
        try:
            Runs(program, point).gradient(point.cotangents[required.cotangents[0]])
        except Exception:  # it reads a local in another way than by its value
            return []
        most_wrong = sorted(found, key=lambda each: -each[0])[:2]
        return [each[1:] for each in most_wrong if each[3].any()]


def _certified(program: StagedProgram, sample: Sample) -> Certificate | None:
    """None where `forward` has no value, or where the edit is not to blame for what is raised."""
    try:
        return certify(program, sample)
    except Exception:
        with contextlib.suppress(Exception):
            program.forward(NUMPY, sample.inputs)
            raise
        return None


def _verified(certificate: Certificate) -> bool:
    """Proved, or as good as the literals of the source are."""
    return certificate.state in ("verified", "close")


def expression(node: ast.expr) -> ast.Expression:
    """`node`, ready to be compiled."""
    return ast.fix_missing_locations(ast.Expression(node))


def names(node: ast.AST, context: type[ast.expr_context] = ast.expr_context) -> set[str]:
    """The names in a tree that are read, written, or either."""
    found = (each for each in ast.walk(node) if isinstance(each, ast.Name))
    return {each.id for each in found if isinstance(each.ctx, context)}


_Node = TypeVar("_Node", bound=ast.AST)


def put(tree: _Node, old: ast.AST, new: ast.AST) -> _Node:
    """`tree` with `new` in the place of `old`; everything else is shared, nothing is changed."""
    if tree is old:
        return new  # type: ignore[return-value]
    changed = tree
    for field, value in ast.iter_fields(tree):
        children = value if isinstance(value, list) else [value]
        placed = [put(each, old, new) if isinstance(each, ast.AST) else each for each in children]
        if any(one is not other for one, other in zip(placed, children, strict=True)):
            changed = copy(tree)
            setattr(changed, field, placed if isinstance(value, list) else placed[0])
    return changed


def _parts(function: ast.FunctionDef) -> Iterator[str]:
    """Subscripts of arrays as they stand somewhere."""
    for each in ast.walk(function):
        if not isinstance(each, ast.Subscript) or not isinstance(each.ctx, ast.Load):
            continue
        if isinstance(each.value, ast.Name | ast.Subscript):
            yield ast.unparse(each)


def _values(evidence: Evidence) -> dict[tuple[str, str], Any]:
    """Function and name -> an array that it holds: arguments, and what sites saw."""
    found: dict[tuple[str, str], Any] = {}
    code = evidence.program.backward_code
    assert code is not None
    count = len(evidence.sample.cotangents)
    arguments = zip(code.parameters, evidence.sample.cotangents, strict=False)
    found |= {("backward", name): each for name, each in arguments}
    known = evidence.known
    found |= {("backward", name): known[name] for name in code.parameters[count:] if name in known}
    for site in evidence.watched.sites:
        for value in evidence.records[0].get(site.key, ())[:1]:
            if isinstance(site.node, ast.Name):
                found.setdefault((site.function, site.node.id), value)
            elif site.target.isidentifier() and site.target != "return":
                found.setdefault((site.function, site.target), value)
    return {key: each for key, each in found.items() if _is_array(each) or _is_mask(each)}


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.floating) and value.dtype.kind == "f"


def _is_mask(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.bool_) and value.dtype == bool


def _kept(value: Any) -> Any:
    return deepcopy(value) if isinstance(value, list | dict | np.ndarray) else value


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

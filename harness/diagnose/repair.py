"""The line that becomes right by undoing one common mistake, and what it becomes.

"The fault is in this line or in that" leaves the work to the author. Here the rules of `edits` are
tried on every suspected line, the most frequent mistake first. What is right is certified, at the
sample and at other points, with other cotangents; a wrong guess costs time and no more.
"""

from __future__ import annotations

import ast
import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.diagnose.bench import Bench, Place, Proof, expression, names, put
from harness.diagnose.edits import RULES, variants
from harness.diagnose.evidence import Evidence
from harness.model import Sample
from harness.programs import trees

#: Lines that are tried; expressions that are run, that are compared with what is required in their
#: place, and that may be certified.
LINES, TRIES, GLANCES, PROOFS = 8, 1500, 6000, 24
#: Numbers in inputs and intermediates beyond which nothing is tried: a transpose that does not
#: belong there makes an outer product of two vectors, here of 128 MiB at most.
ELEMENTS = 4096


@dataclass(frozen=True)
class Repair:
    """What a line becomes; `certified`: at other points, too, else it is a guess."""

    text: str
    certified: bool


@dataclass(frozen=True)
class Repairs:
    """By line, the likeliest first. `complete`: every edit of every place was tried, so that the
    other lines are known to have none."""

    found: dict[int, Repair] = field(default_factory=dict)
    complete: bool = False


@dataclass(frozen=True)
class _Edit:
    """One expression in the place of another, by the rule of that number."""

    rule: int
    place: Place
    new: ast.expr


def search(evidence: Evidence, places: Sequence[Place]) -> Repairs:
    """The repairs of `places`, most suspect first, at the point of `evidence`.

    Nothing is tried where the case is large, or where a `while` may never end when it is edited.
    Never raises for what the case does.
    """
    loops = any(
        isinstance(node, ast.While)
        for function in evidence.watched.functions.values()
        for node in ast.walk(function)
    )
    if loops or _size(evidence.sample) > ELEMENTS:
        return Repairs()
    # What an edited backward makes numpy say is nobody's business.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return _Search(Bench(evidence), places).run()


def _size(sample: Sample) -> int:
    size = sum(np.size(leaf) for leaf in trees.flatten(sample.inputs).values())
    return size + sum(int(np.prod(shape)) for shape in sample.intermediates.values())


class _Search:
    def __init__(self, bench: Bench, places: Sequence[Place]) -> None:
        self.bench, self.places = bench, places
        self.tries, self.glances, self.proofs = TRIES, GLANCES, PROOFS

    def run(self) -> Repairs:
        """Rule by rule; the lines that the first rule that helps makes right, that which adds least
        first: a sign too many on one line is a likelier mistake than a sign too few on the next.
        Then those that a later one makes right."""
        with contextlib.suppress(Exception):  # it may be wrong by raising
            if self.bench.right():
                return Repairs()  # a fault too small to be seen, which would pass any edit
        found: dict[int, Repair] = {}
        batch: list[tuple[_Edit, bool]] = []
        for edit in self._edits(found, batch):
            proof = self._proof(edit)
            if proof is not Proof.NONE:
                batch.append((edit, proof is Proof.CERTIFIED))
        complete = min(self.tries, self.glances, self.proofs) > 0
        return Repairs(found, complete)

    def _edits(self, found: dict[int, Repair], batch: list[tuple[_Edit, bool]]) -> Iterator[_Edit]:
        """Every edit once, rule by rule; within a rule the first place first. At the end of a rule,
        what is in `batch` is `found`, and its lines are done."""
        tried: set[tuple[int, str]] = set()
        scopes = [(place, self.bench.scope(place), self._needed(place)) for place in self.places]
        for number, rule in enumerate(RULES):
            for place, scope, needed in scopes:
                if place.line in found:
                    continue
                for new in variants(rule, place.value, scope):
                    text = ast.unparse(new)
                    if (id(place.value), text) in tried or not needed(new):
                        continue
                    tried.add((id(place.value), text))
                    yield _Edit(number, place, new)
                    if min(self.tries, self.glances, self.proofs) <= 0:
                        self._settle(found, batch)
                        return
            self._settle(found, batch)

    def _settle(self, found: dict[int, Repair], batch: list[tuple[_Edit, bool]]) -> None:
        def order(each: tuple[_Edit, bool]) -> tuple[bool, int]:
            edit, certified = each
            return not certified, _nodes(edit.new) - _nodes(edit.place.value)

        for edit, certified in sorted(batch, key=order):
            statement = put(edit.place.statement, edit.place.value, edit.new)
            found.setdefault(edit.place.line, Repair(_written(statement), certified))
        batch.clear()

    def _proof(self, edit: _Edit) -> Proof:
        code = compile(expression(edit.new), "edit", "eval")
        if not self.bench.plausible(edit.place, code):
            self.glances -= 1
            return Proof.NONE
        self.tries -= 1
        program = self.bench.tried(edit.place, code)
        if program is None:
            return Proof.NONE
        self.proofs -= 1
        return self.bench.proof(program)

    def _needed(self, place: Place) -> Callable[[ast.expr], bool]:
        """Whether an edit leaves no more parameters and locals unread than there are: nobody
        computes what is not needed, so that is no repair, whatever it gives."""
        function = self.bench.functions[place.function]
        bound = names(function, ast.Store) | {each.arg for each in function.args.args}
        without = bound - names(put(function, place.value, ast.Constant(None)), ast.Load)
        unread = bound - names(function, ast.Load)
        return lambda new: len(without - names(new, ast.Load)) <= len(unread)


def places_on(evidence: Evidence, lines: Sequence[tuple[str, int]]) -> list[Place]:
    """What may be edited on these lines, each of a function: what they assign, return or loop
    over."""
    found: dict[tuple[str, int], list[Place]] = {each: [] for each in lines}
    for name, function in evidence.watched.functions.items():
        for statement in ast.walk(function):
            if not isinstance(statement, ast.stmt):
                continue
            for value in _values(statement):
                line = value.lineno if value is not _whole(statement) else statement.lineno
                if (name, line) in found:
                    found[name, line].append(Place(name, line, statement, value))
    return [place for places in found.values() for place in places]


def _whole(statement: ast.stmt) -> ast.AST | None:
    return getattr(statement, "value", None) or getattr(statement, "iter", None)


def _values(statement: ast.stmt) -> Iterator[ast.expr]:
    """The members of what a statement assigns or returns, but for those of a comprehension, which
    do not see the locals of the function."""
    whole = _whole(statement)
    kinds = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Return, ast.For)
    if isinstance(statement, kinds) and isinstance(whole, ast.expr):
        yield from _members(whole)


def _members(value: ast.expr) -> Iterator[ast.expr]:
    if isinstance(value, ast.Dict):
        for each in value.values:
            yield from _members(each)
    elif isinstance(value, ast.Tuple | ast.List):
        for each in value.elts:
            yield from _members(each)
    else:
        yield value


def _nodes(node: ast.AST) -> int:
    return sum(1 for _ in ast.walk(node))


def _written(statement: ast.stmt) -> str:
    """A statement in one line, with the quotes that most people write."""
    text = ast.unparse(statement).split("\n")[0]
    return text if '"' in text else text.replace("'", '"')

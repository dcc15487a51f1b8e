"""Whether what a line would have to give is a function of what the line reads.

Many lines can undo a fault by another value, but only with numbers that they do not have: what the
sum over a row should have been cannot be told from one of its elements. A function of the
ingredients changes as they change: along whatever direction inputs and cotangents move, the change
of the correction is one combination of the changes of the ingredients. That is linear algebra, as
long as there are more directions than ingredients. The correction is tested and not the value,
which is a function of what the line reads already, for the most part.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from harness.diagnose.points import Direction
from harness.diagnose.required import Moved, Required, Runs, is_number
from harness.diagnose.watched import Site
from harness.errors import Unsupported
from harness.model import Array
from harness.referee import Undecided

#: Directions in which inputs and cotangents move, and how far, relative to their sizes.
DIRECTIONS, STEP = 48, 2.0**-16
#: Part of the change of a correction that its ingredients may leave unexplained.
EXPLAINED = 1e-4
#: Changes of a correction, relative to those of the value, that count as none.
STILL = 1e-8
#: Elements of each value that are tested.
ELEMENTS = 64
#: Of the directions, the share that ingredients may number: as many as those explain anything.
SHARE = 0.8


class Level(IntEnum):
    """What the correction of a line is a function of, most plausible first: of the elements that
    belong to it of what the line reads; of what else is in scope, too; of sums over it; of any
    elements of what it reads; of none of them. UNKNOWN: it could not be told."""

    NARROW = 0
    SCOPE = 1
    SUMS = 2
    WIDE = 3
    UNKNOWN = 4
    NONE = 5


@dataclass(frozen=True)
class Bend:
    """A direction, both sides of the point along it, and the change of the Jacobian."""

    direction: Direction
    ahead: Moved
    behind: Moved
    change: Array


def bends(runs: Runs, count: int = DIRECTIONS) -> list[Bend]:
    """Directions to test along, none where `forward` has no second derivatives; those that lead
    out of the domain are left out."""
    point, found = runs.point, []
    try:
        bent = point.bends(count)
    except (Undecided, Unsupported):
        return []
    for direction, change in bent:
        try:
            ahead, behind = (Moved.along(point, direction, side) for side in (STEP, -STEP))
        except Exception:  # whatever `forward` raises there
            continue
        found.append(Bend(direction, ahead, behind, change))
    return found


def level(runs: Runs, sites: Sequence[Site], required: Required, along: Sequence[Bend]) -> Level:
    """What the correction that `required` asks for is a function of."""
    if not required.known.any() or not along:
        return Level.UNKNOWN
    own = _ingredients(sites, required.site)
    scope = _scope(sites, required.site)
    try:
        changes = [_change(runs, required, bend, {*own, *scope}) for bend in along]
        sizes = [math.prod(shape) for shape in changes[0].shapes]
    except Exception:  # whatever `backward` raises there
        return Level.UNKNOWN
    test = _Test(required, changes, sizes)
    every, told = [*own, *scope], True
    for found, keys in (
        (Level.NARROW, own),
        (Level.SCOPE, every),
        (Level.SUMS, every),
        (Level.WIDE, own),
    ):
        holds = test.holds(keys, found)
        if holds:
            return found
        told = told and holds is not None
    return Level.NONE if told else Level.UNKNOWN


@dataclass(frozen=True)
class _Change:
    """Along one direction: of the correction, flat, and of what sites gave, by their number; an
    array for each time that they were evaluated."""

    correction: Array
    shapes: Sequence[tuple[int, ...]]
    values: Mapping[int, Sequence[Array]]


def _change(runs: Runs, required: Required, bend: Bend, keys: set[int]) -> _Change:
    point = runs.point
    which = required.cotangents

    def gradients(moved: Moved) -> Array:
        parts = [runs.gradient(moved.cotangents[each], required.hook(), moved) for each in which]
        return np.concatenate(parts)

    speed = np.concatenate([np.ravel(each) for each in bend.direction.cotangents])
    truth = np.concatenate(
        [
            bend.change.T @ np.concatenate([np.ravel(c) for c in point.cotangents[each]])
            + point.jacobian.T @ speed
            for each in which
        ]
    )
    given = (gradients(bend.ahead) - gradients(bend.behind)) / (2 * STEP)
    correction = required.inverse @ (truth - given)
    sides = [
        _record(runs, required, moved, required.shift + side * correction, keys)
        for moved, side in ((bend.ahead, STEP), (bend.behind, -STEP))
    ]
    values = {
        key: [(one - other) / (2 * STEP) for one, other in zip(each, sides[1][key], strict=True)]
        for key, each in sides[0].items()
    }
    shapes = [np.shape(each) for each in sides[0][required.site.key]]
    if required.shape is not None:
        shapes = [required.shape for _ in shapes]
    return _Change(np.asarray(correction), shapes, values)


def _record(
    runs: Runs, required: Required, moved: Moved, shift: Array, keys: set[int]
) -> dict[int, list[Array]]:
    """What sites gave, that of `required` before it was shifted."""
    found: dict[int, list[Array]] = {key: [] for key in {*keys, required.site.key}}
    hook = required.hook(shift)

    def recording(key: int, value: Any) -> Any:
        if key in found and is_number(value):
            found[key].append(np.array(value, np.float64))
        return hook(key, value)

    runs.gradient(moved.cotangents[required.cotangents[0]], recording, moved)
    return found


class _Test:
    def __init__(
        self, required: Required, changes: Sequence[_Change], sizes: Sequence[int]
    ) -> None:
        self.required, self.changes = required, changes
        ends = np.cumsum(sizes)
        self.places = list(zip(ends - sizes, ends, strict=True))

    def holds(self, keys: Sequence[int], level: Level) -> bool | None:
        """Whether every element of the correction is a function of those elements of `keys` that
        belong to it, in the sense of `level`. None where they are too many to tell."""
        told: bool | None = True
        for time, (start, end) in enumerate(self.places):
            for index in _some(np.flatnonzero(self.required.known[start:end])):
                explained = self._explained(time, index, keys, level)
                if explained is False:
                    return False
                told = told and explained
        return told

    def _explained(self, time: int, index: int, keys: Sequence[int], level: Level) -> bool | None:
        shape = self.changes[0].shapes[time]
        place = tuple(int(each) for each in np.unravel_index(index, shape))
        start = self.places[time][0]
        target = np.array([each.correction[start + index] for each in self.changes])
        own = [each.values[self.required.site.key][time] for each in self.changes]
        if np.shape(own[0]) == shape:
            still = STILL * float(np.linalg.norm([each[place] for each in own]))
        else:
            still = STILL * float(np.linalg.norm([np.max(np.abs(each)) for each in own]))
        size = float(np.linalg.norm(target))
        if not np.isfinite(size):
            return None
        if size <= still:
            return True
        columns = [self._columns(key, time, shape, place, level) for key in keys]
        matrix = np.concatenate([np.zeros((len(target), 0)), *columns], axis=1)
        norms = np.linalg.norm(matrix, axis=0)
        # A denormal norm is none to divide by.
        kept = np.isfinite(norms) & (norms > np.finfo(np.float64).tiny)
        matrix = matrix[:, kept] / norms[kept]
        if matrix.shape[1] >= SHARE * len(target):
            return None
        if not matrix.shape[1]:
            return False
        left = target - matrix @ np.linalg.lstsq(matrix, target, rcond=1e-10)[0]
        return float(np.linalg.norm(left)) <= max(EXPLAINED * size, still)

    def _columns(
        self, key: int, time: int, shape: tuple[int, ...], place: tuple[int, ...], level: Level
    ) -> Array:
        """The changes of the elements of an ingredient that belong to the element `place`: all of
        them where it does not broadcast."""
        count = len(self.changes)
        times = len(self.changes[0].values[key])
        if not times:
            return np.zeros((count, 0))
        # What was evaluated once is there each time; else the same time, or the last one.
        at = time if time < times else times - 1
        arrays = np.stack([each.values[key][at] for each in self.changes])
        picked = belonging(arrays.shape[1:], shape, place, level >= Level.SUMS)
        if picked is None or level == Level.WIDE:
            return arrays.reshape(count, -1)
        return arrays[(slice(None), *picked)].reshape(count, -1)


def _some(indices: Array) -> list[int]:
    step = max(1, len(indices) // ELEMENTS)
    found: list[int] = indices[::step].tolist()
    return found


def belonging(
    shape: tuple[int, ...], target: tuple[int, ...], place: tuple[int, ...], sums: bool
) -> tuple[Any, ...] | None:
    """The index, in an array of `shape`, of what belongs to the element `place` of an array of
    shape `target`: by broadcasting, or what is summed over an axis that is kept; with `sums`, over
    first or last axes that are not. None where nothing does."""
    if len(shape) <= len(target):
        ends = target[len(target) - len(shape) :]
        if all(one in (1, other) for one, other in zip(shape, ends, strict=True)):
            last = place[len(target) - len(shape) :]
            return tuple(0 if one == 1 else at for one, at in zip(shape, last, strict=True))
    if len(shape) == len(target):
        if all(other in (1, one) for one, other in zip(shape, target, strict=True)):
            pairs = zip(target, place, strict=True)
            return tuple(slice(None) if other == 1 else at for other, at in pairs)
        return None
    if sums and target and shape[: len(target)] == target:
        return (*place, Ellipsis)
    if sums and target and shape[-len(target) :] == target:
        return (Ellipsis, *place)
    return None


def atoms(node: ast.AST) -> Iterator[ast.expr]:
    """What an expression reads: names, and subscripts as they stand."""
    if isinstance(node, ast.Name | ast.Subscript):
        yield node
        return
    for child in ast.iter_child_nodes(node):
        yield from atoms(child)


def _ingredients(sites: Sequence[Site], site: Site) -> list[int]:
    read = {id(each) for each in atoms(site.node)}
    return [each.key for each in sites if id(each.node) in read]


def _scope(sites: Sequence[Site], site: Site) -> list[int]:
    """What else is there when a line runs: earlier values, and a first use of each name that is
    none of them."""
    found, names = [], set[str]()
    here = [each for each in sites if each.function == site.function and each is not site]
    assigned = {each.target for each in here if each.target}
    for each in here:
        if each.target and each.target != "return" and each.line < site.line:
            found.append(each.key)
        elif isinstance(each.node, ast.Name) and each.node.id not in names | assigned:
            names.add(each.node.id)
            found.append(each.key)
    return found

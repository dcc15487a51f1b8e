"""The value that an expression of `backward` would need for every gradient to be right.

A fault in one line can be undone by another value of that line. So where no value will do, the line
is not at fault, whatever it is called and whatever it computes. The value is found by least
squares in a shift that is added to the expression, each time that it is evaluated: in one step
where the gradients are affine in it, as they mostly are, else by Gauss-Newton.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from harness.diagnose.points import NUMPY, Direction, Point, locked_tree
from harness.diagnose.watched import Hook, Site, Watched
from harness.model import Array
from harness.programs import trees
from harness.programs.program import Trace
from harness.programs.staging import StagedProgram

#: Numbers of one expression beyond which it is not asked what it should be.
MOST = 400
#: Part of what is wrong that may be left for a value to be the required one.
RIGHT = 1e-6
ITERATIONS = 8
#: Relative to the largest, singular values that count as zero.
RANK = 1e-9

#: Number of the site -> its values, one for each time that it was evaluated.
Record = Mapping[int, Sequence[Any]]


class Runs:
    """Runs a backward at one point, a watched one with any hook."""

    def __init__(self, subject: Watched | StagedProgram, point: Point) -> None:
        self.subject, self.point = subject, point

    def gradient(
        self, cotangents: Sequence[Array], hook: Hook | None = None, at: Moved | None = None
    ) -> Array:
        """All gradients, flat, at the point or moved away from it. Raises what `backward` raises,
        and ValueError for a gradient that is missing or of the wrong shape."""
        sample, subject = self.point.sample, self.subject
        inputs, trace = (at.inputs, at.trace) if at else (self.point.inputs, self.point.trace)
        # A list may be written into; the arrays in it may not.
        saved = {
            name: locked_tree(each) if isinstance(each, list | dict | tuple) else each
            for name, each in trace.saved.items()
        }
        arguments = (NUMPY, tuple(cotangents), inputs, Trace(trace.outputs, saved))
        if isinstance(subject, StagedProgram):
            returned, _ = subject.backward(*arguments)
        else:
            with subject.by(hook or _unchanged):
                returned, _ = subject.program.backward(*arguments)
        return flat_gradients(trees.by_path(returned, sample), self.point)

    def record(self, cotangents: Sequence[Array]) -> Record:
        """What every site gave, as far as the run came."""
        found: dict[int, list[Any]] = {}

        def hook(key: int, value: Any) -> Any:
            kept = np.copy(value) if isinstance(value, np.ndarray) else value
            found.setdefault(key, []).append(kept)
            return value

        try:
            self.gradient(cotangents, hook)
        except Exception:  # what is wrong with it may be that it raises
            return found
        return found


def flat_gradients(found: Mapping[str, Any], point: Point) -> Array:
    """Gradients by path as one array. Raises ValueError where one has the wrong shape."""
    leaves = trees.flatten(point.sample.inputs)
    parts = []
    for path in point.sample.differentiable:
        part = np.asarray(found.get(path, np.nan), np.float64)
        if part.shape != leaves[path].shape:
            raise ValueError(f"the gradient of `{path}` has the wrong shape")
        parts.append(part.ravel())
    return np.concatenate(parts)


@dataclass(frozen=True)
class Moved:
    """Inputs, trace and cotangents a little away from a point."""

    inputs: Mapping[str, Any]
    trace: Trace
    cotangents: list[tuple[Array, ...]]

    @classmethod
    def along(cls, point: Point, direction: Direction, step: float) -> Moved:
        """By `step` times the direction; all cotangents move alike."""

        def move(path: str, leaf: Array) -> Array:
            speed = direction.leaves.get(path)
            return leaf if speed is None else leaf + step * speed

        inputs = dict(trees.map_with_path(move, point.sample.inputs))
        moved = [
            tuple(one + step * speed for one, speed in zip(each, direction.cotangents, strict=True))
            for each in point.cotangents
        ]
        return cls(inputs, point.program.forward(NUMPY, inputs), moved)


def _unchanged(_key: int, value: Any) -> Any:
    return value


def is_number(value: Any) -> bool:
    """Whether it can be shifted: floats, and whole numbers that are no arrays."""
    if isinstance(value, np.ndarray):
        return bool(value.dtype.kind == "f")
    return isinstance(value, float | int | np.floating) and not isinstance(value, bool)


class Shift:
    """Adds pieces of a flat array to what a site gives, an evaluation after the other. `shape` is
    that of each piece; None for the shape of the value."""

    def __init__(self, key: int, shift: Array, shape: tuple[int, ...] | None = None) -> None:
        self.key, self.shift, self.shape, self.used = key, shift, shape, 0

    def __call__(self, key: int, value: Any) -> Any:
        if key != self.key or not is_number(value):
            return value
        shape = np.shape(value) if self.shape is None else self.shape
        start, self.used = self.used, self.used + math.prod(shape)
        if self.used > self.shift.size:
            return value
        return value + self.shift[start : self.used].reshape(shape)


class _Flip:
    """Turns round elements of the masks that a site gives."""

    def __init__(self, key: int, flips: Array) -> None:
        self.key, self.flips, self.used = key, flips, 0

    def __call__(self, key: int, value: Any) -> Any:
        if key != self.key or not is_mask(value):
            return value
        start, self.used = self.used, self.used + value.size
        return value ^ self.flips[start : self.used].reshape(value.shape)


def is_mask(value: Any) -> bool:
    """Whether it is an array of booleans."""
    return isinstance(value, np.ndarray | np.bool_) and value.dtype == bool


@dataclass(frozen=True)
class Required:
    """With `shift` added to the values of `site`, each of `shape` (None: their own), the gradients
    for the cotangents of these numbers are right. `slope` is their derivative with respect to the
    shift. `lost`: the value holds no cotangent, as it is, but would have to."""

    site: Site
    shift: Array
    slope: Array
    cotangents: tuple[int, ...]
    shape: tuple[int, ...] | None = None
    lost: bool = False

    @cached_property
    def inverse(self) -> Array:
        """The pseudoinverse of `slope`."""
        return np.asarray(np.linalg.pinv(self.slope, rcond=RANK))

    @cached_property
    def known(self) -> Array:
        """Where no other shift would do."""
        return np.asarray(np.sum(self.inverse * self.slope.T, axis=1) > 1 - 1e-6)

    @property
    def whole(self) -> bool:
        """Whether no other value of the same shape would do."""
        return self.shape is None and bool(np.all(self.known))

    def value(self, record: Record) -> Array:
        """What the site has to give at last, where `whole`; `record` holds what it gives."""
        last = np.asarray(record[self.site.key][-1], np.float64)
        return np.asarray(last + self.shift[self.shift.size - last.size :].reshape(last.shape))

    def hook(self, shift: Array | None = None) -> Shift:
        """What makes the gradients right."""
        return Shift(self.site.key, self.shift if shift is None else shift, self.shape)


@dataclass(frozen=True)
class Answer:
    """`misfit`: the part of what is wrong that the best value leaves; NaN where it could not be
    asked or where the search did not end. `required` where that is nothing."""

    misfit: float
    required: Required | None = None

    @property
    def acquitted(self) -> bool:
        """Whether no value of the site makes all gradients right."""
        return self.misfit > RIGHT


UNKNOWN = Answer(math.nan)


def asked(runs: Runs, site: Site, records: Sequence[Record]) -> Answer:
    """Whether a value of `site` would make all gradients right. `records` holds what the sites gave
    for each cotangent of the point."""
    values = [each.get(site.key, ()) for each in records]
    numbers = [each for each in values[0] if is_number(each)]
    every = tuple(range(len(records)))
    fixed = all(same_values(values[0], each) for each in values[1:])
    if not numbers:
        masks = [each for each in values[0] if is_mask(each)]
        return _safely(lambda: _flipped(runs, site, masks, every if fixed else every[:1]))
    found = _safely(lambda: _solved(runs, site, numbers, every if fixed else every[:1]))
    if found.acquitted and fixed and len(every) > 1:
        alone = _safely(lambda: _solved(runs, site, numbers, every[:1]))
        if alone.required is not None:
            return replace(alone, required=replace(alone.required, lost=True))
    if found.acquitted:
        for shape in _wider(numbers, records[0]):
            wide = _safely(lambda: _solved(runs, site, numbers, every[:1], shape))  # noqa: B023
            if wide.required is not None:
                return wide
    return found


def _safely(solve: Callable[[], Answer]) -> Answer:
    try:
        return solve()
    except Exception:  # it is used as a shape or an index, or it leads out of a domain
        return UNKNOWN


def same_values(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether a site gave the same numbers twice."""
    return len(one) == len(other) and all(
        np.array_equal(a, b, equal_nan=True)
        for a, b in zip(one, other, strict=True)
        if is_number(a) or is_mask(a)
    )


def _wider(numbers: Sequence[Any], record: Record) -> list[tuple[int, ...]]:
    """Shapes that occur and that the values broadcast to: a sum over the wrong axis gave too few
    numbers."""
    own = {np.shape(each) for each in numbers}
    if len(own) > 1:
        return []
    (shape,) = own
    every = {np.shape(each[0]) for each in record.values() if is_number(each[0])}
    fits = [each for each in every - own if _broadcasts(shape, each)]
    return sorted(fits, key=lambda each: (math.prod(each), each))[:2]


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False


def _solved(
    runs: Runs,
    site: Site,
    numbers: Sequence[Any],
    which: Sequence[int],
    shape: tuple[int, ...] | None = None,
) -> Answer:
    """Least squares in a shift of a site, by Gauss-Newton."""
    sizes = [np.asarray(each, np.float64) for each in numbers]
    if shape is not None:
        sizes = [np.broadcast_to(each, shape) for each in sizes]
    size = np.concatenate([each.ravel() for each in sizes])
    if size.size > MOST:
        return UNKNOWN
    point = runs.point
    truth = np.concatenate([point.gradient(point.cotangents[each]) for each in which])

    def run(shift: Array) -> Array:
        hooks = (Shift(site.key, shift, shape) for _ in which)
        pairs = zip(which, hooks, strict=True)
        return np.concatenate([runs.gradient(point.cotangents[each], hook) for each, hook in pairs])

    shift = np.zeros(size.size)
    here = run(shift)
    wrong = float(np.linalg.norm(truth - here))
    if not wrong > 1e-9 * float(np.linalg.norm(truth)):
        return UNKNOWN
    misfit, affine = 1.0, False
    step = np.maximum(np.abs(size), 1e-2)
    # With a step as large as the value itself, only what is affine is predicted.
    slope = _slope(run, shift, step, here)
    for iteration in range(ITERATIONS):
        change = np.linalg.lstsq(slope, truth - here, rcond=RANK)[0]
        predicted = here + slope @ change
        new, length = _shortened(run, shift, change, truth, misfit * wrong)
        if new is None:
            if iteration:
                break
            slope = _slope(run, shift, 1e-4 * step)
            continue
        affine = length == 1 and float(np.linalg.norm(new - predicted)) <= 1e-8 * wrong
        shift, here = shift + length * change, new
        misfit = float(np.linalg.norm(truth - here)) / wrong
        if affine or misfit < 1e-3 * RIGHT:
            break
        slope = _slope(run, shift, 1e-4 * np.maximum(np.abs(size + shift), 1e-2))
    if misfit <= RIGHT:
        slope = _slope(run, shift, 1e-4 * np.maximum(np.abs(size + shift), 1e-2))
        return Answer(misfit, Required(site, shift, slope, tuple(which), shape))
    # At a minimum, what is left is orthogonal to all that the shift can do.
    left = truth - here
    pull = np.linalg.norm(slope @ np.linalg.lstsq(slope, left, rcond=RANK)[0])
    return Answer(misfit) if affine or pull <= 1e-3 * np.linalg.norm(left) else UNKNOWN


def _slope(
    run: Callable[[Array], Array], at: Array, step: Array, here: Array | None = None
) -> Array:
    """Differences of `run`: central ones, or forward from `here`."""
    columns = []
    for index, length in enumerate(step):
        unit = np.zeros(at.size)
        unit[index] = length
        if here is None:
            columns.append((run(at + unit) - run(at - unit)) / (2 * length))
        else:
            columns.append((run(at + unit) - here) / length)
    found = np.stack(columns, axis=1)
    found[~np.isfinite(found)] = 0.0
    return found


def _shortened(
    run: Callable[[Array], Array], shift: Array, change: Array, truth: Array, wrong: float
) -> tuple[Array | None, float]:
    """The gradients after as much of `change` as makes them better, and how much that is."""
    length = 1.0
    while length > 1e-3:
        new = run(shift + length * change)
        if float(np.linalg.norm(truth - new)) < wrong * (1 - 1e-4):
            return new, length
        length /= 2
    return None, 0.0


def _flipped(runs: Runs, site: Site, masks: Sequence[Any], which: Sequence[int]) -> Answer:
    """The best mask, an element at a time: elements rarely depend on each other."""
    flips = np.zeros(sum(each.size for each in masks), bool)
    if not 0 < flips.size <= MOST:
        return UNKNOWN
    point = runs.point
    truth = np.concatenate([point.gradient(point.cotangents[each]) for each in which])

    def wrong() -> float:
        found = [runs.gradient(point.cotangents[each], _Flip(site.key, flips)) for each in which]
        return float(np.linalg.norm(truth - np.concatenate(found)))

    before = best = wrong()
    for _ in range(2):
        for index in range(flips.size):
            flips[index] ^= True
            now = wrong()
            if now < best * (1 - 1e-9):
                best = now
            else:
                flips[index] ^= True
    return Answer(best / before) if before else UNKNOWN

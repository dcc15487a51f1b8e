"""What `forward` alone says where comparisons are of equal numbers.

Its pieces, for leaves of few numbers: on f(x + t v + t**2 e), which enters the piece that v does,
coefficient 2 grows by the derivative along e. What a choice for each operation can make of a
gradient, as `choices` tell. And whether the function jumps there, so that it has no derivative,
but only one of the branches that are executed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import TypeVar

import numpy as np
from flint import arb

from harness import referee
from harness.errors import Unsupported
from harness.model import Array, Sample
from harness.programs import trees
from harness.programs.program import Program
from harness.referee import Undecided
from harness.truth.choices import Choices, choices
from harness.truth.lifted import BITS, MOST_BITS, Lifted, as_balls
from harness.truth.proof import Pieces
from harness.truth.sides import AXES
from harness.truth.subgradient import SAME

#: Pairs of directions at least and at most, and passes that pieces may take.
FEW, MANY, PASSES = 6, 24, 1500

T = TypeVar("T")


class Ties:
    """Of a program at a sample, each thing when it is first asked for. None where balls cannot
    follow; the exceptions of the case's own code pass through."""

    def __init__(self, program: Program, sample: Sample) -> None:
        self.program, self.sample = program, sample

    @cached_property
    def present(self) -> bool:
        """Whether a limit is taken along a random direction: if not, there is no tie."""
        found = self._attempted(lambda lifted: lifted.two_sided(_generic(lifted, 0))[2])
        return bool(found)

    @cached_property
    def jump(self) -> bool:
        """Whether an output has another value beside the point than at it."""
        return bool(self.present and self._attempted(_jumps))

    def reach(
        self, gradient: Mapping[str, Array], beyond: Mapping[str, Array], relative: float
    ) -> bool | None:
        """Whether a choice for each operation may lead to this gradient of all leaves, which seems
        to be `beyond` what is valid by something; each element may be off by `relative`."""
        found = self._attempted(partial(choices, along=beyond))
        return None if found is None else found.reach(gradient, relative)

    @cached_property
    def executed(self) -> Mapping[str, Choices]:
        """By leaf, what the gradient of the branches is that are executed at the point."""
        found = {}
        for path in self.sample.differentiable:
            each = self._attempted(partial(choices, ties="rest", leaves=[path]))
            if each is not None:
                found[path] = each
        return found

    @cached_property
    def pieces(self) -> Pieces | None:
        """The gradients of pieces that meet here, of up to AXES numbers."""
        shapes = {path: trees.shape_of(self.sample, path) for path in self.sample.differentiable}
        if not self.present or sum(map(math.prod, shapes.values())) > AXES:
            return None
        return self._attempted(_pieces)

    def _attempted(self, function: Callable[[Lifted], T]) -> T | None:
        try:
            lifted = Lifted(self.program, self.sample)
            return referee.with_precision_doubling(lambda: function(lifted), BITS, MOST_BITS)
        except (Undecided, Unsupported):
            return None


def _generic(lifted: Lifted, index: int) -> dict[str, Array]:
    shapes = {path: lifted.shape(path) for path in lifted.leaves}
    return referee.dyadic_directions(lifted.generator("ties", str(index)), shapes)


def _pairs(lifted: Lifted, count: int) -> Iterator[dict[str, Array]]:
    for index in range(count):
        along = _generic(lifted, index)
        yield along
        yield {path: -each for path, each in along.items()}


def _jumps(lifted: Lifted) -> bool:
    here = [referee.value(as_balls(each)) for each in lifted.at_rest().outputs]
    for along in _pairs(lifted, FEW):
        moved = referee.with_order_raising(partial(lifted.moved, along, 1))
        there = [referee.value(as_balls(each)) for each in moved.trace.outputs]
        if not all(bool(referee.overlap(a, b).all()) for a, b in zip(here, there, strict=True)):
            return True
    return False


def _pieces(lifted: Lifted) -> Pieces:
    count = sum(leaf.size for leaf in lifted.leaves.values())
    pairs = max(FEW, min(MANY, PASSES // (2 * count + 2)))
    rows: dict[str, list[Array]] = {path: [] for path in lifted.leaves}
    for along in _pairs(lifted, pairs):
        for path, each in _gradient(lifted, along).items():
            rows[path].append(each)
    gradients = {path: np.array(each) for path, each in rows.items()}
    touched = {
        path: np.ptp(each, axis=0) > SAME * np.abs(each).max(axis=0)
        for path, each in gradients.items()
    }
    return Pieces(gradients, touched)


def _gradient(lifted: Lifted, along: Mapping[str, Array]) -> dict[str, Array]:
    """Of the piece that a direction enters, as float64 midpoints. Raises Undecided where one is
    known to less."""

    def second(bend: Mapping[str, Array], order: int) -> arb:
        return lifted.slope(lifted.moved(along, 1, order, bend=bend).trace, 2)

    straight = referee.with_order_raising(partial(second, {}), 2)
    found = {}
    for path, leaf in lifted.leaves.items():
        flat = []
        for index in np.ndindex(leaf.shape):
            axis = {path: referee.unit_direction(leaf.shape, index)}
            flat.append(referee.with_order_raising(partial(second, axis), 2) - straight)
        if not all(each.is_finite() and each.rad() < 1e-20 * (1 + abs(each)) for each in flat):
            raise Undecided("a gradient beside the kink is known to few digits")
        found[path] = np.array([float(each) for each in flat]).reshape(leaf.shape)
    return found

"""Derivatives from `forward` alone, for where there is no backward, or a wrong one.

A small array gets one for every element; of a large one, whose every element would cost a pass,
chosen elements and random directions are what a method can still be judged by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from flint import arb

from harness import referee
from harness.directions import Slopes
from harness.errors import Unsupported
from harness.model import Array, Sample
from harness.programs import trees
from harness.programs.program import Program
from harness.referee import OrderExhausted, Undecided
from harness.truth.lifted import BITS, MOST_BITS, Lifted

#: Elements up to which the derivative is taken along each axis.
AXES = 64


@dataclass(frozen=True)
class Sides:
    """The one-sided derivatives of <cotangents, outputs> with respect to elements of a leaf or an
    intermediate, from below (`left`) and from above, as float64 midpoints of balls of `radius` or
    less. Infinite where the derivative is; NaN where `forward` has no real value on that side.
    """

    left: Array
    right: Array
    radius: Array

    @property
    def smooth(self) -> bool:
        """Whether the two agree everywhere, so that there is a derivative."""
        with np.errstate(invalid="ignore"):
            return bool(np.all(np.abs(self.left - self.right) <= 2 * self.radius))

    @property
    def middle(self) -> Array:
        """The mean of the two, or the one that exists."""
        with np.errstate(invalid="ignore"):
            mean = (self.left + self.right) / 2
        return np.where(
            np.isnan(self.left), self.right, np.where(np.isnan(self.right), self.left, mean)
        )


def along_axes(program: Program, sample: Sample, name: str) -> Sides | None:
    """The derivative with respect to each element of `name`, in both directions of its axis.

    Up to AXES elements, a pass or two for each; None beyond, and where balls cannot follow.
    """
    shape = trees.shape_of(sample, name)
    if math.prod(shape) > AXES:
        return None
    return _sides(program, sample, name, np.arange(math.prod(shape)).reshape(shape))


def sampled_axes(
    program: Program, sample: Sample, name: str, indices: Sequence[int]
) -> Sides | None:
    """The same for chosen elements of an array of any size: flat `indices`, in C order, give arrays
    of shape (len(indices),). None where balls cannot follow."""
    return _sides(program, sample, name, np.asarray(indices, np.int64))


def _sides(program: Program, sample: Sample, name: str, indices: Array) -> Sides | None:
    def sides() -> Sides:
        lifted = Lifted(program, sample)
        bends = _bends(lifted)
        left, right, radius = (np.zeros(indices.shape) for _ in range(3))
        for place in np.ndindex(indices.shape):
            axis = np.zeros(lifted.shape(name))
            axis.flat[indices[place]] = 1.0
            found = [lifted.sides({name: axis}, bend) for bend in bends]
            ends = [(float(below), float(above)) for below, above in found]
            left[place], right[place] = _widest(ends)
            radius[place] = max(
                (_radius(each) for pair in found for each in pair if each.is_finite()), default=0.0
            )
        return Sides(left, right, radius)

    try:
        return referee.with_precision_doubling(sides, BITS, MOST_BITS)
    except (Undecided, Unsupported):
        return None


def _bends(lifted: Lifted) -> list[dict[str, Array] | None]:
    """How the other numbers move, to the second order, while one of them moves along its axis: ties
    that do not depend on that one fall one way, and then the other. Nothing need move where there
    is no tie, and nothing may where that by itself has a slope, as that of sqrt(t**2) is."""
    generic = lifted.directions(list(lifted.leaves))
    try:
        if not lifted.two_sided(generic)[2]:
            return [None]
    except OrderExhausted:
        pass
    bends = [{path: sign * each for path, each in generic.items()} for sign in (1, -1)]
    return [bend for bend in bends if _straight(lifted, bend)] or [None]


def _straight(lifted: Lifted, bend: dict[str, Array]) -> bool:
    def slope(order: int) -> arb:
        return lifted.slope(lifted.moved({}, 1, order, bend=bend).trace)

    try:
        found = referee.with_order_raising(slope)
    except OrderExhausted:
        return False
    return bool(found.is_finite() and found.contains(0))


def _widest(ends: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The first pair of one-sided derivatives, or the least and the greatest of all where others
    lie outside of it. NaN where no pair has a number."""
    known = [pair for pair in ends if not (math.isnan(pair[0]) and math.isnan(pair[1]))]
    first = known[0] if known else ends[0]
    every = [each for pair in known for each in pair if not math.isnan(each)]
    if not every or (min(every) >= np.fmin(*first) and max(every) <= np.fmax(*first)):
        return first
    return min(every), max(every)


def random_slopes(
    program: Program, sample: Sample, name: str, count: int, seed: int = 0
) -> Slopes | None:
    """The derivative along `count` random directions of `name`, a leaf or an intermediate: a pass
    each. Direction i depends on `seed`, the name and i only. At a kink, whatever a choice for each
    operation can make of it: the radius is that of the ball with all ties left open.

    None where balls cannot follow.
    """

    def slopes() -> Slopes | None:
        lifted = Lifted(program, sample)
        slopes = Slopes.empty(name, lifted.shape(name), count, seed)
        for index in range(count):
            found = _slope(lifted, {name: slopes.direction(index)})
            if found is None:
                return None
            slopes.midpoints[index], slopes.radii[index] = float(found), _radius(found)
        return slopes

    try:
        return referee.with_precision_doubling(slopes, BITS, MOST_BITS)
    except (Undecided, Unsupported):
        return None


def _slope(lifted: Lifted, along: dict[str, Array]) -> arb | None:
    above, below, limit = lifted.two_sided(along)
    if above.is_finite() and not limit:
        return above
    with referee.tied("open"):
        above, below, _ = lifted.two_sided(along)
    return above.union(below) if above.is_finite() and below.is_finite() else None


def _radius(ball: arb) -> float:
    """Of the true number from the midpoint, which is rounded to float64 besides."""
    return float(ball.rad()) + 2.0**-53 * abs(float(ball)) + (0.0 if ball.is_exact() else 5e-324)

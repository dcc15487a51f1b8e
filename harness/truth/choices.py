"""What a choice for each operation by itself can make of a gradient at a kink.

Frameworks pick a derivative for each `max`, `abs` or `where` at a tie and apply the chain rule. The
result need not be a gradient of the whole: for relu(x) - relu(-x), which is x, that of relu at 0
being 0 gives 0. With all ties left open, the derivative of `forward` along a direction is a ball
that holds whatever such choices make of it; numbers that are outside along some direction are not
reached by any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from flint import arb

from harness import referee
from harness.model import Array
from harness.referee import OrderExhausted, Undecided
from harness.referee.record import Ties
from harness.truth.lifted import Lifted

#: Random directions along which numbers have to lie within.
COUNT = 16


@dataclass(frozen=True)
class Choices:
    """Plain data: some `directions` of leaves together, and between which float64 numbers, one for
    each, the derivative along it lies."""

    directions: list[dict[str, Array]]
    low: Array
    high: Array

    def reach(self, gradient: Mapping[str, Array], relative: float) -> bool:
        """Whether choices may lead to this gradient of all leaves, each element being off by
        `relative` to itself. Errors of many add up like a random walk, which has not gone eight
        standard deviations."""
        for direction, low, high in zip(self.directions, self.low, self.high, strict=True):
            terms = np.concatenate(
                [(gradient[name] * each).ravel() for name, each in direction.items()]
            ).astype(np.float64)
            slack = 8 * relative * float(np.linalg.norm(terms))
            if not low - slack <= float(np.sum(terms)) <= high + slack:
                return False
        return True


def _slope(
    lifted: Lifted, along: Mapping[str, Array], bend: Mapping[str, Array], order: int
) -> arb:
    return lifted.slope(lifted.moved(along, 1, order, bend=bend).trace)


def choices(
    lifted: Lifted,
    ties: Ties = "open",
    leaves: Sequence[str] | None = None,
    along: Mapping[str, Array] | None = None,
) -> Choices | None:
    """What choices can make of the gradient of some leaves, or of all; with `ties` at `rest`, what
    the branches do that are executed at the point. Besides random directions it is asked `along`
    one: among many ties, one number too large is hardly seen from elsewhere. None where balls
    cannot follow."""
    shapes = {path: lifted.shape(path) for path in leaves or lifted.leaves}
    directions = [
        referee.dyadic_directions(lifted.generator("choices", str(index)), shapes)
        for index in range(COUNT)
    ]
    if along is not None:
        directions.append({path: np.zeros(shape) for path, shape in shapes.items()} | dict(along))
    low, high = np.zeros(len(directions)), np.zeros(len(directions))
    bend = referee.dyadic_directions(lifted.generator("choices"), shapes)
    try:
        with referee.tied(ties):
            for index, each in enumerate(directions):
                # Where a direction leaves a tie as it is, the bend does not.
                slope = referee.with_order_raising(partial(_slope, lifted, each, bend))
                if not slope.is_finite():
                    return None
                low[index], high[index] = (float(end) for end in (slope.lower(), slope.upper()))
    except (Undecided, OrderExhausted):
        return None
    return Choices(directions, low, high)

"""Ball arithmetic: the truth about a function, with a proof, from its own code.

Every other check of a gradient compares one approximation with another. Here a case's `forward`
and `backward` run over FLINT balls, each of which contains the exact real result of the operations
applied to the exact inputs, so that a number that lies outside is proved wrong.
"""

from harness.referee.array import BallArray
from harness.referee.names import numbered, numbering
from harness.referee.record import narrowing, recorded, tied
from harness.referee.space import namespace, xp
from harness.referee.surface import (
    HUGE,
    coefficient,
    dyadic_direction,
    dyadic_directions,
    exponent,
    lift,
    lift_along,
    lift_direction,
    magnitudes,
    mantissas,
    midpoints,
    overlap,
    radii,
    relative_digits,
    scaled,
    unit_direction,
    value,
)
from harness.referee.truth import Truth
from harness.referee.undecided import (
    OrderExhausted,
    Undecided,
    precision,
    with_order_raising,
    with_precision,
    with_precision_doubling,
)

__all__ = [
    "HUGE",
    "BallArray",
    "OrderExhausted",
    "Truth",
    "Undecided",
    "coefficient",
    "dyadic_direction",
    "dyadic_directions",
    "exponent",
    "lift",
    "lift_along",
    "lift_direction",
    "magnitudes",
    "mantissas",
    "midpoints",
    "namespace",
    "narrowing",
    "numbered",
    "numbering",
    "overlap",
    "precision",
    "radii",
    "recorded",
    "relative_digits",
    "scaled",
    "tied",
    "unit_direction",
    "value",
    "with_order_raising",
    "with_precision",
    "with_precision_doubling",
    "xp",
]

"""`atan2`: an angle jumps by 2 pi on a half line and has no limit at the origin.

The quotient of the smaller coordinate by the larger differs from the angle by a constant, so its
arc tangent gives every coefficient but the value, and that is FLINT's `atan2`. Where t = 0 is on
the half line or at the origin, the answer is the limit t -> 0+, as in every comparison.
"""

from __future__ import annotations

import numpy as np
from flint import arb

from harness.referee import naming, record, taylor
from harness.referee.analytic import atan, number, settled
from harness.referee.compare import decided, sign
from harness.referee.elements import (
    ZERO,
    Booleans,
    Objects,
    elementwise,
    less_mask,
    zero_mask,
)
from harness.referee.taylor import INFINITE, Taylor, constant, part
from harness.referee.undecided import OrderExhausted

_values = elementwise(arb.atan2, 2)
_ONE = number(1)


@naming.named
def atan2(y: Taylor, x: Taylor) -> Taylor:
    """The angle of the point (x, y), in [-pi, pi]. Raises OrderExhausted at the origin where no
    known coefficient tells the direction in which it is left."""
    y, x = (taylor.tightened(each) for each in taylor.broadcast(y, x))
    if y.degree is None and x.degree is None:
        return constant(_values(y.parts[0], x.parts[0]))
    still = (y.degrees() == 0) & (x.degrees() == 0)
    y, x = _left_origin(y, x, still)
    steep = less_mask(np.abs(x.parts[0]), np.abs(y.parts[0]))
    numerator = taylor.select(steep, taylor.negative(x), y)
    denominator = taylor.select(steep, y, x)
    # A still point needs no quotient, and its denominator may be zero.
    angle = atan(taylor.divide(numerator, taylor.select(still, _ONE, denominator)))
    return settled(angle, _limits(y, x), still)


def _left_origin(y: Taylor, x: Taylor, still: Booleans) -> tuple[Taylor, Taylor]:
    """Both divided by t where both vanish, until none does: the angle is the same for t > 0."""
    while True:
        vanish = ~still & zero_mask(y.parts[0]) & zero_mask(x.parts[0])
        if not vanish.any():
            return y, x
        order = min(y.order, x.order)
        if order == 0:
            raise OrderExhausted("`atan2` at the origin: the direction is of a higher order in t")
        record.take_limit()
        y, x = (_over_t(each, vanish, order) for each in (y, x))


def _over_t(x: Taylor, vanish: Booleans, order: int) -> Taylor:
    """x / t where it vanishes, else x; a polynomial stays one, of one degree less."""
    parts = [np.where(vanish, part(x, k + 1), part(x, k)) for k in range(order)]
    degree = x.degrees()
    lowered = vanish & (degree > 0) & (degree < INFINITE)
    return Taylor(tuple(parts), order - 1, np.where(lowered, degree - 1, degree))


def _limits(y: Taylor, x: Taylor) -> Objects:
    """The angle for t -> 0+: minus pi where y rises to zero from below, x being negative."""
    values = _values(y.parts[0], x.parts[0])
    cut = np.asarray(zero_mask(y.parts[0]) & less_mask(x.parts[0], ZERO))
    if cut.any():
        below = cut.copy()
        below[cut] = decided(sign(y.at(cut)), "atan2", ties=True).negative
        values = values.copy()
        values[below] = np.negative(values[below])
    return values

"""One name after the other: which of the gradients that `backward` claims are proved.

A sum over all names says that some claim is wrong, not which. So each is asked by itself, and one
that is off may be off by no more than the rounding of a literal to float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from flint import arb

from harness.dtypes import FORMATS
from harness.model import Array
from harness.referee import HUGE, BallArray, Undecided
from harness.truth.balanced import Scale, agreement, total_along
from harness.truth.lifted import Lifted
from harness.truth.proof import Proof

TOO_WIDE = "the balls of `backward` are too wide to judge"
#: Digits of agreement beyond which a difference may be the rounding of a literal to float64.
CLOSE = 14.7
#: Where terms cancel, that rounding counts for more; with fewer digits than these, what is left
#: of them may as well be twice the truth.
LEAST = 8.0
CANCELLED = "proved different, but by no more than a rounded constant may be, since terms cancel"
#: Directions along which a difference has to be that small, and the bits by which an element may
#: be further off than along each of them, at odds of 2**-(TRIALS * (SLACK - 1)).
TRIALS, SLACK = 4, 5

Claims = Mapping[str, BallArray]
#: Along a direction: what `backward` says there, and the derivative; None where there is none.
Probe = Callable[[Mapping[str, BallArray]], tuple[Claims, arb | None]]


class Prover:
    """Asks `probe` about directions balanced by `scales`, at a precision of `bits`."""

    def __init__(
        self, lifted: Lifted, scales: Mapping[str, Scale], bits: int, probe: Probe
    ) -> None:
        self.lifted, self.scales, self.bits, self.probe = lifted, scales, bits, probe

    def direction(
        self, names: Sequence[str], about: str, among: Array | None = None
    ) -> dict[str, BallArray]:
        """A random direction of some names, balanced; `about` says for what."""
        rng = self.lifted.generator(about, str(self.bits))
        return {name: self.scales[name].direction(rng, among) for name in names}

    def verified(self, name: str, error: int) -> Proof:
        """What it means for one name that all agree but for `error`."""
        scale = self.scales[name]
        lacking = scale.lacking(error)
        if lacking > 0:
            digits = 0.0 if error == HUGE else scale.digits(error)
            return Proof("undecided", digits, error, lacking, TOO_WIDE)
        return Proof("verified", scale.digits(error), error)

    def alone(self, name: str) -> Proof:
        """The gradient of one name. Raises Undecided."""
        along = self.direction([name], f"alone/{name}")
        claims, truth = self.probe(along)
        if truth is None:
            return Proof("undecided", reason="no derivative along a random direction of it alone")
        error = agreement(claims, along, truth)
        return self._close(name) if error is None else self.verified(name, error)

    def _close(self, name: str) -> Proof:
        """Whether a gradient that is not the exact one is as near as the rounding of a constant
        brings it: relative to the size of each element, where many such errors add up like a random
        walk; where zero is claimed, by less than rounds to it."""
        scale, digits = self.scales[name], math.inf
        plain = ~(scale.zero | scale.void)
        walk = 10.0**-CLOSE * math.sqrt(plain.sum())
        for among, allowed in ((plain, walk), (scale.zero, 2.0 ** -(SLACK + 1))):
            if not among.any():
                continue
            worst = 0.0
            for trial in range(TRIALS):
                worst = max(worst, self._off(name, among, allowed, trial))
                if worst > allowed:
                    return Proof("wrong")
            if among is scale.zero:
                digits = min(digits, FORMATS[self.lifted.sample.dtype].digits)
            elif worst > 0:
                lost = (scale.size - scale.own)[plain].max(initial=0)
                digits = -(math.log2(worst) + SLACK + int(lost)) * math.log10(2)
                if digits < LEAST:
                    return Proof("undecided", reason=CANCELLED)
        return Proof("close", digits)

    def _off(self, name: str, among: Array, allowed: float, trial: int) -> float:
        """How far <claim, v> is from the truth along a direction of some elements. Raises Undecided
        where the balls do not tell whether it is more than `allowed`."""
        along = self.direction([name], f"close/{name}/{trial}", among)
        claims, truth = self.probe(along)
        off = abs(total_along(claims, along) - truth) if truth is not None else arb("nan")
        most = float(off.upper())
        if not (most <= allowed or off.lower() > allowed):
            raise Undecided(TOO_WIDE)
        return most

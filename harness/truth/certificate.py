"""Is the hand-written backward right? Not to a tolerance: proved wrong, or verified to N digits.

The truth comes from `forward` alone. Every differentiable input is moved along a random direction
`v` as a truncated Taylor series, `x + t v`, and so is every intermediate whose cotangent `backward`
names; FLINT's arithmetic then gives the derivative of <cotangent, outputs> along `v` with a proved
bound and no derivative rule in between. The backward, run in the same balls, claims that this is
<gradient, v>. Balls that do not meet prove it wrong; balls that meet verify it to as many digits as
they are narrow: each element by itself, since `v` is `balanced` by the claim. That is a handful of
passes, whatever the number of inputs.

The derivative is taken along +v and -v. Where the two differ there is a kink: no gradient exists,
and what a method may return lies between the one-sided derivatives of each element.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
from flint import arb

from harness import referee
from harness.dtypes import FORMATS
from harness.errors import Unsupported
from harness.model import Array, Sample
from harness.program import Program
from harness.referee import HUGE, BallArray, OrderExhausted, Undecided
from harness.truth.balanced import Scale, agreement, total_along
from harness.truth.lifted import BITS, MOST_BITS, Lifted

State = Literal["verified", "close", "wrong", "kink", "undecided"]

TOO_WIDE = "the balls of `backward` are too wide to judge"
#: Digits of agreement beyond which a difference may be the rounding of a literal to float64.
CLOSE = 14.7
#: Exponent of what is as good as zero, be it the radius of a ball.
TINY = -100
#: Bits from which on a NaN is believed to be the function's own.
SURE = 512
#: Where terms cancel, that rounding counts for more; with fewer digits than these, what is left
#: of them may as well be twice the truth.
LEAST = 8.0
CANCELLED = "proved different, but by no more than a rounded constant may be, since terms cancel"
#: Directions along which a difference has to be that small, and the bits by which an element may
#: be further off than along each of them, at odds of 2**-(TRIALS * (SLACK - 1)).
TRIALS, SLACK = 4, 5


class Numbers(Mapping[str, Array]):
    """Arrays by name, each made when it is first asked for: who wants the verdict alone does not
    wait for them. Pickled as a dict of arrays."""

    def __init__(self, makers: Mapping[str, Callable[[], Array]]) -> None:
        self._makers = makers
        self._found: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._found:
            self._found[name] = self._makers[name]()
        return self._found[name]

    def __contains__(self, name: object) -> bool:
        return name in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


@dataclass(frozen=True)
class Proof:
    """What was proved about the gradient of one name.

    state:   `verified`: each element to `digits` relative to itself, or known to round to the zero
             that it is; `close`: not the exact formula, yet the same to `digits`, as where a
             constant is written as a rounded decimal; `wrong`; `undecided`, for a `reason`.
    error:   exponent of the distance of each element from the truth in units of its size, see
             `balanced`; HUGE where nothing is known.
    lacking: bits of precision to ask again with; none if not positive.
    """

    state: State
    digits: float = 0.0
    error: int = HUGE
    lacking: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Certificate:
    """What was proved about a backward at one sample. Plain data, once it is pickled; until then
    its numbers are read from balls as they are asked for.

    state:         the worst of `proofs`, `remarks` left out; or `kink`: no derivative along a
                   random direction; or `undecided` as a whole.
    digits:        the fewest of any name, where the state is `verified` or `close`.
    reason:        why it is undecided, or `wrong` without a number that differs.
    values:        output or intermediate -> float64 midpoints of certified balls.
    gradients:     leaf path or intermediate -> float64 midpoints of what `backward` says, in balls;
                   certified truth where `trusts` says so.
    radii:         the same keys -> bounds of the distance of the true number from its midpoint.
    proofs:        leaf path or intermediate -> what is proved of its gradient, in the order of
                   `backward`; empty at a kink and where nothing is known of any.
    """

    state: State
    digits: float = 0.0
    bits: int = 0
    reason: str = ""
    values: Mapping[str, Array] = field(default_factory=dict)
    gradients: Mapping[str, Array] = field(default_factory=dict)
    radii: Mapping[str, Array] = field(default_factory=dict)
    proofs: Mapping[str, Proof] = field(default_factory=dict)

    @property
    def wrong(self) -> tuple[str, ...]:
        """Names whose gradient is proved wrong."""
        return tuple(name for name, proof in self.proofs.items() if proof.state == "wrong")

    @property
    def remarks(self) -> tuple[str, ...]:
        """Intermediates whose cotangent is proved to be another than what `backward` calls `d` and
        their name, though every gradient is right."""
        return self.wrong if self.state in ("verified", "close") else ()

    @property
    def right(self) -> tuple[str, ...]:
        """Names whose gradient is verified, whatever the others are."""
        return tuple(name for name, proof in self.proofs.items() if proof.state == "verified")

    def trusts(self, name: str) -> bool:
        """Whether the gradient of `name` is verified, so that others can be judged by it."""
        return name in self.right


def certify(program: Program, sample: Sample, wanted: Sequence[str] = ()) -> Certificate:
    """Certify the backward of `program` at the numbers of `sample`, in whatever dtype.

    `wanted` names intermediates whose values are to be certified too.

    Never raises for a case that balls cannot follow: the certificate is then `undecided`, with the
    reason. Exceptions of the case's own code pass through.
    """
    bits, numbered, last = BITS, False, Certificate("undecided", reason="not tried")
    try:
        lifted = Lifted(program, sample)
        while True:
            try:
                last = referee.with_precision(
                    lambda: _Attempt(lifted, bits, wanted, bits >= SURE).judged(),  # noqa: B023
                    bits,
                    numbered,
                )
            except OrderExhausted:  # more bits would not help
                raise
            except Undecided as error:
                lacking = bits
                if not last.wrong:
                    last = Certificate("undecided", bits=bits, reason=str(error))
                if not numbered:  # equal expressions, which no precision tells apart
                    numbered = True
                    continue
            else:
                lacking = max((each.lacking for each in last.proofs.values()), default=0)
            if lacking <= 0 or bits >= MOST_BITS:
                return last
            # What is lacking is known, unless a ball exploded: then its radius says nothing.
            bits = min(bits + 64 * math.ceil(lacking / 64), 4 * bits, MOST_BITS)
    except (OrderExhausted, Unsupported) as error:
        return Certificate("undecided", bits=bits, reason=str(error))


def certified_values(
    program: Program, sample: Sample, wanted: Sequence[str] = ()
) -> dict[str, tuple[Array, Array]]:
    """Midpoints and radii of outputs and wanted intermediates, for a case without a certificate;
    empty where balls cannot follow `forward`."""
    try:
        lifted = Lifted(program, sample)

        found = referee.with_precision_doubling(lambda: _values(lifted, wanted), BITS, MOST_BITS)
    except (Undecided, Unsupported):
        return {}
    return {name: (_midpoints(each), referee.radii(each)) for name, each in found.items()}


def _values(lifted: Lifted, wanted: Sequence[str]) -> dict[str, BallArray]:
    """Raises Undecided where a value is hardly known and more bits may help."""
    rest = lifted.moved({})
    if rest.narrow:
        return _rounded(lifted, wanted)
    found = lifted.values(wanted, rest.trace)
    if referee.precision() < SURE and any(_wide(each) for each in found.values()):
        raise Undecided("the ball of a value is too wide")
    return found


def _rounded(lifted: Lifted, wanted: Sequence[str]) -> dict[str, BallArray]:
    """Values as wide as casts to a narrower format make them. Raises Undecided where a decision
    hangs on how they round."""
    with referee.narrowing():
        trace = lifted.at_rest()
        if lifted.program.backward_stages is not None:
            lifted.claims(trace)
        return lifted.values(wanted, trace)


def _wide(values: BallArray, bits: int = 60) -> bool:
    return bool(_unknown(values, bits).any())


def _unknown(values: BallArray, bits: int = 10) -> Array:
    """Where a ball has fewer bits: of NaN and of exp(exp(100)) in 128 bits the midpoint means
    nothing. Zeros that terms of any usual size leave are known to less than TINY."""
    own, radius = referee.magnitudes(values)
    wide = np.asarray(radius > np.maximum(own - bits, TINY))
    far = own == HUGE - 1  # or beyond, so that the difference means nothing
    wide[far] = referee.relative_digits(values)[far] < bits * math.log10(2)
    return np.asarray((wide | (own == HUGE)) & (radius != -HUGE))  # an exact infinity is known


def _midpoints(values: BallArray) -> Array:
    """NaN for what is not known."""
    return np.where(_unknown(values), np.nan, referee.midpoints(values))


class _Attempt:
    """The certificate at one precision."""

    def __init__(self, lifted: Lifted, bits: int, wanted: Sequence[str], sure: bool) -> None:
        self.lifted, self.bits, self.wanted, self.sure = lifted, bits, wanted, sure
        rest = lifted.moved({})
        self.rest, self.enough = rest.trace, 60
        self.values = lifted.values(wanted, self.rest)
        if rest.narrow:
            self.values, self.enough = _rounded(lifted, wanted), 10
        self.claims = lifted.claims(self.rest)
        dtype = lifted.sample.dtype
        self.scales = {name: Scale.of(each, dtype, bits) for name, each in self.claims.items()}
        # What is not finite is judged apart: even zero times it spoils a sum.
        self.finite = {name: self.scales[name].finite(each) for name, each in self.claims.items()}

    def judged(self) -> Certificate:
        """Raises Undecided, OrderExhausted, and Unsupported as `Lifted` does."""
        along = self._direction(list(self.claims), "all")
        above, below = self.lifted.two_sided(along)
        if above.is_nan() or below.is_nan():
            reason = "a singularity, or the edge of the domain"
            if not self.sure:  # or a ball that is too wide to divide by
                raise Undecided(reason)
            return self._certificate("undecided", {}, reason)
        if not (above.is_finite() and below.is_finite() and above.overlaps(below)):
            return self._certificate("kink", {})
        error = agreement(self.finite, along, above)
        proofs = {
            name: self._alone(name) if error is None else self._verified(name, error)
            for name in self.claims
        }
        if error is None and all(each.state == "verified" for each in proofs.values()):
            raise Undecided(TOO_WIDE)  # some name is wrong; more bits tell which
        proofs |= {
            name: each for name, each in self._not_finite().items() if proofs[name].state != "wrong"
        }
        leaves = self.lifted.leaves
        states = {each.state for name, each in proofs.items() if name in leaves}
        if "wrong" not in states:
            # A local that is called `dq` may be meant to be something else.
            states |= {each.state for each in proofs.values()} - {"wrong"}
        state: State = "verified"
        for worse in ("close", "undecided", "wrong"):
            state = worse if worse in states else state
        reasons = [each.reason for each in proofs.values() if each.state == state]
        return self._certificate(state, proofs, next(iter(reasons), ""))

    def _certificate(
        self, state: State, proofs: Mapping[str, Proof], reason: str = ""
    ) -> Certificate:
        known = {name: each for name, each in self.values.items() if not _wide(each, self.enough)}
        radii = {name: partial(referee.radii, each) for name, each in known.items()} | {
            name: partial(self._radii, name, proofs[name].error if name in proofs else HUGE)
            for name in self.claims
        }
        proved = state in ("verified", "close")
        digits = [each.digits for each in proofs.values() if each.state != "wrong"]
        return Certificate(
            state,
            min(digits, default=math.inf) if proved else 0.0,
            self.bits,
            reason,
            Numbers({name: partial(referee.midpoints, each) for name, each in known.items()}),
            Numbers({name: partial(referee.midpoints, self.claims[name]) for name in self.claims}),
            Numbers(radii),
            proofs,
        )

    def _radii(self, name: str, error: int) -> Array:
        return referee.radii(self.claims[name]) + self.scales[name].bounds(error)

    def _direction(
        self, names: Sequence[str], about: str, among: Array | None = None
    ) -> dict[str, BallArray]:
        rng = self.lifted.generator(about, str(self.bits))
        return {name: self.scales[name].direction(rng, among) for name in names}

    def _verified(self, name: str, error: int) -> Proof:
        scale = self.scales[name]
        lacking = scale.lacking(error)
        if lacking > 0:
            digits = 0.0 if error == HUGE else scale.digits(error)
            return Proof("undecided", digits, error, lacking, TOO_WIDE)
        return Proof("verified", scale.digits(error), error)

    def _alone(self, name: str) -> Proof:
        """One bad name spoils the sum; here each by itself."""
        along = self._direction([name], f"alone/{name}")
        truth = self.lifted.derivative(along)
        if truth is None:
            return Proof("undecided", reason="no derivative along a random direction of it alone")
        error = agreement(self.finite, along, truth)
        return self._close(name) if error is None else self._verified(name, error)

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
        along = self._direction([name], f"close/{name}/{trial}", among)
        truth = self.lifted.derivative(along)
        off = abs(total_along(self.finite, along) - truth) if truth is not None else arb("nan")
        most = float(off.upper())
        if not (most <= allowed or off.lower() > allowed):
            raise Undecided(TOO_WIDE)
        return most

    def _not_finite(self) -> dict[str, Proof]:
        """Of the names with claims that are not finite, by these claims alone."""
        found = {}
        void = [name for name, scale in self.scales.items() if scale.void.any()]
        undefined = self.lifted.undefined(self.rest) if void else ()
        for name in void:
            if name not in undefined:
                found[name] = Proof("undecided", lacking=self.bits, reason=TOO_WIDE)
                continue
            there = self.scales[name].void
            rng = self.lifted.generator("void", name, str(self.bits))
            numbers = np.where(there, referee.mantissas(rng, there.shape), 0.0)
            if self.lifted.derivative({name: numbers}) is None:
                reason = "neither `backward` nor the derivative is finite"
                found[name] = Proof("undecided", reason=reason)
            else:
                reason = "`backward` is not finite where the derivative is"
                found[name] = Proof("wrong", reason=reason)
        return found

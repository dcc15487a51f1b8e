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
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from flint import arb

from harness import referee
from harness.errors import Unsupported
from harness.model import Array, Sample
from harness.programs.program import Program
from harness.referee import HUGE, BallArray, OrderExhausted, Undecided
from harness.truth.balanced import Scale, agreement
from harness.truth.choices import choices
from harness.truth.kink import Kink
from harness.truth.lifted import BITS, MOST_BITS, Lifted
from harness.truth.proof import Certificate, Numbers, Pieces, Proof, State
from harness.truth.prover import TOO_WIDE, Claims, Prover

#: Exponent of what is as good as zero, be it the radius of a ball.
TINY = -100
JUMP = "the function is not continuous here, and has no derivative; beside it `backward` is right"
EXECUTED = "the derivative of the branch that is executed, at a jump"
#: How far a number in balls may be from a subgradient, relative to it, and still be one: the pieces
#: are read as float64.
CORNER = 1e-12
#: Bits from which on a NaN is believed to be the function's own.
SURE = 512


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
        prover = Prover(self.lifted, self.scales, self.bits, self._probe)
        along = prover.direction(list(self.claims), "all")
        above, below, limit = self.lifted.two_sided(along)
        if above.is_nan() or below.is_nan():
            reason = "a singularity, or the edge of the domain"
            if not self.sure:  # or a ball that is too wide to divide by
                raise Undecided(reason)
            return self._certificate("undecided", {}, reason)
        if limit:
            try:
                return self._beside()
            except Undecided:
                if not self.sure:
                    raise
        if not (above.is_finite() and below.is_finite() and above.overlaps(below)):
            return self._certificate("kink", {}, "no derivative exists along a random direction")
        error = agreement(self.finite, along, above)
        proofs = {
            name: prover.alone(name) if error is None else prover.verified(name, error)
            for name in self.claims
        }
        if error is None and all(each.state == "verified" for each in proofs.values()):
            raise Undecided(TOO_WIDE)  # some name is wrong; more bits tell which
        proofs |= {
            name: each for name, each in self._not_finite().items() if proofs[name].state != "wrong"
        }
        return self._of_all(proofs)

    def _of_all(self, proofs: Mapping[str, Proof], pieces: Pieces | None = None) -> Certificate:
        """The worst of what is proved of the leaves: a local `dq` that is not the cotangent of `q`
        while all gradients are right may have been meant for something else."""
        leaves = [proofs[path] for path in self.lifted.leaves]
        state: State = "verified"
        for worse in ("close", "undecided", "wrong"):
            state = worse if any(each.state == worse for each in leaves) else state
        reasons = [each.reason for each in leaves if each.state == state]
        return self._certificate(state, proofs, next(iter(reasons), ""), pieces)

    def _beside(self) -> Certificate:
        """Where a limit was taken: the smooth pieces first, then what is said at the point."""
        kink = Kink(self.lifted, self.rest, self.claims, self.scales, self.bits)
        proofs, pieces = kink.proofs()
        if {proofs[path].state for path in self.lifted.leaves} & {"wrong", "undecided"}:
            return self._of_all(proofs, pieces)
        if not any(map(pieces.touches, self.lifted.leaves)):
            if pieces.jump:
                return self._certificate("undecided", proofs, JUMP, pieces)
            return self._of_all(proofs, pieces)
        numbers = {path: referee.midpoints(self.claims[path]) for path in self.lifted.leaves}
        if not all(np.all(np.isfinite(each)) for each in numbers.values()):
            wrong = Proof("wrong", reason="`backward` is not finite, as beside the kink it is")
            names = [name for name, each in numbers.items() if not np.all(np.isfinite(each))]
            return self._of_all({**proofs, **dict.fromkeys(names, wrong)}, pieces)
        pieces, beyond, surely = kink.nearest(pieces, numbers, CORNER)
        if not beyond:
            if pieces.jump:
                return self._certificate("undecided", proofs, JUMP, pieces)
            return self._certificate("kink", proofs, "", pieces)
        executed = choices(self.lifted, "rest") if pieces.jump else None
        if executed is not None and executed.reach(numbers, CORNER):
            return self._certificate("jump", proofs, EXECUTED, pieces)
        reached = choices(self.lifted, along=beyond)
        if reached is None or not reached.reach(numbers, CORNER):
            # What is valid is among what choices lead to: this is neither.
            wrong = Proof("wrong", reason="no subgradient at the kink, though right beside it")
            names = [name for name, each in beyond.items() if np.any(np.abs(each) > CORNER)]
            return self._of_all({**proofs, **dict.fromkeys(names, wrong)}, pieces)
        if not surely:
            reason = "more pieces may meet here than could be looked at"
            return self._certificate("undecided", proofs, reason, pieces)
        reason = "a choice for each operation by itself, and no joint subgradient"
        return self._certificate("convention", proofs, reason, pieces)

    def _probe(self, along: Mapping[str, BallArray]) -> tuple[Claims, arb | None]:
        return self.finite, self.lifted.derivative(along)

    def _certificate(
        self,
        state: State,
        proofs: Mapping[str, Proof],
        reason: str = "",
        pieces: Pieces | None = None,
    ) -> Certificate:
        known = {name: each for name, each in self.values.items() if not _wide(each, self.enough)}
        radii = {name: partial(referee.radii, each) for name, each in known.items()} | {
            name: partial(self._radii, name, proofs[name].error if name in proofs else HUGE)
            for name in self.claims
        }
        proved = state not in ("undecided", "wrong")
        return Certificate(
            state,
            min((proofs[path].digits for path in self.lifted.leaves if proofs), default=0.0)
            if proved
            else 0.0,
            self.bits,
            reason,
            Numbers({name: partial(referee.midpoints, each) for name, each in known.items()}),
            Numbers({name: partial(referee.midpoints, self.claims[name]) for name in self.claims}),
            Numbers(radii),
            proofs,
            pieces,
        )

    def _radii(self, name: str, error: int) -> Array:
        return referee.radii(self.claims[name]) + self.scales[name].bounds(error)

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

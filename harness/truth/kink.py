"""What holds beside a kink, where smooth pieces of a function meet.

Along a random direction the comparisons of equal numbers fall one way, and `forward` moves along
one smooth piece. `backward` on those moved numbers says, in the limit, what the gradient of that
piece is, whichever way it treats ties at the point itself; so each piece is verified as a smooth
point is. Every tie falls the other way along the opposite direction.

An element of the gradient may depend on no tie at all: then it is the same on every piece, and at
the point. That is proved, and not only seen on some pieces: with all ties left `open`, it still has
a narrow ball.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from flint import arb

from harness import referee
from harness.model import Array
from harness.programs.program import Trace
from harness.referee import HUGE, BallArray, OrderExhausted, Undecided
from harness.truth.balanced import Scale, agreement
from harness.truth.lifted import Lifted, Moved, as_balls
from harness.truth.proof import Pieces, Proof
from harness.truth.prover import TOO_WIDE, Claims, Probe, Prover

#: Pairs of opposite directions: to verify a backward with, where no pass with open ties tells what
#: depends on them, and to know the pieces with.
PAIRS, BLIND, MANY = 2, 8, 24
#: Numbers times pairs beyond which no more are taken than have to be.
AFFORDED = 150_000
#: Rounds of looking for the piece that holds a number, and what decides ties on the way there.
ROUNDS, TINY = 12, 2.0**-40
#: Bits that an element is known to if it depends on no tie.
NARROW = 40


@dataclass(frozen=True)
class Piece:
    """The piece that a direction enters: the gradient by `backward`, the values, and how far the
    one may be off, see `balanced`; None where it is wrong."""

    along: Mapping[str, BallArray]
    claims: Claims
    values: list[BallArray]
    error: int | None


class Kink:
    """The pieces at a sample where `backward` makes `claims`, of the `scales`, of a trace at
    `rest`. Every method raises Undecided and OrderExhausted."""

    def __init__(
        self, lifted: Lifted, rest: Trace, claims: Claims, scales: Mapping[str, Scale], bits: int
    ) -> None:
        self.lifted, self.rest, self.claims, self.bits = lifted, rest, claims, bits
        self.scales = _levelled(scales)
        self.rest_scales = scales
        self.pieces: list[Piece] = []

    def proofs(self) -> tuple[dict[str, Proof], Pieces]:
        """What is proved of each gradient beside the kink, and the pieces of those verified."""
        self._add(PAIRS)
        open_ = self._open()
        if open_ is None:
            self._add(BLIND)
        touched = {name: self._touched(name, open_) for name in self.claims}
        if any(each.any() for each in touched.values()):
            size = sum(each.size for each in touched.values())
            self._add(min(MANY, AFFORDED // max(size, 1)))
        proofs = self._alone()
        if not proofs:
            error = max(HUGE if each.error is None else each.error for each in self.pieces)
            proofs = {name: self._verified(name, error, touched[name]) for name in self.claims}
            proofs |= self._zeros(touched)
        right = [name for name, proof in proofs.items() if proof.state == "verified"]
        return proofs, self._seen({name: touched[name] for name in right})

    def nearest(
        self, pieces: Pieces, gradient: Mapping[str, Array], relative: float
    ) -> tuple[Pieces, dict[str, Array], bool]:
        """What `Pieces.beyond` says of a gradient that seems to be no subgradient, {} if it is one
        up to `relative`, and the pieces by which it does. The piece that parts it from those that
        were seen is looked for in the direction that does, and in the opposite one: of a convex or
        a concave function, no other can hold it."""
        for _ in range(ROUNDS):
            beyond, surely = pieces.beyond(gradient)
            if not any(np.any(np.abs(each) > relative) for each in beyond.values()):
                return pieces, {}, surely
            before = len(pieces.rows())
            self._enter(pieces, beyond)
            pieces = self._seen(pieces.touched)
            if len(pieces.rows()) == before:
                break
        return pieces, beyond, surely

    def _enter(self, pieces: Pieces, beyond: Mapping[str, Array]) -> None:
        along = {}
        for name, generic in self._direction(self.claims, f"near/{len(self.pieces)}").items():
            along[name] = generic * referee.lift(np.asarray(TINY))
            if name in beyond:
                size = np.abs(pieces.gradients[name]).max(axis=0)
                size = np.where(size > 0, size, 1.0)
                along[name] = along[name] + referee.lift(np.asarray(beyond[name] / size))
        for each in (along, {name: -each for name, each in along.items()}):
            piece = referee.with_order_raising(partial(self._piece, each))
            if piece.error is not None:
                self.pieces.append(piece)

    def _seen(self, touched: Mapping[str, Array]) -> Pieces:
        """The pieces so far, of the names of `touched`."""
        gradients = {
            name: np.array([referee.midpoints(each.claims[name]) for each in self.pieces])
            for name in touched
        }
        return Pieces(gradients, touched, self._jumps())

    def _direction(self, names: Iterable[str], about: str) -> dict[str, BallArray]:
        rng = self.lifted.generator(about, str(self.bits))
        return {name: self.scales[name].direction(rng) for name in names}

    def _add(self, pairs: int) -> None:
        """Pieces, until there are those of so many pairs of directions."""
        for index in range(len(self.pieces) // 2, pairs):
            along = self._direction(self.claims, f"piece/{index}")
            opposite = {name: -each for name, each in along.items()}
            for each in (along, opposite):
                self.pieces.append(referee.with_order_raising(partial(self._piece, each)))

    def _piece(self, along: Mapping[str, BallArray], order: int) -> Piece:
        moved = self.lifted.moved(along, 1, order)
        claims = self.lifted.limits(moved)
        error = agreement(claims, along, self.lifted.slope(moved.trace))
        if error == HUGE:
            raise Undecided(TOO_WIDE)
        values = [referee.value(as_balls(each)) for each in moved.trace.outputs]
        return Piece(along, claims, values, error)

    def _on(self, piece: Piece) -> Probe:
        """Along other directions w, but on one piece: f(x + t v + t**2 w) is on that which v
        enters, and coefficient 2 grows by its derivative along w."""

        def second(bend: Mapping[str, BallArray], order: int) -> arb:
            return self.lifted.slope(self.lifted.moved(piece.along, 1, order, bend=bend).trace, 2)

        straight = referee.with_order_raising(partial(second, {}), 2)

        def probe(along: Mapping[str, BallArray]) -> tuple[Claims, arb | None]:
            return piece.claims, referee.with_order_raising(partial(second, along), 2) - straight

        return probe

    def _open(self) -> Claims | None:
        """What `backward` says if ties are left open; None where it cannot be run then."""

        def attempt(order: int) -> Moved:
            return self.lifted.moved(along, 1, order)

        along = self._direction(list(self.claims), "open")
        try:
            with referee.tied("open"):
                return self.lifted.limits(referee.with_order_raising(attempt))
        except (Undecided, OrderExhausted):
            return None

    def _touched(self, name: str, open_: Claims | None) -> Array:
        """Where the gradient of a name depends on a tie, or may."""
        first = self.pieces[0].claims[name]
        others = [each.claims[name] for each in self.pieces[1:]] + [self.claims[name]]
        found = ~np.all([referee.overlap(first, each) for each in others], axis=0)
        if open_ is not None:
            (own, radius), (_, before) = map(referee.magnitudes, (open_[name], first))
            found |= ~referee.overlap(first, open_[name])
            found |= radius > np.maximum(own - NARROW, before + self.bits // 4)
        return np.asarray(found)

    def _alone(self) -> dict[str, Proof]:
        """Each name by itself, where the claims are not right about some piece; empty else."""
        proofs: dict[str, Proof] = {}
        for piece in self.pieces:
            if piece.error is None:
                dtype = self.lifted.sample.dtype
                scales = {
                    name: Scale.of(each, dtype, self.bits) for name, each in piece.claims.items()
                }
                prover = Prover(self.lifted, scales, self.bits, self._on(piece))
                for name in self.claims:
                    if name not in proofs or proofs[name].state == "verified":
                        proofs[name] = prover.alone(name)
        if proofs and all(each.state == "verified" for each in proofs.values()):
            raise Undecided(TOO_WIDE)  # some name is wrong; more bits tell which
        return proofs

    def _verified(self, name: str, error: int, touched: Array) -> Proof:
        """Of the least known element on any piece. Zeros are another matter: see `_zeros`."""
        digits, lacking = math.inf, 0
        for piece in self.pieces:
            scale = Scale.of(piece.claims[name], self.lifted.sample.dtype, self.bits)
            scale = replace(scale, size=self.scales[name].size)
            among = ~(scale.zero | (touched & scale.vague))
            digits = min(digits, scale.digits(error, among))
            lacking = max(lacking, scale.lacking(error, among))
        if lacking > 0:
            return Proof("undecided", digits, error, lacking, TOO_WIDE)
        return Proof("verified", digits, error)

    def _zeros(self, touched: Mapping[str, Array]) -> dict[str, Proof]:
        """What is wrong about elements that are zero on all pieces: they have to round to it."""
        among = {name: scale.zero & ~touched[name] for name, scale in self.rest_scales.items()}
        wrong: dict[str, Proof] = {}
        for piece in self.pieces[:2]:
            names = [name for name, each in among.items() if each.any() and name not in wrong]
            if names and self._off(piece, names, among):
                alone = [
                    name for name in names if len(names) == 1 or self._off(piece, [name], among)
                ]
                wrong |= dict.fromkeys(alone, Proof("wrong"))
        return wrong

    def _off(self, piece: Piece, names: Sequence[str], among: Mapping[str, Array]) -> bool:
        """Whether the derivative along the zeros `among` some names does not round to zero."""
        rng = self.lifted.generator("zeros", str(self.bits), *names)
        along = {name: self.rest_scales[name].direction(rng, among[name]) for name in names}
        claims, truth = self._on(piece)(along)
        assert truth is not None
        error = agreement(claims, along, truth)
        if error is not None and error > -2:
            raise Undecided(TOO_WIDE)
        return error is None

    def _jumps(self) -> bool:
        """Whether some output has another value on some piece than at the point."""
        here = [referee.value(as_balls(each)) for each in self.rest.outputs]
        return not all(
            bool(referee.overlap(a, b).all())
            for piece in self.pieces
            for a, b in zip(piece.values, here, strict=True)
        )


def _levelled(scales: Mapping[str, Scale]) -> dict[str, Scale]:
    """Beside the point a claim of zero, or one that is not finite, may be any number: it is asked
    for at the size of the others."""
    usual = {name: ~(scale.zero | scale.void) for name, scale in scales.items()}
    sizes = np.concatenate([scale.size[usual[name]].ravel() for name, scale in scales.items()])
    level = int(np.median(sizes)) if sizes.size else 0
    found = {}
    for name, scale in scales.items():
        none = np.zeros_like(scale.zero)
        own, size = (np.where(usual[name], each, level) for each in (scale.own, scale.size))
        found[name] = replace(scale, own=own, size=size, zero=none, void=none)
    return found

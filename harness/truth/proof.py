"""What can be proved about a backward at one sample, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from harness.model import Array
from harness.referee import HUGE
from harness.truth.subgradient import Hull

State = Literal["verified", "close", "kink", "convention", "jump", "undecided", "wrong"]


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
             constant is written as a rounded decimal; `wrong`; `undecided`, for a `reason`. At a
             kink, of the smooth pieces that meet there.
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
class Pieces:
    """The smooth pieces of a function that meet at a kink.

    gradients: leaf path or intermediate -> float64 array of shape (pieces, *shape): the gradient of
               each piece that was seen, certified.
    touched:   the same keys -> where the derivative depends on the piece.
    jump:      whether the function has another value on some piece than at the point.
    """

    gradients: Mapping[str, Array]
    touched: Mapping[str, Array]
    jump: bool = False

    def touches(self, name: str) -> bool:
        """Whether the gradient of `name` is another one on another piece."""
        return name not in self.touched or bool(np.any(self.touched[name]))

    def rows(self) -> Array:
        """The distinct pieces, one a row, as far as they are touched."""
        every = [self.gradients[name][:, each] for name, each in self.touched.items()]
        return np.unique(np.concatenate(every, axis=1), axis=0) if every else np.zeros((0, 0))

    def beyond(self, gradient: Mapping[str, Array]) -> tuple[dict[str, Array], bool]:
        """What is to be taken off the touched elements of a joint gradient of finite numbers to
        come to the nearest joint subgradient, relative to the size of each: by name, zero inside.
        And whether hardly another piece can be that was not seen."""
        names = [name for name in gradient if name in self.gradients and self.touches(name)]
        if not names:
            return {}, True
        rows = [self.gradients[name][:, self.touched[name]] for name in names]
        numbers = np.concatenate([gradient[name][self.touched[name]] for name in names])
        hull = Hull.of(np.concatenate(rows, axis=1))
        off, found, used = hull.beyond(numbers.astype(np.float64)), {}, 0
        for name in names:
            count = int(self.touched[name].sum())
            found[name] = np.zeros(gradient[name].shape)
            found[name][self.touched[name]] = off[used : used + count]
            used += count
        return found, hull.surely


@dataclass(frozen=True)
class Certificate:
    """What was proved about a backward at one sample. Plain data, once it is pickled; until then
    its numbers are read from balls as they are asked for.

    state:     the worst of `proofs`, where there is a derivative. At a kink of a backward that is
               right beside it: `kink` where what it says at the point is a joint subgradient,
               `convention` where only a choice operation by operation leads to it; `jump` where it
               is the derivative of a branch that is executed at the point alone. `undecided` as a
               whole where nothing is proved, and where the function is not continuous.
    digits:    the fewest of any name, where nothing is wrong or undecided.
    reason:    why it is undecided, or `wrong` without a number that differs.
    values:    output or intermediate -> float64 midpoints of certified balls.
    gradients: leaf path or intermediate -> float64 midpoints of what `backward` says, in balls;
               certified truth where `trusts` says so.
    radii:     the same keys -> bounds of the distance of the true number from its midpoint.
    proofs:    leaf path or intermediate -> what is proved of its gradient, in the order of
               `backward`; empty where nothing is known of any.
    pieces:    the gradients beside a kink; None where there is none, or nothing is known of it.
    """

    state: State
    digits: float = 0.0
    bits: int = 0
    reason: str = ""
    values: Mapping[str, Array] = field(default_factory=dict)
    gradients: Mapping[str, Array] = field(default_factory=dict)
    radii: Mapping[str, Array] = field(default_factory=dict)
    proofs: Mapping[str, Proof] = field(default_factory=dict)
    pieces: Pieces | None = None

    @property
    def wrong(self) -> tuple[str, ...]:
        """Names whose gradient is proved wrong."""
        return tuple(name for name, proof in self.proofs.items() if proof.state == "wrong")

    @property
    def remarks(self) -> tuple[str, ...]:
        """Intermediates whose cotangent is proved to be another than what `backward` calls `d` and
        their name, though every gradient is right."""
        return () if self.state in ("wrong", "undecided") else self.wrong

    @property
    def right(self) -> tuple[str, ...]:
        """Names whose gradient is verified, whatever the others are."""
        return tuple(name for name, proof in self.proofs.items() if proof.state == "verified")

    def trusts(self, name: str) -> bool:
        """Whether the gradient of `name` is verified and the only one, so that others can be judged
        by it."""
        return name in self.right and not (self.pieces and self.pieces.touches(name))

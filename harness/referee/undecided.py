"""What a ball cannot tell, and the two ways of asking again: more bits, or more coefficients.

Two balls that overlap are neither ordered nor equal, and a series whose known coefficients all
vanish has no known sign. Guessing there would make every later digit worthless (a `max` that picked
the wrong branch is proved to 30 digits, and wrong), so whoever needs such an answer raises
`Undecided`, and the caller repeats the whole computation with something finer. Of two numbers that
are equal by their making no precision tells it; there the second attempt is under value numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

from flint import ctx

from harness.errors import HarnessError
from harness.referee import names

T = TypeVar("T")


class Undecided(HarnessError):
    """A comparison that the precision at hand cannot decide; more bits may."""


class OrderExhausted(Undecided):
    """A truncated series whose known coefficients do not suffice; a higher order may.

    More bits never help: the coefficients that are known vanish exactly.
    """


def precision() -> int:
    """The working precision in bits."""
    return int(ctx.prec)


def with_precision(function: Callable[[], T], bits: int, numbered: bool = False) -> T:
    """`function()` at a working precision of `bits`, under value numbers if `numbered`; the
    precision before is restored."""
    before = ctx.prec
    ctx.prec = bits
    try:
        with names.numbered() if numbered else nullcontext():
            return function()
    finally:
        ctx.prec = before


def with_precision_doubling(function: Callable[[], T], start: int = 128, limit: int = 4096) -> T:
    """`function()` at `start` bits; after an `Undecided` again under value numbers, and then at
    twice as many bits after each, up to `limit`.

    The function has to lift its inputs itself: what was rounded at few bits stays rounded. Raises
    the last `Undecided` at `limit` bits, and `OrderExhausted` at once.
    """
    bits, numbered = start, False
    while True:
        try:
            return with_precision(function, bits, numbered)
        except OrderExhausted:
            raise
        except Undecided:
            if numbered:
                if bits >= limit:
                    raise
                bits = min(2 * bits, limit)
            numbered = True


def with_order_raising(function: Callable[[int], T], start: int = 1, limit: int = 8) -> T:
    """`function(order)` for `order` = start, start + 1, ... until no `OrderExhausted` is raised.

    Raises the last `OrderExhausted` at `limit`; `Undecided` for lack of bits passes through.
    """
    for order in range(start, limit):
        try:
            return function(order)
        except OrderExhausted:
            continue
    return function(limit)

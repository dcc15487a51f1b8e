"""What a pass had to do that its numbers do not show: take limits, or give up on a value.

At a kink, a jump or a removable singularity a series is asked for what it does next, and then the
pass along -v may differ from the mirror image of the pass along v, and plain balls from coefficient
0. Every other operation commutes with turning t round and acts on coefficient 0 as on plain balls.
So a pass that took no limit need not be run again, neither backwards nor standing still: two of the
three passes of a certificate. Whoever looks at a coefficient of t to choose a branch, a value or a
power of t calls `take_limit`.

A NaN may be the function's own (0/0) or only that of a ball too wide to divide by; the two look the
same. Under scrutiny, whoever makes one from finite balls calls `doubt` unless it is certain that
the function has no finite value for any point of its balls.

A cast to a narrower float format is part of what a program says, and yet no cotangent is divided by
its rounding: frameworks differentiate it as the identity, which it is here. Whether a comparison or
a jump hangs on the rounding shows within `narrowing`, where a cast gives the hull of all numbers
that it may round to, and nothing whose two branches overlap is decided.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal


class Record:
    """What happened since it was opened.

    limit:    a limit t -> 0+ was taken.
    doubt:    under scrutiny, a value was lost that a narrower ball or another algorithm may have.
    narrow:   numbers were cast to a narrower float format.
    infinity: under scrutiny, the sign of 1 / 0, as of a float zero that has one; otherwise 0.
    """

    __slots__ = ("doubt", "infinity", "limit", "narrow")

    def __init__(self, infinity: int = 0) -> None:
        self.limit = self.doubt = self.narrow = False
        self.infinity = infinity


_open: ContextVar[Record | None] = ContextVar("record", default=None)


@contextmanager
def recorded(scrutiny: int = 0) -> Iterator[Record]:
    """A record of the block; a limit or a doubt in it is known to the record around it, too.

    `scrutiny` is 0, or the sign that zeros are taken to have.
    """
    outer, record = _open.get(), Record(scrutiny)
    token = _open.set(record)
    try:
        yield record
    finally:
        _open.reset(token)
        if outer is not None:
            outer.limit |= record.limit
            outer.doubt |= record.doubt
            outer.narrow |= record.narrow


def take_limit() -> None:
    """A limit t -> 0+ is taken."""
    record = _open.get()
    if record is not None:
        record.limit = True


def doubt() -> None:
    """A value is lost for reasons that may be the balls' own."""
    record = _open.get()
    if record is not None:
        record.doubt = True


_narrowing: ContextVar[bool] = ContextVar("narrowing", default=False)


@contextmanager
def narrowing() -> Iterator[None]:
    """Within it, a cast to a narrower float format gives the hull of what it may round to."""
    token = _narrowing.set(True)
    try:
        yield
    finally:
        _narrowing.reset(token)


def narrows() -> bool:
    """Whether a cast gives the hull of what it may round to."""
    return _narrowing.get()


def narrow() -> None:
    """Numbers are cast to a narrower float format."""
    record = _open.get()
    if record is not None:
        record.narrow = True


#: How two numbers that are equal at t = 0 compare: as they do for t -> 0+, not at all, or as equal.
Ties = Literal["limit", "open", "rest"]
_ties: ContextVar[Ties] = ContextVar("ties", default="limit")


@contextmanager
def tied(ties: Ties) -> Iterator[None]:
    """Within it, numbers that are equal at t = 0 compare in this way.

    `open`: no branch is taken, and whatever depends on it is the hull of both: of all that a choice
    for each operation by itself can make of it. What stays narrow depends on no tie. `rest`: the
    branches that are executed at the point itself, as any framework does.
    """
    token = _ties.set(ties)
    try:
        yield
    finally:
        _ties.reset(token)


def ties() -> Ties:
    """How two numbers that are equal at t = 0 compare."""
    return _ties.get()


def scrutiny() -> int:
    """The sign of 1 / 0 under scrutiny, else 0."""
    record = _open.get()
    return 0 if record is None else record.infinity

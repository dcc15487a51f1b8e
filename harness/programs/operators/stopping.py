"""What is deliberately no part of a gradient: `xp.stop_gradient`.

A straight-through estimator is `x + xp.stop_gradient(xp.round(x) - x)`, a reversed gradient `2 *
xp.stop_gradient(x) - x`. Frameworks have such a function, and balls drop the higher coefficients of
a series. Numeric differences run `forward` at other points, where it would be seen to move: so the
values of the first run, at rest, are kept, and given again in every later one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from typing import Any


class _Frozen:
    """The values of one run, in the order in which they were stopped."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.runs, self.next = 0, 0

    def begin(self) -> None:
        """Another run of `forward` begins."""
        self.runs, self.next = self.runs + 1, 0

    def stopped(self, x: Any) -> Any:
        """The value at rest of what is the next to be stopped."""
        if self.runs == 1:
            self.values.append(copy(x))  # numeric differences move their arrays in place
            return x
        self.next += 1
        return self.values[self.next - 1] if self.next <= len(self.values) else x


_frozen: ContextVar[_Frozen | None] = ContextVar("frozen", default=None)


@contextmanager
def frozen() -> Iterator[None]:
    """Within, the first run of `forward` tells what `stop_gradient` gives in all of them; one
    inside another, as differences of differences make it, is the same."""
    token = _frozen.set(_frozen.get() or _Frozen())
    try:
        yield
    finally:
        _frozen.reset(token)


def begin() -> None:
    """Whoever runs `forward` says so first."""
    found = _frozen.get()
    if found is not None:
        found.begin()


def stop_gradient(_xp: Any, x: Any, /) -> Any:
    """`x`, as a constant: no gradient flows through it."""
    found = _frozen.get()
    return x if found is None else found.stopped(x)

"""The time of one call, which may be shorter than the clock can tell and vary more than it lasts.

So calls are timed in blocks of a millisecond or more, after a warm-up, and the blocks in *visits*:
short bursts, between which the other methods have theirs. Blocks of one burst share the frequency
of the processor and the neighbours on the machine, so a hundred of them are hardly more than one
observation. What is independent of each other, and so counted, are the visits.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

#: Seconds that a block lasts at least: 10^4 times what reading the clock takes.
BLOCK = 1e-3
#: Warm is what has not become faster by this part in so many blocks.
FASTER, BLOCKS = 0.05, 3

Clock = Callable[[], float]


class Stopwatch:
    """Times `call`, which returns when it has done its work; it raises whatever `call` raises.

    first:  seconds of the first call, which may compile.
    calls:  of a block.
    """

    def __init__(
        self, call: Callable[[], Any], budget: float, clock: Clock = time.perf_counter
    ) -> None:
        """Make the first call, then warm up for `budget` seconds at most, by the `clock`."""
        self._call, self._clock, self.calls = call, clock, 1
        self.first = self._block()
        self._warm_up(budget - self.first)

    def visit(self, seconds: float) -> tuple[float, int]:
        """Median of the seconds per call, of blocks that take `seconds` in all, and the number of
        calls it is made of; at least one block."""
        enabled = gc.isenabled()
        gc.disable()  # collecting is not the method's work
        try:
            times: list[float] = []
            while not times or sum(times) < seconds:
                times.append(self._block())
        finally:
            if enabled:
                gc.enable()
        # The first finds the caches full of what the others left; alone, it is what there is.
        kept = times[1:] or times
        return statistics.median(kept) / self.calls, len(kept) * self.calls

    def _block(self) -> float:
        call = self._call
        start = self._clock()
        for _ in range(self.calls):
            call()
        return self._clock() - start

    def _warm_up(self, budget: float) -> None:
        """Call until a block is long enough and no longer becomes faster, while there is time."""
        best, slower = float("inf"), 0
        while budget > 0 and slower < BLOCKS:
            taken = self._block()
            budget -= taken
            if taken < BLOCK:
                # Half as much again, since the next block will be faster than this one.
                self.calls = max(self.calls + 1, int(1.5 * self.calls * BLOCK / max(taken, 1e-7)))
                best, slower = float("inf"), 0
                continue
            each = taken / self.calls
            slower = slower + 1 if each > best * (1 - FASTER) else 0
            best = min(best, each)

"""Random directions that need not be kept: what a large gradient can be judged along.

A gradient of 1e7 numbers is known, if at all, by what it is along a few directions, and a direction
is as large as the gradient. So they travel as a name and are made one at a time, where somebody
sums along them; reference and method, in whatever process, then mean the same ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
#: Probability with which a wrong element is to be seen, in what a row says about it.
SEEN = 0.99


@dataclass(frozen=True)
class Slopes:
    """The derivatives <g, v> of <cotangents, outputs> along directions v of one array, g being its
    gradient: float64 `midpoints` of shape (k,), each within `radii` of the truth; NaN and infinity
    where one is unknown.

    Direction i depends on `seed`, the `name` of the array, its `shape` and i only.
    """

    name: str
    shape: tuple[int, ...]
    midpoints: Array
    radii: Array
    seed: int = 0

    @classmethod
    def empty(cls, name: str, shape: tuple[int, ...], count: int, seed: int = 0) -> Slopes:
        """Of `count` directions, none of them known yet."""
        return cls(name, shape, np.full(count, np.nan), np.full(count, np.inf), seed)

    def __len__(self) -> int:
        return len(self.midpoints)

    def direction(self, index: int) -> Array:
        """Odd multiples of 2**-10 between -1 and 1, so that a float64 gradient can be summed along
        it nearly exactly, and no element is left out."""
        rng = np.random.default_rng([self.seed, index, *self.name.encode()])
        numerators = rng.integers(-(2**9), 2**9, self.shape, dtype=np.int16)
        found = numerators.astype(np.float64)
        found *= 2.0**-9
        found += 2.0**-10
        return found

    def same_directions(self, other: Slopes) -> bool:
        """Whether direction i of both is the same, for every i."""
        mine, others = ((each.seed, each.name, each.shape) for each in (self, other))
        return mine == others

    def known(self) -> list[int]:
        """The directions along which something is known."""
        return np.flatnonzero(np.isfinite(self.midpoints) & np.isfinite(self.radii)).tolist()

    def seen(self, allowed: float, count: int) -> npt.NDArray[Any]:
        """How large the error of one element is at least that is seen with probability SEEN along
        one of `count` directions, each of which is compared to `allowed`: the number that an error
        is multiplied by is uniform in (-1, 1)."""
        return np.full(self.shape, allowed / (1 - SEEN) ** (1 / count))

    def power(self) -> str:
        """What these directions are good for, in words.

        One wrong element moves a slope by its error times a number that is uniform in (-1, 1), and
        a gradient of typical size s has slopes of s sqrt(n / 3).
        """
        known = self.known()
        if not known:
            return ""
        typical = math.sqrt(3 * float(np.mean(self.midpoints[known] ** 2)) / math.prod(self.shape))
        smallest = float(np.max(self.radii[known])) / (1 - SEEN) ** (1 / len(known))
        some = f"{len(known)} random direction{'s' if len(known) > 1 else ''}"
        if not 0 < smallest < typical:
            return f"{some}, too uncertain to show a single wrong element"
        return (
            f"{some}: an error of one part in {typical / smallest:.1g} in one typical element is "
            f"seen with probability {SEEN:g}"
        )


@dataclass(frozen=True)
class Scaled(Slopes):
    """Slopes along directions whose elements are multiplied by `scales`, of the array's shape:
    powers of two, 1 for all elements but those near an edge of the domain, which would keep the
    others from moving. An error in these is seen that much less, which the row says."""

    scales: Array = field(default_factory=lambda: np.ones(()))
    #: Not the same directions as the plain ones.
    seed: int = 1

    @classmethod
    def along(cls, name: str, scales: Array, count: int) -> Scaled:
        """Of `count` directions, none of them known yet."""
        return cls(name, scales.shape, np.full(count, np.nan), np.full(count, np.inf), 1, scales)

    def direction(self, index: int) -> Array:
        """As in Slopes, scaled."""
        found: Array = super().direction(index) * self.scales
        return found

    def same_directions(self, other: Slopes) -> bool:
        """As in Slopes."""
        return (
            isinstance(other, Scaled)
            and super().same_directions(other)
            and np.array_equal(self.scales, other.scales)
        )

    def seen(self, allowed: float, count: int) -> npt.NDArray[Any]:
        """As in Slopes."""
        found: npt.NDArray[Any] = super().seen(allowed, count) / self.scales
        return found

    def power(self) -> str:
        """As in Slopes; and by how much less is seen in the elements near an edge."""
        plain, few = super().power(), int(np.count_nonzero(self.scales < 1))
        if not few or not plain:
            return plain
        most = 1 / float(np.min(self.scales))
        return f"{plain}, or one up to {most:.0e} times as large in {few} near the domain's edge"

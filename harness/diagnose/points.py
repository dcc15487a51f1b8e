"""Where a backward is asked what it gives, and what it should give there.

What is true at one point may be true by accident, so there are several, with several cotangents.
The truth is the Jacobian of `forward` in ball arithmetic, a pass for each number of the inputs: its
transpose times any cotangents is the gradient. Second derivatives, two passes less one for each
number and direction, say how the gradient changes from a point to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from harness import referee
from harness.backends.manual import ManualBackend
from harness.dtypes import is_floating, locked
from harness.errors import Unsupported
from harness.model import Array, Sample
from harness.programs import trees
from harness.programs.program import Trace
from harness.programs.staging import StagedProgram
from harness.truth.lifted import BITS, Lifted, as_balls

#: The namespace in which a backward is run as it is.
NUMPY = ManualBackend().xp
#: Cotangents at each point: the sample's own and random ones.
COTANGENTS = 3
#: Numbers in the differentiable inputs beyond which no Jacobian is made.
MOST = 512
#: Passes of `forward` in balls that second derivatives may take.
PASSES = 1000


def elsewhere(sample: Sample, seed: int) -> Sample:
    """Another point of the same shapes, with other cotangents, by its seed.

    0, 1, 2: every floating number is moved by up to an eighth, a half or seven eighths of itself,
    and so keeps its sign; a zero is moved by as much of 1, since at a zero much is right by
    accident. 3: it is turned round besides, where the domain allows it: a mask may hide a fault as
    long as signs are what they were. From 4 on: it is drawn anew, of a size between a quarter and
    four times that of its array. From 3 on integers and masks change places. Not each of these
    points need lie where `forward` is defined.
    """
    rng = np.random.default_rng(seed)
    reach = (1 / 8, 1 / 2, 7 / 8)[seed % 3]

    def move(path: str, leaf: Array) -> Array:
        if not is_floating(leaf.dtype):
            return np.asarray(rng.permuted(leaf)) if seed >= 3 else leaf
        low, high = sample.domains.get(path, (-np.inf, np.inf))
        size = np.where(leaf == 0, 1, np.abs(leaf))
        moved = leaf + reach * rng.uniform(-1, 1, leaf.shape) * size
        if seed >= 3:
            other = -moved
            if seed > 3:
                typical = np.max(size, initial=0.0) * 4.0 ** rng.uniform(-1, 1)
                other = typical * rng.normal(size=leaf.shape)
            moved = np.where((low <= other) & (other <= high), other, moved)
        return np.asarray(np.clip(moved, low, high))

    return replace(
        sample,
        point=f"{sample.point} moved {seed}",
        inputs=dict(trees.map_with_path(move, sample.inputs)),
        cotangents=tuple(np.asarray(rng.normal(size=each.shape)) for each in sample.cotangents),
    )


@dataclass(frozen=True)
class Direction:
    """How fast inputs (by leaf path, the floating ones) and cotangents move."""

    leaves: Mapping[str, Array]
    cotangents: tuple[Array, ...]

    @classmethod
    def random(cls, sample: Sample, rng: np.random.Generator) -> Direction:
        """Each number moves by something like its own size."""

        def speed(array: Array) -> Array:
            size = np.abs(array) + 0.1 * np.max(np.abs(array), initial=0.0)
            # Few bits, so that products with them stay exact in balls.
            return np.asarray(np.round(rng.normal(size=np.shape(array)) * 64) / 64 * size)

        leaves = trees.flatten(sample.inputs)
        moving = {path: leaf for path, leaf in leaves.items() if is_floating(leaf.dtype)}
        return cls(
            {path: speed(leaf) for path, leaf in moving.items()},
            tuple(np.asarray(rng.normal(size=np.shape(each))) for each in sample.cotangents),
        )

    def flat(self, lifted: Lifted) -> Array:
        """The speeds of all leaves of `lifted`, in its order."""
        return _flat([self.leaves[path] for path in lifted.leaves])


class Point:
    """A sample, its trace on numpy, and the true derivatives of `forward` there.

    `jacobian` and the like are matrices: elements of all outputs by numbers of all differentiable
    inputs, each flattened in order. Raises what `forward` raises; Unsupported, Undecided where
    balls cannot follow, where it is at a kink, or where it has too many inputs.
    """

    def __init__(self, program: StagedProgram, sample: Sample) -> None:
        self.program, self.sample = program, sample
        self.inputs = locked_tree(sample.inputs)
        with np.errstate(all="ignore"):
            trace = program.forward(NUMPY, self.inputs)
        self.trace = Trace(
            trace.outputs, {name: locked_tree(each) for name, each in trace.saved.items()}
        )
        rng = np.random.default_rng(len(sample.point))
        others = COTANGENTS - 1 if sum(np.size(each) for each in sample.cotangents) > 1 else 0
        self.cotangents = [sample.cotangents] + [
            tuple(np.asarray(rng.normal(size=np.shape(each))) for each in sample.cotangents)
            for _ in range(others)
        ]

    @cached_property
    def _lifted(self) -> Lifted:
        """In balls, with every floating leaf free to move."""
        size = sum(np.size(leaf) for leaf in trees.variables(self.sample))
        if size > MOST:
            raise Unsupported(f"{size} numbers are too many for a Jacobian")
        leaves = trees.flatten(self.sample.inputs)
        floating = [path for path, leaf in leaves.items() if is_floating(leaf.dtype)]
        paths = dict.fromkeys([*self.sample.differentiable, *floating])
        return Lifted(self.program, replace(self.sample, differentiable=tuple(paths)))

    @cached_property
    def jacobian(self) -> Array:
        """The derivative of each output element with respect to each number."""
        axes = self._axes(self.sample.differentiable)
        return referee.with_precision(
            lambda: np.stack([self._along(each)[0] for each in axes], axis=1), BITS
        )

    def gradient(self, cotangents: Sequence[Array]) -> Array:
        """The true gradient, flat."""
        return np.asarray(self.jacobian.T @ _flat(cotangents))

    def bends(self, count: int) -> list[tuple[Direction, Array]]:
        """Up to `count` random directions, fewer where there are many inputs, each with the
        derivative of `jacobian` along it."""
        return referee.with_precision(lambda: self._bends(count), BITS)

    def _bends(self, count: int) -> list[tuple[Direction, Array]]:
        own = self._axes(self.sample.differentiable)
        free = self._axes(tuple(self._lifted.leaves))  # beginning with our own
        rng = np.random.default_rng(count)
        size, every = len(own), len(free)
        pairs = size * (2 * every - size + 1) // 2
        if pairs <= PASSES:
            directions = [Direction.random(self.sample, rng) for _ in range(count)]
            bent = np.einsum(
                "onf,df->don", self._hessian(own, free), [d.flat(self._lifted) for d in directions]
            )
            return list(zip(directions, bent, strict=True))
        directions = [
            Direction.random(self.sample, rng) for _ in range(min(count, PASSES // (2 * size)))
        ]
        curved = [self._along(each, 2)[0] for each in own]
        return [(each, self._bent(each, own, curved)) for each in directions]

    def _hessian(self, own: Sequence[dict[str, Array]], free: Sequence[dict[str, Array]]) -> Array:
        """Second derivatives of each output element, by polarization: the curvature along a sum
        less those along its terms."""
        curved = [self._along(each, 2)[0] for each in free]
        found = np.zeros((len(curved[0]), len(own), len(free)))
        for i, j in np.ndindex(len(own), len(free)):
            if i == j:
                found[:, i, j] = 2 * curved[i]
            elif j > i:
                both = self._along(_sum(own[i], free[j]), 2)[0]
                found[:, i, j] = both - curved[i] - curved[j]
                if j < len(own):
                    found[:, j, i] = found[:, i, j]
        return found

    def _bent(
        self, direction: Direction, own: Sequence[dict[str, Array]], curved: Sequence[Array]
    ) -> Array:
        alone = self._along(direction.leaves, 2)[0]
        return np.stack(
            [
                self._along(_sum(direction.leaves, axis), 2)[0] - alone - along_axis
                for axis, along_axis in zip(own, curved, strict=True)
            ],
            axis=1,
        )

    def _axes(self, paths: Sequence[str]) -> list[dict[str, Array]]:
        return [
            {path: referee.unit_direction(self._lifted.leaves[path].shape, index)}
            for path in paths
            for index in np.ndindex(self._lifted.leaves[path].shape)
        ]

    def _along(self, direction: Mapping[str, Array], power: int = 1) -> list[Array]:
        """Coefficients `power`, ... 1 of all output elements along a direction."""

        def run(order: int) -> list[Array]:
            moved = self._lifted.moved(direction, 1, order)
            if moved.limit:
                raise Unsupported("a kink, or a limit")
            outputs = [as_balls(each) for each in moved.trace.outputs]
            return [
                _flat([referee.midpoints(referee.coefficient(each, k)) for each in outputs])
                for k in range(power, 0, -1)
            ]

        found = referee.with_order_raising(run, power)
        if not all(np.all(np.isfinite(each)) for each in found):
            raise Unsupported("a derivative is not finite")
        return found


def _sum(one: Mapping[str, Array], other: Mapping[str, Array]) -> dict[str, Array]:
    return {
        path: one[path] + other[path] if path in one and path in other else each
        for path, each in {**one, **other}.items()
    }


def _flat(arrays: Sequence[Any]) -> Array:
    return np.concatenate([np.ravel(each).astype(np.float64) for each in arrays])


def locked_tree(tree: Any) -> Any:
    """The same with arrays that cannot be written to."""
    return trees.map_with_path(
        lambda _, leaf: locked(leaf) if isinstance(leaf, np.ndarray) else leaf, tree
    )

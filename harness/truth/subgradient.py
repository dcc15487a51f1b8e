"""Are some numbers a gradient at a kink? They are if they lie between those of the smooth pieces.

Clarke's subdifferential (Optimization and Nonsmooth Analysis, 1983, theorem 2.5.1) is the convex
hull of the limits of gradients beside the point, and of the gradient as a whole: for the maximum of
two equal numbers (1, 0), (0, 1) and all between, but not (1, 1), though each 1 occurs.

k independent ties have 2**k pieces, and some tens are seen. So the elements are taken apart into
groups that depend on different ties: two elements do if each value of one was seen with each of the
other. The hull of all is then the product of the hulls of the groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.model import Array

#: Relative difference up to which an element is the same on two pieces.
SAME = 1e-10
#: Odds at which the pieces seen may have missed one that matters.
ODDS = 1e-3


@dataclass(frozen=True)
class Hull:
    """The convex hull of gradients, one a row, by groups of independent elements.

    groups:    flat indices of the elements of each group.
    corners:   for each group, its distinct rows, relative to `size`.
    size:      the largest size of each element on any piece, or 1.
    surely:    whether hardly any other piece can be.
    """

    groups: list[Array]
    corners: list[Array]
    size: Array
    surely: bool

    @classmethod
    def of(cls, rows: Array) -> Hull:
        """Of `rows` of shape (pieces, elements), in pairs of opposite directions."""
        size = np.abs(rows).max(axis=0)
        size[size == 0] = 1.0
        relative = rows / size
        labels = np.stack([_labels(column) for column in relative.T], axis=1)
        patterns, node = np.unique(labels, axis=1, return_inverse=True)
        group = _joined(patterns)[node.ravel()]
        groups = [np.flatnonzero(group == each) for each in np.unique(group)]
        corners, surely = [], True
        for members in groups:
            _, first, count = np.unique(
                labels[:, members], axis=0, return_index=True, return_counts=True
            )
            corners.append(relative[first][:, members])
            surely &= bool(count.min() > 1)
        pairs = len(rows) // 2
        surely &= patterns.shape[1] ** 2 * 2.0 ** (1 - pairs) < ODDS
        return cls(groups, corners, size, surely)

    def beyond(self, numbers: Array) -> Array:
        """`numbers`, flat, minus the nearest point of the hull, relative to the size of each
        element: zero inside, and else the direction that parts the two."""
        from scipy.optimize import nnls  # a quarter of a second, for those at a kink

        wanted, found = numbers / self.size, np.zeros(len(numbers))
        for members, corners in zip(self.groups, self.corners, strict=True):
            # Weights that are not negative and, as the last equation says, add up to one.
            weight = 1e3 * np.sqrt(len(members))
            matrix = np.vstack([corners.T, np.full(len(corners), weight)])
            weights, _ = nnls(matrix, np.append(wanted[members], weight))
            found[members] = wanted[members] - corners.T @ weights
        return found


def _labels(column: Array) -> Array:
    """Numbers of the distinct values of an element, in the order in which pieces have them."""
    order = np.argsort(column, kind="stable")
    steps = np.diff(column[order]) > SAME
    ranks = np.empty(len(column), np.int64)
    ranks[order] = np.concatenate([[0], np.cumsum(steps)])
    _, first, inverse = np.unique(ranks, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse.ravel()])


def _joined(patterns: Array) -> Array:
    """The number of the group of each pattern: those are together of which some combination of
    values was not seen."""
    counts = patterns.max(axis=0) + 1
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    hot = np.zeros((int(counts.sum()), len(patterns)), np.int64)
    for index, start in enumerate(starts):
        hot[start + patterns[:, index], np.arange(len(patterns))] = 1
    together = hot @ hot.T
    least = np.minimum.reduceat(np.minimum.reduceat(together, starts, axis=0), starts, axis=1)
    linked = least == 0
    group = np.arange(len(counts))
    while True:  # each takes the least number among those that it is linked with
        lowest = np.where(linked, group, len(counts)).min(axis=1)
        smaller = np.minimum(group, lowest)
        if np.array_equal(smaller, group):
            return group
        group = smaller

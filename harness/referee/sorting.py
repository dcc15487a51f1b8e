"""Sorting: guess the order from midpoints, then prove it.

A sort that compared balls all along would pay 1 us per comparison, n log n times. The midpoints as
floats give the right order nearly always; n - 1 vectorised comparisons of neighbours prove it. Only
a row where that fails (ties, overlapping balls) is sorted by comparisons.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from typing import Any

import numpy as np

from harness.referee import compare
from harness.referee.array import BallArray, balls
from harness.referee.elements import Integers, floats_of, size_of
from harness.referee.reductions import axes_of, integers, lined_up
from harness.referee.taylor import INFINITE, Taylor


def _order(x: Taylor, descending: bool, ties: bool, name: str) -> Integers:
    """The stable order of a 1-d series."""
    series = Taylor(tuple(-part for part in x.parts), x.order, x.degree) if descending else x
    keys = floats_of(series.parts[0])
    guess = np.argsort(keys, kind="stable")
    lower = series.mapped(lambda each: each[guess[:-1]])
    upper = series.mapped(lambda each: each[guess[1:]])
    found = compare.signs(lower, upper)
    if not bool((~found.negative & ~found.zero).any()) and not _misplaced(found.zero, guess):
        return guess

    def order(i: int, j: int) -> int:
        pair = compare.signs(series.at(i), series.at(j))
        compare.decided(pair, name, ties=ties)
        return int(pair.positive) - int(pair.negative)

    return np.array(sorted(range(len(keys)), key=cmp_to_key(order)), np.int64)


def _misplaced(zero: Any, guess: Integers) -> bool:
    """Whether equal neighbours are out of their first order: their floats were not equal."""
    return bool((zero & (guess[:-1] > guess[1:])).any())


def _rows(x: BallArray, axis: int, descending: bool, ties: bool, name: str) -> Integers:
    (place,) = axes_of(axis, x.ndim)
    if not x.size:
        return np.zeros(x.shape, np.int64)
    rows = lined_up(x.series, (place,))
    flat = rows.mapped(lambda each: each.reshape(size_of(rows.shape[:-1]), rows.shape[-1]))
    found = [_order(flat.at(index), descending, ties, name) for index in range(flat.shape[0])]
    order = np.array(found, np.int64).reshape(rows.shape)
    return np.moveaxis(order, -1, place)


def argsort(
    x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> BallArray:
    """The indices that sort x for t -> 0+, stable. Raises Undecided, OrderExhausted."""
    return integers(_rows(balls(x), axis, descending, True, "argsort"))


def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> BallArray:
    """x sorted for t -> 0+. Raises Undecided."""
    array = balls(x)
    order = _rows(array, axis, descending, False, "sort")
    found = array.mapped(lambda each: np.take_along_axis(each, order, axis))
    if found.order is None:
        return found
    return BallArray(_inexact_ties(found.series, axis), found.dtype)


def _inexact_ties(x: Taylor, axis: int) -> Taylor:
    """Neighbours that are tied are each right to the known order, and none of them exact."""
    lower, upper = (
        x.mapped(lambda each, part=part: np.moveaxis(each, axis, -1)[..., part])  # type: ignore[misc]
        for part in (np.s_[:-1], np.s_[1:])
    )
    tied = compare.signs(lower, upper).tied
    if not tied.any():
        return x
    degree = x.degrees().copy()
    rows = np.moveaxis(degree, axis, -1)
    for part in (np.s_[:-1], np.s_[1:]):
        rows[..., part][tied] = INFINITE
    return Taylor(x.parts, x.order, degree)


def searchsorted(x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None) -> BallArray:
    """Where each of x2 would be put into the sorted 1-d array x1. Raises Undecided."""
    values, wanted = balls(x1), balls(x2)
    if sorter is not None:
        values = values[sorter]
    below = wanted[..., None] > values if side == "left" else wanted[..., None] >= values
    mask = below.decided("searchsorted")
    return integers(np.asarray(np.sum(mask, axis=-1, dtype=np.int64)))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (sort, argsort, searchsorted)
}

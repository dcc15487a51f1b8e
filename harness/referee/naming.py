"""How operations give names to what they make (`names`): a rule for each kind of operation.

An operation that has none leaves its results without names, and each gets one of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.referee import record
from harness.referee.elements import Booleans, Integers
from harness.referee.names import (
    Names,
    Table,
    pairs,
    sum_of_two,
    table,
    unnumbered,
)

if TYPE_CHECKING:
    from harness.referee.taylor import Taylor


def named(
    function: Callable[..., Taylor], rule: Callable[..., Integers] | None = None
) -> Callable[..., Taylor]:
    """Makes a function of each element of one or two series, broadcasting, give names to its
    results: by a `rule` of arithmetic, else by its own identity and the names of its operands."""

    def own(found: Table, *names: Integers) -> Integers:
        return found.each(function, names[0] if len(names) == 1 else pairs(*names))

    given = rule or own

    @wraps(function)
    def of(*operands: Taylor) -> Taylor:
        found = table()
        if found is None:
            return function(*operands)
        with unnumbered(), record.recorded(record.scrutiny()) as happened:
            result = function(*operands)
        names = [found.of(each) for each in operands]

        def applied(columns: list[Integers]) -> Integers:
            return given(found, *np.broadcast_arrays(*columns))

        rest = applied([each.rest for each in names])
        germ = rest
        if any(each.germ is not each.rest for each in names):
            germ = applied([each.germ for each in names])
        if happened.limit:  # the value hangs on more than the values of the operands
            rest = found.limit(germ)
        return found.given(result, germ, rest)

    return of


def named_sum(x: Taylor, result: Taylor, rows: Callable[[Any], Any]) -> Taylor:
    """`result`, the sums of x along the last axis of `rows` of it, with names."""
    found = table()
    if found is None:
        return result
    names = found.of(x)

    def totals(each: Integers) -> Integers:
        lined = rows(each)
        flat = lined.reshape(result.size, lined.shape[-1])
        if flat.shape[1] == 2:
            return sum_of_two(found, flat[:, 0], flat[:, 1]).reshape(result.shape)
        made = [found.sum(row) for row in flat.tolist()]
        return np.array(made, np.int64).reshape(result.shape)

    rest = totals(names.rest)
    return found.given(result, rest if names.germ is names.rest else totals(names.germ), rest)


def named_segments(rows: Taylor, result: Taylor, places: Integers) -> Taylor:
    """`result`, row i of which is the sum of the `rows` that go to the place i, with names."""
    found = table()
    if found is None:
        return result
    names = found.of(rows)

    def totals(each: Integers) -> Integers:
        made = np.zeros(result.shape, np.int64)
        for place in np.unique(places):
            columns = each[places == place].reshape(int(np.sum(places == place)), -1).T.tolist()
            made[place] = np.reshape([found.sum(column) for column in columns], made[place].shape)
        return made

    rest = totals(names.rest)
    return found.given(result, rest if names.germ is names.rest else totals(names.germ), rest)


def named_product(x: Taylor, y: Taylor, result: Taylor) -> Taylor:
    """`result`, the product of two matrices, with names."""
    found = table()
    if found is None:
        return result

    def products(a: Integers, b: Integers) -> Integers:
        known = found.known("vector")
        left, right = (
            np.array([known[tuple(row)] if any(row) else 0 for row in each.tolist()], np.int64)
            for each in (a, b.T)
        )
        i, j = np.broadcast_arrays(left[:, None], right[None, :])
        made = found.each("dot", pairs(np.minimum(i, j), np.maximum(i, j)))  # it commutes
        return np.where((i == 0) | (j == 0), 0, made)

    first, second = found.of(x), found.of(y)
    rest = products(first.rest, second.rest)
    still = first.germ is first.rest and second.germ is second.rest
    return found.given(result, rest if still else products(first.germ, second.germ), rest)


def named_whole(function: Callable[..., Taylor]) -> Callable[..., Taylor]:
    """Makes a function of whole arrays (a determinant) give names to the elements of its result: by
    its own identity and all elements of the operands."""

    @wraps(function)
    def of(*operands: Taylor) -> Taylor:
        found = table()
        if found is None:
            return function(*operands)
        with unnumbered(), record.recorded(record.scrutiny()) as happened:
            result = function(*operands)

        def made(columns: list[Integers]) -> Integers:
            shapes = tuple(each.shape for each in columns)
            whole = found.known(function)[shapes, *[each.tobytes() for each in columns]]
            places = np.arange(result.size).reshape(result.shape)
            return found.each("element", pairs(np.full_like(places, whole), places))

        names = [found.of(each) for each in operands]
        germ = made([each.germ for each in names])
        rest = found.limit(germ) if happened.limit else made([each.rest for each in names])
        return found.given(result, germ, rest)

    return of


def moved(arrays: Sequence[Taylor], function: Callable[[list[Any]], Any]) -> Names | None:
    """The names where elements of several arrays become one array; None where nobody wants them."""
    found = table()
    if found is None:
        return None
    names = [found.of(each) for each in arrays]
    rest = np.asarray(function([each.rest for each in names]))
    if all(each.germ is each.rest for each in names):
        return Names(rest, rest, found)
    return Names(np.asarray(function([each.germ for each in names])), rest, found)


def negated(x: Taylor, result: Taylor) -> Taylor:
    """`result`, which is minus x, with names."""
    found = table()
    if found is None:
        return result
    result.names = found.of(x).mapped(np.negative)
    return result


def at_rest(x: Taylor, result: Taylor) -> Taylor:
    """`result`, which is the value of x at t = 0, with names."""
    found = table()
    if found is not None:
        rest = found.of(x).rest
        result.names = Names(rest, rest, found)
    return result


def loosened(
    x: Taylor, result: Taylor, where: Booleans, same: tuple[Booleans, Booleans] | None = None
) -> Taylor:
    """`result`, which is x but, `where`, another function of t; of another value, too, but where
    the second of `same` says otherwise."""
    found = table()
    if found is None:
        return result
    names = found.of(x)
    germ, rest = names.germ.copy(), names.rest.copy()
    germ[where] = found.fresh(where)
    if same is not None:
        other = where & ~same[1]
        rest[other] = found.fresh(other)
    result.names = Names(rest if result.degree is None else germ, rest, found)
    return result

"""Every function against mpmath: value, first and second derivative; and the test tests itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flint import arb
from referee_table import TABLE, Entry, owner
from referee_truth import elements, holds, sharp, taylor_of

from harness import referee as r
from harness.errors import Unsupported
from harness.programs.namespace import LINALG, NAMES
from harness.referee.array import BallArray
from harness.referee.elements import boxed
from harness.referee.taylor import Taylor
from harness.referee.truth import Truth

BITS = 256
#: Relative size of a planted error: 2**-100, 25 digits beyond float64.
PLANTED = arb(2) ** -100


def outputs(result: Any) -> list[BallArray]:
    if isinstance(result, list | tuple):
        return [each for part in result for each in outputs(part)]
    return [result]


def draw(entry: Entry) -> tuple[list[Any], list[Any]]:
    rng = np.random.default_rng([ord(each) for each in entry.id])
    points = [rng.uniform(low, high, shape) for low, high, shape in entry.sides]
    return points, [r.dyadic_direction(rng, shape) for _, _, shape in entry.sides]


def mistakes(entry: Entry, xp: Any) -> list[str]:
    """What is wrong with the namespace's function at one random point and direction."""
    points, directions = draw(entry)
    truth = taylor_of(entry.truth, points, directions)

    def compute() -> list[str]:
        lifted = [r.lift_along(x, v, 2) for x, v in zip(points, directions, strict=True)]
        plain = [r.lift(x) for x in points]
        along, at = outputs(entry.ours(xp, *lifted)), outputs(entry.ours(xp, *plain))
        found = []
        for k in range(3):
            got = [ball for each in along for ball in elements(each, k)]
            if len(got) != len(truth[k]):
                return [f"{len(got)} elements, not {len(truth[k])}"]
            for ball, number in zip(got, truth[k], strict=True):
                if not holds(ball, number) or not sharp(ball):
                    found.append(f"coefficient {k}: {ball}, not {number}")
        got = [ball for each in at for ball in elements(each, 0)]
        for ball, number in zip(got, truth[0], strict=True):
            if not holds(ball, number) or not sharp(ball):
                found.append(f"plain value: {ball}, not {number}")
        return found

    return r.with_precision(compute, BITS)


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.id)
def test_values_and_derivatives(entry: Entry) -> None:
    assert mistakes(entry, r.xp) == []


def wrong(result: Any, k: int) -> Any:
    """The same result with coefficient k of every element slightly off."""
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return type(result)(*[wrong(each, k) for each in result])
    if isinstance(result, list | tuple):
        return type(result)(wrong(each, k) for each in result)
    if isinstance(result, Truth):
        return ~result
    parts = list(result.series.parts)
    if k >= len(parts):
        return result
    parts[k] = boxed(parts[k] * (1 + PLANTED) + PLANTED)
    return BallArray(Taylor(tuple(parts), result.series.order, result.series.degree), result.dtype)


@pytest.mark.parametrize("k", [0, 1, 2])
@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.id)
def test_a_planted_error_is_caught(entry: Entry, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    xp = r.namespace()
    space, last = owner(xp, entry.name)
    right = getattr(space, last)
    moved = 0

    def planted(*arguments: Any, **keywords: Any) -> Any:
        nonlocal moved
        result = right(*arguments, **keywords)
        moved += sum(
            k < len(each.series.parts) for each in outputs(result) if k and hasattr(each, "series")
        )
        return wrong(result, k)

    monkeypatch.setitem(space.__dict__, last, planted)
    found = mistakes(entry, xp)
    if k == 0 or moved:
        assert found


def test_the_table_is_complete() -> None:
    """No function of the standard that the namespace has is left out of this or another test."""
    tested = {entry.name for entry in TABLE}
    elsewhere = set(
        """
        all any count_nonzero nonzero searchsorted equal not_equal less less_equal greater
        greater_equal logical_and logical_or logical_xor logical_not signbit isfinite isinf isnan
        empty empty_like can_cast finfo iinfo isdtype result_type
        e pi inf nan newaxis linalg stop_gradient
        """.split()
    )
    dtypes = {
        "bool",
        "float32",
        "float64",
        *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)),
    }
    for name in NAMES - tested - elsewhere - dtypes:
        with pytest.raises(Unsupported, match=name):
            getattr(r.xp, name)
    for name in LINALG:
        if f"linalg.{name}" not in tested and name not in tested:
            with pytest.raises(Unsupported, match=name):
                getattr(r.xp.linalg, name)

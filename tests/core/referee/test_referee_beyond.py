"""Functions beyond the standard where balls do not do what floats do: no maximum, no overflow."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from referee_truth import elements, holds

from harness import referee as r
from harness.referee import xp

WIDE = [
    [0.0, 0.0, -1.0],
    [1e300, 1e300, -1e300],
    [-1e300, -1e300, 0.0],
    [800.0, -800.0, 3.0],
    [1e-300, 0.0, 0.0],
]


@pytest.mark.parametrize("x", WIDE)
def test_exponentials_of_any_size_and_with_ties(x: list[float]) -> None:
    v = np.array([1.0, -0.5, 0.25])
    with r.recorded() as record:
        along = r.lift_along(np.array(x), v, 1)
        found, logs, total = xp.softmax(along), xp.log_softmax(along), xp.logsumexp(along)
    assert not record.limit  # nothing is compared, and so no tie is left by one side
    top = max(x)
    with mpmath.workdps(700):
        powers = [mpmath.exp(mpmath.mpf(each) - mpmath.mpf(top)) for each in x]
        shares = [each / sum(powers) for each in powers]
        slope = sum(p * mpmath.mpf(d) for p, d in zip(shares, v, strict=True))
        log_total = mpmath.mpf(top) + mpmath.log(sum(powers))
        wanted = [
            (found, shares, [p * (mpmath.mpf(d) - slope) for p, d in zip(shares, v, strict=True)]),
            (
                logs,
                [mpmath.mpf(each) - log_total for each in x],
                [mpmath.mpf(d) - slope for d in v],
            ),
            (total, [log_total], [slope]),
        ]
    for result, values, slopes in wanted:
        for k, truth in enumerate((values, slopes)):
            for ball, number in zip(elements(result, k), truth, strict=True):
                assert ball.is_finite() and holds(ball, number)


def test_minus_infinity_is_a_probability_of_zero() -> None:
    x = r.lift_along(np.array([-np.inf, 1.0, 2.0]), np.array([0.0, 1.0, 0.0]), 1)
    found = xp.softmax(x)
    assert elements(found, 0)[0].is_zero() and elements(found, 1)[0].is_zero()
    assert r.midpoints(found)[1:] == pytest.approx([1 / (1 + np.e), np.e / (1 + np.e)])
    none = r.lift(np.array([-np.inf, -np.inf]))
    assert r.midpoints(xp.logsumexp(none)) == -np.inf
    assert r.midpoints(xp.logsumexp(r.lift(np.zeros((2, 0))), axis=1)).tolist() == [-np.inf] * 2


def test_a_segment_has_its_own_rows_only() -> None:
    data = r.lift(np.array([[np.nan], [2.0], [3.0], [5.0]]))
    found = xp.segment_sum(data, np.array([3, 0, 0, -1]), 4)
    assert r.midpoints(found)[:3].tolist() == [[5.0], [0.0], [0.0]]
    assert elements(found, 0)[3].is_nan()
    assert xp.segment_sum(r.lift(np.zeros((0, 2))), np.zeros(0, int), 3).shape == (3, 2)
    with r.numbered():
        x = xp.sin(r.lift_along(np.array([0.3, 0.7, 1.1]), np.ones(3)))
        one = xp.segment_sum(x, np.array([1, 1, 0]), 3)
        assert bool(xp.all(one == xp.stack([x[2], x[1] + x[0], 0 * x[0]])))


def test_written_elements_keep_their_names() -> None:
    with r.numbered():
        x = xp.sin(r.lift_along(np.array([0.3, 0.7, 1.1]), np.ones(3)))
        written = xp.set_at(x, 1, x[0])
        assert bool(written[1] == x[0]) and bool(written[2] == x[2])
        assert bool(xp.add_at(x, [0, 2], x[:2])[2] == x[1] + x[2])


def test_an_index_that_balls_do_not_know_is_undecided() -> None:
    one = r.with_precision(lambda: r.lift(np.int64(2**40 + 1)) + 1 - 2**40, 24)
    with pytest.raises(r.Undecided, match="integer"):
        r.lift(np.arange(3.0))[one]

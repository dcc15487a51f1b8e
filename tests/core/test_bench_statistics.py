"""What times say: intervals that cover, orders that are refused, exponents that are found."""

from __future__ import annotations

import math

import numpy as np
import pytest
from builders import numerical
from hypothesis import given
from hypothesis import strategies as st

from harness.model import TIMED, Status, Timing
from harness.studies.bench.growth import growth
from harness.studies.bench.rounds import compared
from harness.studies.bench.statistics import exponent, median_interval, told_apart

times = st.lists(st.floats(1e-7, 1e3), min_size=0, max_size=60)


@pytest.mark.parametrize(
    ("number", "rank"),
    # From the binomial distribution: 1 - 2 P(fewer than k heads in n) >= 0.95.
    [(6, 1), (8, 1), (9, 2), (11, 2), (12, 3), (20, 6), (100, 40)],
)
def test_the_interval_ends_at_the_ranks_of_the_tables(number: int, rank: int) -> None:
    observed = [float(each) for each in range(1, number + 1)]
    assert median_interval(observed) == (rank, number + 1 - rank)


@pytest.mark.parametrize("number", range(6))
def test_fewer_than_six_say_nothing_of_their_spread(number: int) -> None:
    assert median_interval([1.0] * number) == (0.0, math.inf)


@pytest.mark.parametrize("number", [6, 9, 14, 31])
def test_the_interval_covers_the_median_of_a_skewed_distribution(number: int) -> None:
    rng = np.random.default_rng([7, number])
    draws = 1 + rng.pareto(1.5, (4000, number))  # of infinite variance, as times are at worst
    median = 2 ** (1 / 1.5)
    intervals = [median_interval(draw.tolist()) for draw in draws]
    covered = np.mean([low <= median <= high for low, high in intervals])
    assert 0.94 <= covered <= 0.99  # 0.95 or more, less three standard errors of 4000 draws


@numerical
@given(times, st.randoms(use_true_random=False))
def test_the_interval_is_of_the_numbers_and_not_of_their_order(
    observed: list[float], random: object
) -> None:
    shuffled = list(observed)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    low, high = median_interval(observed)
    assert median_interval(shuffled) == (low, high)
    if len(observed) >= 6:
        assert {low, high} <= set(observed)
        assert low <= float(np.median(observed)) <= high


def timing(backend: str, observed: list[float], quantity: str = "gradient") -> Timing:
    low, high = median_interval(observed)
    median = float(np.median(observed))
    place = ("demo", "default", "float64", backend, quantity, TIMED, "n", 10.0)
    return Timing(*place, median, low, high, len(observed))


def seeded(seconds: float, spread: float, seed: int) -> list[float]:
    """Nine times, some by an interrupt longer than the others."""
    rng = np.random.default_rng(seed)
    return (seconds * (1 + spread * rng.exponential(size=9))).tolist()


def test_what_overlaps_has_no_ratio() -> None:
    found = compared([timing("a", seeded(1.0, 0.3, 1)), timing("b", seeded(1.02, 0.3, 2))])
    ratios = {each.backend: each.to_fastest for each in found}
    assert sorted(ratios.values())[0] == 1.0
    assert sum(math.isnan(each) for each in ratios.values()) == 1


def test_what_is_apart_has_a_ratio() -> None:
    slow, fast = timing("slow", seeded(2.0, 0.1, 1)), timing("fast", seeded(1.0, 0.1, 2))
    first, second = compared([slow, fast])
    assert first.to_fastest == slow.median / fast.median
    assert second.to_fastest == 1.0


def test_a_method_is_compared_with_its_own_value() -> None:
    group = [
        timing("a", seeded(1.0, 0.01, 1), "value"),
        timing("a", seeded(3.0, 0.01, 2)),
        timing("b", seeded(1.0, 0.01, 3), "value"),
        timing("b", seeded(1.0, 0.01, 4)),
    ]
    values = [each.to_value for each in compared(group)]
    assert math.isnan(values[0]) and math.isnan(values[2]) and math.isnan(values[3])
    assert values[1] == pytest.approx(3.0, rel=0.05)


def test_five_visits_are_never_compared() -> None:
    few = timing("few", [100.0] * 5)
    assert all(
        math.isnan(each.to_fastest)
        for each in compared([few, timing("many", [1.0] * 9)])
        if each.backend == "few"
    )


def test_what_failed_is_in_nobodys_way() -> None:
    failed = Timing("demo", "default", "float64", "a", "gradient", Status.CRASH)
    found = compared([failed, timing("b", [1.0] * 9)])
    assert math.isnan(found[0].to_fastest)
    assert found[1].to_fastest == 1.0


@numerical
@given(st.lists(st.floats(0.5, 2.0), min_size=18, max_size=18))
def test_a_ratio_is_given_exactly_where_no_number_is_in_both_intervals(
    observed: list[float],
) -> None:
    one, other = timing("a", observed[:9]), timing("b", observed[9:])
    slower = max(compared([one, other]), key=lambda each: each.median)
    common = max(one.low, other.low) <= min(one.high, other.high)
    assert told_apart((one.low, one.high), (other.low, other.high)) is not common
    assert math.isnan(slower.to_fastest) or slower.to_fastest == 1.0 or not common


@numerical
@given(st.floats(-3, 3), st.floats(1e-6, 1e3), st.integers(3, 8))
def test_an_exponent_is_found(power: float, factor: float, number: int) -> None:
    lengths = [10.0**each for each in range(1, number + 1)]
    found = exponent(lengths, [factor * each**power for each in lengths])
    assert found is not None
    assert found[0] == pytest.approx(power, abs=1e-9)
    assert found[1] < 1e-6


def test_what_a_call_costs_at_small_sizes_is_no_part_of_the_exponent() -> None:
    lengths = [10.0**each for each in range(1, 9)]
    seconds = [1e-4 + 1e-9 * each**2 for each in lengths]
    found = exponent(lengths, seconds)
    assert found is not None and found[0] == pytest.approx(2.0, abs=0.01)


def test_noise_shows_in_the_error_of_the_exponent() -> None:
    rng = np.random.default_rng(3)
    lengths = [2.0**each for each in range(8, 20)]
    off, total = [], 400
    for _ in range(total):
        noise = np.exp(0.2 * rng.normal(size=len(lengths)))
        found = exponent(lengths, (np.array(lengths) * noise).tolist())
        assert found is not None
        off.append(abs(found[0] - 1.0) / found[1])
    # Student's t with four degrees of freedom: 2.78 holds 95 % of it.
    assert 0.92 <= np.mean(np.array(off) < 2.78) <= 0.98


def test_two_sizes_have_no_exponent() -> None:
    assert exponent([1.0, 10.0], [1.0, 10.0]) is None
    assert exponent([1.0, 10.0, 10.0], [1.0, 10.0, 11.0]) is None


def test_growth_is_of_one_method_and_quantity_along_one_axis() -> None:
    def at(length: float, backend: str, seconds: float, axis: str = "n") -> Timing:
        place = ("demo", f"n={length:g}", "float64", backend, "gradient", TIMED, axis, length)
        return Timing(*place, seconds)

    lengths = (10.0, 100.0, 1000.0)
    lines = [at(each, "a", each) for each in lengths] + [at(each, "b", 2.0) for each in lengths]
    lines += [at(each, "c", each, axis="") for each in lengths] + [at(10.0, "d", 1.0)]
    found = {each.backend: each.exponent for each in growth(lines)}
    assert found == {"a": pytest.approx(1.0), "b": pytest.approx(0.0)}

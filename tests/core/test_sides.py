"""Derivatives from `forward` alone: true where there are some, and None where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from builders import program_from, sample_for

from harness.truth.lifted import Lifted
from harness.truth.sides import AXES, Sides, along_axes, random_slopes, sampled_axes

N = 200
NORM = """
def forward(xp, x, w):
    a = xp.exp(x) * w
    f = xp.sum(xp.sqrt(a * a + 1)) + xp.sum(xp.abs(x)) / 2
    return f
"""


def demo(zero: bool = False, text: str = NORM) -> tuple[object, object, dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(10, N // 10)), rng.normal(size=(10, N // 10))
    if zero:
        x[3, 4] = 0.0
    program = program_from(text)
    sample = sample_for(program, {"x": x, "w": w}, cotangents=(np.array(1.5),))
    a = np.exp(x) * w
    da = 1.5 * a / np.sqrt(a * a + 1)
    truth = {"a": da, "x": da * a + 0.75 * np.sign(x), "w": da * np.exp(x)}
    return program, sample, truth


@pytest.mark.parametrize("name", ["x", "w", "a"])
def test_chosen_elements_of_a_large_array_have_their_derivatives(name: str) -> None:
    program, sample, truth = demo()
    indices = [0, 77, N - 1, 77]
    assert along_axes(program, sample, name) is None
    assert N > AXES
    sides = sampled_axes(program, sample, name, indices)
    assert isinstance(sides, Sides)
    assert sides.smooth
    np.testing.assert_allclose(sides.middle, truth[name].ravel()[indices], rtol=1e-14)
    assert np.all(sides.radius < 1e-15 * np.maximum(np.abs(sides.middle), 1e-3))


def test_a_kink_shows_at_its_own_element_only() -> None:
    program, sample, truth = demo(zero=True)
    place = 3 * (N // 10) + 4
    sides = sampled_axes(program, sample, "x", [place, place + 1])
    assert sides is not None
    smooth = truth["x"].ravel()
    np.testing.assert_allclose(sides.left, [smooth[place] - 0.75, smooth[place + 1]], rtol=1e-14)
    np.testing.assert_allclose(sides.right, [smooth[place] + 0.75, smooth[place + 1]], rtol=1e-14)


@pytest.mark.parametrize("name", ["x", "w", "a"])
def test_the_slopes_along_random_directions_are_those_of_the_gradient(name: str) -> None:
    program, sample, truth = demo()
    slopes = random_slopes(program, sample, name, 3)
    assert slopes is not None
    directions = np.array([slopes.direction(index) for index in range(3)])
    assert directions.shape == (3, 10, N // 10)
    assert np.all((directions != 0) & (np.abs(directions) < 1))
    found = np.sum(directions * truth[name], axis=(1, 2))
    np.testing.assert_allclose(slopes.midpoints, found, rtol=1e-12)
    assert np.all((slopes.radii > 0) & (slopes.radii < 1e-12))
    wrong = truth[name].copy()
    wrong[2, 3] *= 1 + 1e-6
    off = np.abs(np.sum(directions * wrong, axis=(1, 2)) - slopes.midpoints)
    assert np.all(off > 1e3 * slopes.radii)


def test_the_directions_depend_on_the_seed_the_name_and_the_place_only() -> None:
    program, sample, _ = demo()
    one, more = (random_slopes(program, sample, "x", count) for count in (1, 2))
    other, elsewhere = (
        random_slopes(program, sample, "x", 1, seed=1),
        random_slopes(program, sample, "w", 1),
    )
    assert one and more and other and elsewhere
    np.testing.assert_array_equal(one.direction(0), more.direction(0))
    assert one.midpoints[0] == more.midpoints[0]
    for each in (more.direction(1), other.direction(0), elsewhere.direction(0)):
        assert np.any(each != one.direction(0))


def test_at_a_kink_a_slope_is_whatever_choices_make_of_it() -> None:
    """The slopes along both sides of the direction, and all between."""
    program, sample, _ = demo(zero=True)
    slopes = random_slopes(program, sample, "x", 1)
    assert slopes is not None
    above, below, limit = Lifted(program, sample).two_sided({"x": slopes.direction(0)})
    assert limit
    assert not above.overlaps(below)
    for each in (above, below):
        assert abs(float(each) - slopes.midpoints[0]) <= slopes.radii[0]
    elsewhere = random_slopes(program, sample, "w", 1)
    assert elsewhere is not None
    assert elsewhere.radii[0] < 1e-12


@pytest.mark.parametrize("line", ["u, s, v = xp.linalg.svd(x)", "s = xp.sqrt(0 * x)"])
def test_where_balls_cannot_follow_there_is_nothing(line: str) -> None:
    text = f"def forward(xp, x, w):\n    {line}\n    f = xp.sum(s) + xp.sum(w)\n    return f\n"
    program, sample, _ = demo(text=text)
    if "svd" in line:
        assert sampled_axes(program, sample, "x", [0]) is None
        assert random_slopes(program, sample, "x", 1) is None
        assert along_axes(program, sample, "x") is None
    else:  # an exact zero stands still: its root does, too
        slopes = random_slopes(program, sample, "x", 1)
        assert slopes is not None
        assert slopes.midpoints.tolist() == [0.0]
        assert slopes.radii.tolist() == [0.0]

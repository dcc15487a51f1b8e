"""Certified JVPs and HVPs: against exact arithmetic and differences, and where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from builders import numerical, program_from, sample_for
from hypothesis import given
from hypothesis import strategies as st

from harness.backends.numeric import NumericBackend
from harness.cases.case import load
from harness.cases.registry import builtin_folder
from harness.cases.sampling import draw_sample
from harness.model import Array, Sample, Task
from harness.programs.program import Program
from harness.truth import directional
from harness.truth.certificate import certify
from harness.truth.directional import Directional
from harness.truth.sides import AXES, Sides

CASES = sorted(file.stem for file in builtin_folder().glob("*.yaml"))


def moved(program: Program, inputs: dict[str, Any], tangents: dict[str, Any]) -> Sample:
    arrays = {path: np.asarray(each, np.float64) for path, each in tangents.items()}
    return replace(sample_for(program, inputs), tangents=arrays)


def one(body: str, x: Any, v: Any, backward: str = "") -> tuple[Program, Sample]:
    """`f = body` at `x` along `v`."""
    text = f"def forward(xp, x):\n    f = {body}\n    return f\n"
    if backward:
        text += f"\ndef backward(xp, df, x):\n    dx = {backward}\n    return dx\n"
    program = program_from(text)
    with np.errstate(all="ignore"):
        return program, moved(program, {"x": np.asarray(x, np.float64)}, {"x": v})


def close(sides: Sides, truth: Any) -> None:
    """Equal to the last bit or two, and the radius says so."""
    truth = np.asarray(truth, np.float64)
    assert sides.smooth
    assert sides.left.shape == sides.right.shape == sides.radius.shape == truth.shape
    assert np.all(np.abs(sides.middle - truth) <= sides.radius + 2.0**-53 * np.abs(truth))
    assert np.all(sides.radius <= 2.0**-52 * np.abs(truth) + 1e-30)


Terms = Mapping[tuple[int, int], int]


def polynomial(terms: Terms, order: tuple[int, int], x: Fraction, y: Fraction) -> Fraction:
    """A derivative of `sum c x**i y**j`, exactly."""

    def power(base: Fraction, exponent: int, times: int) -> Fraction:
        factor = 1
        for _ in range(times):
            factor, exponent = factor * exponent, exponent - 1
        return factor * base**exponent if factor else Fraction(0)

    total = Fraction(0)
    for (i, j), c in terms.items():
        total += c * power(x, i, order[0]) * power(y, j, order[1])
    return total


BACKWARDS = {
    "none": "",
    "right": "return {'x': df * (A), 'y': df * (B)}",
    "wrong": "return {'x': df * (A), 'y': df * (B) * 2}",
    "off balls": "return {'x': df * (A), 'y': df * (B) + 0 * xp.fft.fft(y)}",
}


@pytest.mark.parametrize("kind", BACKWARDS)
@numerical
@given(
    terms=st.dictionaries(
        st.tuples(st.integers(0, 4), st.integers(0, 4)), st.integers(-9, 9), min_size=1, max_size=6
    ),
    numbers=st.lists(st.integers(-20, 20).map(lambda n: n / 8), min_size=4, max_size=4),
)
def test_random_polynomials(
    kind: str, terms: dict[tuple[int, int], int], numbers: list[float]
) -> None:
    def text(dx: int, dy: int) -> str:
        parts = ["0.0 * x * y"]
        for (i, j), c in terms.items():
            factor = c * (i if dx else 1) * (j if dy else 1)
            if factor:
                parts.append(f"{factor} * x**{i - dx} * y**{j - dy}")
        return " + ".join(parts)

    code = f"def forward(xp, x, y):\n    f = {text(0, 0)}\n    return f\n"
    if BACKWARDS[kind]:
        body = BACKWARDS[kind].replace("A", text(1, 0)).replace("B", text(0, 1))
        code += f"\ndef backward(xp, df, x, y):\n    {body}\n"
    program = program_from(code)
    x, y, v, w = numbers
    sample = moved(program, {"x": np.array([x]), "y": np.array([y])}, {"x": [v], "y": [w]})
    sample = replace(sample, cotangents=(np.array([-1.5]),))
    exact = [Fraction(number) for number in numbers]
    d = {
        order: float(polynomial(terms, order, *exact[:2]))
        for order in ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
    }
    jvp = directional.jvp(program, sample)
    close(jvp.sides["f"], [d[1, 0] * v + d[0, 1] * w])
    hvp = directional.hvp(program, sample)
    close(hvp.sides["x"], [-1.5 * (d[2, 0] * v + d[1, 1] * w)])
    close(hvp.sides["y"], [-1.5 * (d[1, 1] * v + d[0, 2] * w)])


@pytest.mark.parametrize("name", CASES)
def test_numeric_differences_agree_on_every_case(name: str) -> None:
    case = load(builtin_folder() / f"{name}.yaml")
    sample = draw_sample(case, "draw0", "default", "float64")
    numeric = NumericBackend()
    for mode, find in (("jvp", directional.jvp), ("hvp", directional.hvp)):
        truth = find(case.program, sample)
        assert truth.sides, truth.reason
        found = numeric.differentiate(case.program, sample, Task(mode))
        got = found.jvps | found.hvps
        assert got.keys() == truth.sides.keys()
        for key, sides in truth.sides.items():
            assert sides.smooth
            error = np.abs(got[key] - sides.middle)
            assert np.all(error <= found.uncertainty[key] + sides.radius + 1e-15)
            largest = np.max(np.abs(sides.middle), initial=0.0)
            assert np.all(error <= 1e-6 * largest + 1e-9)


@pytest.mark.parametrize("name", CASES)
def test_the_backward_of_every_case_runs_in_series(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So its HVP is certified however many elements there are."""

    def alone(*_: Any) -> Any:
        raise AssertionError("element by element")

    monkeypatch.setattr(directional._Lines, "_element_by_element", alone)
    case = load(builtin_folder() / f"{name}.yaml")
    sample = draw_sample(case, "draw0", "default", "float64")
    assert directional.hvp(case.program, sample).sides


def test_a_backward_that_is_right_at_the_point_alone() -> None:
    program, sample = one("x * x * x / 3", [1.0, 2.0], [0.75, -0.5], "df * xp.where(x < 2, x, x*x)")
    assert certify(program, sample).state == "verified"
    close(directional.hvp(program, sample).sides["x"], [2 * 1.0 * 0.75, 2 * 2.0 * -0.5])
    many = np.ones(AXES + 1)
    program, sample = one("x * x * x / 3", many, many, "df * x")
    assert certify(program, sample).state == "verified"
    found = directional.hvp(program, sample)
    assert not found.sides
    assert not found.kink
    assert "proved wrong" in found.reason
    program, sample = one("x * x * x / 3", many, many, "df * x * x")
    close(directional.hvp(program, sample).sides["x"], 2 * many)


def test_without_a_backward_many_elements_are_too_many() -> None:
    many = np.ones(AXES + 1)
    program, sample = one("x * x", many, many)
    assert "no `backward`" in directional.hvp(program, sample).reason
    close(directional.jvp(program, sample).sides["f"], 2 * many)


def test_the_precision_is_raised_until_there_are_digits() -> None:
    scale = 2.0**200
    program, sample = one(
        f"xp.sin({scale!r} * x)", [0.3], [1.0], f"df * {scale!r} * xp.cos({scale!r} * x)"
    )
    with mpmath.workdps(200):
        angle = mpmath.mpf(scale) * mpmath.mpf(0.3)
        first = float(mpmath.mpf(scale) * mpmath.cos(angle))
        second = float(-(mpmath.mpf(scale) ** 2) * mpmath.sin(angle))
    close(directional.jvp(program, sample).sides["f"], [first])
    close(directional.hvp(program, sample).sides["x"], [second])


def test_what_vanishes_by_cancellation_is_zero() -> None:
    x, v = [0.3, -0.7], [1.25, 0.4]
    program, sample = one("xp.sin(x)**2 + xp.cos(x)**2", x, v, "0.0 * df + xp.log(xp.exp(x)) - x")
    for found in (directional.jvp(program, sample), directional.hvp(program, sample)):
        (sides,) = found.sides.values()
        assert np.all(np.abs(sides.middle) + sides.radius < 1e-30)


def sides(body: str, x: Any, v: Any) -> tuple[list[float], list[float]]:
    found = directional.jvp(*one(body, x, v)).sides["f"]
    return found.left.tolist(), found.right.tolist()


def test_a_jvp_at_a_kink_has_two_sides() -> None:
    assert sides("xp.abs(x)", [0.0, 2.0], [3.0, 3.0]) == ([-3.0, 3.0], [3.0, 3.0])
    assert sides("xp.maximum(x, 0.0)", [0.0, 0.0], [2.0, -2.0]) == ([0.0, -2.0], [2.0, 0.0])
    assert sides("xp.sqrt(xp.sum(x * x))", [0.0, 0.0], [3.0, 4.0]) == (-5.0, 5.0)
    inf, nan = np.inf, np.nan
    np.testing.assert_equal(sides("xp.sqrt(x)", [0.0, 0.0], [1.0, -1.0]), ([nan, -inf], [inf, nan]))
    np.testing.assert_equal(sides("xp.log(x)", [0.0, 1.0], [1.0, 1.0]), ([nan, 1.0], [inf, 1.0]))
    np.testing.assert_equal(
        sides("xp.sign(x) * xp.pow(xp.abs(x), 1 / 3)", [0.0], [-1.0]), ([-inf], [-inf])
    )


@pytest.mark.parametrize(
    ("body", "x"),
    [
        ("xp.abs(x)", 0.0),
        ("xp.maximum(x, 0.0)", 0.0),
        ("x * xp.abs(x)", 0.0),
        ("xp.floor(x)", 2.0),
        ("xp.sqrt(x)", 0.0),
        ("xp.pow(xp.abs(x), 1.5)", 0.0),
        ("xp.log(x)", -1.0),
    ],
)
def test_no_hvp_where_the_gradient_has_no_derivative(body: str, x: float) -> None:
    for backward in ("", "0.0 * df * x"):
        found = directional.hvp(*one(body, [x, 0.5], [1.5, 0.0], backward))
        assert found.kink
        assert found.reason
        assert not found.sides
    if "floor" not in body:
        assert not directional.hvp(*one(body, [0.5, 0.75], [1.5, 1.0])).kink


def test_a_second_derivative_at_a_point_that_looks_like_a_kink() -> None:
    close(directional.hvp(*one("xp.abs(x) ** 3", [0.0], [1.0])).sides["x"], [0.0])
    text = "xp.where(x == 0, xp.ones_like(x), xp.sin(x) / xp.where(x == 0, xp.ones_like(x), x))"
    found = directional.hvp(*one(text, [0.0], [1.5], "0.0 * df / x"))
    close(found.sides["x"], [-0.5])


def test_outputs_that_are_integers_have_no_derivative() -> None:
    program = program_from(
        "def forward(xp, x):\n    a = xp.argmax(x)\n    f = x * x\n    b = x > 0\n"
        "    return a, f, b\n"
    )
    x, v = np.array([1.0, 3.0]), np.array([0.5, 0.25])
    sample = moved(program, {"x": x}, {"x": v})
    jvp = directional.jvp(program, sample)
    assert list(jvp.sides) == ["f"]
    close(jvp.sides["f"], 2 * x * v)
    close(directional.hvp(program, sample).sides["x"], 2 * v)


def test_nested_inputs_data_and_constants() -> None:
    program = program_from(
        "def forward(xp, p, n):\n    f = p['a'] * p['b'][0] ** n + xp.ones((2,))\n    return f\n"
    )
    a, b = np.array([1.5, 2.0]), np.array([0.5, -1.0])
    u, v = np.array([1.0, 0.25]), np.array([-2.0, 0.5])
    sample = moved(program, {"p": {"a": a, "b": [b]}, "n": np.array(3)}, {"p.a": u, "p.b.0": v})
    close(directional.jvp(program, sample).sides["f"], u * b**3 + a * 3 * b**2 * v)
    hvp = directional.hvp(program, sample)
    close(hvp.sides["p.a"], 3 * b**2 * v)
    close(hvp.sides["p.b.0"], 3 * b**2 * u + 6 * a * b * v)
    program = program_from("def forward(xp, x):\n    f = xp.ones((2,))\n    return f\n")
    sample = moved(program, {"x": a}, {"x": u})
    close(directional.jvp(program, sample).sides["f"], [0.0, 0.0])
    close(directional.hvp(program, sample).sides["x"], [0.0, 0.0])


@pytest.mark.parametrize("find", [directional.jvp, directional.hvp])
def test_what_balls_cannot_follow_has_a_reason(find: Any) -> None:
    found = find(*one("xp.linalg.svdvals(x * xp.ones((2, 2)))[0] * x", [0.3, 0.2], [1.0, 1.0]))
    assert found == Directional(reason=found.reason)
    assert "svdvals" in found.reason


@pytest.mark.parametrize("find", [directional.jvp, directional.hvp])
def test_a_fault_of_the_case_is_its_own(find: Any) -> None:
    program, sample = one("x * x", [0.3], [1.0])

    def faulty(*_: Any) -> Any:
        raise ZeroDivisionError

    program.functions = {**program.functions, "forward": faulty}
    with pytest.raises(ZeroDivisionError):
        find(program, sample)


def test_a_returned_shape_that_is_wrong_is_no_claim() -> None:
    program, sample = one("x * x", [0.5, 0.25], [1.0, 2.0], "xp.sum(df * x)")
    close(directional.hvp(program, sample).sides["x"], [2.0, 4.0])


@numerical
@given(seed=st.integers(0, 2**32 - 1))
def test_a_wrong_slope_is_never_believed(seed: int) -> None:
    """Hv of a quadratic form with a backward whose matrix is wrong in one element."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 6))
    root = rng.integers(-4, 5, (n, n)) / 4
    matrix = root + root.T
    wrong = matrix.copy()
    wrong[tuple(rng.integers(0, n, 2))] += 2.0 ** -int(rng.integers(0, 40))
    x, v = rng.normal(size=(2, n))

    def program(slope: Array) -> Program:
        return program_from(
            f"def forward(xp, x):\n    M = xp.asarray({matrix.tolist()})\n"
            "    f = xp.sum(x * xp.matmul(M, x)) / 2\n    return f\n"
            f"def backward(xp, df, x):\n    M = xp.asarray({slope.tolist()})\n"
            "    dx = df * xp.matmul(M, x)\n    return dx\n"
        )

    for slope in (matrix, wrong):
        made = program(slope)
        found = directional.hvp(made, moved(made, {"x": x}, {"x": v})).sides["x"]
        np.testing.assert_allclose(found.middle, matrix @ v, rtol=1e-13, atol=1e-13)


def test_it_is_plain_data() -> None:
    import pickle

    found = directional.jvp(*one("xp.abs(x)", [0.0], [1.0]))
    copy = pickle.loads(pickle.dumps(found))
    np.testing.assert_equal(copy.sides["f"].left, found.sides["f"].left)

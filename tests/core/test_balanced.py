"""A certificate holds for each element relative to itself, however small beside the others."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from builders import numerical, program_from, sample_for
from flint import arb, ctx
from hypothesis import given
from hypothesis import strategies as st

from harness import referee
from harness.cases.case import Case
from harness.judging.evidence import Evidence
from harness.model import Status
from harness.referee import BallArray
from harness.runs.engine import Engine
from harness.runs.plan import Request, cells
from harness.truth.balanced import DIGITS, ODDS, Scale, agreement
from harness.truth.certificate import certify
from harness.truth.proof import Certificate

MakeCase = Callable[..., Case]


def written(forward: str, backward: str, names: str) -> str:
    """A case in which `f` is `forward` and the gradients are `backward`, one for each name."""
    return (
        f"def forward(xp, {names}):\n    f = {forward}\n    return f\n\n\n"
        f"def backward(xp, df, {names}):\n    return {backward}\n"
    )


def certified(forward: str, backward: str, dtype: str = "float64", **inputs: object) -> Certificate:
    program = program_from(written(forward, backward, ", ".join(inputs)))
    arrays = {name: np.asarray(each, np.float64) for name, each in inputs.items()}
    return certify(program, sample_for(program, arrays, dtype=dtype))


def softmax_weight(factor: str) -> tuple[str, str]:
    """log p_0, whose gradient is [1, 0, ...] - p, times a factor where p is tiny."""
    forward = "x[0] - xp.log(xp.sum(xp.exp(x)))"
    gradient = (
        "df * (xp.asarray([1.0, 0.0, 0.0]) - xp.exp(x) / xp.sum(xp.exp(x)))"
        f" * xp.where(xp.exp(x) / xp.sum(xp.exp(x)) < 1e-30, {factor}, 1)"
    )
    return forward, f'{{"x": {gradient}}}'


#: What a sum over everything cannot see: forward, backward with a hole, the right and the wrong
#: filling, the inputs, and what is wrong.
HIDDEN = {
    "twice": (
        "xp.sum(xp.exp(x)) + xp.sum(xp.sin(b))",
        '{{"x": df * xp.exp(x), "b": {} * df * xp.cos(b)}}',
        ("1", "2"),
        {"x": [88.0], "b": [0.3, 0.4]},
        "b",
    ),
    # The energy of a photon and of a thermal motion: 1e-19 J beside the 1e4 J of a kettle.
    "sign": (
        "6.62607015e-34 * nu + 1.380649e-23 * T + 4184.0 * m * dT",
        '{{"nu": df * {}6.62607015e-34, "T": df * 1.380649e-23, "m": df * 4184.0 * dT,'
        ' "dT": df * 4184.0 * m}}',
        ("", "-"),
        {"nu": 5e14, "T": 300.0, "m": 0.5, "dT": 70.0},
        "nu",
    ),
    "softmax": (
        softmax_weight("1")[0],
        softmax_weight("{}")[1].replace("{", "{{").replace("}", "}}").replace("{{}}", "{}"),
        ("1", "1.001"),
        {"x": [0.0, -80.0, -1.0]},
        "x",
    ),
    # Below the smallest float64 altogether.
    "underflow": (
        "xp.sum(xp.exp(x))",
        '{{"x": df * xp.exp(x) * xp.where(x < -1000, {}, 1)}}',
        ("1", "1.000001"),
        {"x": [700.0, -2000.0]},
        "x",
    ),
    "literal": (
        "xp.sum(0.044715 * x**3)",
        '{{"x": df * 3 * 0.044715 * x**2 * xp.where(xp.abs(x) < 1e-9, {}, 1)}}',
        ("1", "1.00000000001"),
        {"x": [1.0, 1e-10]},
        "x",
    ),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_an_element_that_the_sum_does_not_show_is_judged_all_the_same(name: str) -> None:
    forward, backward, (right, wrong), inputs, culprit = HIDDEN[name]
    fine = certified(forward, backward.format(right), **inputs)
    assert fine.state == "verified"
    assert fine.digits >= DIGITS
    assert set(fine.right) == set(inputs)
    bad = certified(forward, backward.format(wrong), **inputs)
    assert (bad.state, bad.wrong) == ("wrong", (culprit,))
    assert set(bad.right) == set(inputs) - {culprit}
    assert not bad.trusts(culprit)


def test_digits_are_told_by_name() -> None:
    found = certified(
        "xp.sum((1 + x * 2.0**60) - 1) + xp.sum(xp.exp(y))",
        '{"x": df * ((1 + 2.0**60 * xp.exp(x)) - 2.0**60 * xp.exp(x) - 1 + 2.0**60),'
        ' "y": df * xp.exp(y)}',
        x=[0.5],
        y=[1.0],
    )
    assert found.state == "verified"
    assert found.digits == found.proofs["x"].digits
    assert DIGITS <= found.proofs["x"].digits < found.proofs["y"].digits


@pytest.mark.parametrize("seed", range(3))
def test_an_exchange_of_two_elements_is_seen_among_5000(seed: int) -> None:
    """Up to 4096 numbers were different before; two of more might share one."""
    rng = np.random.default_rng(seed)
    i, j = sorted(int(each) for each in rng.choice(5000, 2, replace=False))
    swapped = f"xp.concat([g[:{i}], g[{j}:{j + 1}], g[{i + 1}:{j}], g[{i}:{i + 1}], g[{j + 1}:]])"
    text = (
        "def forward(xp, x):\n    f = xp.sum(x**2)\n    return f\n\n\n"
        "def backward(xp, df, x):\n    g = df * 2 * x\n"
        f'    return {{"x": {swapped}}}\n'
    )
    program = program_from(text)
    found = certify(program, sample_for(program, {"x": rng.normal(size=5000)}))
    assert (found.state, found.wrong) == ("wrong", ("x",))


ZEROS = [
    # A structural zero, and the zero that a gradient rounds to.
    ("xp.sum(x * 0)", "df * 0 * x", 1.0, "float64", "verified"),
    ("xp.sum(xp.exp(-x * x))", "df * 0 * x", 40.0, "float64", "verified"),
    ("xp.sum(xp.exp(-x * x))", "df * 0 * x", 26.0, "float64", "wrong"),
    ("xp.sum(xp.exp(-x * x))", "df * 0 * x", 26.0, "float32", "verified"),
    ("xp.sum(xp.exp(-x * x))", "df * 0 * x", 5.0, "float32", "wrong"),
    # Less than half of the smallest number of the format, and yet not nothing.
    ("xp.sum(2.0**-32 * x)", "df * 0 * x", 1.0, "float16", "close"),
    ("xp.sum(2.0**-20 * x)", "df * 0 * x", 1.0, "float16", "wrong"),
    # Zero for a reason that no ball knows, and a small number that looks the same at first: beside
    # terms of size 1, a rounded constant would have the same effect.
    ("xp.sum(x)", "df * (xp.cos(x)**2 + xp.sin(x)**2)", 1.0, "float64", "verified"),
    ("0 * xp.sum(x)", "df * (xp.cos(x)**2 + xp.sin(x)**2 - 1)", 1.0, "float64", "verified"),
    ("1e-60 * xp.sum(x)", "df * (xp.cos(x)**2 + xp.sin(x)**2 - 1)", 1.0, "float64", "undecided"),
    ("1e-300 * xp.sum(x)", "df * (xp.cos(x)**2 + xp.sin(x)**2 - 1)", 1.0, "float64", "undecided"),
    ("1e-300 * xp.sum(x)", "df * (xp.cos(x)**2 + xp.sin(x)**2 - 1)", 1.0, "float32", "verified"),
]


def test_a_factor_of_what_cancellation_leaves_is_no_rounded_constant() -> None:
    """exp(x) - 1 at 1e-20: twice that is off by 1e-20 of the terms, and by all of itself."""
    for x, state in ((1e-20, "undecided"), (1e-9, "wrong")):
        found = certified("xp.sum(xp.exp(x) - x)", '{"x": df * 2 * (xp.exp(x) - 1)}', x=[x])
        assert found.state == state, found


@pytest.mark.parametrize(("forward", "gradient", "x", "dtype", "state"), ZEROS)
def test_a_zero_is_claimed_to_round_to_zero(
    forward: str, gradient: str, x: float, dtype: str, state: str
) -> None:
    if x > 1:  # with a second element, which is not small
        gradient = gradient.replace("0 * x", "xp.where(x > 2, 0 * x, -2 * x * xp.exp(-x * x))")
    found = certified(forward, f'{{"x": {gradient}}}', dtype, x=[x, 1.0] if x > 1 else [x])
    assert found.state == state, found


def test_what_is_not_finite_spoils_no_other_claim() -> None:
    """The derivative is infinite in one element; the others hold, and so do the other names."""
    program = program_from(
        written(
            "xp.sum(xp.sqrt(x)) + y**2", '{"x": df * 0.5 / xp.sqrt(x), "y": df * 2 * y}', "x, y"
        )
    )
    sample = sample_for(program, {"x": np.array([0.0, 4.0]), "y": np.array(3.0)})
    found = certify(program, sample)
    assert found.state == "undecided"
    assert found.reason == "neither `backward` nor the derivative is finite"
    assert found.right == ("y",)
    wrong = program_from(
        written("xp.sum(xp.sqrt(x)) + y**2", '{"x": df / xp.sqrt(x), "y": df * 2 * y}', "x, y")
    )
    found = certify(wrong, sample)
    assert (found.state, found.wrong, found.right) == ("wrong", ("x",), ("y",))


def test_precision_is_raised_by_what_is_lacking() -> None:
    """2**200 cancels, so that 128 bits know nothing and 328 would do."""
    found = certified(
        "xp.sum(xp.exp(x))", '{"x": df * ((xp.exp(x) + 2.0**200) - 2.0**200)}', x=[0.5, 1.0]
    )
    assert found.state == "verified"
    assert 200 + 128 - ODDS <= found.bits <= 512


def test_a_framework_is_judged_by_what_is_still_certified(case: MakeCase) -> None:
    """The right db is the reference though dx is wrong; of dx, `forward` alone knows the truth."""
    made = case(
        written(
            "xp.sum(xp.exp(x)) + xp.sum(xp.sin(b))",
            '{"x": df * xp.exp(x), "b": 2 * df * xp.cos(b)}',
            "x, b",
        ),
        "inputs: {x: {shape: [1]}, b: {shape: [2]}}\n"
        "points: {far: {inputs: {x: [88], b: [0.3, 0.4]}}}\n",
    )
    request = Request(backends=("manual", "numeric"), points=("far",), modes=("vjp",))
    rows = {
        (row.backend, row.quantity): row
        for cell in cells([made], request)
        for row in Engine([made], request).rows(cell)
    }
    assert rows["manual", "certificate"].status == Status.FAIL
    assert rows["manual", "d/dx"].status == Status.PASS
    assert rows["manual", "d/db"].status == Status.FAIL
    assert rows["numeric", "d/db"].status in (Status.PASS, Status.UNDECIDED)
    program = made.program
    sample = sample_for(program, {"x": np.array([88.0]), "b": np.array([0.3, 0.4])})
    truth = Evidence(program, sample).derivative("b")
    np.testing.assert_allclose(truth.value, np.cos([0.3, 0.4]), rtol=1e-15)


@numerical
@given(
    st.lists(st.integers(-3000, 3000), min_size=1, max_size=12),
    st.integers(0, 2**32),
    st.integers(-70, -1),
    st.data(),
)
def test_an_error_of_any_element_is_proved_or_smaller_than_its_bound(
    exponents: list[int], seed: int, relative: int, data: st.DataObject
) -> None:
    """Claims from 2**-3000 to 2**3000, one of them off by 2**relative of itself."""
    rng = np.random.default_rng(seed)
    place = data.draw(st.integers(0, len(exponents) - 1))

    def attempt() -> None:
        values = [
            arb(float(m)) * arb((1, e))
            for m, e in zip(rng.normal(size=len(exponents)), exponents, strict=True)
        ]
        noise = arb(0, 2.0**-100)
        claims = [each * (1 + noise) for each in values]
        claims[place] *= 1 + arb((1, relative))
        claim = BallArray(referee.lift(claims).series)
        scale = Scale.of(claim, "float64", ctx.prec)
        along = {"x": scale.direction(rng)}
        parts = along["x"].series.parts[0]
        truth = sum((a * b for a, b in zip(values, parts, strict=True)), start=arb(0))
        error = agreement({"x": claim}, along, truth)
        assert error is None or scale.digits(error) <= -relative * math.log10(2) + 0.5

    referee.with_precision(attempt, 128)

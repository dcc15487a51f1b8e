"""Programs drawn at random, and faults in them: what `benchmarks/soundness.py` does by the
thousand, and that it notices what it is there to notice."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from drawn.drawing import DEPTH, DTYPES, REGIMES, Drawn, draw
from drawn.endings import ENDINGS
from drawn.exact import Beyond
from drawn.maps import BINARY, GUARDS, UNARY, Map
from drawn.moves import Unfit
from drawn.spoiling import Fault, faults
from drawn.truth import Truth, truth_of
from drawn.writer import Writer
from soundness import Judge


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., Judge]:
    """`judge(dtype, regime)` without frameworks."""

    def make(dtype: str = "float64", regime: str = "ordinary") -> Judge:
        made = Judge(dtype, regime, argparse.Namespace(seed=0, few=0, only=None), tmp_path)
        made.methods = ("manual", "numeric")
        return made

    return make


def spelt(which: Map, forward: str, vjps: tuple[str, ...]) -> Drawn:
    """The program that is one elementwise function, at numbers in its domain."""
    rng = np.random.default_rng(0)
    writer = Writer(rng)
    operands = {letter: writer.input(letter, (4,)) for letter in "xy"[: len(vjps)]}
    result = writer.step(
        forward, operands, dict(zip(operands, vjps, strict=True)), (4,), elementwise=True
    )
    inputs = {name: rng.normal(size=4) for name in operands}
    if which.domain == "positive":
        inputs["x"] = np.abs(inputs["x"]) + 0.1
    return Drawn(which.name, "float64", writer.text([result]), inputs, {result.name: np.ones(4)})


@pytest.mark.parametrize("which", [*UNARY, *GUARDS, *BINARY], ids=lambda each: each.name)
def test_every_vjp_is_that_of_every_forward(which: Map) -> None:
    for forward in which.forwards:
        for operand, spellings in enumerate(which.vjps):
            for spelling in spellings:
                vjps = tuple(
                    spelling if index == operand else each[0]
                    for index, each in enumerate(which.vjps)
                )
                truth_of(spelt(which, forward, vjps))  # raises where it is not


def test_a_wrong_vjp_is_noticed() -> None:
    (square,) = (each for each in UNARY if each.name == "square")
    with pytest.raises(AssertionError, match="wrote a wrong backward"):
        truth_of(spelt(square, square.forwards[0], ("g * x",)))


def test_there_are_as_many_as_was_promised() -> None:
    assert len({each.name for each in UNARY}) >= 25 and len(ENDINGS) >= 15 and DEPTH == 4
    assert len(REGIMES) == 5 and len(DTYPES) == 4


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda each: each.__name__)
def test_every_ending_is_right(ending: Callable[..., object]) -> None:
    done = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        writer = Writer(rng)
        x = writer.input("x", ((3,), (2, 2), (2, 3))[seed % 3])
        try:
            x = writer.step("f = xp.exp(x)", {"x": x}, {"x": "g * f"}, x.shape)
            result = ending(writer, x)
        except Unfit:
            continue
        inputs = {each.name: rng.normal(size=each.shape) for each in writer.inputs}
        cotangents = {result.name: rng.normal(size=result.shape)}
        try:
            truth_of(Drawn("one", "float64", writer.text([result]), inputs, cotangents))
        except Beyond:  # a singular matrix
            continue
        done += 1
        if done == 6:
            break
    assert done >= 3


def test_a_seed_is_a_program() -> None:
    one, other = (draw((0, 0, 0, 5), "float32", "large", "one") for _ in range(2))
    assert one.text == other.text and repr(one.inputs) == repr(other.inputs)
    assert one.text != draw((0, 0, 0, 6), "float32", "large", "one").text


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_inputs_are_numbers_of_their_dtype(dtype: str, regime: str) -> None:
    from harness.dtypes import convert

    drawn = draw((0, 1), dtype, regime, "one")
    for array in (*drawn.inputs.values(), *drawn.cotangents.values()):
        assert np.all(np.isfinite(array))
        assert np.array_equal(convert(array, dtype).astype(float), array)


def test_a_wrong_backward_is_an_offence(judge: Callable[..., Judge]) -> None:
    each = judge()
    drawn, truth, fault = spoilt(each)
    each.right(replace(drawn, text=fault.text), truth, 0)
    assert [line.split(":")[0] for line in each.tally.offences] == ["accused manual"]


def test_a_verified_fault_is_an_offence(judge: Callable[..., Judge]) -> None:
    each = judge()
    drawn, truth, fault = spoilt(each)
    each.wrong(drawn, truth, replace(fault, text=drawn.text), 1, repair=False)
    kinds = [line.split(":")[0] for line in each.tally.offences]
    assert kinds == ["verified", "passed by a quarter"]


def test_the_accusation_of_a_right_leaf_is_an_offence(judge: Callable[..., Judge]) -> None:
    each = judge()
    drawn, truth, fault = spoilt(each)
    each.wrong(drawn, truth, replace(fault, touched=frozenset()), 1, repair=False)
    assert [line.split(":")[0] for line in each.tally.offences] == ["named the right"]


@pytest.mark.parametrize(("dtype", "regime"), [("float64", "ordinary")])
def test_verdicts_hold(judge: Callable[..., Judge], dtype: str, regime: str) -> None:
    each = judge(dtype, regime)
    for index in range(8):
        each.run(index)
    assert each.tally.offences == []


def spoilt(each: Judge) -> tuple[Drawn, Truth, Fault]:
    """A program whose backward has a wrong sign somewhere."""
    for index in range(50):
        drawn = each.program(index)
        truth = truth_of(drawn)
        for fault in faults(drawn, truth, np.random.default_rng(0)):
            if truth.smooth and fault.gross and fault.kind == "flip a sign":
                return drawn, truth, fault
    raise AssertionError("no such fault")

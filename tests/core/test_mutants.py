"""The planted faults of the detection benchmark: one line each, and of every kind."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cases.case import Case
from harness.cases.sampling import draw_sample

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from mutants import OPERATORS, Mutant, mutants

PYTHON = """
def forward(xp, A, x):
    q = xp.matmul(A, x)
    h = q**2
    s = xp.sum(h)
    f = s + xp.sum(xp.maximum(x, xp.zeros_like(x)))
    return f


def backward(xp, df, A, x, q, h):
    dh = df * xp.ones_like(h)
    dq = 2 * q * dh
    dA = xp.matmul(dq, xp.matrix_transpose(x))
    dx = xp.matmul(xp.matrix_transpose(A), dq)
    dx += xp.where(x[:, 0:] > 0, df, xp.zeros_like(x))
    n = xp.sum(h) - xp.sum(h)
    return {"A": dA + n, "x": dx}
"""
YAML = """
inputs:
  A: {shape: [3, 3], draw: normal}
  x: {shape: [3, 1], draw: normal}
"""


@pytest.fixture
def planted(case: Callable[..., Case]) -> tuple[Case, list[Mutant]]:
    loaded = case(PYTHON, YAML)
    return loaded, mutants(loaded, draw_sample(loaded, "draw0", "default", "float64"))


def test_every_operator_finds_a_place(planted: tuple[Case, list[Mutant]]) -> None:
    assert {mutant.operator for mutant in planted[1]} == set(OPERATORS)


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_mutant_differs_in_one_line(planted: tuple[Case, list[Mutant]], operator: str) -> None:
    loaded, every = planted
    before = loaded.code.text.split("\n")
    for mutant in (each for each in every if each.operator == operator):
        after = mutant.text.split("\n")
        changed = [
            number
            for number, (old, new) in enumerate(zip(before, after, strict=True), 1)
            if old != new
        ]
        assert changed == [mutant.line], mutant
        assert mutant.source == after[mutant.line - 1].strip()
        code = mutant.code(loaded)
        assert code.backward is not None and code.backward.line == loaded.code.backward.line
        assert code.forward == loaded.code.forward


@pytest.mark.parametrize(
    ("operator", "line"),
    [
        ("drop a term", 'return {"A": dA, "x": dx}'),
        ("drop a factor", "dq = (2 * q)"),
        ("flip a sign", "n = (xp.sum(h) + xp.sum(h))"),
        ("swap operands", "dx = xp.matmul(dq, xp.matrix_transpose(A))"),
        ("drop a reduction", "n = h - xp.sum(h)"),
        ("drop or invert a mask", "dx += xp.where((x[:, 0:] <= 0), df, xp.zeros_like(x))"),
        ("drop or invert a mask", "dx += df"),
        ("transpose", "dA = xp.matmul(dq, x)"),
        ("off by one", "dx += xp.where(x[:, 1:] > 0, df, xp.zeros_like(x))"),
        ("wrong saved array", "dq = 2 * x * dh"),
        ("stale intermediate", "dA = xp.matmul(dh, xp.matrix_transpose(x))"),
        ("scale", "dq = (2 * q * dh + 2 * q * dh * 1e-25)"),
    ],
)
def test_what_an_operator_writes(
    planted: tuple[Case, list[Mutant]], operator: str, line: str
) -> None:
    assert line in [each.source for each in planted[1] if each.operator == operator]


def test_one_scaled_element_is_one_element(planted: tuple[Case, list[Mutant]]) -> None:
    loaded, every = planted
    sample = draw_sample(loaded, "draw0", "default", "float64")
    mutant = next(
        each
        for each in every
        if each.operator == "scale one element" and each.d == 0.1 and each.source.startswith("dA")
    )
    found = [_gradient(program, sample) for program in (mutant.program(loaded), loaded.program)]
    assert (found[0] != found[1]).sum() == 1


def test_a_scaled_fault_knows_itself_at_a_tenth(planted: tuple[Case, list[Mutant]]) -> None:
    for mutant in planted[1]:
        assert bool(mutant.d) == bool(mutant.coarse)
        if mutant.d:
            assert mutant.coarse == mutant.text.replace(repr(mutant.d), "0.1")


def _gradient(program: object, sample: object) -> object:
    from harness.backends.manual import ManualBackend

    return ManualBackend().differentiate(program, sample).gradients["A"]  # type: ignore[arg-type]

"""At a kink: what it leaves alone is verified, what it touches is a joint subgradient or is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from builders import numerical, program_from, sample_for
from hypothesis import given
from hypothesis import strategies as st

from harness.cases.case import Case
from harness.model import Row, Status
from harness.runs.engine import Engine
from harness.runs.plan import Request, cells
from harness.truth.certificate import certify
from harness.truth.proof import Certificate
from harness.truth.sides import along_axes
from harness.truth.ties import Ties

MakeCase = Callable[..., Case]


def text_of(forward: str, backward: str, names: str) -> str:
    """A case in which `f` is `forward`; `backward` may have lines before what it returns."""
    *lines, last = backward.split("\n")
    body = "".join(f"    {line}\n" for line in lines)
    text = f"def forward(xp, {names}):\n    f = {forward}\n    return f\n"
    if backward:
        text += f"\n\ndef backward(xp, df, {names}):\n{body}    return {last}\n"
    return text


def certified(forward: str, backward: str, **inputs: object) -> Certificate:
    program = program_from(text_of(forward, backward, ", ".join(inputs)))
    arrays = {name: np.asarray(each, np.float64) for name, each in inputs.items()}
    return certify(program, sample_for(program, arrays))


LARGER = "xp.maximum(x, y)"
FIRST = '{"x": xp.where(x >= y, df, 0 * df), "y": xp.where(x < y, df, 0 * df)}'
BOTH = '{"x": xp.where(x >= y, df, 0 * df), "y": xp.where(x <= y, df, 0 * df)}'
HALF = (
    "half = xp.where(x == y, 0.5 + 0 * x, xp.where(x > y, 1 + 0 * x, 0 * x))\n"
    '{"x": df * half, "y": df * (1 - half)}'
)
ODD = "xp.maximum(x, 0 * x) - xp.maximum(-x, 0 * x)"
BY_OPERATION = '{"x": xp.where(x > 0, df, 0 * df) + xp.where(x < 0, df, 0 * df)}'
CLIPPED = "xp.maximum(xp.minimum(x, y), 0 * x)"
MASKED = (
    '{"x": xp.where((x < y) & (x > 0), df, 0 * df), "y": xp.where((y <= x) & (y > 0), df, 0 * df)}'
)
BRANCH = "xp.where(x == 1, 5 * x, x * x)"

#: forward, backward, inputs, state
POINTS = {
    "first": (LARGER, FIRST, {"x": 1.0, "y": 1.0}, "kink"),
    "half": (LARGER, HALF, {"x": 1.0, "y": 1.0}, "kink"),
    "both": (LARGER, BOTH, {"x": 1.0, "y": 1.0}, "wrong"),
    # Right at the point and wrong beside it.
    "always half": (LARGER, '{"x": df / 2, "y": df / 2}', {"x": 1.0, "y": 1.0}, "wrong"),
    "by operation": (ODD, BY_OPERATION, {"x": 0.0}, "convention"),
    "the derivative": (ODD, '{"x": df + 0 * x}', {"x": 0.0}, "verified"),
    # The derivative by x is that of one side only where both comparisons say so.
    "two comparisons": (CLIPPED, MASKED, {"x": 0.0, "y": 0.0}, "kink"),
    "another branch": (
        "xp.where(y > 0, x, 2 * x)",
        '{"x": xp.where(y > 0, df, 2 * df), "y": 0 * df}',
        {"x": 0.0, "y": 0.0},
        "kink",
    ),
    "norm": (
        "xp.sqrt(xp.sum(x * x))",
        "n = xp.sqrt(xp.sum(x * x))\n"
        '{"x": df * xp.where(n > 0, x / xp.where(n > 0, n, n + 1), 0 * x)}',
        {"x": [0.0, 0.0]},
        "kink",
    ),
    "a step": ("xp.where(x > 0, x + 1, x)", '{"x": df + 0 * x}', {"x": 0.0}, "undecided"),
    "executed": (
        BRANCH,
        '{"x": xp.where(x == 1, 5 * df, 2 * x * df)}',
        {"x": 1.0},
        "jump",
    ),
    "limit": (BRANCH, '{"x": 2 * x * df}', {"x": 1.0}, "undecided"),
    "neither": (BRANCH, '{"x": xp.where(x == 1, 7 * df, 2 * x * df)}', {"x": 1.0}, "wrong"),
    "wrong beside": (BRANCH, '{"x": 3 * x * df}', {"x": 1.0}, "wrong"),
}


@pytest.mark.parametrize("name", POINTS)
def test_what_is_said_at_a_tie(name: str) -> None:
    forward, backward, inputs, state = POINTS[name]
    found = certified(forward, backward, **inputs)
    assert found.state == state, found


LAYER = (
    "q = xp.matmul(W, x)\nd = df * xp.where(q > 0, 1 + 0 * q, 0 * q)\n"
    'dW = d[:, None] * x[None, :]\n{"W": dW * HOLE, "x": xp.matmul(xp.matrix_transpose(W), d)}'
)


def layer(rows: int, columns: int, dead: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(rows)
    inputs = {"W": rng.normal(size=(rows, columns)), "x": rng.normal(size=columns)}
    inputs["W"][np.matmul(inputs["W"], inputs["x"]) < 0] *= -1
    inputs["W"][dead] = 0.0
    return inputs


@pytest.mark.parametrize("row", range(12))
def test_a_row_that_another_ones_kink_does_not_touch_is_judged(row: int) -> None:
    """relu(W x) with one row of zeros: the others were judged at 16 of 60 elements."""
    inputs = layer(12, 5, dead=3)
    mask = f"xp.asarray([[0.0 if i == {row} else 1.0] for i in range(12)])"
    forward = "xp.sum(xp.maximum(xp.matmul(W, x), 0.0))"
    right = certified(forward, LAYER.replace("HOLE", "1"), **inputs)
    assert right.state == "kink"
    assert right.digits > 17
    assert right.pieces is not None
    assert right.pieces.touched["W"].any(axis=1).tolist() == [each == 3 for each in range(12)]
    assert not right.pieces.touched["x"].any()
    assert right.trusts("x")
    wrong = certified(forward, LAYER.replace("HOLE", mask), **inputs)
    assert (wrong.state, wrong.wrong) == ("wrong", ("W",))
    assert wrong.trusts("x")


def test_a_zero_beside_a_kink_has_to_round_to_zero() -> None:
    """The second element of dx is claimed to be zero on every piece."""
    forward = "xp.sum(xp.maximum(x[:1], 0.0)) + xp.sum(xp.exp(x[1:]))"
    claim = '{"x": df * xp.concat([xp.where(x[:1] > 0, 1 + 0 * x[:1], 0 * x[:1]), 0 * x[1:]])}'
    assert certified(forward, claim, x=[0.0, -800.0]).state == "kink"
    assert certified(forward, claim, x=[0.0, -700.0]).state == "wrong"


def test_a_factor_at_a_kink_is_proved_wrong_by_name() -> None:
    forward = "xp.sum(xp.abs(x)) + xp.sum(xp.exp(y))"
    found = certified(
        forward, '{"x": df * xp.sign(x), "y": 1.001 * df * xp.exp(y)}', x=[0.0, 1.0], y=[-80.0, 1.0]
    )
    assert (found.state, found.wrong, found.right) == ("wrong", ("y",), ("x",))


@numerical
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(2, 5))
def test_sums_of_maxima_have_the_pieces_that_they_are_made_of(
    seed: int, ties: int, size: int
) -> None:
    """sum_j max(a_j x, b_j x) at 0: of `forward` alone, and with a backward."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-4, 5, (2, ties, size)).astype(float)
    text = text_of(
        "xp.sum(xp.maximum(xp.matmul(a, x), xp.matmul(b, x)))",
        "p, q = xp.matmul(a, x), xp.matmul(b, x)\n"
        "k = xp.where(p > q, 1 + 0 * p, 0 * p)\n"
        '{"x": df * (xp.matmul(k, a) + xp.matmul(1 - k, b))}',
        "x, a, b",
    )
    program = program_from(text)
    inputs = {"x": np.zeros(size), "a": a, "b": b}
    sample = sample_for(program, inputs, differentiable=("x",))
    found, alone = certify(program, sample), Ties(program, sample).pieces
    assert found.state in ("kink", "verified")
    corners = (
        {
            tuple(np.where(choice[:, None], a, b).sum(axis=0))
            for choice in (rng.random((40, ties)) < 0.5)
        }
        if ties == 1
        else None
    )
    for pieces in (found.pieces, alone):
        if pieces is None:
            continue
        rows = {tuple(row) for row in pieces.gradients["x"]}
        low = np.minimum(a, b).sum(axis=0)
        high = np.maximum(a, b).sum(axis=0)
        assert all(np.all((low <= row) & (row <= high)) for row in rows)
        if corners is not None:
            assert rows <= corners


def rows_of(case: Case, point: str, backends: tuple[str, ...]) -> dict[tuple[str, str], Row]:
    request = Request(backends=backends, points=(point,), modes=("vjp",))
    return {
        (row.backend, row.quantity): row
        for cell in cells([case], request)
        for row in Engine([case], request).rows(cell)
    }


def made(case: MakeCase, forward: str, backward: str, point: str, shapes: str) -> Case:
    names = ", ".join(each.partition(":")[0].strip() for each in shapes.split(";"))
    inputs = ", ".join(
        f"{each.partition(':')[0]}: {{shape: {each.partition(':')[2]}}}"
        for each in shapes.split(";")
    )
    return case(
        text_of(forward, backward, names),
        f"inputs: {{{inputs}}}\npoints: {{here: {{inputs: {point}}}}}\n",
    )


@pytest.mark.parametrize(
    ("backward", "status"), [(FIRST, Status.KINK), (HALF, Status.KINK), (BOTH, Status.FAIL)]
)
def test_a_gradient_is_judged_as_a_whole(case: MakeCase, backward: str, status: Status) -> None:
    """(1, 1) lies between the sides in each element."""
    one = made(case, LARGER, backward, "{x: 1, y: 1}", "x: []; y: []")
    found = rows_of(one, "here", ("manual",))
    assert {found["manual", name].status for name in ("d/dx", "d/dy")} == {status}
    assert found["manual", "certificate"].status == status


@pytest.mark.parametrize("backward", ["", BY_OPERATION, '{"x": df + 0 * x}'])
def test_a_framework_may_choose_for_each_operation(case: MakeCase, backward: str) -> None:
    pytest.importorskip("torch")
    one = made(
        case,
        ODD.replace("xp.maximum(x, 0 * x)", "xp.where(x > 0, x, 0 * x)"),
        backward,
        "{x: 0}",
        "x: []",
    )
    found = rows_of(one, "here", ("manual", "torch") if backward else ("torch",))
    assert found["torch", "d/dx"].got == "0.5"
    assert found["torch", "d/dx"].status == Status.CONVENTION
    assert found["torch", "d/dx"].good
    if backward == BY_OPERATION:
        assert found["manual", "d/dx"].status == Status.CONVENTION
        assert not found["manual", "d/dx"].good
        assert not found["manual", "certificate"].good


@pytest.mark.parametrize("backward", ["", '{"x": 2 * x * df}'])
def test_the_derivative_of_the_executed_branch_is_told(case: MakeCase, backward: str) -> None:
    pytest.importorskip("torch")
    one = made(case, BRANCH, backward, "{x: 1}", "x: []")
    found = rows_of(one, "here", ("manual", "torch", "numeric") if backward else ("torch",))
    assert (found["torch", "d/dx"].got, found["torch", "d/dx"].status) == ("5.0", Status.JUMP)
    if backward:
        assert found["manual", "d/dx"].status == Status.UNDECIDED
        assert found["numeric", "d/dx"].status == Status.UNDECIDED


def test_a_step_is_no_exact_verification(case: MakeCase) -> None:
    one = made(case, "xp.where(x > 0, x + 1, x)", '{"x": df + 0 * x}', "{x: 0}", "x: []")
    row = rows_of(one, "here", ("manual",))["manual", "certificate"]
    assert row.status == Status.UNDECIDED
    assert "not continuous" in row.detail


def test_along_an_axis_the_other_numbers_decide_their_ties_too() -> None:
    """The derivative by x depends on the side from which y comes, which an axis does not move."""
    program = program_from(text_of("xp.where(y > 0, x, 2 * x)", "", "x, y"))
    sides = along_axes(program, sample_for(program, {"x": np.zeros(()), "y": np.zeros(())}), "x")
    assert sides is not None
    assert sorted([float(sides.left), float(sides.right)]) == [1.0, 2.0]

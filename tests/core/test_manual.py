"""The hand-written backward: how it may answer, and what it must not do to what it was given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import program_from, sample_for

from harness.backends.manual import ManualBackend, MutatedInput
from harness.errors import HarnessError, Unsupported
from harness.model import Gradients, Task

FORWARD = """
def forward(xp, x, y):
    q = x * y
    f = xp.sum(q)
    return f

"""
X, Y = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])


def run(backward: str, forward: str = FORWARD, **inputs: Any) -> Gradients:
    text = f"{forward}\ndef backward(xp, df, {backward}"
    program = program_from(text)
    sample = sample_for(program, inputs or {"x": X, "y": Y})
    return ManualBackend().differentiate(program, sample)


@pytest.mark.parametrize(
    "returned",
    [
        "{'x': df * y, 'y': df * x}",
        "{'y': df * x, 'x': df * y}",
        "(df * y, df * x)",
        "[df * y, df * x]",
    ],
    ids=["dict", "dict in another order", "tuple", "list"],
)
def test_a_backward_may_return(returned: str) -> None:
    found = run(f"x, y):\n    return {returned}\n")
    np.testing.assert_array_equal(found.gradients["x"], Y)
    np.testing.assert_array_equal(found.gradients["y"], X)
    assert found.values["f"] == X @ Y
    assert found.seconds > 0


def test_a_bare_array_is_the_gradient_of_the_only_input() -> None:
    forward = "def forward(xp, x):\n    f = xp.sum(x * x)\n    return f\n"
    for returned in ("2 * x * df", "(2 * x * df,)", "{'x': 2 * x * df}"):
        found = run(f"x):\n    return {returned}\n", forward, x=X)
        np.testing.assert_array_equal(found.gradients["x"], 2 * X)


def test_a_matrix_is_one_gradient_and_not_several() -> None:
    forward = "def forward(xp, x):\n    f = xp.sum(x * x)\n    return f\n"
    found = run("x):\n    return 2 * x * df\n", forward, x=np.ones((2, 3)))
    assert found.gradients["x"].shape == (2, 3)


@pytest.mark.parametrize("returned", ["(df * y,)", "df * y", "(df, df, df)", "()"])
def test_a_wrong_number_of_gradients(returned: str) -> None:
    with pytest.raises(HarnessError, match=r"returned \d gradients for 2 .*x, y.*return a dict"):
        run(f"x, y):\n    return {returned}\n")


def test_an_unknown_name() -> None:
    with pytest.raises(HarnessError, match=r"for `xx`, which is no input; did you mean `x`\?"):
        run("x, y):\n    return {'xx': df * y, 'y': df * x}\n")


def test_a_missing_gradient_is_left_out_for_the_judge() -> None:
    assert set(run("x, y):\n    return {'y': df * x}\n").gradients) == {"y"}


def test_nothing_at_all_is_no_gradient() -> None:
    with pytest.raises(HarnessError, match="returned nothing"):
        run("x, y):\n    pass\n")


def test_no_backward_is_unsupported() -> None:
    program = program_from(FORWARD)
    sample = sample_for(program, {"x": X, "y": Y})
    with pytest.raises(Unsupported, match="the case has no `backward`"):
        ManualBackend().differentiate(program, sample)
    assert ManualBackend().differentiate(program, sample, Task("value")).values["f"] == X @ Y


LISTED = """
def forward(xp, x, y):
    parts = [x * y, {"twice": 2 * x}]
    f = xp.sum(parts[0]) + xp.sum(parts[1]["twice"])
    return f

"""
NESTED = """
def forward(xp, x):
    f = xp.sum(x["w"][0]) + xp.sum(x["w"][1] ** 2)
    return f

"""


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (FORWARD, "x, y):\n    x *= 2\n    return {'x': y, 'y': x}\n"),
        (FORWARD, "x, y):\n    x[0] = 2\n    return {'x': y, 'y': x}\n"),
        (FORWARD, "x, y):\n    df += 1\n    return {'x': df * y, 'y': df * x}\n"),
        (FORWARD, "x, y, q):\n    q[:] = 0\n    return {'x': df * y, 'y': df * x}\n"),
        (FORWARD, "x, y):\n    x.sort()\n    return {'x': df * y, 'y': df * x}\n"),
        (
            FORWARD,
            "x, y):\n    import numpy as np\n    np.add(x, 1, out=y)\n    return (y, x)\n",
        ),
        (FORWARD, "x, y):\n    x.reshape(-1)[1] = 7\n    return {'x': df * y, 'y': df * x}\n"),
        (LISTED, "x, y, parts):\n    parts[0][0] = 7\n    return (df * y + 2, df * x)\n"),
        (LISTED, "x, y, parts):\n    parts[1]['twice'] *= 7\n    return (df * y + 2, df * x)\n"),
    ],
    ids=[
        "input",
        "element of an input",
        "cotangent",
        "saved intermediate",
        "sort",
        "out=",
        "view",
        "saved list",
        "saved dict",
    ],
)
def test_a_backward_that_writes_into_what_it_was_given(forward: str, backward: str) -> None:
    with pytest.raises(MutatedInput, match="write into a copy") as caught:
        run(backward, forward)
    assert caught.value.__traceback__ is not None


def test_a_backward_that_writes_into_a_nested_input() -> None:
    with pytest.raises(MutatedInput):
        run(
            "x):\n    x['w'][1][0] = 5\n    return {'x': x}\n",
            NESTED,
            x={"w": [np.array(1.0), np.ones(2)]},
        )


def test_a_backward_may_write_into_what_it_made() -> None:
    found = run("x, y):\n    dx = df * y\n    dx[0] = 0\n    dx += 1\n    return (dx, df * x)\n")
    np.testing.assert_array_equal(found.gradients["x"], [1, 6, 7])


def test_another_value_error_is_not_taken_for_a_mutation() -> None:
    with pytest.raises(ValueError, match="broadcast") as caught:
        run("x, y):\n    return (x + xp.ones(7), y)\n")
    assert not isinstance(caught.value, MutatedInput)


def test_the_caller_keeps_arrays_that_it_can_write_to() -> None:
    program = program_from(FORWARD + "\ndef backward(xp, df, x, y):\n    return (df * y, df * x)\n")
    sample = sample_for(program, {"x": X.copy(), "y": Y})
    ManualBackend().differentiate(program, sample)
    sample.inputs["x"][0] = 7.0


def test_nested_gradients_are_known_by_path() -> None:
    found = run(
        "x):\n    return {'x': {'w': [df, 2 * df * x['w'][1]]}}\n",
        NESTED,
        x={"w": [np.array(1.0), np.array([3.0, 4.0])]},
    )
    assert set(found.gradients) == {"x.w.0", "x.w.1"}
    np.testing.assert_array_equal(found.gradients["x.w.1"], [6, 8])


def test_a_tuple_in_the_order_of_the_inputs_may_hold_containers() -> None:
    found = run(
        "x):\n    return ({'w': (df, 2 * df * x['w'][1])},)\n",
        NESTED,
        x={"w": (np.array(1.0), np.array([3.0, 4.0]))},
    )
    assert set(found.gradients) == {"x.w.0", "x.w.1"}


def test_cotangents_of_intermediates_are_reported() -> None:
    found = run(
        "x, y):\n    dq = df * xp.ones_like(x)\n    dr = dq + 1\n    total = dq\n"
        "    return (dq * y, dq * x)\n"
    )
    assert set(found.intermediates) == {"q"}, "`r` is no intermediate, `total` no cotangent"
    np.testing.assert_array_equal(found.intermediates["q"], np.ones(3))


def test_the_last_value_of_a_cotangent_counts() -> None:
    found = run(
        "x, y):\n    dq = df * xp.zeros_like(x)\n    dq = dq + 1\n    dq += 1\n"
        "    return (dq * y, dq * x)\n"
    )
    np.testing.assert_array_equal(found.intermediates["q"], [2, 2, 2])


def test_several_outputs_with_their_cotangents() -> None:
    program = program_from("""
        def forward(xp, x):
            f = x * x
            g = xp.sum(x)
            return f, g

        def backward(xp, df, dg, x):
            return 2 * x * df + dg
    """)
    sample = sample_for(program, {"x": X}, cotangents=(np.array([1.0, 10.0, 100.0]), 5.0))
    found = ManualBackend().differentiate(program, sample)
    np.testing.assert_array_equal(found.gradients["x"], [7, 45, 605])
    np.testing.assert_array_equal(found.values["f"], X * X)
    assert found.values["g"] == 6


def test_float32_stays_float32() -> None:
    program = program_from(FORWARD + "\ndef backward(xp, df, x, y):\n    return (df * y, df * x)\n")
    found = ManualBackend().differentiate(
        program, sample_for(program, {"x": X, "y": Y}, dtype="float32")
    )
    assert {str(array.dtype) for array in found.gradients.values()} == {"float32"}


def test_the_gradient_as_a_function_of_the_leaves() -> None:
    program = program_from(FORWARD + "\ndef backward(xp, df, x, y):\n    return {'x': df * y}\n")
    sample = sample_for(program, {"x": X, "y": Y}, differentiable=("x",))
    gradient = ManualBackend().gradient_function(program, sample)
    np.testing.assert_array_equal(gradient([np.zeros(3)])[0], Y)


def test_a_cotangent_of_another_kind_is_handed_on_as_it_is() -> None:
    """Planted errors travel in arrays that round whatever is done to them, a view included."""

    class Rounding:
        def view(self) -> None:
            raise AssertionError("a view is an operation")

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return np.array([7.0])

    code = program_from(FORWARD + "\ndef backward(xp, df, x):\n    return (df, df)\n")
    sample = replace(sample_for(code, {"x": X, "y": Y}), cotangents=(Rounding(),))
    found = ManualBackend().differentiate(code, sample)
    assert found.gradients["x"].tolist() == [7.0]

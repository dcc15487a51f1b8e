"""Sixteen bits without any framework: the manual and the numeric method, emulated where need be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from builders import case_from, program_from, sample_for

from harness.backends.numeric import NumericBackend
from harness.cases.case import Case, load
from harness.cases.registry import builtin_folder
from harness.dtypes import FORMATS, convert, numpy_dtype
from harness.model import Row, Status, Task
from harness.quantity import CERTIFICATE
from harness.rounding.emulated import EmulatedBackend
from harness.runs.engine import Engine
from harness.runs.plan import Request, cells

HALVES = pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
SQUARE = """
def forward(xp, x):
    f = xp.sum(x * x)
    return f


def backward(xp, df, x):
    return {"x": FACTOR * df * x}
"""
YAML = "inputs: {x: {shape: [5]}}\n"


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Case]:
    return lambda python, yaml=YAML: case_from(tmp_path, python, yaml)


def rows_of(case: Case, dtype: str, *methods: str) -> list[Row]:
    request = Request(
        backends=methods or ("manual", "numeric"), dtypes=(dtype,), modes=("value", "vjp")
    )
    return [
        row for _, found in Engine([case], request).run(cells([case], request)) for row in found
    ]


def bad(rows: list[Row]) -> list[Row]:
    return [row for row in rows if not row.good]


@HALVES
@pytest.mark.parametrize(
    "name", ["relu_layer", "logsumexp", "logistic_neuron", "list_of_tuples", "kink_max_axis"]
)
def test_right_cases_pass(name: str, dtype: str) -> None:
    rows = rows_of(load(builtin_folder() / f"{name}.yaml"), dtype)
    assert {row.dtype for row in rows} == {dtype}
    assert bad(rows) == []


@HALVES
def test_a_backward_that_is_off_by_a_tenth_is_proved_wrong(
    make: Callable[..., Case], dtype: str
) -> None:
    """Whatever the dtype can show of it: the certificate does not round."""
    assert bad(rows_of(make(SQUARE.replace("FACTOR", "2")), dtype, "manual")) == []
    wrong = bad(rows_of(make(SQUARE.replace("FACTOR", "2.2")), dtype, "manual"))
    assert CERTIFICATE in {row.quantity for row in wrong}
    assert all("proved wrong" in row.detail for row in wrong if row.quantity == CERTIFICATE)
    zero = bad(rows_of(make(SQUARE.replace("FACTOR", "0")), dtype, "manual"))
    assert {"d/dx", CERTIFICATE} <= {row.quantity for row in zero}


@HALVES
def test_a_wrong_printed_number_is_seen(make: Callable[..., Case], dtype: str) -> None:
    point = 'points: {{p: {{inputs: {{x: [1, 2, 3, 4, 5]}}, expect: {{value: "{}"}}}}}}\n'
    python = SQUARE.replace("FACTOR", "2")
    assert bad(rows_of(make(python, YAML + point.format("55.0")), dtype)) == []
    wrong = bad(rows_of(make(python, YAML + point.format("110.0")), dtype))
    assert {row.quantity for row in wrong} == {"expect f"}


def test_every_operation_of_the_emulation_is_rounded() -> None:
    program = program_from("""
        def forward(xp, x):
            a = 0.1 * x
            f = a + 1
            return f

        def backward(xp, df, x):
            return {"x": df * 0.1}
    """)
    nearest = FORMATS["bfloat16"].nearest
    x = nearest([0.3, -7.7, 1000.0])
    sample = sample_for(program, {"x": x})
    half = type(sample)(
        *("demo", "draw0", "default", "bfloat16", {"x": convert(x, "bfloat16")}, ("x",)),
        (convert(np.ones(3), "bfloat16"),),
    )
    found = EmulatedBackend().differentiate(program, half, Task("vjp", ("a",)))
    a = nearest(nearest(0.1) * x)
    for got, want in (
        (found.values["a"], a),
        (found.values["f"], nearest(a + 1)),
        (found.gradients["x"], np.full(3, nearest(0.1))),
    ):
        assert got.dtype == numpy_dtype("bfloat16")
        np.testing.assert_array_equal(got.astype(np.float64), want)
    assert found.detail == "emulated: numpy has no bfloat16"


INVERSE = """
def forward(xp, x):
    f = xp.linalg.inv(x)
    return f
"""


def test_what_numpy_refuses_is_unsupported_in_its_own_words(make: Callable[..., Case]) -> None:
    made = make(
        INVERSE + "\n\ndef backward(xp, df, f):\n"
        "    t = xp.matrix_transpose(f)\n    return {'x': -(t @ df @ t)}\n",
        "inputs: {x: {shape: [3, 3], draw: spd}}\n",
    )
    found = rows_of(made, "float16", "manual")
    assert {row.status for row in found} == {Status.UNSUPPORTED}
    assert "TypeError: array type float16 is unsupported in linalg" in found[0].detail
    assert bad(rows_of(made, "bfloat16", "manual")) == []


@HALVES
def test_differences_are_taken_in_float64_and_rounded_once(dtype: str) -> None:
    program = program_from(SQUARE.replace("FACTOR", "2"))
    x = np.array([0.5, 3.0, -1.25])
    sample = sample_for(program, {"x": x})
    half = type(sample)(
        *("demo", "draw0", "default", dtype, {"x": convert(x, dtype)}, ("x",)),
        (convert(np.ones(()), dtype),),
    )
    found = NumericBackend().differentiate(program, half)
    assert found.gradients["x"].dtype == found.values["f"].dtype == numpy_dtype(dtype)
    np.testing.assert_array_equal(found.gradients["x"].astype(np.float64), 2 * x)
    assert found.detail == "complex step; taken in float64"

"""A backward that calls foreign code: balls cannot follow it, and its numbers are judged anyway."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.cases.case import Case
from harness.model import Row
from harness.runs.engine import Engine
from harness.runs.plan import Request, cells

KERNEL = """
    def kernel(df, f):
        import numpy
        total = numpy.sum(numpy.asarray(df) * numpy.asarray(f), axis=-1, keepdims=True)
        return numpy.asarray(f) * (numpy.asarray(df) - total)

    def forward(xp, x):
        f = xp.softmax(x)
        return f

    def backward(xp, df, f):
        return {"x": kernel(df, f)}
"""
YAML = "inputs: {x: {shape: [3, 4]}}\n"


def judged(made: Case, dtype: str) -> dict[str, Row]:
    request = Request(backends=("manual",), dtypes=(dtype,), draws=1, modes=("vjp",))
    rows = Engine([made], request).run(cells([made], request))
    return {str(row.quantity): row for _, found in rows for row in found}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_numbers_of_a_kernel_are_judged_by_what_is_certified(
    case: Callable[..., Case], dtype: str
) -> None:
    rows = judged(case(KERNEL, YAML), dtype)
    assert rows["d/dx"].status == "pass"
    assert rows["d/dx"].reference == "certified"
    assert rows["certificate"].status == "undecided"
    assert "balls cannot follow `backward`, whose numbers are judged" in rows["certificate"].detail


@pytest.mark.parametrize(
    "wrong", [KERNEL.replace("- total", "- 2 * total"), KERNEL.replace("- total)", ") * 1.000001")]
)
def test_a_wrong_kernel_fails(case: Callable[..., Case], wrong: str) -> None:
    assert judged(case(wrong, YAML), "float64")["d/dx"].status in ("fail", "imprecise")

"""The frameworks in sixteen bits: right code passes, a lie does not, and a lack is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness import backends
from harness.backends.torch import TorchBackend
from harness.cases.case import Case, load
from harness.cases.registry import builtin_folder
from harness.dtypes import convert, numpy_dtype
from harness.model import Gradients, Row, Status
from harness.runs.engine import Engine
from harness.runs.plan import Request, cells

NAMES = ("relu_layer", "logistic_neuron", "kink_max_axis")
HALVES = pytest.mark.parametrize("dtype", ["float16", "bfloat16"])


def case(name: str) -> Case:
    return load(builtin_folder() / f"{name}.yaml")


def rows_of(cases: list[Case], dtype: str, *methods: str, draws: int = 1) -> list[Row]:
    request = Request(backends=methods, dtypes=(dtype,), modes=("value", "vjp"), draws=draws)
    return [row for _, found in Engine(cases, request).run(cells(cases, request)) for row in found]


@HALVES
@pytest.mark.parametrize("backend", ["torch", "tensorflow", "jax", "autograd"])
def test_right_code_passes(backend: str, dtype: str) -> None:
    if (backend, dtype) == ("autograd", "bfloat16"):
        return
    found = rows_of([case(name) for name in NAMES], dtype, backend)
    assert {row.case for row in found} == set(NAMES)
    assert [row for row in found if not row.good] == []


def test_autograd_has_no_bfloat16_and_says_so() -> None:
    found = rows_of([case("relu_layer")], "bfloat16", "autograd")
    assert {row.status for row in found} == {Status.UNSUPPORTED}
    assert all(row.detail.startswith("autograd: no bfloat16") for row in found)


@pytest.mark.parametrize(
    ("dtype", "factor"), [("float16", 1.1), ("bfloat16", 1.25), ("bfloat16", 0)]
)
def test_a_lie_is_no_pass(dtype: str, factor: float) -> None:
    """In bfloat16 a quarter may be undecided: that is what the tolerance of it may be."""

    class Liar(TorchBackend):
        name = "liar"

        def differentiate(self, *arguments: Any, **options: Any) -> Gradients:
            found = super().differentiate(*arguments, **options)
            found.gradients = {
                name: convert(each.astype(np.float64) * factor, dtype)
                for name, each in found.gradients.items()
            }
            return found

    with backends.registered(Liar):
        found = rows_of([case("list_of_tuples")], dtype, "liar")
    allowed = {Status.FAIL, Status.UNDECIDED} if factor == 1.25 else {Status.FAIL}
    assert {row.status for row in found if row.quantity.startswith("d/d")} <= allowed


@pytest.mark.parametrize("name", ["torch", "tensorflow", "jax"])
@HALVES
def test_an_array_goes_in_and_comes_back_bit_by_bit(name: str, dtype: str) -> None:
    from harness.backends import make

    method = make(name)
    array = convert(np.array([[0.1, -3.0], [6e4, 1e-7]]), dtype)
    for given in (array, array[0, 0].reshape(()), array.T):
        back = method.to_numpy(method.asarray(given))  # type: ignore[attr-defined]
        assert back.dtype == numpy_dtype(dtype) and back.shape == given.shape
        assert back.tobytes() == given.tobytes()


def test_a_kernel_that_tensorflow_lacks_is_unsupported_in_its_own_words() -> None:
    found = rows_of([case("kink_hypot")], "bfloat16", "tensorflow")
    assert {row.status for row in found} == {Status.KNOWN}
    assert all("no attribute 'astype'" in row.detail for row in found)

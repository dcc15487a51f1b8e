"""The main job: every built-in case, every method, every number that the notebooks printed."""

from __future__ import annotations

from collections import defaultdict

import pytest

from harness.backends import BUILTIN
from harness.cases.case import Case, load
from harness.cases.registry import builtin_folder
from harness.model import Row, Status
from harness.runs.engine import Engine
from harness.runs.plan import Request, cells

#: Those about kinks have a test of their own (`test_kinks`): what has no derivative is no `pass`.
CASES = sorted(
    file.stem for file in builtin_folder().glob("*.yaml") if not file.stem.startswith("kink_")
)

#: Case and point -> the quantities that a notebook printed there. The numbers themselves stand in
#: the case files; this list makes sure that none of them is dropped.
PRINTED = {
    ("scaled_sum_times_z", "printed"): ["f", "d/dx", "d/dy", "d/dz"],
    ("exp_sin_cos", "printed"): ["f", "d/dx"],
    ("product_of_sums", "printed"): ["f", "d/da", "d/db"],
    ("sum_times_z", "printed"): ["f", "d/dx", "d/dy", "d/dz"],
    ("relu_layer", "printed"): ["f", "d/dW"],
    ("sin_radius", "printed"): ["f", "d/dx"],
    ("cos_sin_over_sqrt", "printed"): ["f", "d/dx"],
    ("sum_xy_z", "numpy"): [
        *("node1", "node2", "node3", "d/dX", "d/dY", "d/dZ"),
        *("d/dnode1 (intermediate)", "d/dnode2 (intermediate)"),
    ],
    ("sum_xy_z", "pytorch"): ["node1", "node2", "node3", "d/dX", "d/dY", "d/dZ"],
    ("tanh_by_exp", "printed"): ["d/dx"],
    ("sigmoid_staged", "printed"): ["d/dx"],
    ("logsumexp_of_squares", "recovered"): ["d/dy"],
    ("logistic_neuron", "printed"): ["s", "d/dw", "d/dx"],
}


@pytest.fixture(scope="session")
def loaded() -> dict[str, Case]:
    return {name: load(builtin_folder() / f"{name}.yaml") for name in CASES}


@pytest.fixture(scope="session")
def rows(loaded: dict[str, Case]) -> dict[tuple[str, str], list[Row]]:
    """Case and backend -> rows, from one run over everything in both dtypes."""
    request = Request(dtypes=("float64", "float32"), modes=("value", "vjp"))
    cases = list(loaded.values())
    found = defaultdict(list)
    for cell, cell_rows in Engine(cases, request).run(cells(cases, request)):
        found[cell.case, cell.backend] += cell_rows
    return found


@pytest.mark.parametrize("backend", BUILTIN)
@pytest.mark.parametrize("name", CASES)
def test_every_method_passes_every_case(
    rows: dict[tuple[str, str], list[Row]], name: str, backend: str
) -> None:
    found = rows[name, backend]
    assert found
    assert {row.dtype for row in found} == {"float64", "float32"}
    bad = [row for row in found if row.status != Status.PASS]
    if backend == "numeric":  # in float32 it may have to say that it does not know
        bad = [row for row in bad if (row.dtype, row.status) != ("float32", Status.UNDECIDED)]
    assert bad == []


@pytest.mark.parametrize("name", CASES)
def test_every_number_has_a_certified_reference(
    rows: dict[tuple[str, str], list[Row]], name: str
) -> None:
    """And every hand-written backward is verified as a formula, to seventeen digits at least."""
    for backend in BUILTIN:
        computed = [row for row in rows[name, backend] if row.reference != "printed"]
        assert {row.reference for row in computed} == {"certified"}
    proofs = [row for row in rows[name, "manual"] if row.quantity == "certificate"]
    points = {(row.point, row.dtype) for row in rows[name, "manual"]}
    assert {(row.point, row.dtype) for row in proofs} == points
    assert len(proofs) == len(points)
    assert all(row.digits >= 17 for row in proofs)


@pytest.mark.parametrize("backend", BUILTIN)
@pytest.mark.parametrize("place", PRINTED, ids="-".join)
def test_printed_numbers_are_reproduced_by_every_method(
    rows: dict[tuple[str, str], list[Row]], place: tuple[str, str], backend: str
) -> None:
    name, point = place
    passed = {
        row.quantity
        for row in rows[name, backend]
        if row.point == point and row.status == Status.PASS and row.dtype == "float64"
    }
    assert {f"expect {quantity}" for quantity in PRINTED[place]} <= passed


def test_the_printed_difference_quotient_is_that_of_numeric_with_its_step(
    rows: dict[tuple[str, str], list[Row]],
) -> None:
    found = [row for row in rows["tanh_by_exp", "numeric"] if "step 0.0001" in row.detail]
    assert [row.expected for row in found if row.dtype == "float64"] == ["0.393223866365"]
    assert not any("step" in row.detail for row in rows["tanh_by_exp", "torch"])


@pytest.mark.parametrize(
    ("name", "size", "left_out"),
    [
        ("linear_regression", "default", ()),
        # 10000 steps of numeric differences take long, and the report runs them.
        ("polynomial_regression", "default", ("numeric",)),
        ("tanh_network", "short", ()),
    ],
)
def test_training_ends_at_the_same_place_with_every_method(
    loaded: dict[str, Case], name: str, size: str, left_out: tuple[str, ...]
) -> None:
    methods = tuple(label for label in BUILTIN if label not in (*left_out, "manual"))
    request = Request(backends=methods, modes=("train",), sizes=(size,))
    case = loaded[name]
    found = [row for _, rows in Engine([case], request).run(cells([case], request)) for row in rows]
    assert {row.backend for row in found} == set(methods)
    assert [row for row in found if row.status != Status.PASS] == []
    if "closed_form" in case.code.functions:
        assert any(row.reference == "closed form" for row in found)


def test_converged_training_ends_at_the_least_squares_answer(loaded: dict[str, Case]) -> None:
    import numpy as np

    from harness.cell import Cell

    engine = Engine([loaded["linear_regression"]], Request())
    cell = Cell("linear_regression", "draw0", "converged", "float64", "torch", training=True)
    subject = engine.subject(cell)
    w, b = subject.trajectories.end(engine.backend(cell))
    sample = subject.sample
    x, t = sample.inputs["x"], sample.inputs["t"]
    (best_w, best_b), *_ = np.linalg.lstsq(np.stack([x, np.ones_like(x)], axis=1), t)
    assert subject.trajectories.steps > 1000
    np.testing.assert_allclose([w, b], [best_w, best_b], rtol=1e-10)


def test_a_case_in_another_process_is_the_same_case(loaded: dict[str, Case]) -> None:
    import pickle

    for case in loaded.values():
        assert case.program.functions  # compiled functions must not hinder it
        copy = pickle.loads(pickle.dumps(case))
        request = Request(backends=("manual",), modes=("value", "vjp"), draws=1)
        planned = cells([copy], request)
        assert planned == cells([case], request)
        one, other = Engine([case], request), Engine([copy], request)
        for cell in planned[:1]:
            assert [row.got for row in one.rows(cell)] == [row.got for row in other.rows(cell)]

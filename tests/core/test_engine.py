"""The engine's verdicts, on small cases whose truth is known: what is wrong is called wrong, and
nothing else is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import case_from

from harness import backends
from harness.backends.base import VJP, Backend
from harness.backends.manual import ManualBackend
from harness.backends.numeric import NumericBackend
from harness.cases.case import Case
from harness.errors import Unsupported
from harness.model import Gradients, Row, Sample, Status, Task
from harness.programs.program import Program
from harness.runs.engine import Engine
from harness.runs.plan import Request, cells

MakeCase = Callable[..., Case]
Install = Callable[..., None]

LAYER = """
    def forward(xp, W, x):
        q = W @ x
        s = xp.tanh(q)
        f = xp.sum(s * s)
        return f

    def backward(xp, df, W, x, s):
        ds = 2 * df * s
        dq = ds * (1 - s * s)
        return {"W": dq[:, None] * x[None, :], "x": W.T @ dq}
"""
YAML = "inputs: {W: {shape: [3, 2]}, x: {shape: [2]}}\n"


@pytest.fixture
def install() -> Iterator[Install]:
    """Backends of the test's own."""
    with ExitStack() as stack:

        def add(name: str, cls: type[Backend], **attributes: Any) -> None:
            made = type(name, (cls,), {"name": name, "written": False, **attributes})
            stack.enter_context(backends.registered(made))

        yield add


def rows(case: Case, *labels: str, **options: Any) -> list[Row]:
    """Every row of a case, for the backends named."""
    options.setdefault("draws", 1)
    options.setdefault("modes", ("value", "vjp"))
    request = Request(backends=labels or ("numeric", "manual"), **options)
    engine = Engine([case], request)
    return [row for _, found in engine.run(cells([case], request)) for row in found]


def by_quantity(found: list[Row], backend: str) -> dict[str, Row]:
    return {row.quantity: row for row in found if row.backend == backend}


def statuses(found: list[Row], backend: str) -> dict[str, str]:
    return {quantity: row.status for quantity, row in by_quantity(found, backend).items()}


def text(found: list[Row]) -> str:
    return "\n".join(map(str, found))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_right_backward_passes(case: MakeCase, dtype: str) -> None:
    found = rows(case(LAYER, YAML), dtypes=(dtype,), draws=3)
    assert all(row.status == Status.PASS for row in found), text(found)
    assert set(statuses(found, "manual")) == {
        "f",
        "d/dW",
        "d/dx",
        "certificate",
        "d/dq (intermediate)",
        "d/ds (intermediate)",
    }
    assert {row.reference for row in found} == {"certified"}
    assert {row.point for row in found} == {"draw0", "draw1", "draw2"}
    assert all(row.error_over_tolerance <= 1 for row in found if row.quantity != "certificate")


@pytest.mark.usefixtures("no_balls")
def test_without_balls_the_backward_and_numeric_differences_judge_each_other(
    case: MakeCase,
) -> None:
    found = rows(case(LAYER, YAML))
    assert statuses(found, "manual").pop("certificate") == Status.UNDECIDED
    judged = [row for row in found if row.mode == "vjp" and row.quantity != "certificate"]
    assert all(row.status == Status.PASS for row in judged), text(found)
    assert {(row.backend, row.reference) for row in judged} == {
        ("manual", "numeric"),
        ("numeric", "manual"),
    }
    # Both run the same `forward` on numpy, so that neither says anything of the other's value.
    assert {row.status for row in found if row.mode == "value"} == {Status.UNDECIDED}


MUTATIONS = {
    "sign": ("W.T @ dq", "-(W.T @ dq)"),
    "factor": ("W.T @ dq", "0.5 * (W.T @ dq)"),
    "zero": ("W.T @ dq", "0 * x"),
    "stale": ("W.T @ dq", "W.T @ ds"),
    "one element": ("W.T @ dq", "(W.T @ dq) * xp.asarray([1.0, 1.0001])"),
    "permuted": ("W.T @ dq", "xp.flip(W.T @ dq)"),
    "not a number": ("W.T @ dq", "x * float('nan')"),
    "axis kept": ("W.T @ dq", "(W.T @ dq)[None, :]"),
    "summed away": ("W.T @ dq", "xp.sum(W.T @ dq)"),
    "wrong dtype": ("W.T @ dq", "xp.astype(W.T @ dq, xp.float32)"),
    "missing": (', "x": W.T @ dq', ""),
    "cotangent forgotten": ("2 * df * s", "2 * s"),
    "fourth digit": ("W.T @ dq", "(W.T @ dq) * (1 + 1e-4)"),
}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_a_wrong_backward_fails_and_a_right_method_does_not(
    case: MakeCase, install: Install, mutation: str
) -> None:
    old, new = MUTATIONS[mutation]
    install("second", NumericBackend)
    found = rows(case(LAYER.replace(old, new), YAML), "manual", "second")
    manual, second = by_quantity(found, "manual"), by_quantity(found, "second")
    assert manual["d/dx"].status == Status.FAIL, text(found)
    assert not manual["d/dx"].good
    assert all(row.status == Status.PASS for row in second.values()), text(found)
    slopes = [row for row in found if row.mode == "vjp"]
    assert {row.reference for row in slopes} == {"certified"}, text(found)
    if "W.T" in old:
        assert manual["d/dW"].status == Status.PASS
    certificate = manual["certificate"]
    if mutation in UNPROVED:
        assert certificate.status == UNPROVED[mutation], text(found)
        return
    assert certificate.status == Status.FAIL
    line, source = (11, 'return {"W"') if "W.T" in old else (9, f"ds = {new}")
    for row in (certificate, manual["d/dx"]):
        assert f"demo.py:{line}: `{source}" in row.detail, row


#: What a certificate does not judge: it is about a formula over the reals, and needs one number for
#: each element. The row of the gradient judges the rest.
UNPROVED = {
    "axis kept": Status.UNDECIDED,
    "summed away": Status.UNDECIDED,
    "missing": Status.UNDECIDED,
    "wrong dtype": Status.PASS,
}


@pytest.mark.usefixtures("no_balls")
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_without_balls_a_wrong_backward_makes_no_method_look_wrong(
    case: MakeCase, install: Install, mutation: str
) -> None:
    old, new = MUTATIONS[mutation]
    install("second", NumericBackend)
    found = rows(case(LAYER.replace(old, new), YAML), "manual", "second")
    manual, second = by_quantity(found, "manual"), by_quantity(found, "second")
    assert manual["certificate"].status == Status.UNDECIDED
    assert manual["d/dx"].status == Status.FAIL, text(found)
    assert manual["d/dx"].reference == "numeric"
    assert all(row.status == Status.PASS for row in second.values()), text(found)
    assert second["d/dx"].reference == "numeric"
    if "W.T" in old:
        assert manual["d/dW"].status == Status.PASS
        assert second["d/dW"].reference == "manual"


def test_a_wrong_shape_says_so(case: MakeCase) -> None:
    found = rows(case(LAYER.replace(*MUTATIONS["axis kept"]), YAML), "manual")
    row = by_quantity(found, "manual")["d/dx"]
    assert (row.got, row.expected) == ("shape [1, 2]", "shape [2]")
    assert "wrong shape" in row.detail


def test_a_missing_gradient_says_so(case: MakeCase) -> None:
    found = rows(case(LAYER.replace(*MUTATIONS["missing"]), YAML), "manual")
    assert "missing" in by_quantity(found, "manual")["d/dx"].detail


@pytest.mark.parametrize("balls", [True, False])
def test_a_wrong_cotangent_of_an_intermediate_is_told_though_the_gradients_are_right(
    case: MakeCase, request: pytest.FixtureRequest, balls: bool
) -> None:
    if not balls:
        request.getfixturevalue("no_balls")
    python = LAYER.replace("ds = 2 * df * s", "ds = df * s").replace("dq = ds *", "dq = 2 * ds *")
    made = rows(case(python, YAML))
    found = statuses(made, "manual")
    assert found.pop("f") == (Status.PASS if balls else Status.UNDECIDED)
    assert found.pop("certificate") == (Status.PASS if balls else Status.UNDECIDED)
    if balls:
        remark = "remark: `ds` is not the cotangent of `s`"
        assert remark in by_quantity(made, "manual")["certificate"].detail
        assert "d/ds (intermediate)" not in found
    else:
        assert found.pop("d/ds (intermediate)") == Status.UNDECIDED
    assert set(found.values()) == {Status.PASS}, text(made)


def test_intermediates_of_every_method_on_request(case: MakeCase, install: Install) -> None:
    install("second", NumericBackend)
    python = LAYER[: LAYER.index("    def backward")]
    found = rows(case(python, YAML), "second", intermediates=True)
    assert {"d/dq (intermediate)", "d/ds (intermediate)"} <= set(statuses(found, "second"))
    assert all(row.status == Status.PASS for row in found)


class Scripted(Backend):
    """Numeric differences, tampered with."""

    @staticmethod
    def tamper(found: Gradients) -> Gradients:
        return found

    def differentiate(self, program: Program, sample: Sample, task: Task = VJP) -> Gradients:
        found = ManualBackend().differentiate(program, sample, task)
        found.intermediates = {}
        return self.tamper(found) if task.mode == "vjp" else found


def set_x(array: Any) -> Callable[[Gradients], Gradients]:
    def tamper(found: Gradients) -> Gradients:
        x = found.gradients.pop("x")
        made = array(x)
        if made is not None:
            found.gradients["x"] = made
        return found

    return tamper


@pytest.mark.parametrize("balls", [True, False])
@pytest.mark.parametrize(
    ("lie", "status"),
    [
        (lambda x: x, Status.PASS),
        (lambda x: -x, Status.FAIL),
        (lambda x: x * 1.01, Status.FAIL),
        (lambda x: x * (1 + 1e-9), Status.IMPRECISE),
        (lambda x: x * np.nan, Status.FAIL),
        (lambda x: x + np.inf, Status.FAIL),
        (lambda x: x[:, None], Status.FAIL),
        (lambda x: x.astype("float32"), Status.FAIL),
        (lambda x: None, Status.FAIL),
        (lambda x: np.zeros_like(x), Status.FAIL),
    ],
)
def test_a_lying_method_fails_alone(
    case: MakeCase,
    install: Install,
    request: pytest.FixtureRequest,
    lie: Callable[[Any], Any],
    status: str,
    balls: bool,
) -> None:
    if not balls:
        request.getfixturevalue("no_balls")
    install("liar", Scripted, tamper=staticmethod(set_x(lie)))
    found = rows(case(LAYER, YAML), "liar", "manual", "numeric")
    liar = by_quantity(found, "liar")
    assert liar["d/dx"].status == status
    assert liar["d/dW"].status == Status.PASS
    assert liar["d/dx"].reference == ("certified" if balls else "manual")
    others = [row for row in found if row.backend != "liar" and row.quantity != "certificate"]
    assert all(row.status == Status.PASS for row in others if balls or row.mode == "vjp")


def test_a_lying_method_is_told_what_its_lie_looks_like_but_no_line(
    case: MakeCase, install: Install
) -> None:
    """The lines of a case are not to blame for what another method makes of them."""
    install("liar", Scripted, tamper=staticmethod(set_x(lambda x: -x)))
    row = by_quantity(rows(case(LAYER, YAML), "liar"), "liar")["d/dx"]
    assert "looks like: wrong sign" in row.detail
    assert "the fault is in" not in row.detail


def test_a_lie_about_the_value_fails(case: MakeCase, install: Install) -> None:
    def tamper(found: Gradients) -> Gradients:
        found.values["f"] = found.values["f"] * 1.001
        return found

    install("liar", Scripted, tamper=staticmethod(tamper))
    assert statuses(rows(case(LAYER, YAML), "liar"), "liar")["f"] == Status.FAIL


def test_a_method_that_changes_its_input_is_an_error(case: MakeCase, install: Install) -> None:
    class Careless(Scripted):
        def differentiate(self, program: Program, sample: Sample, task: Task = VJP) -> Gradients:
            found = super().differentiate(program, sample, task)
            sample.inputs["x"][0] += 1
            return found

    install("careless", Careless)
    found = rows(case(LAYER, YAML), "careless", "manual")
    careless = [row for row in found if row.backend == "careless"]
    assert {row.status for row in careless} == {Status.ERROR}
    assert all("read-only" in row.detail for row in careless)
    assert {row.status for row in found if row.backend == "manual"} == {Status.PASS}


def raising(error: Exception) -> staticmethod[..., Any]:
    def tamper(found: Gradients) -> Gradients:
        raise error

    return staticmethod(tamper)


def test_a_method_without_the_derivative_still_has_the_value(
    case: MakeCase, install: Install
) -> None:
    install("poor", Scripted, tamper=raising(Unsupported("no VJP for tanh")))
    found = by_quantity(rows(case(LAYER, YAML), "poor"), "poor")
    assert found["f"].status == Status.PASS
    assert found["all"].status == Status.UNSUPPORTED
    assert found["all"].mode == "vjp"
    assert found["all"].detail == "no VJP for tanh"
    assert not found["all"].good


def test_a_missing_framework_leaves_a_row_per_mode(case: MakeCase, install: Install) -> None:
    install("absent", Scripted, module="no_such_module", install="pip install absent")
    found = rows(case(LAYER, YAML), "absent")
    assert {row.mode for row in found} == {"value", "vjp"}
    assert {row.status for row in found} == {Status.MISSING}
    assert all("pip install absent" in row.detail for row in found)
    assert all(row.good for row in found)


BROKEN = {
    "forward": ("q = W @ x", "q = W @ xp.ones(7)", 3, "ValueError"),
    "backward": ("ds = 2 * df * s", "ds = 2 * df * undefined", 9, "NameError"),
}


@pytest.mark.parametrize("where", BROKEN)
def test_a_case_that_raises_is_a_row_and_the_others_go_on(tmp_path: Path, where: str) -> None:
    old, new, line, kind = BROKEN[where]
    python = LAYER.replace(old, new)
    bad = case_from(tmp_path, python, YAML, "bad")
    good = case_from(tmp_path, LAYER, YAML, "good")
    request = Request(backends=("numeric", "manual"), draws=1, modes=("value", "vjp"))
    engine = Engine([bad, good], request)
    found = [row for _, each in engine.run(cells([bad, good], request)) for row in each]
    assert all(row.status == Status.PASS for row in found if row.case == "good")
    broken = [row for row in found if row.case == "bad"]
    errors = [row for row in broken if row.status == Status.ERROR]
    place = f"{tmp_path / 'bad.py'}:{line}: `{new}`: {kind}"
    assert errors
    assert all(place in row.detail for row in errors), text(errors)
    if where == "forward":
        assert {(row.backend, row.mode) for row in errors} == {
            (backend, mode) for backend in ("numeric", "manual") for mode in ("value", "vjp")
        }
    else:
        assert [(row.backend, row.mode, row.quantity) for row in errors] == [
            ("manual", "vjp", "all")
        ]
        assert set(statuses(broken, "numeric").values()) == {Status.PASS}


def test_a_backward_that_mutates_is_an_error_at_its_line(case: MakeCase, tmp_path: Path) -> None:
    python = LAYER.replace("ds = 2 * df * s", "s *= 2; ds = df * s")
    found = by_quantity(rows(case(python, YAML), "manual"), "manual")["all"]
    assert found.status == Status.ERROR
    assert f"{tmp_path / 'demo.py'}:9: " in found.detail
    assert "write into a copy" in found.detail


def test_no_backward_at_all(case: MakeCase, install: Install) -> None:
    install("second", NumericBackend)
    python = LAYER[: LAYER.index("    def backward")]
    found = rows(case(python, YAML), "manual", "second")
    assert {row.backend for row in found} == {"second"}
    assert set(statuses(found, "second").values()) == {Status.PASS}
    assert by_quantity(found, "second")["d/dx"].reference == "certified"
    alone = statuses(rows(case(python, YAML), "manual"), "manual")
    assert alone == {"f": Status.PASS, "all": Status.UNSUPPORTED}


# --- certificates ---

KINKED = """
    def forward(xp, x):
        f = xp.sum(xp.abs(x))
        return f

    def backward(xp, df, x):
        dx = df * xp.sign(x)
        return {"x": dx}
"""
AT_ZERO = "inputs: {x: {shape: [2]}}\npoints: {zero: {inputs: {x: [0, 1]}}}\n"
UNFOLLOWED = """
    def forward(xp, x):
        s = xp.linalg.svdvals(x)
        f = xp.sum(s * s) / 2
        return f

    def backward(xp, df, x):
        dx = df * x
        return {"x": dx}
"""


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_certificate_verifies_to_seventeen_digits(case: MakeCase, dtype: str) -> None:
    found = rows(case(LAYER, YAML), dtypes=(dtype,))
    row = by_quantity(found, "manual")["certificate"]
    assert (row.status, row.mode, row.reference) == (Status.PASS, "vjp", "certified")
    assert 17 <= row.digits < math.inf
    assert row.detail == f"verified to {math.floor(row.digits)} digits"
    assert "certificate" not in by_quantity(found, "numeric")


def test_a_certificate_may_be_exact(case: MakeCase) -> None:
    python = """
        def forward(xp, x):
            f = xp.sum(x * x)
            return f

        def backward(xp, df, x):
            return {"x": 2 * df * x}
    """
    made = case(python, YAML.replace("W: {shape: [3, 2]}, ", ""))
    # Products of three float32 fit into the balls' precision.
    row = by_quantity(rows(made, dtypes=("float32",)), "manual")
    assert row["certificate"].digits == math.inf
    assert row["certificate"].detail == "verified exactly"


def test_a_certificate_at_a_kink(case: MakeCase) -> None:
    row = by_quantity(rows(case(KINKED, AT_ZERO), points=("zero",)), "manual")["certificate"]
    assert row.status == Status.KINK
    assert row.good
    assert row.digits == math.inf
    assert row.detail == "a subgradient; the pieces that meet at the kink are verified exactly"


def test_a_certificate_that_balls_cannot_give(case: MakeCase) -> None:
    found = rows(case(UNFOLLOWED, "inputs: {x: {shape: [2, 2]}}\n"))
    manual = by_quantity(found, "manual")
    row = manual.pop("certificate")
    assert row.status == Status.UNDECIDED
    assert row.good
    assert manual.pop("f").status == Status.UNDECIDED
    assert math.isnan(row.digits)
    assert "svdvals" in row.detail
    assert {row.reference for row in manual.values()} == {"numeric"}
    assert {row.reference for row in found if row.backend == "numeric"} == {"manual"}
    assert {row.status for row in manual.values()} == {Status.PASS}, text(found)


HUGE = """
    def forward(xp, A):
        s = xp.linalg.svdvals(A)
        f = {offset} + xp.sum(s)
        return f

    def backward(xp, df, A):
        return {{"A": {factor} * df * xp.ones_like(A)}}
"""


@pytest.mark.parametrize("offset", ["1e14", "1e20"])
def test_a_difference_that_drowns_in_rounding_confirms_nothing(
    case: MakeCase, install: Install, offset: str
) -> None:
    """It is exactly 0, and its uncertainty would let any backward pass."""
    install("other", Scripted, tamper=staticmethod(lambda found: found))
    made = case(HUGE.format(offset=offset, factor=7), "inputs: {A: {shape: [2, 2]}}\n")
    found = rows(made, "manual", "numeric", "other")
    gradients = [row for row in found if row.quantity == "d/dA"]
    assert {row.status for row in gradients} <= {Status.UNDECIDED, Status.FAIL}, text(found)
    assert by_quantity(found, "manual")["d/dA"].status == Status.UNDECIDED


def test_a_method_that_knows_nothing_does_not_pass(case: MakeCase) -> None:
    python = "def forward(xp, x):\n    f = 1e13 + xp.sum(x * x)\n    return f\n"
    made = case(python, "inputs: {x: {shape: [1], domain: [0.3, 0.5]}}\n")
    row = by_quantity(rows(made, "numeric", numeric="central"), "numeric")["d/dx"]
    assert (row.status, row.reference) == (Status.UNDECIDED, "certified")


@pytest.mark.parametrize(
    ("lie", "status"),
    [
        (lambda i: i, Status.PASS),
        (lambda i: i + 1, Status.FAIL),
        (lambda i: i.astype("float64"), Status.FAIL),
        (lambda i: i[None], Status.FAIL),
    ],
)
def test_an_output_of_integers_is_compared_exactly(
    case: MakeCase, install: Install, lie: Callable[[Any], Any], status: str
) -> None:
    def tamper(found: Gradients) -> Gradients:
        found.values["i"] = lie(found.values["i"])
        return found

    install("liar", Scripted, tamper=staticmethod(tamper))
    python = """
        def forward(xp, x):
            f = xp.sum(x * x)
            i = xp.argmax(x)
            return f, i

        def backward(xp, df, di, x):
            return {"x": 2 * df * x}
    """
    found = rows(case(python, "inputs: {x: {shape: [3]}}\n"), "liar", "manual")
    assert by_quantity(found, "liar")["i"].status == status
    assert by_quantity(found, "manual")["i"].status == Status.PASS, text(found)


def test_a_certificate_is_about_the_gradient_alone(case: MakeCase) -> None:
    found = rows(case(LAYER, YAML), modes=("value",))
    assert all(row.quantity != "certificate" for row in found)


def test_a_formatted_statement_is_named_whole(case: MakeCase) -> None:
    python = LAYER.replace(
        "ds = 2 * df * s", "ds = (\n            3 * df\n            * s\n        )"
    )
    row = by_quantity(rows(case(python, YAML)), "manual")["certificate"]
    assert "demo.py:9: `ds = ( 3 * df * s )`" in row.detail


# --- declared gaps ---

GAP = "known: [{{backend: liar, status: {}, reason: because, quantity: d/dx}}]\n"


def test_a_declared_gap_is_known(case: MakeCase, install: Install) -> None:
    install("liar", Scripted, tamper=staticmethod(set_x(lambda x: -x)))
    found = by_quantity(rows(case(LAYER, YAML + GAP.format("fail")), "liar"), "liar")
    assert found["d/dx"].status == Status.KNOWN
    assert found["d/dx"].good
    assert found["d/dx"].detail.startswith("because")
    assert found["d/dW"].status == Status.PASS


def test_a_gap_that_is_gone_fails_until_its_entry_is(case: MakeCase, install: Install) -> None:
    install("liar", Scripted)
    found = by_quantity(rows(case(LAYER, YAML + GAP.format("fail")), "liar"), "liar")
    assert found["d/dx"].status == Status.FIXED
    assert not found["d/dx"].good
    assert "remove its entry" in found["d/dx"].detail


def test_a_gap_that_has_become_another_one_says_which(case: MakeCase, install: Install) -> None:
    python = """
    def forward(xp, x):
        f = xp.maximum(x, xp.zeros_like(x))
        return f

    def backward(xp, df, x):
        dx = xp.where(x > 0, df, 0 * df)
        return {"x": dx}
    """
    yaml = "inputs: {x: {shape: []}}\npoints: {tie: {inputs: {x: 0.0}}}\n" + GAP.format("fail")
    install("liar", Scripted, tamper=staticmethod(set_x(lambda x: 0.5 + 0 * x)))
    made = case(python, yaml)
    found = by_quantity(rows(made, "liar", points=("tie",), draws=0), "liar")["d/dx"]
    assert found.status == Status.FIXED
    assert "declared as `fail` (because), and `kink` now; write that into" in found.detail


def test_a_gap_covers_no_other_status(case: MakeCase, install: Install) -> None:
    install("liar", Scripted, tamper=staticmethod(set_x(lambda x: -x)))
    found = by_quantity(rows(case(LAYER, YAML + GAP.format("imprecise")), "liar"), "liar")
    assert found["d/dx"].status == Status.FAIL


def test_a_gap_may_name_the_exception(case: MakeCase, install: Install) -> None:
    install("liar", Scripted, tamper=raising(ZeroDivisionError("oh")))
    gap = "known: [{{backend: liar, status: error, reason: because, raises: {}}}]\n"
    right = rows(case(LAYER, YAML + gap.format("ZeroDivisionError")), "liar")
    assert statuses(right, "liar")["all"] == Status.KNOWN
    wrong = rows(case(LAYER, YAML + gap.format("KeyError")), "liar")
    assert statuses(wrong, "liar")["all"] == Status.ERROR


# --- printed expectations ---

SQUARE = """
    def forward(xp, x):
        q = xp.exp(x)
        f = xp.sum(q)
        return f

    def backward(xp, df, q):
        dq = df * xp.ones_like(q)
        return {"x": dq * q}
"""
POINT = "inputs: {x: {shape: [2]}}\npoints:\n  p:\n    inputs: {x: [0, 1]}\n    expect: "


def expectation(make: MakeCase, expect: str, *labels: str, **options: Any) -> dict[str, Row]:
    found = rows(
        make(SQUARE, POINT + expect + "\n"), *(labels or ("manual",)), points=("p",), **options
    )
    return {row.quantity: row for row in found if row.quantity.startswith("expect")}


@pytest.mark.parametrize(
    ("expect", "quantity", "status"),
    [
        ('{value: "3.718"}', "expect f", Status.PASS),
        ('{value: "3.72"}', "expect f", Status.PASS),
        ('{value: "3.719"}', "expect f", Status.FAIL),
        ('{value: {f: "3.7182818284590451"}}', "expect f", Status.PASS),
        ('{value: "3.7182818294590451"}', "expect f", Status.IMPRECISE),
        ('{gradient: {x: ["1.00", "2.72"]}}', "expect d/dx", Status.PASS),
        ('{gradient: {x: ["1.00", "2.71"]}}', "expect d/dx", Status.FAIL),
        ('{gradient: {x: ["1.00"]}}', "expect d/dx", Status.FAIL),
        ('{gradient: {q: ["1.", "1."]}}', "expect d/dq (intermediate)", Status.PASS),
        ('{gradient: {q: ["1.", "3."]}}', "expect d/dq (intermediate)", Status.FAIL),
        ('{intermediates: {q: ["1.0", "2.7"]}}', "expect q", Status.PASS),
        ('{intermediates: {q: ["1.0", "2.8"]}}', "expect q", Status.FAIL),
    ],
)
def test_a_printed_number_stands_for_what_rounds_to_it(
    case: MakeCase, expect: str, quantity: str, status: str
) -> None:
    for backend in ("manual", "numeric"):
        found = expectation(case, expect, backend)
        assert set(found) == {quantity}
        assert found[quantity].status == status, found
        assert found[quantity].reference == "printed"


def test_digits_that_float32_computed_are_judged_as_such(case: MakeCase) -> None:
    wrong = '{value: "3.7182819"}'
    assert expectation(case, wrong)["expect f"].status != Status.PASS
    single = '{value: "3.7182819", dtype: float32}'
    assert expectation(case, single)["expect f"].status == Status.PASS
    far = '{value: "3.7192819", dtype: float32}'
    assert expectation(case, far)["expect f"].status == Status.FAIL


def test_an_expectation_of_one_method_is_not_asked_of_another(case: MakeCase) -> None:
    expect = '{gradient: {x: ["9", "9"]}, backend: numeric}'
    assert expectation(case, expect, "manual") == {}
    assert expectation(case, expect, "numeric")["expect d/dx"].status == Status.FAIL


def test_an_expectation_at_a_fixed_step(case: MakeCase) -> None:
    """(exp(0.5) - exp(-0.5)) / 1 and e times it."""
    expect = '{{gradient: {{x: ["1.04219", "2.83297"]}}, backend: numeric, step: {}}}'
    found = expectation(case, expect.format(0.5), "numeric")["expect d/dx"]
    assert found.status == Status.PASS
    assert "step 0.5" in found.detail


def test_the_digits_of_one_step_are_not_those_of_another(case: MakeCase) -> None:
    """(exp(0.25) - exp(-0.25)) / 0.5 is 1.01045."""
    expect = '{gradient: {x: ["1.04219", "2.83297"]}, backend: numeric, step: 0.25}'
    assert expectation(case, expect, "numeric")["expect d/dx"].status == Status.FAIL


@pytest.mark.parametrize(("x", "status"), [('"1.0"', Status.PASS), ("1.0", Status.FAIL)])
def test_printed_inputs_widen_what_is_expected(case: MakeCase, x: str, status: str) -> None:
    """exp(1.03) is 2.801: the value that a source computed before it printed 1.03 as 1.0."""
    yaml = (
        f"inputs: {{x: {{shape: [1]}}}}\npoints:\n  p:\n    inputs: {{x: [{x}]}}\n"
        '    expect: {value: "2.801", gradient: {x: ["2.801"]}}\n'
    )
    found = rows(case(SQUARE, yaml), "manual", points=("p",))
    assert {row.status for row in found if row.quantity.startswith("expect")} == {status}


def test_a_declared_tolerance_replaces_the_default(case: MakeCase, install: Install) -> None:
    install("liar", Scripted, tamper=staticmethod(set_x(lambda x: x * (1 + 1e-5))))
    tolerance = "tolerance: {float64: {rtol: 1.0e-4}}\n"
    assert statuses(rows(case(LAYER, YAML), "liar"), "liar")["d/dx"] == Status.FAIL
    assert statuses(rows(case(LAYER, YAML + tolerance), "liar"), "liar")["d/dx"] == Status.PASS


def test_modes_can_be_asked_for_alone(case: MakeCase) -> None:
    made = case(LAYER, YAML)
    assert {row.mode for row in rows(made, modes=("value",))} == {"value"}
    assert {row.mode for row in rows(made, modes=("vjp",))} == {"vjp"}


def test_the_order_of_the_cells_does_not_matter(case: MakeCase) -> None:
    made = case(LAYER, YAML)
    request = Request(backends=("manual", "numeric"), draws=6, modes=("value", "vjp"))
    planned = cells([made], request)

    def measured(order: Sequence[Any]) -> dict[Any, Any]:
        found = Engine([made], request).run(order)
        return {
            cell: [(row.quantity, row.status, row.got, row.error_over_tolerance) for row in each]
            for cell, each in found
        }

    assert measured(planned) == measured(planned[::-1])


# --- training ---

QUADRATIC = """
    def forward(xp, x, a):
        f = 0.5 * xp.sum(a * x * x)
        return f

    def backward(xp, df, x, a):
        return {"x": df * a * x}

    def closed_form(xp, x, a, steps, step_size):
        return x * (1 - step_size * a) ** steps
"""
TRAINING = """
inputs:
  x: {{shape: [3], draw: normal}}
  a: {{value: [1, 2, 3], differentiable: false}}
training: {{of: x, steps: 40, step_size: 0.01{}}}
"""


def trained(make: MakeCase, python: str, extra: str = "", *labels: str) -> list[Row]:
    made = make(python, TRAINING.format(extra))
    return rows(made, *(labels or ("manual", "numeric")), modes=("train",))


def test_a_right_gradient_ends_where_the_closed_form_says(case: MakeCase) -> None:
    found = trained(case, QUADRATIC)
    assert {row.status for row in found} == {Status.PASS}, text(found)
    assert {row.mode for row in found} == {"train"}
    assert {(row.backend, row.reference, row.quantity) for row in found} == {
        ("manual", "numeric", "x after 40 steps"),
        ("manual", "closed form", "expect x after 40 steps"),
        ("numeric", "manual", "x after 40 steps"),
        ("numeric", "closed form", "expect x after 40 steps"),
    }


@pytest.mark.parametrize("optimizer", ["gradient_descent", "momentum"])
def test_a_gradient_wrong_in_the_fifth_digit_fails_in_the_end(
    case: MakeCase, optimizer: str
) -> None:
    python = QUADRATIC[: QUADRATIC.index("    def closed_form")]
    extra = f", optimizer: {optimizer}"
    assert {row.status for row in trained(case, python, extra)} == {Status.PASS}
    wrong = python.replace("df * a * x", "df * a * x * (1 + 1e-5)")
    found = trained(case, wrong, extra)
    assert not any(row.good for row in found if row.backend == "manual"), text(found)


def test_a_wrong_gradient_differs_from_the_closed_form(case: MakeCase) -> None:
    found = trained(case, QUADRATIC.replace("df * a * x", "df * x"))
    verdicts = {(row.backend, row.reference): row.status for row in found}
    assert verdicts["manual", "closed form"] == Status.FAIL
    assert verdicts["manual", "numeric"] == Status.FAIL


def test_a_wrong_closed_form_is_caught(case: MakeCase) -> None:
    found = trained(case, QUADRATIC.replace("** steps", "** (steps + 1)"))
    verdicts = {(row.backend, row.reference): row.status for row in found}
    assert verdicts["manual", "closed form"] == Status.FAIL
    assert verdicts["manual", "numeric"] == Status.PASS


def test_a_lying_method_ends_elsewhere(case: MakeCase, install: Install) -> None:
    class Drifting(ManualBackend):
        def gradient_function(self, program: Program, sample: Sample) -> Any:
            honest = super().gradient_function(program, sample)
            return lambda arrays: [each * (1 + 1e-9) for each in honest(arrays)]

    install("drifting", Drifting)
    found = trained(case, QUADRATIC, "", "drifting")
    assert not any(row.good for row in found), text(found)


def test_a_chaotic_training_is_called_so(case: MakeCase) -> None:
    """The update is the logistic map x -> 4 x (1 - x): errors double with each step."""
    python = """
        def forward(xp, x):
            f = xp.sum(x * x * x * 4 / 3 - 1.5 * x * x)
            return f

        def backward(xp, df, x):
            return {"x": df * (4 * x * x - 3 * x)}
    """
    yaml = (
        "inputs: {x: {shape: [2], domain: [0.1, 0.9]}}\n"
        "training: {of: x, steps: 60, step_size: 1.0}\n"
    )
    found = rows(case(python, yaml), modes=("train",))
    assert {row.status for row in found} == {Status.UNSUPPORTED}, text(found)
    assert all("chaotic" in row.detail for row in found)


def test_training_leaves_the_gradient_rows_alone(case: MakeCase) -> None:
    made = case(QUADRATIC, TRAINING.format(""))
    found = rows(made, modes=("value", "vjp", "train"))
    assert {row.mode for row in found} == {"value", "vjp", "train"}
    assert {row.status for row in found} == {Status.PASS}


LARGE = """
    def forward(xp, x):
        y = xp.sum(x * x * x)
        return y

    def backward(xp, dy, x):
        dx = 3 * x * x * dy
        {spoilt}
        return {{"x": dx}}
"""


@pytest.mark.parametrize("spoilt", ["dx = -dx", "dx[777] = 1.1 * dx[777]", "dx = dx * (1 + 1e-6)"])
def test_a_wrong_backward_of_a_large_input_is_told_and_makes_nobody_else_look_wrong(
    case: Callable[..., Case], spoilt: str
) -> None:
    made = case(LARGE.format(spoilt=spoilt), "inputs:\n  x: {shape: [2000]}\n")
    request = Request(backends=("manual", "numeric"), modes=("vjp",), draws=1)
    rows = [row for _, each in Engine([made], request).run(cells([made], request)) for row in each]
    (wrong,) = (row for row in rows if (row.backend, row.quantity) == ("manual", "d/dx"))
    (right,) = (row for row in rows if (row.backend, row.quantity) == ("numeric", "d/dx"))
    assert wrong.status in (Status.FAIL, Status.IMPRECISE)
    assert wrong.reference == right.reference == "certified"
    assert right.status == Status.PASS
    assert "at 16 of 2000 elements and along 4 random directions" in wrong.detail


def test_a_method_without_the_dtype_is_left_out_unless_it_is_named(case: MakeCase) -> None:
    made = case(LAYER, YAML)
    every = cells([made], Request(dtypes=("bfloat16",)))
    assert "jax" in {cell.backend for cell in every}
    assert "autograd" not in {cell.backend for cell in every}
    named = cells([made], Request(dtypes=("bfloat16",), backends=("autograd",)))
    assert {cell.backend for cell in named} == {"autograd"}


@pytest.mark.parametrize(
    "fault",
    ["raise SystemExit(0)", "raise Silent()"],
)
def test_whatever_a_case_raises_is_a_row(case: MakeCase, fault: str) -> None:
    python = f"""
    class Silent(Exception):
        def __str__(self):
            raise ValueError("no text")

    def forward(xp, x):
        {fault}
        return x
    """
    found = rows(case(python, "inputs: {x: {shape: []}}\n"), "numeric")
    assert {row.status for row in found} == {Status.ERROR}, text(found)
    assert all("demo.py:7" in row.detail for row in found), text(found)

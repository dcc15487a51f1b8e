"""JVPs and HVPs in a run: what is wrong is red, what is right never is, and where nothing can be
said the row says that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness import backends
from harness.backends.base import VJP, Backend
from harness.cases.case import Case, load
from harness.cases.registry import builtin_folder
from harness.cases.sampling import draw_sample
from harness.errors import UsageError
from harness.judging.directional_cell import DirectionalCell
from harness.judging.directional_evidence import RoundingBound
from harness.model import DIRECTIONAL, Gradients, Row, Sample, Status, Task
from harness.programs import trees
from harness.programs.program import Program
from harness.runs.engine import Engine
from harness.runs.plan import Request, cells, labels
from harness.truth import directional

MakeCase = Callable[..., Case]
Tell = Callable[[Gradients, Sample], Gradients]
#: Nested inputs, a loss, a kink, several sizes of the Hessian.
CASES = ("dict_of_vectors", "sum_xy_z", "sigmoid_staged", "kink_huber", "kink_prod", "relu_layer")


class Teller(Backend):
    """Certified JVPs and HVPs in the dtype of the sample, or what `tell` makes of them."""

    name = "teller"
    written = False
    tell: Tell = staticmethod(lambda found, _: found)

    def differentiate(self, program: Program, sample: Sample, task: Task = VJP) -> Gradients:
        known = getattr(directional, task.mode)(program, trees.cast(sample, "float64")).sides
        numbers = {name: each.middle.astype(sample.dtype) for name, each in known.items()}
        return type(self).tell(Gradients({}, **{f"{task.mode}s": numbers}), sample)


@pytest.fixture(autouse=True)
def teller() -> Iterator[None]:
    """Make `teller` a backend."""
    with backends.registered(Teller):
        yield


def ran(made: Case, *labels_: str, **options: Any) -> list[Row]:
    """The rows of a case; of the directional modes at the first draw if nothing else is said."""
    options = {"modes": DIRECTIONAL, "draws": 1, "points": ("draw0",), **options}
    request = Request(backends=labels_, **options)
    return [row for _, rows in Engine([made], request).run(cells([made], request)) for row in rows]


def told(monkeypatch: pytest.MonkeyPatch, made: Case, tell: Tell, **options: Any) -> list[Row]:
    monkeypatch.setattr(Teller, "tell", staticmethod(tell))
    return ran(made, "teller", **options)


def each(change: Callable[[np.ndarray], np.ndarray]) -> Tell:
    """Changes every derivative in the same way."""

    def tell(found: Gradients, _: Sample) -> Gradients:
        return replace(
            found,
            jvps={name: change(array) for name, array in found.jvps.items()},
            hvps={name: change(array) for name, array in found.hvps.items()},
        )

    return tell


def exactly(function: Callable[[dict[str, np.ndarray]], Any]) -> Tell:
    """The JVP of `f` as a function of the tangents."""

    def tell(_: Gradients, sample: Sample) -> Gradients:
        return Gradients({}, jvps={"f": np.asarray(function(sample.tangents), np.float64)})

    return tell


def missing(found: Gradients, _: Sample) -> Gradients:
    return replace(found, jvps={}, hvps={})


def moved_tangent(found: Gradients, sample: Sample) -> Gradients:
    sample.tangents[sample.differentiable[0]][...] *= 2
    return found


LIES: dict[str, Tell] = {
    "zeros": each(np.zeros_like),
    "negated": each(np.negative),
    "scaled": each(lambda array: array * (1 + 1e-9)),
    "nan": each(lambda array: np.full_like(array, np.nan)),
    "infinite": each(lambda array: np.full_like(array, np.inf)),
    "float32": each(lambda array: array.astype(np.float32)),
    "wrong shape": each(lambda array: array[np.newaxis]),
    "missing": missing,
    "mutated tangent": moved_tangent,
}


@pytest.fixture(scope="module")
def loaded() -> dict[str, Case]:
    return {name: load(builtin_folder() / f"{name}.yaml") for name in CASES}


@pytest.mark.parametrize("mode", DIRECTIONAL)
@pytest.mark.parametrize("name", CASES)
def test_the_truth_passes(
    loaded: dict[str, Case], name: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = told(monkeypatch, loaded[name], lambda found, _: found, modes=(mode,))
    assert found
    assert {(row.mode, row.status, row.reference) for row in found} == {
        (mode, Status.PASS, "certified")
    }


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("mode", DIRECTIONAL)
@pytest.mark.parametrize("name", CASES)
def test_a_lie_is_red(
    loaded: dict[str, Case], name: str, mode: str, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = told(monkeypatch, loaded[name], LIES[lie], modes=(mode,))
    if name == "relu_layer" and mode == "hvp" and lie in ("zeros", "negated", "scaled"):
        assert {row.expected for row in found} == {"0.0"}  # which makes them the truth
    else:
        assert any(not row.good for row in found)


def test_every_output_and_leaf_has_a_row(case: MakeCase) -> None:
    python = """
    def forward(xp, params, scale):
        f = scale * params["a"] ** 2
        n = xp.astype(params["a"] > 0, xp.int64)
        g = xp.sum(params["b"])
        return f, n, g
    """
    yaml = """
    inputs:
      params: {a: {shape: [2]}, b: {shape: [3]}}
      scale: {shape: [], differentiable: false}
    """
    found = ran(case(python, yaml), "numeric")
    assert [(row.mode, row.quantity, row.status) for row in found] == [
        ("jvp", "jvp f", Status.PASS),
        ("jvp", "jvp g", Status.PASS),
        ("hvp", "hvp params.a", Status.PASS),
        ("hvp", "hvp params.b", Status.PASS),
    ]


@pytest.mark.parametrize(
    ("python", "yaml", "modes"),
    [
        ("f = x > 0", "inputs: {x: {shape: []}}", ("jvp",)),
        ("f = x * x", "inputs: {x: {shape: [], differentiable: false}}", DIRECTIONAL),
    ],
)
def test_what_has_no_derivative_leaves_a_row(
    case: MakeCase, python: str, yaml: str, modes: tuple[str, ...]
) -> None:
    made = case(f"def forward(xp, x):\n    {python}\n    return f\n", yaml)
    found = ran(made, "numeric", modes=modes)
    assert [(row.mode, row.status) for row in found] == [(mode, Status.UNDECIDED) for mode in modes]


def test_intermediates_have_no_rows_here(loaded: dict[str, Case]) -> None:
    plain = ran(loaded["sigmoid_staged"], "numeric")
    asked = ran(loaded["sigmoid_staged"], "numeric", intermediates=True)
    assert [row.quantity for row in asked] == [row.quantity for row in plain]


@pytest.mark.parametrize(
    ("modes", "manual"),
    [
        (DIRECTIONAL, set()),
        (("jvp", "train"), set()),
        (("value", "jvp"), {"value"}),
        (("hvp", "vjp", "value"), {"vjp", "value"}),
    ],
)
def test_the_backward_is_asked_for_what_it_has(
    loaded: dict[str, Case], modes: tuple[Any, ...], manual: set[str]
) -> None:
    found = ran(loaded["sum_xy_z"], "manual", "numeric", modes=modes)
    assert {row.mode for row in found if row.backend == "manual"} == manual
    assert {row.mode for row in found if row.backend == "numeric"} == set(modes) - {"train"}
    request = Request(modes=modes)
    assert ("manual" in labels(loaded["sum_xy_z"], request)) == bool(manual)


def test_alone_the_backward_leaves_a_row_that_says_so(loaded: dict[str, Case]) -> None:
    found = ran(loaded["sum_xy_z"], "manual")
    assert [(row.mode, row.status) for row in found] == [
        ("jvp", Status.UNSUPPORTED),
        ("hvp", Status.UNSUPPORTED),
    ]


def test_an_unknown_mode_is_named(loaded: dict[str, Case]) -> None:
    with pytest.raises(UsageError, match="no mode `jvpp`; did you mean `jvp`"):
        cells([loaded["sum_xy_z"]], Request(modes=("jvpp",)))  # type: ignore[arg-type]


VALLEY = """
    def forward(xp, x, y):
        f = xp.abs(x) - xp.abs(y)
        return f
"""
AT_ZERO = """
    inputs: {x: {shape: []}, y: {shape: []}}
    points: {zero: {inputs: {x: 0.0, y: 0.0}}}
"""


@pytest.mark.parametrize(
    ("jvp", "status", "detail"),
    [
        (lambda v: abs(v["x"]) - abs(v["y"]), Status.KINK, "kink: right"),
        (lambda v: abs(v["y"]) - abs(v["x"]), Status.KINK, "kink: left"),
        (lambda v: 0.0, Status.KINK, "kink: mid"),
        # Slopes of -1, 0 and 1 at each kink.
        (lambda v: v["x"] - v["y"], Status.KINK, "kink"),
        (lambda v: v["x"] + v["y"], Status.KINK, "kink"),
        (lambda v: v["x"], Status.KINK, "kink"),
        (lambda v: abs(v["x"]) + abs(v["y"]), Status.KINK, "kink: along a valid gradient"),
        (lambda v: 1.001 * (abs(v["x"]) + abs(v["y"])), Status.FAIL, ""),
        (lambda v: -1.001 * (abs(v["x"]) + abs(v["y"])), Status.FAIL, ""),
        (lambda v: np.nan, Status.FAIL, "not finite"),
    ],
)
def test_a_jvp_at_kinks_that_bend_in_opposite_ways(
    case: MakeCase, monkeypatch: pytest.MonkeyPatch, jvp: Any, status: str, detail: str
) -> None:
    made = case(VALLEY, AT_ZERO)
    (row,) = told(monkeypatch, made, exactly(jvp), modes=("jvp",), points=("zero",))
    assert row.status == status
    assert detail in row.detail


@pytest.mark.parametrize(
    ("jvp", "status"),
    [
        (lambda v: np.sum(np.abs(v["x"])), Status.KINK),
        (lambda v: 2 * np.sum(np.abs(v["x"])), Status.UNDECIDED),
        (lambda v: np.nan, Status.FAIL),
        (lambda v: np.inf, Status.FAIL),
    ],
)
def test_a_kink_of_too_many_elements(
    case: MakeCase, monkeypatch: pytest.MonkeyPatch, jvp: Any, status: str
) -> None:
    python = "def forward(xp, x):\n    f = xp.sum(xp.abs(x))\n    return f\n"
    zeros = ", ".join(["0.0"] * 65)
    yaml = f"inputs: {{x: {{shape: [65]}}}}\npoints: {{zero: {{inputs: {{x: [{zeros}]}}}}}}"
    (row,) = told(monkeypatch, case(python, yaml), exactly(jvp), modes=("jvp",), points=("zero",))
    assert row.status == status, row


def test_where_forward_has_no_value_no_jvp_is_judged(
    case: MakeCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = "def forward(xp, x):\n    f = xp.pow(xp.full_like(x, -2.0), x)\n    return f\n"
    yaml = "inputs: {x: {shape: []}}\npoints: {two: {inputs: {x: 2.0}}}"
    for number in (np.nan, 3.0):
        (row,) = told(
            monkeypatch,
            case(python, yaml),
            exactly(lambda _: number),  # noqa: B023
            modes=("jvp",),
            points=("two",),
        )
        assert row.status == Status.UNDECIDED, row
        assert "no real value on either side" in row.detail


@pytest.mark.parametrize(
    ("hvp", "status"),
    [
        (np.float64(0.0), Status.UNDECIDED),
        (np.float64(np.nan), Status.UNDECIDED),
        (np.zeros(2), Status.FAIL),
        (np.float32(0.0), Status.FAIL),
        (None, Status.FAIL),
    ],
)
def test_at_a_kink_there_is_no_hvp(
    case: MakeCase, monkeypatch: pytest.MonkeyPatch, hvp: Any, status: str
) -> None:
    def tell(*_: Any) -> Gradients:
        return Gradients({}, hvps={} if hvp is None else {"x": np.asarray(hvp), "y": np.zeros(())})

    made = case(VALLEY, AT_ZERO)
    found = told(monkeypatch, made, tell, modes=("hvp",), points=("zero",))
    assert found[0].status == status
    if status == Status.UNDECIDED:
        assert "no derivative along the tangents" in found[0].detail


SMOOTH = """
    def forward(xp, x):
        f = xp.sum(x**3)
        return f
"""


@pytest.mark.usefixtures("no_balls")
@pytest.mark.parametrize(
    ("mode", "backward", "factor", "status"),
    [
        ("jvp", "3 * x**2", 1.0, Status.PASS),
        ("jvp", "3 * x**2", 1.001, Status.FAIL),
        ("hvp", "3 * x**2", 1.0, Status.PASS),
        ("hvp", "3 * x**2", 1.00001, Status.FAIL),
        # Right at the points of the grid alone: differences of `forward` judge, not of this.
        ("hvp", "3 * xp.round(x * 2**20)**2 / 2**40", 1.0, Status.PASS),
        ("hvp", "3 * xp.round(x * 2**20)**2 / 2**40", 1.1, Status.FAIL),
        ("hvp", "3 * xp.round(x * 2**20)**2 / 2**40", 0.0, Status.FAIL),
    ],
)
def test_without_balls_numeric_differences_judge(
    case: MakeCase,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    backward: str,
    factor: float,
    status: str,
) -> None:
    def tell(_: Gradients, sample: Sample) -> Gradients:
        x, v = sample.inputs["x"], sample.tangents["x"]
        jvp = np.asarray(factor * np.sum(3 * x**2 * v))
        hvp = factor * 6 * x * v * sample.cotangents[0]
        return Gradients({}, jvps={"f": jvp}, hvps={"x": hvp})

    python = (
        SMOOTH
        + f"""
    def backward(xp, df, x):
        return {{"x": df * {backward}}}
    """
    )
    made = case(python, "inputs: {x: {shape: [3], domain: [0.5, 1]}}")
    (row,) = told(monkeypatch, made, tell, modes=(mode,))
    assert (row.status, row.reference) == (status, "numeric"), row
    if "round" not in backward:
        (own,) = ran(made, "numeric", modes=(mode,))
        assert (own.status, own.reference) == (Status.UNDECIDED, "numeric")


@pytest.mark.usefixtures("no_balls")
def test_without_any_reference_nothing_passes(
    case: MakeCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(_: Gradients, sample: Sample) -> Gradients:
        return Gradients({}, hvps={"x": 6 * sample.inputs["x"] * sample.tangents["x"]})

    (row,) = told(monkeypatch, case(SMOOTH, "inputs: {x: {shape: [65]}}"), tell, modes=("hvp",))
    assert (row.status, row.reference) == (Status.UNDECIDED, "")
    assert row.detail == "no reference: ball arithmetic is not used"


def test_a_wrong_backward_makes_no_right_hvp_look_wrong(
    case: MakeCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(_: Gradients, sample: Sample) -> Gradients:
        hvp = 6 * sample.inputs["x"] * sample.tangents["x"] * sample.cotangents[0]
        return Gradients({}, hvps={"x": hvp})

    python = SMOOTH + "\n    def backward(xp, df, x):\n        return {'x': df * x**2}\n"
    made = case(python, "inputs: {x: {shape: [3]}}")
    (row,) = told(monkeypatch, made, tell, modes=("hvp",))
    assert (row.status, row.reference) == (Status.PASS, "certified")
    (numeric,) = ran(made, "numeric", modes=("hvp",))
    assert numeric.status == Status.FAIL
    assert numeric.detail.endswith("differences of `backward`")


@pytest.mark.parametrize(("slip", "status"), [(4e-16, Status.PASS), (1e-9, Status.FAIL)])
def test_a_slope_of_zero_that_is_found_by_cancelling(
    case: MakeCase, monkeypatch: pytest.MonkeyPatch, slip: float, status: str
) -> None:
    """As 1 / |x| - x**2 / |x|**3 is what autograd makes of |x|."""

    def tell(_: Gradients, sample: Sample) -> Gradients:
        return Gradients({}, hvps={"x": np.full(3, slip)})

    python = "def forward(xp, x):\n    f = xp.abs(x)\n    return f\n"
    made = case(python, "inputs: {x: {shape: [3], domain: [0.5, 1]}}")
    (row,) = told(monkeypatch, made, tell, modes=("hvp",))
    assert row.status == status


def test_a_declared_tolerance_is_the_one_that_counts(
    case: MakeCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    lie = each(lambda array: array * 1.001)
    yaml = "inputs: {x: {shape: [3]}}\n"
    assert {row.status for row in told(monkeypatch, case(SMOOTH, yaml), lie)} == {Status.FAIL}
    made = case(SMOOTH, yaml + "tolerance: {float64: {rtol: 0.01}}")
    assert {row.status for row in told(monkeypatch, made, lie)} == {Status.PASS}


@pytest.mark.parametrize("mode", DIRECTIONAL)
def test_a_declared_gap(case: MakeCase, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    gap = f"known: [{{backend: teller, mode: {mode}, status: fail, reason: it negates}}]"
    made = case(SMOOTH, f"inputs: {{x: {{shape: [3]}}}}\n{gap}")
    (row,) = told(monkeypatch, made, each(np.negative), modes=(mode,))
    assert row.status == Status.KNOWN
    (row,) = told(monkeypatch, made, lambda found, _: found, modes=(mode,))
    assert row.status == Status.FIXED


def test_an_exception_is_of_its_mode_alone(case: MakeCase, monkeypatch: pytest.MonkeyPatch) -> None:
    def tell(found: Gradients, _: Sample) -> Gradients:
        if found.hvps:
            raise ValueError("no second derivative today")
        return found

    found = told(monkeypatch, case(SMOOTH, "inputs: {x: {shape: [3]}}"), tell)
    assert [(row.mode, row.status) for row in found] == [
        ("jvp", Status.PASS),
        ("hvp", Status.ERROR),
    ]


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("mode", DIRECTIONAL)
@pytest.mark.parametrize("name", ["sigmoid_staged", "kink_logsumexp"])
def test_the_bound_of_rounding_errors_halves_with_every_bit(
    name: str, mode: Any, written: bool
) -> None:
    made = load(builtin_folder() / f"{name}.yaml")
    sample = draw_sample(made, "draw0", "default", "float64")
    coarse, fine = (
        directional.rounding(made.program, sample, mode, bits, written=written) for bits in (24, 34)
    )
    assert coarse is not None and fine is not None
    for quantity, radius in coarse.items():
        # The largest of a logsumexp contributes the constant exp(0).
        known = radius > 0
        assert np.any(known)
        ratio = radius[known] / fine[quantity][known]
        assert np.all((ratio > 2**7) & (ratio < 2**13))


def test_a_bound_that_says_nothing_is_cut_off() -> None:
    expected = np.array([4.0, 0.0])
    wide = RoundingBound(np.array([1e3, 1e3])).array(expected, "float64")
    np.testing.assert_allclose(wide, 4.0 * 10 ** (-53 * np.log10(2) / 2), rtol=1e-6)
    assert np.all(RoundingBound(np.zeros(2)).array(expected, "float64") < 2e-14)
    whole = RoundingBound(np.array([1e3, 1e3]), whole=True).array(expected, "float64")
    np.testing.assert_allclose(whole, 32e3)


@pytest.mark.parametrize(
    ("error", "status"), [(1e-13, Status.PASS), (1e-4, Status.UNDECIDED), (1.0, Status.FAIL)]
)
def test_what_only_a_wide_bound_explains_is_undecided(
    case: MakeCase, monkeypatch: pytest.MonkeyPatch, error: float, status: str
) -> None:
    """The slope of (x + 1e12) - 1e12 as numpy might round it has four digits."""

    def tell(_: Gradients, sample: Sample) -> Gradients:
        return Gradients({}, jvps={"f": sample.tangents["x"] * (1 + error)})

    python = """
    def forward(xp, x):
        f = (x * x + 1e12 * xp.sin(x)) - 1e12 * xp.sin(x) - x * x + x
        return f
    """
    made = case(python, "inputs: {x: {shape: [1], domain: [0.5, 1]}}")
    (row,) = told(monkeypatch, made, tell, modes=("jvp",))
    assert row.status == status, row


def test_a_reference_that_raises_costs_the_rows_of_its_modes_alone(
    loaded: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no reference today")

    monkeypatch.setattr(DirectionalCell, "rows", broken)
    found = ran(loaded["sigmoid_staged"], "numeric", modes=("value", "vjp", "jvp"))
    assert {(row.mode, row.status) for row in found} == {
        ("value", Status.PASS),
        ("vjp", Status.PASS),
        ("jvp", Status.ERROR),
    }

"""What is proved about a backward: right to N digits, wrong, or at a kink; and which line is."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from builders import program_from, sample_for

from harness.cases.case import Case, load
from harness.cases.registry import builtin_folder
from harness.cases.sampling import draw_sample
from harness.diagnose.inquest import inquire
from harness.dtypes import DtypeName, finfo, numpy_dtype
from harness.model import Row, Status
from harness.runs.engine import Engine
from harness.runs.plan import Request, cells
from harness.truth import directional
from harness.truth.balanced import DIGITS
from harness.truth.certificate import certify
from harness.truth.lifted import Lifted
from harness.truth.proof import Certificate
from harness.truth.sides import along_axes

MakeCase = Callable[..., Case]
SMOOTH = sorted(
    file.stem for file in builtin_folder().glob("*.yaml") if "kink" not in file.read_text("utf-8")
)

CHAIN = """
def forward(xp, x, y):
    a = xp.exp(x) * y
    b = xp.sin(a)
    f = xp.sum(b * y)
    return f


def backward(xp, df, x, y, a, b):
    db = df * y
    da = db * xp.cos(a)
    dx = da * xp.exp(x) * y
    dy = da * xp.exp(x) + df * b
    return {"x": dx, "y": dy}
"""
POINT = {"x": np.array([0.3, -0.7]), "y": np.array([1.5, 2.5])}


def certified(text: str, **inputs: object) -> Certificate:
    program = program_from(text)
    return certify(program, sample_for(program, dict(inputs) or dict(POINT)))


@pytest.mark.parametrize("name", SMOOTH)
def test_every_built_in_backward_is_verified_to_17_digits(name: str) -> None:
    case = load(builtin_folder() / f"{name}.yaml")
    for point in [*case.declared.points, *(f"draw{index}" for index in range(20))]:
        found = certify(case.program, draw_sample(case, point, "default", "float64"))
        assert (found.state, found.digits >= DIGITS) == ("verified", True), (point, found.reason)


def test_a_verified_gradient_is_the_true_one() -> None:
    found = certified(CHAIN)
    x, y = POINT["x"], POINT["y"]
    a = np.exp(x) * y
    np.testing.assert_allclose(found.gradients["x"], y * np.cos(a) * a, rtol=1e-15)
    np.testing.assert_allclose(found.values["f"], np.sum(np.sin(a) * y), rtol=1e-15)
    assert set(found.gradients) == {"a", "b", "x", "y"}
    assert all(np.all(radius < 1e-24) for radius in found.radii.values())


@pytest.mark.parametrize(
    ("right", "wrong", "names", "line"),
    [
        ("da = db * xp.cos(a)", "da = db * xp.sin(a)", ("a", "x", "y"), "da = db * xp.sin(a)"),
        ("db = df * y", "db = -df * y", ("b", "a", "x", "y"), "db = -df * y"),
        ("+ df * b", "", ("y",), "dy = da * xp.exp(x)`"),
        ("dx = da * xp", "dx = (da + da * 1e-12) * xp", ("x",), "dx = (da + da * 1e-12)"),
    ],
)
def test_a_wrong_backward_is_proved_wrong_and_its_line_named(
    case: MakeCase, right: str, wrong: str, names: tuple[str, ...], line: str
) -> None:
    text = CHAIN.replace(right, wrong)
    found = certified(text)
    assert found.state == "wrong"
    assert found.wrong == names
    assert set(found.right) == {"a", "b", "x", "y"} - set(names)
    yaml = "inputs: {x: {shape: [2]}, y: {shape: [2]}}\n"
    rows = manual_rows(case(text, yaml))
    assert rows["certificate"].status == Status.FAIL
    assert "proved wrong" in rows["certificate"].detail
    assert "the fault is in" in rows["certificate"].detail
    assert f"`{line}" in rows["certificate"].detail


def test_the_25th_digit_is_seen(case: MakeCase) -> None:
    text = CHAIN.replace("dx = da * xp", "dx = (da + da * 1e-25) * xp")
    found = certified(text)
    assert found.state == "close"
    assert 23 < found.digits < 25
    assert set(found.right) == {"a", "b", "y"}


@pytest.mark.parametrize("literal", ["0.134145", "3 * 0.044715", "0.1341450000000001"])
def test_a_rounded_constant_is_no_fault(case: MakeCase, literal: str) -> None:
    """3 * 0.044715 is not the float that 0.134145 is: as formulas, the two differ."""
    text = f"""
        def forward(xp, x):
            f = xp.sum(0.044715 * x**3)
            return f


        def backward(xp, df, x):
            dx = df * {literal} * x**2
            return {{"x": dx}}
    """
    rows = manual_rows(case(text, "inputs: {x: {shape: [3]}}\n"))
    assert {row.status for row in rows.values()} == {Status.PASS}
    assert rows["certificate"].digits >= 13


def test_what_is_right_in_a_wrong_backward_is_still_the_reference(case: MakeCase) -> None:
    text = CHAIN.replace("+ df * b", "")
    yaml = "inputs: {x: {shape: [2]}, y: {shape: [2]}}\n"
    rows = manual_rows(case(text, yaml))
    assert {rows["d/dx"].status, rows["d/da (intermediate)"].status} == {Status.PASS}
    assert rows["d/dy"].status == Status.FAIL
    assert {row.reference for row in rows.values()} == {"certified"}


def manual_rows(case: Case) -> dict[str, Row]:
    """Of the one declared point, or of one draw."""
    request = Request(
        backends=("manual",), modes=("value", "vjp"), draws=0 if case.declared.points else 1
    )
    (planned,) = cells([case], request)
    return {row.quantity: row for row in Engine([case], request).rows(planned)}


RELU = """
def forward(xp, x):
    f = xp.maximum(x, xp.zeros_like(x))
    return f


def backward(xp, df, x):
    dx = xp.where(x {operator} 0, df, xp.zeros_like(df))
    return {{"x": dx}}
"""


@pytest.mark.parametrize("operator", [">", ">="])
def test_at_a_kink_nothing_is_proved_but_the_sides_are_known(operator: str) -> None:
    program = program_from(RELU.format(operator=operator))
    sample = sample_for(program, {"x": np.array([0.0, 1.0, -2.0])})
    assert certify(program, sample).state == "kink"
    sides = along_axes(program, sample, "x")
    assert sides is not None
    assert sides.left.tolist() == [0.0, 1.0, 0.0]
    assert sides.right.tolist() == [1.0, 1.0, 0.0]
    assert not sides.smooth


@pytest.mark.parametrize(
    ("choice", "status", "detail"),
    [
        ("0 * x", Status.KINK, "left"),
        ("1 + 0 * x", Status.KINK, "right"),
        ("0.5 + 0 * x", Status.KINK, "mid"),
        ("0.25 + 0 * x", Status.KINK, "between"),
        ("1.5 + 0 * x", Status.FAIL, ""),
        ("-0.1 + 0 * x", Status.FAIL, ""),
        ("x / x", Status.FAIL, "not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_subgradient_is_a_kink_and_anything_else_is_wrong(
    case: MakeCase, choice: str, status: str, detail: str
) -> None:
    text = RELU.replace("xp.where(x {operator} 0, df, xp.zeros_like(df))", f"df * ({choice})")
    made = case(text.format(), "inputs: {x: {shape: []}}\npoints: {zero: {inputs: {x: 0}}}\n")
    request = Request(backends=("manual",), points=("zero",), modes=("vjp",))
    (planned,) = cells([made], request)
    row = Engine([made], request).rows(planned)[0]
    assert row.status == status
    assert detail in row.detail
    assert row.reference == "certified"


def test_the_other_elements_of_a_kinked_gradient_are_judged_as_ever(case: MakeCase) -> None:
    text = RELU.format(operator=">").replace("dx = ", "dx = (1 + 1e-6) * ")
    made = case(
        text,
        "inputs: {x: {shape: [n]}}\nsizes: {default: {n: 2}}\npoints: {p: {inputs: {x: [0, 2]}}}\n",
    )
    request = Request(backends=("manual",), points=("p",), modes=("vjp",))
    (planned,) = cells([made], request)
    row = Engine([made], request).rows(planned)[0]
    assert row.status == Status.FAIL
    assert row.worst_index == "[1]"


def test_what_balls_cannot_follow_is_undecided_with_the_reason(case: MakeCase) -> None:
    text = """
        def forward(xp, x):
            u, s, vh = xp.linalg.svd(x)
            f = xp.sum(s)
            return f


        def backward(xp, df, x):
            u, s, vh = xp.linalg.svd(x)
            dx = df * xp.matmul(u, vh)
            return {"x": dx}
    """
    made = case(text, "inputs: {x: {shape: [3, 3]}}\n")
    rows = manual_rows(made)
    assert rows["certificate"].status == Status.UNDECIDED
    assert rows["certificate"].good
    assert "svd" in rows["certificate"].detail
    assert rows["d/dx"].reference == "numeric"
    assert rows["d/dx"].status == Status.PASS


def test_without_a_backward_the_truth_comes_from_the_forward(case: MakeCase) -> None:
    text = "def forward(xp, x):\n    f = xp.sum(xp.exp(x) * x)\n    return f\n"
    made = case(text, "inputs: {x: {shape: [3]}}\n")
    request = Request(backends=("numeric",), modes=("value", "vjp"), draws=1)
    (planned,) = cells([made], request)
    value, gradient = Engine([made], request).rows(planned)
    assert (value.status, value.reference) == (Status.PASS, "certified")
    assert (gradient.status, gradient.reference) == (Status.PASS, "certified")
    assert gradient.digits > 8


def test_a_comparison_that_needs_more_bits_gets_them() -> None:
    """The two sides differ by 1e-60 or so, which 128 bits cannot see."""
    text = """
def forward(xp, x):
    a = xp.exp(x)
    b = a + 1e-60
    f = xp.where(b > a, x * x, x)
    return f


def backward(xp, df, x):
    dx = df * 2 * x
    return {"x": dx}
"""
    found = certified(text, x=np.array(0.75))
    assert found.state == "verified"
    assert found.bits > 128


def test_narrow_numbers_are_certified_as_they_are(case: MakeCase) -> None:
    made = case(CHAIN, "inputs: {x: {shape: [2]}, y: {shape: [2]}}\n")
    request = Request(backends=("manual",), dtypes=("float32",), modes=("vjp",), draws=1)
    (planned,) = cells([made], request)
    rows = Engine([made], request).rows(planned)
    assert {row.status for row in rows} == {Status.PASS}
    errors = [row.max_ulp_error for row in rows if row.quantity.startswith("d/d")]
    assert 0 < max(errors) < 64


def quotient(backward: str, forward: str = "x * y / (x + y)") -> str:
    return (
        f"def forward(xp, x, y):\n    f = {forward}\n    return f\n\n\n"
        f"def backward(xp, df, x, y):\n{backward}"
        '    return {"x": dx, "y": df * x**2 / (x + y) ** 2}\n'
    )


ZERO = {"x": np.array(1.5), "y": np.array(0.0)}


@pytest.mark.parametrize(
    "rule",
    [
        "df * y**2 / (x + y) ** 2 + y / y",
        "df * y**2 / (x + y) ** 2 * xp.sqrt(-x)",
        "df * y**2 / (x + y) ** 2 * xp.where(x > y, x / y, y)",
        "df * xp.log(-xp.exp(x))",
        "df / (y * x)",
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_backward_that_is_not_finite_where_the_derivative_is_is_wrong(rule: str) -> None:
    found = certified(quotient(f"    dx = {rule}\n"), **ZERO)
    assert found.state == "wrong"
    assert (found.wrong, found.right) == (("x",), ("y",))
    assert found.reason == "`backward` is not finite where the derivative is"


@pytest.mark.parametrize(
    ("rule", "state"),
    [
        # Masked, as it should be: never seen.
        ("df * xp.where(y == 0, xp.zeros_like(y), y / y) * y**2 / (x + y) ** 2", "verified"),
        # Right in floats, which come back from infinity; over the reals there is no such formula.
        ("df / (1 + x / y) ** 2", "undecided"),
        # 0 / 0, but no ball knows it.
        ("df * y**2 / (x + y) ** 2 + y / (xp.sin(x) ** 2 + xp.cos(x) ** 2 - 1)", "undecided"),
        # An exact 0 / 0 does not decide what a wide ball may have spoiled as well.
        ("df * (y / y) + xp.sqrt(xp.sin(x) ** 2 + xp.cos(x) ** 2 - 1)", "undecided"),
        # Off by a factor, and nothing of this.
        ("2 * df * x**2 / (x + y) ** 2", "wrong"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_nan_that_may_be_the_balls_own_is_no_fault(rule: str, state: str) -> None:
    found = certified(quotient(f"    dx = {rule}\n"), **ZERO)
    assert found.state == state
    assert "not finite" not in found.reason


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_backward_is_not_blamed_for_a_nan_that_forward_saved() -> None:
    text = """
def forward(xp, x):
    r = xp.sqrt(x)
    f = xp.where(x > 0, r, x)
    return f


def backward(xp, df, x, r):
    dx = df * xp.where(x > 0, 0.5 / r, r / r)
    return {"x": dx}
"""
    assert certified(text, x=np.array(2.0)).state == "verified"
    assert certified(text, x=np.array(-2.0)).state == "undecided"


def test_a_backward_that_returns_nothing_is_wrong_about_everything() -> None:
    text = CHAIN.replace('return {"x": dx, "y": dy}', "return None")
    program = program_from(text)
    sample = sample_for(program, dict(POINT))
    assert certify(program, sample).reason == "`backward` returned no gradient for `x`"
    found = inquire(program, sample)
    assert set(found.wrong) == {"x", "y"}
    assert found.locals == {"dx": True, "dy": True}


def test_the_numbers_of_a_certificate_travel_as_plain_arrays() -> None:
    found = certified(CHAIN)
    there = pickle.loads(pickle.dumps(found))
    assert type(there.gradients) is dict
    for field in ("values", "gradients", "radii"):
        here = getattr(found, field)
        assert len(here) == len(getattr(there, field))
        for name, array in getattr(there, field).items():
            assert name in here
            np.testing.assert_array_equal(array, here[name])


EPSILON = """
def forward(xp, x):
    a = x * 1.5
    d = a + xp.finfo(a.dtype).eps
    f = xp.sum(xp.log(d))
    return f


def backward(xp, df, a, d):
    da = df / (a + xp.finfo(a.dtype).eps)
    return {"x": 1.5 * da}
"""


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_code_that_asks_for_its_format_gets_that_of_the_sample(
    case: MakeCase, dtype: DtypeName
) -> None:
    made = case(EPSILON, "inputs: {x: {shape: [2], domain: [1e-7, 1e-6]}}\n")
    sample = draw_sample(made, "draw0", "default", dtype)
    x = sample.inputs["x"].astype(np.float64)
    slope = float(sample.cotangents[0]) * 1.5 / (1.5 * x + float(finfo(numpy_dtype(dtype)).eps))
    found = certify(made.program, sample)
    assert found.state == "verified"
    np.testing.assert_allclose(found.gradients["x"], slope, rtol=1e-12)
    for name, factor in {"x": 1.0, "a": 1.5}.items():
        sides = along_axes(made.program, sample, name)
        assert sides is not None
        np.testing.assert_allclose(factor * sides.right, slope, rtol=1e-12)
    sample = replace(sample, tangents={"x": np.ones(2, sample.inputs["x"].dtype)})
    along = directional.jvp(made.program, sample).sides["f"]
    np.testing.assert_allclose(along.right * sample.cotangents[0], np.sum(slope), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("backward", [True, False])
def test_who_asks_for_the_format_is_judged_by_what_it_is(
    case: MakeCase, dtype: DtypeName, backward: bool
) -> None:
    if not backward:
        pytest.importorskip("autograd")
    text = EPSILON if backward else EPSILON.partition("def backward")[0]
    made = case(text, "inputs: {x: {shape: [2], domain: [1e-7, 1e-6]}}\n")
    request = Request(
        backends=("manual", "autograd"),
        dtypes=(dtype,),
        modes=("value", "vjp", "jvp", "hvp"),
        draws=2,
    )
    engine = Engine([made], request)
    rows = [row for cell in cells([made], request) for row in engine.rows(cell)]
    assert {row.reference for row in rows if row.status == Status.PASS} == {"certified"}
    assert [row for row in rows if not row.good] == []


SWAPPED = """
def forward(xp, NAME):
    f = NAME[0]**2 + 3*NAME[1]
    return f


def backward(xp, df, NAME):
    return {"NAME": xp.stack([3*df + 0*NAME[0], 2*NAME[0]*df])}
"""


@pytest.mark.parametrize("name", ["wr", "x", "y", "W", "b", "theta"])
def test_an_exchange_of_two_elements_is_always_seen(name: str) -> None:
    found = certified(SWAPPED.replace("NAME", name), **{name: np.array([2.5, 1.0])})
    assert (found.state, found.wrong) == ("wrong", (name,))


def test_nobody_who_writes_a_backward_can_know_the_direction_before() -> None:
    """It depends on every number of the sample and on every character of both functions."""
    sample = sample_for(program_from(CHAIN), dict(POINT))
    moved = replace(sample, inputs={**sample.inputs, "y": np.array([1.5, np.nextafter(2.5, 3)])})
    pulled = replace(sample, cotangents=(np.array(2.0),))
    found = [
        Lifted(program_from(text), each).directions(["x"])["x"].tobytes()
        for text, each in [
            (CHAIN, sample),
            (CHAIN, moved),
            (CHAIN, pulled),
            (CHAIN.replace('"y": dy}', '"y": +dy}'), sample),
            (CHAIN.replace("b * y", "y * b"), sample),
        ]
    ]
    assert len(set(found)) == len(found)
    again = Lifted(program_from(CHAIN), sample).directions(["x"])["x"].tobytes()
    assert again == found[0]


SLIPS = {
    "softmax": (
        "    e = xp.exp(x - xp.max(x))\n    p = e / xp.sum(e)\n"
        "    y = xp.asarray([0.0, 0.0, 1.0])\n    f = -xp.sum(y * xp.log(p))\n",
        "(p - y)",
        "xp.where(p > 1e-16, p - y, -3 * (p - y))",
        [0.0, -40.0, 1.0],
    ),
    "zero": (
        "    p = xp.exp(x)\n    f = xp.sum(p)\n",
        "p",
        "xp.where(x < -30, 0 * p, p)",
        [-40.0, 0.0],
    ),
    "factor": (
        "    p = xp.exp(x)\n    f = xp.sum(p)\n",
        "p",
        "xp.where(x < -30, -7 * p, p)",
        [-40.0, 0.0],
    ),
}


@pytest.mark.parametrize("name", SLIPS)
@pytest.mark.parametrize("slip", [False, True])
def test_an_element_far_smaller_than_the_others_is_judged_by_itself(
    case: MakeCase, name: str, slip: bool
) -> None:
    forward, right, wrong, x = SLIPS[name]
    extra = ", p, y" if name == "softmax" else ", p"
    text = f"def forward(xp, x):\n{forward}    return f\n\n\n"
    text += f"def backward(xp, df, x{extra}):\n    dx = df * {wrong if slip else right}\n"
    text += '    return {"x": dx}\n'
    made = case(
        text, f"inputs: {{x: {{shape: [{len(x)}]}}}}\npoints: {{here: {{inputs: {{x: {x}}}}}}}\n"
    )
    statuses = {row.quantity: row.status for row in manual_rows(made).values()}
    assert (statuses["d/dx"] == Status.FAIL) == slip


TIES = {
    "maximum": "xp.maximum(x, xp.expm1(x))",
    "minimum": "xp.minimum(x, xp.expm1(x))",
    "max": "xp.max(xp.stack([x, xp.expm1(x)]))",
    "sort": "xp.sort(xp.stack([x, xp.expm1(x)]))[1]",
    "lowest": "xp.sort(xp.stack([x, xp.expm1(x)]))[0]",
    "clip": "xp.clip(x, xp.expm1(x), 9.0)",
    "abs": "xp.abs(xp.expm1(x) - x) + x",
}


@pytest.mark.parametrize("name", TIES)
def test_a_tie_to_the_known_order_is_no_equality(name: str) -> None:
    """expm1(x) > x but at zero, where no first derivative tells."""
    text = (
        f"def forward(xp, x):\n    m = {TIES[name]}\n    f = xp.where(m == x, 3 * x, 5 * x)\n"
        '    return f\n\n\ndef backward(xp, df, x):\n    return {"x": FACTOR * df}\n'
    )
    slope = 3 if name in ("minimum", "lowest") else 5
    for factor in (3, 5):
        found = certified(text.replace("FACTOR", str(factor)), x=np.array(0.0))
        assert found.state == ("verified" if factor == slope else "wrong")


def test_a_backward_is_given_the_values_at_the_point_and_not_beside_it() -> None:
    text = """
    def forward(xp, x):
        s = xp.sign(x)
        f = s * s * x
        return f


    def backward(xp, df, s):
        return {"x": df * s * s}
    """
    assert certified(text, x=np.array(0.0)).state == "wrong"  # its gradient is 0, not 1
    assert certified(text, x=np.array(2.0)).state == "verified"


LIMITS = {
    # of x < 0 and of x > 0, where the slope is -pi and pi
    "atan2": ("x * xp.atan2(xp.sin(x) - x, -xp.ones_like(x))", "wrong"),
    "atan2_above": ("x * xp.atan2(xp.sin(x) ** 2, -xp.ones_like(x))", "verified"),
    "atan2_still": ("x * xp.atan2(0 * x, -xp.ones_like(x))", "verified"),
    # complex on one side
    "sqrt": ("xp.sqrt(xp.sin(x) - x)", "undecided"),
    "power": ("(xp.sin(x) - x) ** 1.5", "undecided"),
    "norm": ("xp.sqrt((xp.sin(x) - x) ** 2)", "verified"),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_whose_sign_a_higher_order_tells_is_not_guessed(name: str) -> None:
    formula, state = LIMITS[name]
    slope = "xp.pi" if name.startswith("atan2") else "0"
    text = (
        f"def forward(xp, x):\n    f = {formula}\n    return f\n\n\n"
        f'def backward(xp, df, x):\n    return {{"x": {slope} * df}}\n'
    )
    found = certified(text, x=np.array(0.0))
    assert found.state == state, found


@pytest.mark.parametrize(
    "rule", ["1 - xp.log(x**2) ** -2", "1 - 1 / xp.log(x**2) ** 2", "1 + xp.exp(-1 / x**2)"]
)
def test_what_floats_bring_back_from_infinity_is_not_proved_wrong(rule: str) -> None:
    text = (
        "def forward(xp, x):\n    f = 1 * x\n    return f\n\n\n"
        f'def backward(xp, df, x):\n    return {{"x": df * ({rule})}}\n'
    )
    assert certified(text, x=np.array(0.0)).state == "undecided"


@pytest.mark.parametrize("zero", ["-0.0", "0.0", "0 * x"])
def test_the_sign_of_a_zero_is_not_guessed(zero: str) -> None:
    text = (
        f"def forward(xp, x):\n    f = x * xp.copysign(xp.ones_like(x), {zero})\n    return f\n\n\n"
        'def backward(xp, df, x):\n    return {"x": df}\n'
    )
    found = certified(text, x=np.array(2.0))
    assert (found.state, "copysign" in found.reason) == ("undecided", True)
    assert certified(text.replace(zero, "x"), x=np.array(2.0)).state == "verified"

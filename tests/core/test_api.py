"""`harness.check`: the harness for two functions, without a YAML file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import absent

import harness
from harness import GradientMismatch, HarnessError, backends
from harness.errors import UsageError
from harness.report.tables import COLUMNS

X = np.array([0.5, -1.0, 2.0])


def forward(xp: Any, x: Any) -> Any:
    q = xp.exp(x)
    f = xp.sum(q)
    return f


def backward(xp: Any, df: Any, q: Any) -> Any:
    dq = df * xp.ones_like(q)
    dx = dq * q
    return {"x": dx}


def wrong(xp: Any, df: Any, x: Any) -> Any:
    dx = df * xp.exp(x) * (1.0 + 1e-3 * (x == 2.0))
    return {"x": dx}


def check(*functions: Any, **options: Any) -> harness.Report:
    return harness.check(*functions, **{"backends": ["numeric", "manual"], **options})


def test_a_right_backward_is_a_report() -> None:
    report = check(forward, backward, x=X)
    assert report.ok
    assert report.failures == ()
    assert {row.backend for row in report.rows} == {"numeric", "manual"}
    assert {row.quantity for row in report.rows} >= {"f", "d/dx"}
    assert list(report.frame.columns) == COLUMNS
    assert len(report.frame) == len(report.rows)
    assert "d/dx" in str(report)


def test_the_table_of_several_cases_names_each() -> None:
    text = str(harness.run("sum_times_z", "sigmoid_staged", backends=("manual",), draws=1, jobs=0))
    assert text.index("sigmoid_staged") < text.index("d/da") < text.index("sum_times_z")
    assert str(harness.Report(())) == ""


def test_a_wrong_backward_is_a_mismatch_that_says_where() -> None:
    with pytest.raises(GradientMismatch) as caught:
        check(forward, wrong, backends=["manual"], x=X)
    message = str(caught.value)
    assert isinstance(caught.value, AssertionError)
    assert message.startswith("fail: forward [given, float64] manual: d/dx\n")
    got = re.search(r"^  got        (\S+)$", message, re.MULTILINE)
    expected = re.search(r"^  expected   (\S+) ", message, re.MULTILINE)
    assert got is not None
    assert expected is not None
    assert float(got[1]) / float(expected[1]) == pytest.approx(1.001, abs=1e-6)
    assert "worst at   [2]" in message
    # No command repeats a check in memory.
    assert "reproduce" not in message


@pytest.mark.parametrize(
    "lie",
    [
        lambda xp, df, x: {"x": 0.0 * x},
        lambda xp, df, x: {"x": df * xp.exp(x) * (1 + 1e-6)},
        lambda xp, df, x: {"x": df * xp.exp(x) * float("nan")},
        lambda xp, df, x: {},
        lambda xp, df, x: {"x": (df * xp.exp(x))[:2]},
        lambda xp, df, x: {"x": xp.astype(df * xp.exp(x), xp.float32)},
    ],
    ids=["zeros", "1e-6", "nan", "key", "shape", "dtype"],
)
def test_a_lie_is_caught(lie: Any) -> None:
    with pytest.raises(GradientMismatch):
        check(forward, lie, x=X)


def test_without_a_backward_the_methods_are_compared() -> None:
    report = check(forward, backends=["numeric"], x=X)
    assert report.ok
    assert {row.backend for row in report.rows} == {"numeric"}


def test_nested_inputs() -> None:
    def loss(xp: Any, params: Any, x: Any) -> Any:
        y = params["w"] * x + params["rest"][0]
        f = xp.sum(y * y)
        return f

    def gradient(xp: Any, df: Any, y: Any, x: Any) -> Any:
        dy = 2.0 * df * y
        return {"params": {"w": xp.sum(dy * x), "rest": [xp.sum(dy)]}}

    report = check(loss, gradient, params={"w": 2.0, "rest": [np.array(0.5)]}, x=np.array([1, 2]))
    assert report.ok
    assert {row.quantity for row in report.rows} >= {"f", "d/dparams.w", "d/dparams.rest.0"}


def test_float32_stays_float32_and_mixed_inputs_are_float64() -> None:
    report = check(forward, backward, x=X.astype(np.float32))
    assert report.ok
    assert {row.dtype for row in report.rows} == {"float32"}
    assert {row.dtype for row in check(forward, backward, x=X).rows} == {"float64"}
    assert {row.dtype for row in check(forward, backward, dtype="float32", x=X).rows} == {"float32"}


def test_functions_may_close_over_names() -> None:
    factor, power = 3.0, 2

    def scaled(xp: Any, x: Any) -> Any:
        f = factor * xp.sum(x**power)
        return f

    def gradient(xp: Any, df: Any, x: Any) -> Any:
        return {"x": df * factor * power * x}

    assert check(scaled, gradient, x=X).ok


def test_an_augmented_assignment_means_the_same_to_every_method() -> None:
    def shifted(xp: Any, x: Any) -> Any:
        q = 2 * x
        p = q
        q += 1
        x *= 3
        f = xp.sum(p * q + x)
        return f

    def gradient(xp: Any, df: Any, p: Any, q: Any) -> Any:
        dx = df * (2 * p + 2 * q + 3)
        return {"x": dx}

    assert harness.check(shifted, gradient, x=X).ok


def test_several_outputs() -> None:
    def pair(xp: Any, x: Any) -> Any:
        s = xp.sin(x)
        c = xp.cos(x)
        return s, c

    def gradient(xp: Any, ds: Any, dc: Any, s: Any, c: Any) -> Any:
        return {"x": ds * c - dc * s}

    report = check(pair, gradient, x=X)
    assert report.ok
    assert {row.quantity for row in report.rows} == {"s", "c", "d/dx", "certificate"}


def fault(forward: Any, backward: Any, **inputs: Any) -> tuple[str, str]:
    """File, line and source that the certificate names."""
    with pytest.raises(GradientMismatch) as caught:
        check(forward, backward, **(inputs or {"x": X}))
    message = str(caught.value)
    proved = message[message.index("manual: certificate\n") :]
    found = re.search(r"proved wrong: .*; the fault is in (.*): `(.*?)`", proved)
    assert found is not None, message
    return found[1], found[2]


def line_of(text: str) -> str:
    """This file and the line of the first statement that begins with `text`."""
    lines = Path(__file__).read_text(encoding="utf-8").split("\n")
    (number,) = (index for index, line in enumerate(lines, 1) if line.strip().startswith(text))
    return f"{__file__}:{number}"


def test_the_faulty_line_of_a_function_is_named() -> None:
    expected = "dx = df * xp.exp(x) * (1.0 + 1e-3 * (x == 2.0))"
    assert fault(forward, wrong) == (line_of(expected), expected)


def test_the_faulty_line_of_a_nested_function_is_named() -> None:
    def inner(xp: Any, df: Any, q: Any) -> Any:
        dq = df * xp.ones_like(q) * 1.5
        dx = dq * q
        return {"x": dx}

    assert fault(forward, inner) == (
        line_of("dq = df * xp.ones_like(q) * 1.5"),
        "dq = " + ("df * xp.ones_like(q) * 1.5"),
    )


def test_the_faulty_line_of_a_closure_is_named() -> None:
    def make(factor: float) -> tuple[Any, Any]:
        def scaled(xp: Any, x: Any) -> Any:
            q = x * x * factor
            f = xp.sum(q)
            return f

        def gradient(xp: Any, df: Any, x: Any, q: Any) -> Any:
            dq = df * xp.ones_like(q)
            dx = 3 * dq * factor * x
            return {"x": dx}

        return scaled, gradient

    expected = "dx = 3 * dq * factor * x"
    assert fault(*make(0.5)) == (line_of(expected), expected)


def test_the_faulty_line_of_a_static_method_is_named() -> None:
    class Layer:
        @staticmethod
        def gradient(xp: Any, df: Any, q: Any) -> Any:
            dx = (
                df * q  # a comment
                + q
            )
            return {"x": dx}

    where, source = fault(forward, Layer.gradient)
    assert (
        int(where.rpartition(":")[2]) == int(line_of("df * q  # a comment").rpartition(":")[2]) - 1
    )
    assert source.startswith("dx = ( df * q")


def test_a_lambda_that_is_wrong_is_proved_so_though_no_line_is_known() -> None:
    with pytest.raises(GradientMismatch, match="proved wrong: d/dx"):
        check(lambda xp, x: xp.sum(x * x), lambda xp, df, x: {"x": x * df}, x=X)


def test_a_lambda_has_no_source_to_stage() -> None:
    assert check(lambda xp, x: xp.sum(x * x), lambda xp, df, x: {"x": 2.0 * x * df}, x=X).ok


def test_tolerances_are_mine_to_choose() -> None:
    """They are for rounding. That a formula is wrong is proved, not measured."""
    for chosen in ({"rtol": 1e-2}, {"rtol": 0.0, "atol": 0.1}):
        with pytest.raises(GradientMismatch) as caught:
            check(forward, wrong, x=X, **chosen)
        assert str(caught.value).startswith("fail: forward [given, float64] manual: certificate\n")
        assert str(caught.value).count("fail: ") == 1


def test_what_rounding_explains_is_tolerated_unless_a_tolerance_is_chosen() -> None:
    """A mean of a million costs six digits of the difference from it; no formula can save them."""

    def kurtosis(xp: Any, x: Any) -> Any:
        c = x - xp.mean(x)
        f = xp.sum(c * c) / xp.sum(c * c * c * c)
        return f

    def gradient(xp: Any, df: Any, c: Any) -> Any:
        a = xp.sum(c * c)
        b = xp.sum(c * c * c * c)
        dc = df * (2 * c / b - 4 * a * c * c * c / (b * b))
        dx = dc - xp.mean(dc)
        return {"x": dx}

    x = 1e6 + np.array([0, 0.01, 0.03, 0.07])
    assert check(kurtosis, gradient, x=x).ok
    for chosen in ({"rtol": 1e-10}, {"atol": 1e-10}):
        with pytest.raises(GradientMismatch, match="imprecise"):
            check(kurtosis, gradient, x=x, **chosen)


@pytest.mark.usefixtures("no_balls")
def test_tolerances_are_all_there_is_where_nothing_is_proved() -> None:
    assert check(forward, wrong, x=X, rtol=1e-2).ok
    assert check(forward, wrong, x=X, rtol=0.0, atol=0.1).ok
    with pytest.raises(GradientMismatch):
        check(forward, wrong, x=X, rtol=1e-4)


def test_inputs_that_do_not_fit() -> None:
    with pytest.raises(HarnessError, match=r"takes no `y`; did you mean `x`\?|takes no `y`"):
        check(forward, backward, x=X, y=X)
    with pytest.raises(HarnessError, match="`forward` takes `x`, which was not given"):
        check(forward, backward)
    with pytest.raises(HarnessError, match=r"`z`"):
        check(forward, lambda xp, df, z: {"x": z}, x=X)


@pytest.mark.parametrize("option", ["backends", "dtype", "rtol", "atol"])
def test_an_input_with_the_name_of_an_option(option: str) -> None:
    names: dict[str, Any] = {}
    exec(f"def forward(xp, {option}): return xp.sum({option})", names)
    with pytest.raises(UsageError, match=f"`{option}` is an option of `check`; rename the input"):
        harness.check(names["forward"], **{option: X})


def test_an_input_called_backward() -> None:
    with pytest.raises(UsageError, match="`backward` must be a function, not ndarray"):
        harness.check(lambda xp, backward: xp.sum(backward), backward=X)  # type: ignore[arg-type]


def test_several_outputs_without_names() -> None:
    def pair(xp: Any, x: Any) -> Any:
        return xp.sum(x * x), xp.sum(x)

    with pytest.raises(HarnessError, match=r"test_api\.py:\d+: `pair` must end in `return name`"):
        check(pair, x=X)
    with pytest.raises(GradientMismatch, match="several outputs need names"):
        check(lambda xp, x: pair(xp, x), x=X)


def test_nothing_to_differentiate() -> None:
    with pytest.raises(HarnessError, match=r"write 2\.0 instead of 2"):
        check(forward, backward, x=2)


def test_a_negative_tolerance() -> None:
    with pytest.raises(HarnessError, match="not negative"):
        check(forward, backward, rtol=-1.0, x=X)


def test_an_unknown_backend() -> None:
    with pytest.raises(HarnessError, match="did you mean `numeric`"):
        check(forward, backward, backends=["numerc"], x=X)


def test_an_unknown_dtype() -> None:
    with pytest.raises(HarnessError, match="did you mean `float32`"):
        check(forward, backward, dtype="float23", x=X)


def test_code_that_raises_is_a_mismatch_with_its_line() -> None:
    def broken(xp: Any, x: Any) -> Any:
        f = xp.sum(x[7])
        return f

    with pytest.raises(GradientMismatch, match=r"test_api\.py:\d+: `f = xp\.sum\(x\[7\]\)`: Index"):
        check(broken, x=X)


@pytest.fixture
def only_core() -> Iterator[None]:
    with absent("autograd", "tensorflow", "torch", "jax"):
        yield


@pytest.mark.usefixtures("only_core")
def test_what_is_not_installed_is_left_out_unless_it_is_named() -> None:
    report = harness.check(forward, backward, x=X)
    assert {row.backend for row in report.rows} == {"numeric", "manual"}
    with pytest.raises(GradientMismatch, match="pip install"):
        harness.check(forward, backward, backends=["manual", "torch"], x=X)


@pytest.mark.usefixtures("only_core")
def test_what_a_method_cannot_do_is_tolerated_unless_it_is_named() -> None:
    from harness.backends.base import Backend
    from harness.errors import Unsupported

    class Lame(Backend):
        name = "lame"

        def differentiate(self, *_: Any, **__: Any) -> Any:
            raise Unsupported("no such derivative")

    with backends.registered(Lame):
        report = harness.check(forward, backward, x=X)
        assert {row.status for row in report.rows if row.backend == "lame"} == {"unsupported"}
        with pytest.raises(GradientMismatch, match="no such derivative"):
            harness.check(forward, backward, backends=["lame"], x=X)


def test_the_inputs_are_left_alone() -> None:
    mine = X.copy()
    mine.flags.writeable = False
    assert check(forward, backward, x=mine).ok
    assert np.array_equal(mine, X)


def test_one_name_may_stand_for_a_list() -> None:
    found = harness.run("sum_times_z", backends="manual", points="printed", jobs=0)
    assert {row.backend for row in found.rows} == {"manual"}
    assert check(forward, backward, x=X, backends="manual").ok


@pytest.mark.parametrize(("jobs", "executor"), [(-1, None), (0, ThreadPoolExecutor(1))])
def test_workers_that_would_never_work_are_refused(jobs: int, executor: Any) -> None:
    with pytest.raises(HarnessError, match=f"jobs={jobs}"):
        harness.run("sum_times_z", jobs=jobs, executor=executor)


def test_who_lacks_the_dtype_is_not_asked() -> None:
    assert harness.check(forward, backward, x=X, dtype="bfloat16").ok


def test_what_is_not_proved_fails_a_check_that_requires_it() -> None:
    def forward(xp, x):
        f = xp.linalg.svdvals(x[:, None])
        return f

    x = np.array([1.0, 2.0])
    assert harness.check(forward, backends="numeric", x=x).ok
    with pytest.raises(GradientMismatch, match="numeric"):
        harness.check(forward, backends="numeric", require="verified", x=x)
    with pytest.raises(UsageError, match="verified"):
        harness.check(forward, require="proved", x=x)


@pytest.mark.parametrize("dtype", [np.float32, "float32", np.dtype("float32")])
def test_a_dtype_may_be_numpys(dtype: Any) -> None:
    found = check(forward, backward, x=X, dtype=dtype, backends="manual")
    assert {row.dtype for row in found.rows} == {"float32"}
    ran = harness.run("sum_times_z", dtypes=dtype, backends="manual", points="printed", jobs=0)
    assert {row.dtype for row in ran.rows} == {"float32"}


@pytest.mark.parametrize("dtype", [np.int64, "f4", object(), [("a", "f4")]])
def test_what_is_no_dtype_is_refused(dtype: Any) -> None:
    with pytest.raises(HarnessError, match="no dtype `"):
        check(forward, backward, x=X, dtype=dtype)


@pytest.mark.parametrize("option", ["seed", "draws"])
@pytest.mark.parametrize("number", [-1, 1.5, "2"])
def test_what_is_no_natural_number_is_refused(option: str, number: Any) -> None:
    with pytest.raises(HarnessError, match=f"{option}=.* is no natural number"):
        harness.run("sum_times_z", jobs=0, **{option: number})

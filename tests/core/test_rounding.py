"""Rounding errors are planted where honest arithmetic makes them, as large as it makes them."""

from __future__ import annotations

import warnings
from typing import Any

import array_api_compat.numpy as array_numpy
import numpy as np
import pytest
from builders import numerical, program_from, sample_for
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.backends.manual import ManualBackend
from harness.cases.case import load
from harness.cases.registry import builtin_folder
from harness.cases.sampling import draw_sample
from harness.dtypes import FORMATS, numpy_dtype, unit_roundoff
from harness.errors import Unsupported
from harness.programs import trees
from harness.programs.namespace import LINALG, STANDARD
from harness.rounding.deviation import K, deviation, tolerance
from harness.rounding.functions import ERRORS, GAPS
from harness.rounding.rounded import Rounded, Rounding

U = unit_roundoff("float32")
STEP = 2.0**-20
CASES = sorted(file.stem for file in builtin_folder().glob("*.yaml"))

#: Where a function of one or two arguments is tried, if not between 0.1 and 0.9.
ELSEWHERE = {"acosh": (1.1, 9.0)}
BINARY = {"add", "subtract", "multiply", "divide", "remainder", "atan2", "hypot"}
INEXACT = sorted(name for name, c in ERRORS.items() if c)

arrays = hnp.arrays(
    np.float64, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(0.1, 0.9)
)


def erring(seed: int = 0, step: float = STEP, dtype: str = "float32") -> Rounding:
    return Rounding(dtype, step, seed)


def moved(program: str, dtype: str = "float32", **inputs: Any) -> Any:
    """Deviation of a program at a point, and its gradients there."""
    parsed = program_from(program)
    arrays = {name: np.asarray(each) for name, each in inputs.items()}
    sample = sample_for(parsed, arrays, dtype=dtype)
    return deviation(parsed, sample), ManualBackend().differentiate(parsed, sample)


@pytest.mark.parametrize("name", INEXACT)
@numerical
@given(data=st.data(), seed=st.integers(0, 99))
def test_one_operation_errs_by_its_own_error(name: str, data: Any, seed: int) -> None:
    low, high = ELSEWHERE.get(name, (0.1, 0.9))
    x = data.draw(arrays) * (high - low) + low
    args = [x, x[::-1] + 0.5] if name in BINARY else [x]
    rounding = erring(seed)
    got = getattr(rounding.xp, name)(*(rounding.leaf(each) for each in args)).data
    want = getattr(array_numpy, name)(*args)
    error = np.abs(got - want)
    assert np.allclose(error, ERRORS[name] * STEP * np.abs(want), rtol=1e-6, atol=1e-15)


def test_errors_are_unbiased_and_as_often_up_as_down() -> None:
    rounding = erring()
    ones = rounding.leaf(np.ones(10**5))
    error = ((ones * ones).data - 1) / STEP
    assert np.array_equal(np.unique(np.rint(error)), [-1, 1])
    assert abs(error.mean()) < 4 / np.sqrt(error.size)


def test_scalars_err_and_so_do_constants_that_the_dtype_does_not_hold() -> None:
    rounding = erring()
    two = rounding.leaf(np.asarray(2.0))
    assert abs(float(two * two) - 4) == pytest.approx(4 * STEP)
    assert float(rounding.xp.asarray(0.5)) == 0.5
    assert abs(float(rounding.xp.asarray(0.1)) - 0.1) == pytest.approx(0.1 * STEP)
    assert float(erring(dtype="float64").xp.asarray(0.1)) == 0.1
    assert isinstance(np.float64(3) * two, Rounded)
    assert float(np.float64(3) * two) != 6


def test_infinities_and_zeros_stay_what_they_are() -> None:
    rounding = erring()
    x = rounding.leaf(np.asarray([np.inf, -np.inf, 0.0]))
    for got in (x + x, x * 2, rounding.leaf(x.data, errs=True), rounding.xp.cumulative_prod(x[:2])):
        assert np.array_equal(got.data, [np.inf, -np.inf, 0.0][: got.size])


@numerical
@given(x=arrays, seed=st.integers(0, 99))
def test_what_selects_or_moves_numbers_is_exact(x: Any, seed: int) -> None:
    xp, y = (rounding := erring(seed)).xp, rounding.leaf(x)
    half = np.asarray(0.5)
    for got, want in (
        *((-y, -x), (abs(y), x), (y.T, x.T), (y[0], x[0]), (xp.sign(y), np.sign(x))),
        *((xp.maximum(y, 0.5), np.maximum(x, half)), (xp.minimum(y, 0.5), np.minimum(x, half))),
        *((xp.where(y > 0.5, y, -y), np.where(x > half, x, -x)), (xp.max(y), x.max())),
        *(
            (xp.sort(y, axis=0), np.sort(x, 0)),
            (xp.floor(y), np.floor(x)),
            (xp.flip(y), np.flip(x)),
        ),
        *((xp.concat([y, y]), np.concatenate([x, x])), (xp.stack([y, y]), np.stack([x, x]))),
        *((xp.reshape(y, (-1,)), x.ravel()), (xp.argmax(y), x.argmax()), (y**1, x)),
        (xp.sum(y > 0.5), (x > half).sum()),
    ):
        assert np.array_equal(np.asarray(got), want)


def test_a_sum_errs_like_a_running_sum() -> None:
    """Of n equal terms, h (n / 3)**0.5 of the result in the mean square; of one, nothing."""
    n = 300
    found = []
    for seed in range(200):
        rounding = erring(seed)
        found.append(float(rounding.xp.sum(rounding.leaf(np.ones(n)))) / n - 1)
    assert np.std(found) / STEP == pytest.approx(np.sqrt(n / 3), rel=0.15)
    rounding = erring()
    assert float(rounding.xp.sum(rounding.leaf(np.full(1, 0.3)))) == 0.3
    assert np.array_equal(rounding.xp.sum(rounding.leaf(np.ones((4, 1))), axis=1).data, np.ones(4))
    two = [float(erring(seed).xp.sum(erring(seed).leaf(np.ones(2)))) - 2 for seed in range(20)]
    assert set(np.abs(two) / (2 * STEP)) == {1.0}


def test_columns_of_a_matrix_product_err_independently() -> None:
    rounding = erring()
    a, b = (rounding.leaf(np.ones(shape)) for shape in ((1, 400), (400, 50)))
    error = (rounding.xp.matmul(a, b).data / 400 - 1) / STEP
    assert np.std(error) > 5


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 2)])
@pytest.mark.parametrize("name", ["sum", "mean", "var", "std", "prod"])
def test_reductions_are_those_of_numpy_but_for_the_errors(name: str, axis: Any) -> None:
    x = np.random.default_rng(0).uniform(1, 2, (3, 4, 5))
    for step, within in ((0.0, 1e-14), (STEP, 40 * STEP)):
        rounding = erring(step=step)
        for keepdims in (False, True):
            got = getattr(rounding.xp, name)(rounding.leaf(x), axis=axis, keepdims=keepdims)
            want = getattr(np, name)(x, axis=axis, keepdims=keepdims)
            assert got.shape == want.shape
            assert np.max(np.abs(got.data / want - 1)) <= within


def test_without_errors_the_linear_algebra_is_that_of_numpy() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=(4, 4))
    spd, b = a @ a.T + np.eye(4), rng.normal(size=(4, 2))
    quiet, loud = erring(step=0.0), erring()
    calls: dict[str, tuple[Any, ...]] = dict.fromkeys(LINALG, (spd,))
    calls |= {"solve": (spd, b), "matmul": (a, b), "tensordot": (a, spd), "vecdot": (a, spd)}
    calls |= {"outer": (a[0], b[:, 0]), "cross": (a[:, :3], spd[:, :3]), "matrix_power": (spd, 3)}
    exact = {"diagonal", "matrix_transpose", "matrix_rank"}
    for name, args in calls.items():
        wanted = getattr(array_numpy.linalg, name)(*args)
        for rounding in (quiet, loud):
            leaves = [rounding.leaf(x) if isinstance(x, np.ndarray) else x for x in args]
            found = getattr(rounding.xp.linalg, name)(*leaves)
            pairs = (
                zip(found, wanted, strict=True) if isinstance(found, tuple) else [(found, wanted)]
            )
            error = max(float(np.max(np.abs(f.data - w), initial=0)) for f, w in pairs)
            assert error < (1e-12 if rounding is quiet else 1e-2), name
            assert rounding is quiet or name in exact or error > 0, name


def test_an_ill_conditioned_system_deviates_by_its_condition() -> None:
    """One of 1e4: the solution is good to 1e4 u, and so is the inverse."""
    a = np.asarray([[1.0, 1.0], [1.0, 1.0002]])
    for code in ("xp.linalg.solve(a, xp.ones_like(a))", "xp.linalg.inv(a)", "1 / xp.linalg.det(a)"):
        found = moved(
            f"""
            def forward(xp, a):
                f = {code}
                return f

            def backward(xp, df, a):
                return {{"a": a}}
        """,
            a=a,
        )[0]
        assert 1e3 * U < np.max(found.values["f"]) < 1e10 * U


def test_every_standard_name_is_there_or_unsupported_by_name() -> None:
    xp = erring().xp
    missing = set()
    for space, names in ((xp, STANDARD), (xp.linalg, LINALG)):
        for name in names:
            try:
                getattr(space, name)
            except Unsupported as error:
                assert f"`xp.{name}`" in str(error)
                missing.add(name)
    assert missing == set(GAPS)
    with pytest.raises(Unsupported, match=r"`xp\.sine`"):
        _ = xp.sine
    with pytest.raises(Unsupported, match=r"`xp\.linalg\.lu`"):
        _ = xp.linalg.lu


@pytest.mark.parametrize("code", ["x.sum()", "np.stack([x])", "np.add.reduce(x)", "x.astype(int)"])
def test_what_is_not_of_the_namespace_is_unsupported(code: str) -> None:
    program = program_from(f"""
        import numpy as np

        def forward(xp, x):
            f = {code}
            return f
    """)
    with pytest.raises(Unsupported, match="use `xp"):
        deviation(program, sample_for(program, {"x": np.ones(2)}))


def test_complex_numbers_and_narrower_dtypes_are_unsupported() -> None:
    rounding = erring()
    with pytest.raises(Unsupported, match="complex"):
        rounding.xp.multiply(rounding.leaf(np.ones(2)), 1j)
    with pytest.raises(Unsupported, match="float16"):
        rounding.xp.astype(rounding.leaf(np.ones(2)), np.float16)


PRODUCT = """
    def forward(xp, x, y):
        f = x * y
        return f

    def backward(xp, df, x, y):
        return {"x": df * y, "y": df * x}
"""
DIFFERENCE = """
    def forward(xp, x):
        m = xp.mean(x)
        v = xp.mean((x - m) ** 2)
        return v

    def backward(xp, dv, x, m):
        dx = 2 * dv * (x - m) / x.shape[0]
        return {"x": dx}
"""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_product_deviates_by_a_few_roundings_and_a_cancelling_sum_by_many(dtype: str) -> None:
    rng = np.random.default_rng(2)
    found, exact = moved(PRODUCT, dtype, x=rng.normal(size=50), y=rng.normal(size=50))
    for name in ("x", "y"):
        ratio = found.gradients[name] / (unit_roundoff(dtype) * np.abs(exact.gradients[name]))
        assert np.all((ratio > 0.9) & (ratio < 2.2))  # one, and one of the input
    found, exact = moved(DIFFERENCE, dtype, x=rng.normal(1e4, 1, 50))
    ratio = found.gradients["x"] / (unit_roundoff(dtype) * np.abs(exact.gradients["x"]))
    assert np.median(ratio) > 1e3
    assert found.values["v"].shape == ()
    assert found.dtype == dtype


def test_a_seed_fixes_everything_and_more_runs_only_widen() -> None:
    program = program_from(DIFFERENCE)
    sample = sample_for(program, {"x": np.arange(9.0) / 7}, dtype="float32")
    one, same, other = (deviation(program, sample, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(one.gradients["x"], same.gradients["x"])
    assert not np.array_equal(one.gradients["x"], other.gradients["x"])
    more = deviation(program, sample, seed=3, runs=20)
    assert np.all(more.gradients["x"] >= one.gradients["x"])


def test_intermediates_have_values_on_request_and_cotangents_where_named() -> None:
    program = program_from("""
        def forward(xp, x):
            q = x * x
            f = xp.sin(q)
            return f

        def backward(xp, df, x, q):
            dq = df * xp.cos(q)
            dx = 2 * x * dq
            return {"x": dx}
    """)
    sample = sample_for(program, {"x": np.asarray([0.3, 0.7])}, dtype="float32")
    found = deviation(program, sample, intermediates=["q"])
    assert set(found.values) == {"f", "q"} and set(found.intermediates) == {"q"}
    assert np.all(found.intermediates["q"] > 0)


def test_a_case_without_backward_has_values_alone() -> None:
    program = program_from("""
        def forward(xp, x):
            f = xp.exp(x)
            return f
    """)
    found = deviation(program, sample_for(program, {"x": np.asarray([1.0])}, dtype="float32"))
    assert found.values["f"] == pytest.approx([4 * U * np.e], rel=1e-3) and not found.gradients


def test_a_decision_within_the_tolerance_makes_it_cover_the_jump() -> None:
    program = """
        def forward(xp, x, y):
            q = x * y - 1
            f = xp.maximum(q, xp.zeros_like(q))
            return f

        def backward(xp, df, x, y, q):
            dq = xp.where(q > 0, df, xp.zeros_like(df))
            return {"x": dq * y, "y": dq * x}
    """
    for above, covered in ((4, True), (16 * K, False)):
        x = np.float32(1 + above * 2 * U)
        found, exact = moved(program, x=[x], y=[1.0])
        allowed = tolerance(exact.gradients["x"], found.gradients["x"], "float32")
        assert (allowed >= 1.0).all() == covered


def test_inputs_err_too_but_never_beyond_the_largest_deviation() -> None:
    """A kink of the inputs is no rounding error; another order of operations is."""
    found, _ = moved(
        """
        def forward(xp, x):
            f = xp.maximum(x, xp.ones_like(x)) * x
            return f

        def backward(xp, df, x):
            return {"x": df * xp.where(x > 1, 2 * x, xp.ones_like(x))}
        """,
        x=[1.0, 2.0],
    )
    assert np.all(found.gradients["x"] < 10 * U)
    found, _ = moved(PRODUCT, x=[1.0, 1.0], y=[0.01, 1.0])
    assert found.gradients["x"] == pytest.approx([0.02 * U, U], rel=1e-3)
    found, _ = moved(
        """
        def forward(xp, x):
            f = xp.sum((x - xp.mean(x)) ** 2)
            return f

        def backward(xp, df, x):
            c = x - xp.mean(x)
            return {"x": 2 * df * c}
        """,
        x=1000 + np.asarray([0.0, 1.0, 2.0, 3.0]),
    )
    assert np.all(found.gradients["x"] > 300 * U)


def test_runs_that_leave_the_domain_are_passed_over() -> None:
    program = """
        def forward(xp, x):
            f = xp.sqrt(1 - x * x)
            return f
    """
    parsed = program_from(program)
    sample = sample_for(parsed, {"x": np.asarray([np.float32(1 - U)])}, dtype="float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(deviation(parsed, sample).values["f"]).all()


def test_nothing_finite_is_an_infinite_deviation() -> None:
    program = program_from("""
        def forward(xp, x):
            f = xp.where(x * x == 9, x, xp.nan)
            return f
    """)
    found = deviation(program, sample_for(program, {"x": np.asarray([3.0, 4.0])}, dtype="float32"))
    assert found.values["f"].tolist() == [np.inf, 0.0]


def test_a_shape_that_depends_on_rounding_is_unsupported() -> None:
    program = program_from("""
        def forward(xp, x):
            f = xp.unique_values(x * x)
            return f
    """)
    with pytest.raises(Unsupported, match="shape of `f` depends"):
        deviation(program, sample_for(program, {"x": np.asarray([1.0, 1.0, 1.0])}, dtype="float32"))


def test_a_subnormal_result_may_be_flushed() -> None:
    assert tolerance(np.zeros(1), np.zeros(1), "float32") == [FORMATS["float32"].tiny]
    found, exact = moved(PRODUCT, x=[1e-30], y=[1e-9])
    tiny = float(exact.values["f"][0])
    assert 0 < tiny < FORMATS["float32"].tiny
    assert tolerance(exact.values["f"], found.values["f"], "float32")[0] >= tiny
    program = program_from("""
        def forward(xp, x):
            f = (x * x) * 1e30
            return f
    """)
    found = deviation(program, sample_for(program, {"x": np.asarray([1e-20])}, dtype="float32"))
    assert tolerance(np.asarray([1e-10]), found.values["f"], "float32")[0] >= 1e-10


def test_a_subnormal_float16_errs_by_half_the_smallest_and_is_not_flushed() -> None:
    program = program_from("""
        def forward(xp, x):
            f = x * x
            return f
    """)
    sample = sample_for(program, {"x": np.asarray([2.0**-8])}, dtype="float16")
    moved = deviation(program, sample).values["f"]
    assert moved == [FORMATS["float16"].subnormal / 2]
    zero = tolerance(np.zeros(1), np.zeros(1), "float16")
    assert zero == [FORMATS["float16"].subnormal / 2]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_dtypes_have_their_own_roundoff(dtype: str) -> None:
    program = program_from(PRODUCT)
    x = np.asarray([0.5, 1.25]).astype(numpy_dtype(dtype))
    sample = sample_for(program, {"x": np.asarray([0.5, 1.25]), "y": np.asarray([0.5, 1.25])})
    sample = type(sample)(
        *("demo", "draw0", "default", dtype, {"x": x, "y": x}, ("x", "y")),
        (np.ones(2).astype(numpy_dtype(dtype)),),
    )
    found = deviation(program, sample)
    ratio = found.gradients["x"] / (unit_roundoff(dtype) * np.asarray([0.5, 1.25]))
    assert np.all((ratio > 0.99) & (ratio < 2.2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_honest_numpy_stays_within_and_a_lie_does_not(name: str, dtype: str) -> None:
    """At the built-in cases: numpy in the dtype against wider arithmetic, and the same numbers
    scaled by 1 + 4 K u, which no element that deviates by at most 2 u |g| may hide."""
    case = load(builtin_folder() / f"{name}.yaml")
    unit, lies = unit_roundoff(dtype), 0
    for point in (*case.declared.points, "draw0", "draw1", "draw2"):
        sample = draw_sample(case, point, "default", dtype)
        found = deviation(case.program, sample)
        got = ManualBackend().differentiate(case.program, sample)
        want = ManualBackend().differentiate(case.program, trees.cast(sample, "float64"))
        for key, gradient in want.gradients.items():
            kept = np.isfinite(gradient)
            moved, honest = found.gradients[key][kept], got.gradients[key][kept]
            gradient = gradient[kept]
            allowed = tolerance(gradient, moved, dtype)
            assert np.all(np.abs(honest - gradient) <= allowed)
            clear = (moved <= 2 * unit * np.abs(gradient)) & (gradient != 0)
            lie = gradient * (1 + 4 * K * unit)
            assert np.all((np.abs(lie - gradient) > allowed)[clear])
            lies += int(np.sum(clear))
    assert lies or name not in ("relu_layer", "sum_xy_z", "sum_times_z", "dict_of_dicts")

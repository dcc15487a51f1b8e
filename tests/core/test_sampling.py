"""A sample is repeatable by itself, inside its domain, and what its draw says it is."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import case_from, check_error, numerical
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.cases.case import Case
from harness.cases.points import printed_spread
from harness.cases.sampling import draw_sample, rng_for
from harness.dtypes import DTYPES, FORMATS, convert, numpy_dtype
from harness.errors import CaseError, Unsupported, UsageError
from harness.model import Sample
from harness.programs import trees
from harness.runs.engine import Engine
from harness.runs.plan import Request, cells

MakeCase = Callable[..., Case]

ADD = """
    def forward(xp, x, y):
        f = xp.sum(x) + xp.sum(y)
        return f
"""
ONE = "def forward(xp, x):\n    q = 2.0 * x\n    f = xp.sum(q)\n    return f\n"
SIZES = "sizes: {default: {n: 4}, large: {n: 50}}\n"
TWO = "inputs: {x: {shape: [n]}, y: {shape: [2, n], domain: [0.1, 0.7]}}\n" + SIZES


def same(one: Sample, other: Sample) -> bool:
    first, second = trees.flatten(one.inputs), trees.flatten(other.inputs)
    return first.keys() == second.keys() and all(
        np.array_equal(a, b) for a, b in zip(first.values(), second.values(), strict=True)
    )


def test_a_draw_is_the_same_every_time_and_in_any_order(case: MakeCase) -> None:
    made = case(ADD, TWO)
    points = ["draw0", "draw1", "draw2"]
    forwards = {point: draw_sample(made, point, "default", "float64") for point in points}
    backwards = {point: draw_sample(made, point, "default", "float64") for point in points[::-1]}
    for point in points:
        assert same(forwards[point], backwards[point])
        for one, other in zip(forwards[point].cotangents, backwards[point].cotangents, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_draw_depends_on_seed_name_size_and_point(tmp_path: Path) -> None:
    one = case_from(tmp_path, ADD, TWO, "one")
    other = case_from(tmp_path, ADD, TWO, "other")
    samples = [
        draw_sample(one, "draw0", "default", "float64"),
        draw_sample(one, "draw1", "default", "float64"),
        draw_sample(one, "draw0", "default", "float64", seed=1),
        draw_sample(other, "draw0", "default", "float64"),
    ]
    large = draw_sample(one, "draw0", "large", "float64").inputs["x"][:4]
    values = [sample.inputs["x"] for sample in samples] + [large]
    cotangents = [float(sample.cotangents[0]) for sample in samples]
    assert not any(np.any(a == b) for a, b in itertools.combinations(values, 2))
    assert len(set(cotangents)) == len(cotangents)


def test_a_draw_does_not_depend_on_unrelated_parts_of_the_case(tmp_path: Path) -> None:
    one = case_from(tmp_path / "a", ADD, TWO)
    other = case_from(tmp_path / "b", ADD, TWO + "points: {p: {}}\ntags: [new]\n")
    assert same(
        draw_sample(one, "draw0", "default", "float64"),
        draw_sample(other, "draw0", "default", "float64"),
    )


def test_known_numbers_of_a_draw(case: MakeCase) -> None:
    """They may change with a major version only: reports name them."""
    made = case(ONE, "inputs: {x: {shape: [3]}}\n")
    first = draw_sample(made, "draw0", "default", "float64").inputs["x"]
    np.testing.assert_array_equal(
        first, [-0.5264293927905288, -0.31440566662280983, 0.7123702704187715]
    )


def test_float32_numbers_are_those_of_float64_rounded(case: MakeCase) -> None:
    made = case(ADD, TWO)
    double = draw_sample(made, "draw0", "large", "float64")
    single = draw_sample(made, "draw0", "large", "float32")
    for name in ("x", "y"):
        assert single.inputs[name].dtype == np.float32
        np.testing.assert_array_equal(single.inputs[name], np.float32(double.inputs[name]))
    assert single.cotangents[0].dtype == np.float32
    assert single.cotangents[0] == np.float32(double.cotangents[0])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_numbers_of_a_half_dtype_are_rounded_once_and_widen_exactly(
    case: MakeCase, dtype: str
) -> None:
    made = case(ADD, TWO)
    double = draw_sample(made, "draw0", "large", "float64")
    half = draw_sample(made, "draw0", "large", dtype)
    wide = trees.cast(half, "float64")
    for name in ("x", "y"):
        assert half.inputs[name].dtype == numpy_dtype(dtype)
        nearest = FORMATS[dtype].nearest(double.inputs[name])
        np.testing.assert_array_equal(wide.inputs[name], nearest)
    assert wide.cotangents[0] == FORMATS[dtype].nearest(double.cotangents[0])
    assert half.intermediates == double.intermediates


def test_a_number_beyond_the_range_of_the_dtype_is_no_sample(case: MakeCase) -> None:
    made = case(ONE, "inputs: {x: {shape: [1]}}\npoints: {p: {inputs: {x: [70000.0]}}}\n")
    with pytest.raises(Unsupported, match="holds 70000, which is beyond the range of float16"):
        draw_sample(made, "p", "declared", "float16")
    assert float(draw_sample(made, "p", "declared", "bfloat16").inputs["x"][0]) == 70144


bounds = st.floats(-1e6, 1e6, allow_subnormal=False)


@numerical
@given(low=bounds, high=bounds, draw=st.sampled_from(["uniform", "normal"]))
def test_the_domain_holds_after_rounding(
    tmp_path_factory: pytest.TempPathFactory, low: float, high: float, draw: str
) -> None:
    inner = np.nextafter(np.float32(low), np.float32(np.inf))
    assume(low < float(inner) < high)  # some float32 number is inside
    folder = tmp_path_factory.getbasetemp() / "domain"
    made = case_from(
        folder, ONE, f"inputs: {{x: {{shape: [40], draw: {draw}, domain: [{low!r}, {high!r}]}}}}\n"
    )
    for dtype in DTYPES:
        if max(abs(low), abs(high)) > FORMATS[dtype].largest:
            continue  # some number may be beyond the range
        first = convert(np.array(low), dtype)
        if float(first) < low:
            first = np.nextafter(first, first.dtype.type(np.inf))
        if not low <= float(first) <= high:
            with pytest.raises(Unsupported, match=f"no {dtype} number"):
                draw_sample(made, "draw0", "default", dtype)
            continue
        x = draw_sample(made, "draw0", "default", dtype).inputs["x"]
        assert x.dtype == numpy_dtype(dtype)
        assert np.all(x.astype(np.float64) >= low)
        assert np.all(x.astype(np.float64) <= high)


def test_a_bound_that_float32_would_cross_is_not_crossed(case: MakeCase) -> None:
    low, high = 0.1 - 1e-7, 0.1
    assert float(np.float32(high)) > high, "else this test shows nothing"
    made = case(ONE, f"inputs: {{x: {{shape: [200], domain: [{low!r}, {high!r}]}}}}\n")
    x = draw_sample(made, "draw0", "default", "float32").inputs["x"].astype(np.float64)
    assert x.min() >= low
    assert x.max() <= high


@numerical
@given(bound=bounds, side=st.sampled_from([-1, 1]))
def test_a_half_infinite_domain_is_kept(
    tmp_path_factory: pytest.TempPathFactory, bound: float, side: int
) -> None:
    domain = f"[{bound!r}, .inf]" if side > 0 else f"[-.inf, {bound!r}]"
    folder = tmp_path_factory.getbasetemp() / "half"
    made = case_from(folder, ONE, f"inputs: {{x: {{shape: [40], domain: {domain}}}}}\n")
    for dtype in ("float64", "float32"):
        sample = draw_sample(made, "draw0", "default", dtype)
        x = sample.inputs["x"].astype(np.float64)
        assert np.all(side * x >= side * bound)
        assert len(np.unique(x)) > 1 or abs(bound) > 1e5
        assert sample.domains["x"] == ((bound, np.inf) if side > 0 else (-np.inf, bound))


def drawn(make: MakeCase, leaf: str, dtype: str = "float64", python: str = ONE) -> np.ndarray:
    sample = draw_sample(make(python, f"inputs:\n  x: {leaf}\n"), "draw0", "default", dtype)
    found: np.ndarray = sample.inputs["x"]
    return found


def test_uniform_fills_its_domain(case: MakeCase) -> None:
    x = drawn(case, "{shape: [2000], domain: [-3, 5]}")
    assert -3 <= x.min() < -2.9
    assert 4.9 < x.max() <= 5
    assert abs(x.mean() - 1) < 0.3


def test_normal_is_standard_normal(case: MakeCase) -> None:
    x = drawn(case, "{shape: [2000]}")
    assert abs(x.mean()) < 0.1
    assert abs(x.std() - 1) < 0.1


def test_integers_reach_both_ends_and_stay_integers(case: MakeCase) -> None:
    python = "def forward(xp, x):\n    f = xp.sum(x * 1.0)\n    return f\n"
    for dtype in ("float64", "float32"):
        x = drawn(case, "{shape: [500], draw: integers, domain: [-1, 2]}", dtype, python)
        assert x.dtype == np.int64
        assert set(x.tolist()) == {-1, 0, 1, 2}


def test_integers_stay_inside_a_fractional_domain(case: MakeCase) -> None:
    python = "def forward(xp, x):\n    f = xp.sum(x * 1.0)\n    return f\n"
    x = drawn(case, "{shape: [500], draw: integers, domain: [-1.5, 2.5]}", python=python)
    assert set(x.tolist()) == {-1, 0, 1, 2}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_spd_is_symmetric_and_well_conditioned(case: MakeCase, dtype: str) -> None:
    x = drawn(case, "{shape: [3, 5, 5], draw: spd}", dtype)
    np.testing.assert_allclose(x, np.swapaxes(x, -1, -2), atol=1e-6)
    eigenvalues = np.linalg.eigvalsh(x)
    assert np.all(eigenvalues > 0.49)
    assert np.all(eigenvalues < 2.01)
    assert np.all(np.diff(eigenvalues, axis=-1) > 1e-6), "none twice"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_orthogonal_is_orthogonal(case: MakeCase, dtype: str) -> None:
    x = drawn(case, "{shape: [3, 4, 4], draw: orthogonal}", dtype)
    identity = np.broadcast_to(np.eye(4), x.shape)
    np.testing.assert_allclose(x @ np.swapaxes(x, -1, -2), identity, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_simplex_is_positive_and_sums_to_one(case: MakeCase, dtype: str) -> None:
    x = drawn(case, "{shape: [6, 5], draw: simplex}", dtype)
    assert np.all(x > 0)
    np.testing.assert_allclose(x.sum(axis=-1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("draw", "domain"), [("spd", "[-2, 2]"), ("orthogonal", "[-1, 1]"), ("simplex", "[0, 1]")]
)
def test_the_whole_range_of_a_draw_is_a_domain(case: MakeCase, draw: str, domain: str) -> None:
    """It holds numeric steps back and changes no number."""
    leaf = f"{{shape: [50, 3, 3], draw: {draw}"
    x = drawn(case, leaf + f", domain: {domain}}}")
    np.testing.assert_allclose(x, drawn(case, leaf + "}"), rtol=1e-15)


@pytest.mark.parametrize("shape", ["[]", "[0]", "[2, 0, 3]"])
def test_shapes_without_axes_or_elements(case: MakeCase, shape: str) -> None:
    x = drawn(case, f"{{shape: {shape}}}")
    assert x.shape == tuple(int(n) for n in shape.strip("[]").split(",") if n.strip())


def test_a_value_is_the_same_at_every_point(case: MakeCase) -> None:
    made = case(ADD, 'inputs: {x: {value: [[1, "2.5"]]}, y: {shape: [2]}}\n')
    for point in ("draw0", "draw1"):
        x = draw_sample(made, point, "default", "float32").inputs["x"]
        np.testing.assert_array_equal(x, np.float32([[1, 2.5]]))
        assert x.dtype == np.float32


POINT = """\
inputs: {x: {shape: [n]}, y: {shape: [2, n], domain: [-1, 9]}}
sizes: {default: {n: 4}, large: {n: 50}}
points:
  printed: {inputs: {x: ["0.10", "2.5", 3]}}
  sized: {size: large}
  both: {inputs: {x: [1, 2], y: [[1, 2], [3, 4]]}, cotangent: 2.5}
"""


def test_sizes_are_solved_from_the_numbers_of_a_point(case: MakeCase) -> None:
    sample = draw_sample(case(ADD, POINT), "printed", "declared", "float64")
    np.testing.assert_array_equal(sample.inputs["x"], [0.1, 2.5, 3])
    assert sample.inputs["y"].shape == (2, 3), "drawn with the n that x implies"


def test_a_point_may_name_its_size(case: MakeCase) -> None:
    sample = draw_sample(case(ADD, POINT), "sized", "declared", "float64")
    assert sample.inputs["x"].shape == (50,)


def test_the_cotangent_of_a_declared_point(case: MakeCase) -> None:
    made = case(ADD, POINT)
    assert draw_sample(made, "printed", "declared", "float64").cotangents == (1.0,)
    assert draw_sample(made, "both", "declared", "float64").cotangents == (2.5,)
    assert draw_sample(made, "draw0", "default", "float64").cotangents[0] not in (1.0, 2.5)


def test_cotangents_of_several_outputs(case: MakeCase) -> None:
    python = "def forward(xp, x):\n    f = x * x\n    g = xp.sum(x)\n    return f, g\n"
    yaml = "inputs: {x: {shape: [2]}}\npoints: {p: {cotangent: {f: [3, 4]}}}\n"
    sample = draw_sample(case(python, yaml), "p", "declared", "float64")
    np.testing.assert_array_equal(sample.cotangents[0], [3, 4])
    assert sample.cotangents[1] == 1


def test_a_cotangent_of_a_wrong_shape_is_refused(case: MakeCase, tmp_path: Path) -> None:
    made = case(ONE, "inputs: {x: {shape: [2]}}\npoints:\n  p:\n    cotangent: [1, 2]\n")
    with pytest.raises(CaseError, match=r"demo\.yaml:5: the cotangent of `f` has shape \[2\]"):
        draw_sample(made, "p", "declared", "float64")


def test_printed_inputs_carry_half_a_unit(case: MakeCase) -> None:
    made = case(ADD, POINT)
    spread = printed_spread(made, "printed")
    assert set(spread) == {"x"}
    np.testing.assert_allclose(spread["x"], [0.005, 0.05, 0], rtol=1e-15)
    assert printed_spread(made, "both") == {}


NESTED = """\
inputs:
  params:
    w: {shape: [2], domain: [1, 2]}
    layers:
      - {shape: [3]}
      - {shape: [], differentiable: false}
points:
  p: {inputs: {params: {w: [1, 2], layers: [[7, 8, 9], "0.5"]}}}
  bad: {inputs: {params: {v: 1}}}
"""
NESTED_PYTHON = """
    def forward(xp, params):
        f = xp.sum(params["w"]) + xp.sum(params["layers"][0]) + params["layers"][1]
        return f
"""


def test_nested_inputs(case: MakeCase) -> None:
    made = case(NESTED_PYTHON, NESTED)
    sample = draw_sample(made, "draw0", "default", "float64")
    assert sample.differentiable == ("params.w", "params.layers.0")
    assert sample.domains == {"params.w": (1, 2)}
    assert np.all(sample.inputs["params"]["w"] >= 1)
    given_ = draw_sample(made, "p", "declared", "float64").inputs["params"]
    np.testing.assert_array_equal(given_["w"], [1, 2])
    np.testing.assert_array_equal(given_["layers"][0], [7, 8, 9])
    assert given_["layers"][1] == 0.5


def test_numbers_for_a_leaf_that_is_not_there(case: MakeCase, tmp_path: Path) -> None:
    made = case(NESTED_PYTHON, NESTED)
    with pytest.raises(CaseError) as caught:
        draw_sample(made, "bad", "declared", "float64")
    check_error(caught.value, tmp_path / "demo.yaml", 10, "`params.v` is no leaf", "`params.w`")


SUPPLIED = """
    def inputs(rng, n, **_):
        return {
            "pair": (rng.normal(size=n), {"k": rng.integers(0, 9, n), "b": 1.5}),
            "x": rng.normal(size=n),
        }

    def forward(xp, pair, x, y):
        f = xp.sum(pair[0] * x) + pair[1]["b"] + xp.sum(y) + xp.sum(pair[1]["k"] * x)
        return f
"""
SUPPLIED_YAML = """\
inputs: {x: {differentiable: false}, y: {shape: [n]}}
sizes: {default: {n: 3}}
points: {p: {inputs: {x: [1, 2, 3]}}}
"""


def test_supplied_inputs_keep_their_containers_and_kinds(case: MakeCase) -> None:
    made = case(SUPPLIED, SUPPLIED_YAML)
    for dtype in ("float64", "float32"):
        sample = draw_sample(made, "draw0", "default", dtype)
        pair = sample.inputs["pair"]
        assert isinstance(pair, tuple)
        assert pair[0].dtype == dtype
        assert pair[1]["b"].dtype == dtype
        assert pair[1]["k"].dtype == np.int64
        assert sample.inputs["x"].dtype == dtype
        assert sample.inputs["y"].shape == (3,)
        assert set(sample.differentiable) == {"pair.0", "pair.1.b", "y"}


def test_supplied_inputs_are_repeatable(case: MakeCase) -> None:
    made = case(SUPPLIED, SUPPLIED_YAML)
    again = [draw_sample(made, "draw0", "default", "float64") for _ in range(2)]
    assert same(*again)
    assert not same(again[0], draw_sample(made, "draw1", "default", "float64"))


def test_a_point_overrides_what_is_supplied(case: MakeCase) -> None:
    sample = draw_sample(case(SUPPLIED, SUPPLIED_YAML), "p", "default", "float64")
    np.testing.assert_array_equal(sample.inputs["x"], [1, 2, 3])


def test_an_input_that_nobody_supplies_is_named(case: MakeCase, tmp_path: Path) -> None:
    made = case(SUPPLIED.replace('"x": rng.normal(size=n),', ""), SUPPLIED_YAML)
    with pytest.raises(CaseError) as caught:
        draw_sample(made, "draw0", "default", "float64")
    check_error(caught.value, tmp_path / "demo.py", None, "returned no `x`", "return `x`")


@pytest.mark.parametrize(
    ("name", "problem"), [("z", "which `forward` does not take"), ("y", "gives data already")]
)
def test_an_input_that_nobody_asked_for_is_named(
    case: MakeCase, tmp_path: Path, name: str, problem: str
) -> None:
    made = case(SUPPLIED.replace('"x": rng', f'"{name}": rng'), SUPPLIED_YAML)
    with pytest.raises(CaseError) as caught:
        draw_sample(made, "draw0", "default", "float64")
    check_error(caught.value, tmp_path / "demo.py", None, f"returned `{name}`", problem)


def test_the_shapes_of_intermediates_are_learnt(case: MakeCase) -> None:
    python = """
        def forward(xp, x):
            mask = x > 0
            q = x * x
            total = xp.sum(q)
            f = total * total
            return f
    """
    sample = draw_sample(case(python, "inputs: {x: {shape: [3]}}\n"), "draw0", "default", "float32")
    assert sample.intermediates == {"q": (3,), "total": ()}, "a mask has no gradient"


def leaves_of(sample: Sample) -> dict[str, Any]:
    return trees.flatten(sample.inputs)


def test_casting_a_sample_to_a_wider_dtype_is_exact(case: MakeCase) -> None:
    sample = draw_sample(case(SUPPLIED, SUPPLIED_YAML), "draw0", "default", "float32")
    wide = trees.cast(sample, "float64")
    for path, leaf in leaves_of(sample).items():
        np.testing.assert_array_equal(leaf, leaves_of(wide)[path])
    assert {str(leaf.dtype) for leaf in leaves_of(wide).values()} == {"float64", "int64"}
    assert wide.cotangents[0].dtype == np.float64


def test_every_differentiable_leaf_has_a_tangent_of_its_shape_and_dtype(case: MakeCase) -> None:
    made = case(
        ADD, "inputs: {x: {shape: [n], differentiable: false}, y: {shape: [2, n]}}\n" + SIZES
    )
    for dtype in ("float64", "float32"):
        sample = draw_sample(made, "draw0", "default", dtype)
        assert list(sample.tangents) == ["y"]
        assert sample.tangents["y"].shape == (2, 4)
        assert sample.tangents["y"].dtype == np.dtype(dtype)
    assert trees.cast(sample, "float64").tangents["y"].dtype == np.float64


def test_tangents_are_random_everywhere_and_repeatable(case: MakeCase) -> None:
    made = case(ADD, TWO + "points: {ones: {inputs: {x: [1.0, 1.0]}}}\n")
    points = [("draw0", "default", 0), ("draw1", "default", 0), ("draw0", "large", 0)]
    points += [("draw0", "default", 1), ("ones", "default", 0)]
    seen = []
    for point, size, seed in points:
        one, other = (draw_sample(made, point, size, "float64", seed) for _ in range(2))
        np.testing.assert_array_equal(one.tangents["y"], other.tangents["y"])
        seen.append(one.tangents["y"].ravel()[:4])
        assert np.ptp(seen[-1]) > 0.01  # a direction of ones would hide a sign or a permutation
    for index, one_ in enumerate(seen):
        for other_ in seen[:index]:
            assert not np.any(one_ == other_)


def test_nobody_draws_tangents_that_no_mode_moves_along(case: MakeCase) -> None:
    made = case(ADD, TWO)
    for modes, wanted in ((("value", "vjp"), set()), (("vjp", "hvp"), {"x", "y"})):
        request = Request(backends=("manual",), modes=modes)
        sample = Engine([made], request).subject(cells([made], request)[0]).sample
        assert set(sample.tangents) == wanted
        whole = draw_sample(made, "draw0", "default", "float64")
        assert same(sample, whole)
        np.testing.assert_array_equal(sample.cotangents[0], whole.cotangents[0])


@given(st.integers(0, 2**80), st.lists(st.text(max_size=5), max_size=4))
def test_a_generator_is_that_of_the_seed_and_the_words_of_a_digest(
    seed: int, parts: list[str]
) -> None:
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    words = np.frombuffer(digest, np.uint32).tolist()
    expected = np.random.default_rng([seed, *words]).standard_normal(4)
    np.testing.assert_array_equal(rng_for(seed, *parts).standard_normal(4), expected)


def test_tangents_change_no_other_number(case: MakeCase) -> None:
    """The inputs and the cotangent that were drawn before there were any tangents."""
    yaml = "inputs: {x: {shape: [2], draw: normal}}\n"
    sample = draw_sample(case(ONE, yaml), "draw0", "default", "float64")
    before = [-0.5264293927905288, -0.31440566662280983, 0.7123702704187715]
    np.testing.assert_array_equal([*sample.inputs["x"], *sample.cotangents], before)
    assert not set(sample.tangents["x"].tolist()) & set(before)


BIASED = """
    def forward(xp, x, W, bias, labels):
        y = xp.matmul(x, W)
        z = y if bias is None else y + bias
        f = xp.sum(xp.where(labels == -100, xp.zeros_like(z[:, 0]), z[:, 0]))
        return f

    def backward(xp, df, x, W, bias, labels):
        dz = xp.zeros_like(xp.matmul(x, W))
        dz[:, 0] = df * xp.astype(labels != -100, x.dtype)
        dW = xp.matmul(xp.matrix_transpose(x), dz)
        db = None if bias is None else xp.sum(dz, axis=0)
        return xp.matmul(dz, xp.matrix_transpose(W)), dW, db, None
"""
BIAS_YAML = """
    inputs: {x: {shape: [3, 2]}, W: {shape: [2, 2]}, bias: %s, labels: {value: [2, -100, 0]}}
    points: {bare: {inputs: {bias: null, x: [[1, 2], [3, 4], [5, 6]]}}}
"""


@pytest.mark.parametrize("bias", ["null", "{shape: [2]}"])
def test_an_input_may_be_absent_and_a_label_an_integer(case: MakeCase, bias: str) -> None:
    made = case(BIASED, BIAS_YAML % bias)
    drawn = draw_sample(made, "draw0", "default", "float32")
    assert (drawn.inputs["bias"] is None) is (bias == "null")
    assert drawn.inputs["labels"].dtype == np.int64
    bare = draw_sample(made, "bare", "default", "float32")
    assert bare.inputs["bias"] is None
    assert bare.inputs["x"].dtype == np.float32, "the numbers of a point are in the dtype"
    assert bare.differentiable == ("x", "W")
    request = Request(backends=("manual", "numeric"), draws=1)
    rows = list(Engine([made], request).run(cells([made], request)))
    assert {row.status for _, found in rows for row in found} == {"pass"}


def test_what_no_number_says_is_told(case: MakeCase) -> None:
    yaml = "inputs: {x: {value: [1, 2]}, y: {shape: [2]}}\npoints: {a: {inputs: {x: [1.5, 2]}}}\n"
    with pytest.raises(CaseError, match="`x` must be integers"):
        draw_sample(case(ADD, yaml), "a", "default", "float64")


@pytest.mark.parametrize(
    ("value", "dtype"),
    [("[2, -100]", "int64"), ("[2.0, -100]", "float64"), ("[true, false]", "bool"), ("3", "int64")],
)
def test_a_value_is_of_the_kind_that_it_is_written_in(
    case: MakeCase, value: str, dtype: str
) -> None:
    made = case(ADD, f"inputs: {{x: {{value: {value}}}, y: {{shape: []}}}}\n")
    assert draw_sample(made, "draw0", "default", "float64").inputs["x"].dtype == dtype


def test_a_case_is_run_in_the_dtypes_that_it_is_for(case: MakeCase) -> None:
    plain = case(ONE, "inputs: {x: {shape: [2]}}\n")
    narrow = case(ONE, "inputs: {x: {shape: [2]}}\ndtypes: [float32, float16]\n")

    def planned(made: Case, *dtypes: str) -> set[str]:
        return {each.dtype for each in cells([made], Request(dtypes=dtypes, backends=("torch",)))}

    assert planned(plain) == {"float64"}
    assert planned(narrow) == {"float32", "float16"}
    assert planned(plain, "float32") == planned(narrow, "float32", "float64") == {"float32"}
    with pytest.raises(UsageError, match="nothing to compare"):
        planned(narrow, "float64")

"""The functions of `xp` beyond the standard: alike in every kind of array that numpy carries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
from builders import numerical, program_from
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness import referee
from harness.differences.batched import xp as batched_xp
from harness.differences.lanes import Batched
from harness.errors import CaseError, Unsupported
from harness.programs.namespace import NAMES, of_numpy
from harness.programs.operators.contraction import einsum
from harness.programs.operators.table import OPERATORS
from harness.rounding.rounded import Rounded, Rounding

NUMPY = of_numpy()
RNG = np.random.default_rng(5)
FIXED = {
    "w": RNG.normal(size=(3, 4)),
    "v": RNG.normal(size=(4, 3)),
    "cube": RNG.normal(size=(2, 3, 4)),
    "labels": np.array([2, 0, 2]),
    "ids": np.array([0, 3, 1]),
}
#: Functions of x, of shape (3, 4), beside what stands in FIXED.
LINES = """
    xp.erf(x); xp.erfc(x); xp.lgamma(x); xp.digamma(x * x + 0.5)
    xp.logsumexp(x); xp.logsumexp(x, axis=1); xp.logsumexp(x, axis=(0, 1), keepdims=True)
    xp.softmax(x); xp.softmax(x, axis=0); xp.log_softmax(x); xp.log_softmax(x, 0)
    xp.einsum("ij,jk->ik", x, v); xp.einsum("ij,jk", x, v); xp.einsum("ij->", x)
    xp.einsum("ij,ij->i", x, w); xp.einsum("ii->i", x[:, :3]); xp.einsum("ij,kj,kl->il", x, w, w)
    xp.einsum("ijk,jk->ik", cube, x); xp.einsum("...j,kj->k...", cube, x); xp.einsum("ij->ji", x)
    xp.pad(x, 1); xp.pad(x, (0, 2)); xp.pad(x, ((0, 1), (2, 0)), constant_values=2.5)
    xp.pad(x, ((1, 2),)); xp.one_hot(labels, 3) @ x; xp.one_hot(labels, 2) @ x[:2]
    xp.segment_sum(x, labels, 4); xp.segment_sum(x[:, 0], labels, 3)
    xp.set_at(x, 1, 0.0); xp.set_at(x, (labels, ids), x[:, 0]); xp.set_at(w, (0, 1), x[0, 0])
    xp.set_at(x, w > 0, 0); xp.set_at(x, (slice(None), [0, 0]), x[:, 1:3]); xp.set_at(x, -1, w[:1])
    xp.set_at(x, (slice(None, None, -2), 1), 5); xp.set_at(x, w > 0, w[w > 0]); xp.set_at(x, ..., w)
    xp.set_at(x, labels > 0, 7.0); xp.set_at(x, (), x[0])
    xp.add_at(x, labels, w); xp.add_at(x, (labels, 1), x[:, 0]); xp.add_at(x, w > 0, 2.0)
    xp.add_at(w, (labels, labels), x[:, 2]); xp.stop_gradient(x) + w
"""
TABLE = [each.strip() for each in LINES.replace("\n", ";").split(";") if each.strip()]


def at(line: str, xp: Any, x: Any, fixed: dict[str, Any] = FIXED) -> Any:
    return eval(line, {"xp": xp, "x": x, **fixed})


@pytest.mark.parametrize("line", TABLE)
def test_balls_contain_what_numpy_computes(line: str) -> None:
    x = RNG.normal(size=(3, 4))
    got = at(line, referee.xp, referee.lift(x), {k: referee.lift(v) for k, v in FIXED.items()})
    want = np.asarray(at(line, NUMPY, x))
    assert got.shape == want.shape
    np.testing.assert_allclose(referee.midpoints(got), want, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("line", TABLE)
def test_erring_arrays_are_numpy_without_errors_and_off_by_a_few_with_them(line: str) -> None:
    x = RNG.normal(size=(3, 4))
    want, off = np.asarray(at(line, NUMPY, x)), 0.0
    for step in (0.0, 2.0**-30):
        rounding = Rounding("float64", step)
        held = {name: rounding.leaf(each) for name, each in FIXED.items()}
        got = at(line, rounding.xp, rounding.leaf(x), held)
        assert isinstance(got, Rounded)
        assert got.shape == want.shape
        off = float(np.max(np.abs(got.data - want)))
        assert off <= 1e-13 + 2000 * step
    exact = "pad" in line or "set_at" in line or "ji" in line or "ii->i" in line
    assert (off > 2.0**-32) is not exact


@pytest.mark.parametrize("line", TABLE)
@pytest.mark.parametrize("written", [False, True], ids=["one element", "written out"])
def test_each_lane_is_what_it_is_alone(line: str, written: bool) -> None:
    common, spots, own = RNG.normal(size=(3, 4)), np.array([0, 11, 6, 0]), RNG.normal(size=4)
    many = Batched.moved(common, spots, own)
    many = Batched(many.stacked) if written else many
    got = at(line, batched_xp, many)
    for lane in range(4):
        alone = common.copy()
        alone.flat[spots[lane]] = own[lane]
        want = np.asarray(at(line, NUMPY, alone))
        np.testing.assert_allclose(got.stacked[lane], want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("line", [each for each in TABLE if "one_hot" not in each])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_dtype_is_kept(line: str, dtype: str) -> None:
    fixed = {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in FIXED.items()}
    x = RNG.normal(size=(3, 4)).astype(dtype)
    assert np.asarray(at(line, NUMPY, x, fixed)).dtype == dtype


def test_every_operator_is_tried_here() -> None:
    assert {name for name in OPERATORS if any(f"xp.{name}(" in each for each in TABLE)} == {
        *OPERATORS
    }
    assert OPERATORS.keys() <= NAMES


def test_what_a_backend_cannot_say_is_unsupported_by_its_name() -> None:
    from types import SimpleNamespace

    from harness.programs.namespace import Namespace

    bare = Namespace("mine", SimpleNamespace())
    with pytest.raises(Unsupported, match=r"mine has no `xp\.erf`"):
        _ = bare.erf
    assert callable(bare.softmax)


def test_a_sum_of_exponentials_neither_overflows_nor_loses_minus_infinity() -> None:
    assert NUMPY.logsumexp(np.array([1e4, 1e4])) == 1e4 + np.log(2)
    with np.errstate(divide="ignore"):
        assert NUMPY.logsumexp(np.array([-np.inf, -np.inf])) == -np.inf
    np.testing.assert_array_equal(NUMPY.softmax(np.array([1e4, -1e4])), [1, 0])


def test_of_nothing_the_sum_is_zero() -> None:
    nothing = np.zeros((2, 0))
    with np.errstate(divide="ignore"):
        assert NUMPY.logsumexp(nothing, axis=1).tolist() == [-np.inf, -np.inf]
        assert NUMPY.logsumexp(nothing, axis=0).shape == (0,)
    assert NUMPY.softmax(nothing).shape == NUMPY.log_softmax(nothing).shape == (2, 0)


@numerical
@given(hnp.arrays(np.float64, 5, elements=st.floats(-20, 20)))
def test_the_special_functions_are_those_of_scipy(x: np.ndarray) -> None:
    np.testing.assert_array_equal(NUMPY.erfc(x), scipy.special.erfc(x))
    np.testing.assert_array_equal(NUMPY.lgamma(x), scipy.special.gammaln(x))


@numerical
@given(data=st.data())
def test_einsum_of_any_subscripts_is_that_of_numpy(data: Any) -> None:
    sizes = {"a": 2, "b": 3, "c": 1, "d": 2}
    count = data.draw(st.integers(1, 3))
    inputs = [data.draw(st.text("abcd", min_size=1, max_size=3)) for _ in range(count)]
    output = "".join(data.draw(st.permutations(sorted({*"".join(inputs)}))))
    output = output[: data.draw(st.integers(0, len(output)))]
    arrays = [RNG.normal(size=[sizes[each] for each in labels]) for labels in inputs]
    text = ",".join(inputs) + data.draw(st.sampled_from([f"->{output}", ""]))
    np.testing.assert_allclose(
        einsum(NUMPY, text, *arrays), np.einsum(text, *arrays), rtol=1e-12, atol=1e-12
    )


@numerical
@given(data=st.data())
def test_writing_by_addresses_is_writing_as_numpy_does(data: Any) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    x = RNG.normal(size=shape)
    key = data.draw(
        hnp.basic_indices(shape, allow_newaxis=True)
        | hnp.integer_array_indices(shape)
        | hnp.arrays(bool, shape)
    )
    value = RNG.normal(size=x[key].shape)
    composed = OPERATORS["set_at"].composed, OPERATORS["add_at"].composed
    want = [x.copy(), x.copy()]
    want[0][key] = value
    np.add.at(want[1], key, value)
    for function, expected in zip(composed, want, strict=True):
        assert function is not None
        np.testing.assert_allclose(function(NUMPY, x, key, value), expected, rtol=1e-12, atol=1e-12)


def test_a_function_that_does_not_exist_has_a_nearest_one() -> None:
    with pytest.raises(CaseError, match="did you mean `softmax`"):
        program_from("def forward(xp, x):\n    f = xp.sofmax(x)\n    return f\n")


@pytest.mark.parametrize(
    "line", ['xp.einsum("ij,jk->ik", x)', 'xp.einsum("ijk->i", x)', "xp.pad(x, ((1, 2),) * 3)"]
)
def test_arguments_that_do_not_fit_are_refused(line: str) -> None:
    rounding = Rounding("float64", 0.0)
    with pytest.raises(ValueError, match=r"einsum|pad_width"):
        at(line, rounding.xp, rounding.leaf(np.ones((2, 2))))

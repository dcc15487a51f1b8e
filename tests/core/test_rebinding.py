"""Writes into arrays: the numbers of plain numpy, as values, or an error with its line."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from builders import numerical, program_from, sample_for
from hypothesis import given
from hypothesis import strategies as st

from harness import referee
from harness.backends.manual import ManualBackend, MutatedInput
from harness.backends.numeric import NumericBackend
from harness.cases.sampling import NUMPY
from harness.differences.batched import xp as batched_xp
from harness.differences.lanes import Batched
from harness.errors import HarnessError
from harness.programs.source import parse
from harness.programs.staging import fault_line, program_of
from harness.rounding.deviation import deviation
from harness.truth.certificate import certify

X = np.arange(12.0).reshape(3, 4) - 4.5

#: Bodies of `forward` between `d = x * 1.0` and `return f`, all of which plain numpy can run.
BODIES = r"""
d[1] = 0
d[1, 2] += 5.0
d[:, 1] = d[:, 0]; d[0] *= 2
d[..., -1] -= d[..., 0]
d[xp.arange(3), y] -= 1
d[y] += 1.0
d[y, y] = x[:, 1]
d[x > 0] = 0.0
d[x > 0] *= 3.0
d[x > 0] += x[x > 0]
d[y > 0] = 7
d[:, [0, 2]] = x[:, 1:3]
d[::-1, None, 1] = x[:, :1]
d[::-2] **= 2
d[None, 1:, 2] /= 4
a, d[0, 0] = 3.0, 9.0; d[1] = a
d[0, 0] = d[0, 1] = 8.0
[a, (d[0], *b)] = 1.0, (x[1], 2.0, 3.0); d[1] = a + b[1]
d[0, 1]: float = 3.0
for i in range(3): d[i] = d[i] * i; d[i, i] += d[i, 0]
i = 0\nwhile i < 3:\n    d[i, i] = -1.0\n    i += 1
e = d[0] * 2.0; e[1] = 5.0; d[1] = e
e = d; d = x * 3.0; d[0] = 1.0; d = d + e
q = [d * 2, d * 3]; q[0] = q[1] * 1.0; q[1][0] = 3.0; d = q[0] + q[1]
q = {"a": {"b": [d * 2]}}; q["a"]["b"][0][1] += 3.0; d = d + q["a"]["b"][0]
q = [0, 0]; q[1] += 2; d[q[1]] = 0.0
d[slice(1, 2)] = 4.0; d[(0, 1)] = 2.0
if x[0, 0] > 0: d[0] = 1.0\nelse: d[1] = 1.0
d = d @ x.T; d[0] = 1.0
d[y[0]] = x[y[1]]; d[0][0:0]
"""
LINES = BODIES.strip().splitlines()


def function(body: str) -> str:
    lines = ["def forward(xp, x, y):", "    d = x * 1.0"]
    for part in body.replace("\\n", "\n").split("\n"):
        loop = part.startswith(("for", "while", "if", "else", " "))
        lines += [f"    {each}" for each in ([part] if loop else part.split("; "))]
    return "\n".join([*lines, "    f = d * 1.0", "    return f", ""])


def in_plain_numpy(body: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    names: dict[str, Any] = {}
    exec(function(body), names)
    result: np.ndarray = names["forward"](NUMPY, x.copy(), y)
    return result


@pytest.mark.parametrize("body", LINES)
def test_a_write_gives_the_numbers_of_numpy_and_changes_no_input(body: str) -> None:
    y = np.array([2, 0, 2])
    want, given = in_plain_numpy(body, X, y), X.copy()
    program = program_from(function(body))
    got = program.forward(NUMPY, {"x": given, "y": y})
    np.testing.assert_array_equal(got.outputs[0], want)
    np.testing.assert_array_equal(given, X)
    lifted = program.forward(referee.xp, {"x": referee.lift(X), "y": referee.lift(y)})
    np.testing.assert_allclose(referee.midpoints(lifted.outputs[0]), want, rtol=1e-15)


@pytest.mark.parametrize("body", LINES)
def test_lanes_write_as_each_does_alone_or_refuse(body: str) -> None:
    y, own = np.array([2, 0, 2]), np.array([0.25, -3.0, 9.0])
    spots = np.array([5, 0, 11])
    program = program_from(function(body))
    many = Batched.moved(X, spots, own)
    try:
        got = program.forward(batched_xp, {"x": many, "y": y}).outputs[0]
    except HarnessError:
        assert "x > 0] += x" in body or "if x[0, 0]" in body
        return
    for lane in range(3):
        alone = X.copy()
        alone.flat[spots[lane]] = own[lane]
        np.testing.assert_array_equal(got.stacked[lane], in_plain_numpy(body, alone, y))


@pytest.mark.parametrize("body", LINES)
def test_the_gradient_of_numeric_differences_is_that_of_balls(body: str) -> None:
    y = np.array([2, 0, 2])
    program = program_from(function(body))
    sample = sample_for(program, {"x": X, "y": y})
    found = NumericBackend().differentiate(program, sample)
    rng = np.random.default_rng(3)
    direction = rng.normal(size=X.shape)
    moved = program.forward(
        referee.xp, {"x": referee.lift_along(X, direction), "y": referee.lift(y)}
    )
    slope = referee.midpoints(referee.coefficient(moved.outputs[0], 1)).sum()
    np.testing.assert_allclose(np.sum(found.gradients["x"] * direction), slope, rtol=1e-6)
    assert deviation(program, sample).values["f"].shape == np.shape(sample.cotangents[0])


CROSS_ENTROPY = """
    def forward(xp, z, y):
        p = xp.softmax(z)
        n = z.shape[0]
        q = p[xp.arange(n), y]
        f = -xp.mean(xp.log(q))
        return f

    def backward(xp, df, p, y):
        dz = xp.asarray(p, copy=True)
        n = p.shape[0]
        dz[xp.arange(n), y] -= 1
        dz /= n
        return {"z": df * dz}
"""


def test_a_backward_that_writes_is_verified_and_a_wrong_one_proved_wrong() -> None:
    inputs = {"z": X, "y": np.array([2, 0, 2])}
    program = program_from(CROSS_ENTROPY)
    found = certify(program, sample_for(program, inputs))
    assert found.state == "verified", found
    wrong = program_from(CROSS_ENTROPY.replace("-= 1", "-= 2"))
    assert certify(wrong, sample_for(wrong, inputs)).state == "wrong"


def test_the_new_value_is_recorded_and_cannot_be_perturbed() -> None:
    text = (
        "def forward(xp, x):\n    d = x * 2\n    d[0] = 1\n    q = d * 1\n    f = q\n    return f\n"
    )
    assert parse(text, "demo.py").intermediates == ("q",)
    assert [stage.line for stage in parse(text, "demo.py").forward.stages] == [2, 3, 4, 5]
    saved = program_from(text).forward(NUMPY, {"x": np.ones(2)}).saved
    np.testing.assert_array_equal(saved["d"], [1, 2])
    assert set(saved) == {"d", "q", "f"}


#: What numpy would do to another name, or to the caller; the line of each write is 3.
REACHING = {
    "view": "row = x[0]\n    row[1] = 2\n    f = row + x[0]",
    "view of a local": "d = x * 2; row = d[0]\n    row[1] = 2\n    f = d * 1",
    "reshaped": "d = x * 2; row = xp.reshape(d, (-1,))\n    row[1] = 2\n    f = d * 1",
    "transposed": "d = x * 2; t = d.T\n    t[1] += 2\n    f = d * 1",
    "the same array": "p = x * 2; d = p\n    d[0] = 1\n    f = d * p",
    "in a list": "d = x * 2; q = [d]\n    d[0] = 1\n    f = q[0] * 1",
    "in a dict": "d = x * 2; q = {'a': (d, d)}\n    d[0] = 1\n    f = q['a'][0] * 1",
    "asked for by backward": "p = x * 2; d = p\n    d[0] = 1\n    f = d * 2",
    "in the next round": "d = p = x * 2\n    for i in range(2): f = p * 1; d[0] = 1\n    f = f * 1",
    "a loop variable": "d = x * 2\n    for row in d: row[0] = 1\n    f = d * 1",
    "an index of an index": "d = x * 2\n    d[[0, 1]][0] = 1\n    f = d * 1",
    "through a call": "d = x * 2\n    xp.reshape(d, (-1,))[0] = 1\n    f = d * 1",
    "through an attribute": "d = x * 2\n    d.T[0] += 1\n    f = d * 1",
    "of the enclosing function": ("d = x * 2\n    def g(i): d[i] = 1\n    g(0); f = d * 1"),
    "of the caller": "d = x * 2\n    def g(d): d[0] = 1\n    g(d); f = d * 1",
    "of the caller, in part": "d = x * 2\n    def g(d): d[0] += 1; return d\n    f = g(d) * 1",
}


@pytest.mark.parametrize("body", REACHING.values(), ids=REACHING)
def test_a_write_that_numpy_would_carry_elsewhere_is_an_error_with_its_line(body: str) -> None:
    text = f"def forward(xp, x):\n    {body}\n    return f\n"
    text += "def backward(xp, df, x, p):\n    return {'x': df}\n" if "p =" in body else ""
    with pytest.raises(HarnessError, match="this writes") as caught:
        program_from(text, "demo.py").forward(NUMPY, {"x": np.ones((2, 2))})
    assert fault_line(caught.value, "demo.py") in (3, 4)


@pytest.mark.parametrize(
    "body",
    [
        "p = x * 2; d = p\n    d[0] = 1\n    f = d * 1",  # p is not read again
        "d = x[[0, 1]]\n    d[0] = 1\n    f = d + x",  # a copy in numpy too
        "d = xp.reshape(x * 2, (-1,))\n    d[0] = 1\n    f = d * 1",  # of nobody else's
        "d = xp.asarray(x, copy=True)\n    d[0] = 1\n    f = d + x",
        "d = x[0]; x = x * 2\n    x[0] = 1\n    f = d + x",
        "cache = {}\n    def g(k): cache[k] = x; return k\n    f = cache[g('a')] * 1",
        "cache = []\n    def g(c, v): c += [0]; c[0] = v\n    g(cache, x); f = cache[0] * 1",
        "def g(d): d = xp.asarray(d, copy=True); d[0] = 1; return d\n    f = g(x) + x",
        "x[0] = 1\n    f = x * 1",
    ],
)
def test_a_write_that_reaches_nobody_is_none(body: str) -> None:
    text = f"def forward(xp, x):\n    {body}\n    return f\n"
    x = np.ones((2, 2))
    program_from(text).forward(NUMPY, {"x": x})
    np.testing.assert_array_equal(x, np.ones((2, 2)))


def test_the_lane_of_two_halves_of_one_array_is_told_apart() -> None:
    program = program_from("""
        def forward(xp, x):
            d = x * 2
            a, b = d[0::2], d[1::2]
            a[0] = 7.0
            f = a * b
            return f
    """)
    np.testing.assert_array_equal(program.forward(NUMPY, {"x": np.ones(4)}).outputs[0], [14, 4])


@pytest.mark.parametrize("line", ["df[0] = 1", "x[...] += 1", "dx = df\n        dx[0] = 1"])
def test_what_is_lent_to_backward_is_not_written_to(line: str) -> None:
    program = program_from(f"""
    def forward(xp, x):
        f = 2 * x
        return f

    def backward(xp, df, x):
        {line}
        return {{"x": 2 * df}}
    """)
    with pytest.raises(MutatedInput):
        ManualBackend().differentiate(program, sample_for(program, {"x": np.ones(3)}))


def test_live_functions_write_too() -> None:
    def forward(xp: Any, x: Any) -> Any:
        d = x * 2
        d[0] = 1
        return d

    def backward(xp: Any, df: Any) -> Any:
        dx = df * 2
        dx[0] = 0
        return {"x": dx}

    program, file, _ = program_of(forward, backward)
    x = np.ones(3)
    trace = program.forward(NUMPY, {"x": x})
    np.testing.assert_array_equal(trace.outputs[0], [1, 2, 2])
    returned, _ = program.backward(NUMPY, (x,), {"x": x}, trace)
    np.testing.assert_array_equal(returned["x"], [0, 2, 2])
    assert file == inspect.getsourcefile(forward)


@numerical
@given(st.data())
def test_random_writes_are_those_of_numpy(data: Any) -> None:
    keys = st.sampled_from(["0", "-1", "1, 2", ":, 1", "y", "y, y", "x > 0", "::-1, 0", "..., y"])
    statements = [
        f"d[{data.draw(keys)}] {data.draw(st.sampled_from(['=', '+=', '*=', '-=']))} "
        f"{data.draw(st.sampled_from(['2.0', 'x[0, 0]', '-1']))}"
        for _ in range(data.draw(st.integers(1, 5)))
    ]
    body, y = "; ".join(statements), np.array([0, 2, 0])
    got = program_from(function(body)).forward(NUMPY, {"x": X, "y": y})
    np.testing.assert_array_equal(got.outputs[0], in_plain_numpy(body, X, y))

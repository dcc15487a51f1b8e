"""Staged code: names can be asked for, and nothing else about the function has changed."""

from __future__ import annotations

import functools
import traceback
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from builders import numerical, program_from, sample_for
from hypothesis import given
from hypothesis import strategies as st

from harness.backends.numeric import NumericBackend
from harness.cases.sampling import NUMPY
from harness.errors import CaseError, HarnessError, UsageError
from harness.model import Task
from harness.programs.source import parse
from harness.programs.staging import Recorder, Trace, execute, fault_line, program_of

LAYER = """
    def forward(xp, W, x):
        q = W @ x
        s = xp.sin(q)
        f = xp.sum(s * s)
        return f

    def backward(xp, df, W, x, q):
        dq = df * xp.sin(2 * q)
        return {"W": dq[:, None] * x[None, :], "x": W.T @ dq}
"""
ELEMENTS = st.floats(-2, 2)


def arrays(*shape: int) -> st.SearchStrategy[np.ndarray]:
    count = int(np.prod(shape))
    lists = st.lists(ELEMENTS, min_size=count, max_size=count)
    return lists.map(lambda values: np.reshape(np.array(values), shape))


def test_every_assignment_is_recorded_in_order() -> None:
    W, x = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.5, -1.0])
    trace = program_from(LAYER).forward(NUMPY, {"W": W, "x": x})
    assert list(trace.saved) == ["q", "s", "f"]
    np.testing.assert_array_equal(trace.saved["q"], W @ x)
    np.testing.assert_array_equal(trace.saved["s"], np.sin(W @ x))
    assert trace.outputs == (trace.saved["f"],)


def test_staging_does_not_change_the_result() -> None:
    W, x = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.5, -1.0])
    trace = program_from(LAYER).forward(NUMPY, {"W": W, "x": x})
    assert trace.outputs[0] == np.sum(np.sin(W @ x) * np.sin(W @ x))


@numerical
@given(W=arrays(2, 3), x=arrays(3))
def test_an_added_leaf_gives_the_gradient_of_an_intermediate(W: np.ndarray, x: np.ndarray) -> None:
    program = program_from(LAYER)
    sample = sample_for(program, {"W": W, "x": x})
    found = NumericBackend().differentiate(program, sample, Task("vjp", ("q", "s")))
    q = W @ x
    for name, truth in (("q", np.sin(2 * q)), ("s", 2 * np.sin(q))):
        error = np.abs(found.intermediates[name] - truth)
        assert np.all(error <= found.uncertainty[name] + 1e-15)
        assert np.all(error <= 1e-7)


def test_a_leaf_is_added_where_the_name_is_assigned_and_not_before() -> None:
    program = program_from("""
        def forward(xp, x):
            a = 2 * x
            b = 3 * a
            f = a + b
            return f
    """)
    one = np.ones(1)
    assert program.forward(NUMPY, {"x": one}, {"a": one}).outputs[0] == 8 + 4
    assert program.forward(NUMPY, {"x": one}, {"b": one}).outputs[0] == 8 + 1
    assert program.forward(NUMPY, {"x": one}).outputs[0] == 8


@pytest.mark.parametrize(
    ("body", "perturbable", "recorded"),
    [
        ("a = x\na = a + 1\nb = a", ("b",), {"a", "b"}),
        ("for k in range(3):\n    a = x * k\nb = a", ("b",), {"a", "b"}),
        ("k = 0\nwhile k < 2:\n    k = k + 1\nb = x * k", ("b",), {"k", "b"}),
        ("a = x\na += 1\nb = a", ("b",), {"a", "b"}),
        ("if x[0] > 0:\n    a = x\nelse:\n    a = -x\nb = a", ("b",), {"a", "b"}),
        ("a, c = x, x\nb = a + c", ("a", "c", "b"), {"a", "c", "b"}),
        ("a, (c, *d) = x, (x, x)\nb = a + d[0]", ("a", "c", "d", "b"), {"a", "c", "d", "b"}),
        ("a = c = x\nb = a + c", ("a", "c", "b"), {"a", "c", "b"}),
        ("a: object = x\nb = a", ("a", "b"), {"a", "b"}),
        ("a: object\na = x\nb = a", ("a", "b"), {"a", "b"}),
        ("a = x, x\na, b = a", ("b",), {"a", "b"}),
        ("b = (a := x) + a", ("b",), {"b"}),
        ("for a in [x]:\n    pass\nb = a", ("b",), {"b"}),
        ("a = x\nfor a in [x]:\n    pass\nb = a", ("b",), {"a", "b"}),
        ("x = 2 * x\nb = x", ("b",), {"x", "b"}),
        ("a = [x * k for k in range(2)]\nb = a[1]", ("a", "b"), {"a", "b"}),
        ("if x[0] < 0:\n    a = x\nb = x", ("a", "b"), {"b"}),
    ],
    ids=[
        "twice",
        "for",
        "while",
        "augmented",
        "branches",
        "tuple",
        "nested tuple",
        "chained",
        "annotated",
        "annotation alone",
        "tuple again",
        "walrus",
        "loop variable alone",
        "loop variable",
        "input",
        "comprehension",
        "untaken branch",
    ],
)
def test_only_names_assigned_once_can_be_perturbed(
    body: str, perturbable: tuple[str, ...], recorded: set[str]
) -> None:
    lines = "\n".join("    " + line for line in body.splitlines())
    text = f"def forward(xp, x):\n{lines}\n    f = b * 1.0\n    return f\n"
    assert parse(text, "demo.py").intermediates == perturbable
    trace = program_from(text).forward(NUMPY, {"x": np.array([1.0, 2.0])})
    assert set(trace.saved) == recorded | {"f"}


@pytest.mark.parametrize(
    "assignment",
    ["q, r = x * x, 2 * x", "[q, r] = x * x, 2 * x", "q: object = x * x\nr = 2 * x"],
)
def test_backward_may_ask_for_whatever_forward_assigns(assignment: str) -> None:
    lines = "\n".join("    " + line for line in assignment.splitlines())
    program = program_from(
        f"def forward(xp, x):\n{lines}\n    f = s = q + r\n    return f\n"
        "def backward(xp, df, q, r, s, x):\n"
        "    dq, dr = df, df\n    return {'x': 2 * x * dq + 2 * dr, 'all': (q, r, s)}\n"
    )
    inputs = {"x": np.array(3.0)}
    trace = program.forward(NUMPY, inputs)
    returned, local = program.backward(NUMPY, (1.0,), inputs, trace)
    assert returned == {"x": 8, "all": (9, 6, 15)}
    assert local == {"dq": 1, "dr": 1}
    assert program.forward(NUMPY, inputs, {"r": np.array(1.0)}).outputs == (16,)


def test_an_augmented_assignment_records_the_new_value() -> None:
    program = program_from("""
        def forward(xp, x):
            total = x * 0.0
            for k in range(3):
                total += k * x
            f = total * 1.0
            return f
    """)
    trace = program.forward(NUMPY, {"x": np.array(2.0)})
    assert trace.saved["total"] == 6
    assert trace.outputs == (6,)


def test_an_augmented_assignment_binds_anew_and_writes_into_nothing() -> None:
    """numpy would change `p`, the input and what the nested function was given, jax none of them.
    An element is written to all the same."""
    program = program_from("""
        def forward(xp, x):
            def shifted(value):
                value -= 1
                return value

            q = 2 * x
            p = q
            q += 1
            x **= 2
            s = shifted(p)
            p[0] += 100
            f = xp.stack([p, q, s, x])
            return f

        def backward(xp, df, x):
            dx = dq = df * x
            dx += x
            return {"x": dx, "q": dq}
    """)
    x, df = np.array([3.0, 4.0]), np.array([1.0, 2.0])
    x.flags.writeable = df.flags.writeable = False
    trace = program.forward(NUMPY, {"x": x})
    np.testing.assert_array_equal(trace.outputs[0], [[106, 8], [7, 9], [5, 7], [9, 16]])
    returned, local = program.backward(NUMPY, (df,), {"x": x}, trace)
    np.testing.assert_array_equal(returned["q"], [9, 32])  # `forward` left [9, 16] in `x`
    np.testing.assert_array_equal(returned["x"], [18, 48])
    assert set(local) == {"dx", "dq"}


@pytest.mark.parametrize("lines", ["df += 1", "dx = df\n        dx += 1"])
def test_a_backward_that_would_write_into_what_is_lent_to_it_is_refused(lines: str) -> None:
    program = program_from(f"""
    def forward(xp, x):
        f = 2 * x
        return f

    def backward(xp, df, x):
        {lines}
        return {{"x": 2 * df}}
    """)
    df = np.ones(2)
    df.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        program.backward(NUMPY, (df,), {"x": df}, Trace((), {}))


def test_a_list_is_extended_in_place() -> None:
    """It is the same list under another name, and takes what a list takes."""
    program = program_from("""
        def forward(xp, x):
            parts = more = []
            more += [x, 2 * x]
            more += (3 * x,)
            named = {"a": x}
            named |= {"b": 4 * x}
            f = xp.sum(xp.stack(parts)) + sum(named.values())
            return f
    """)
    trace = program.forward(NUMPY, {"x": np.array(1.0)})
    assert trace.outputs == (11,)
    assert list(trace.saved) == ["parts", "more", "named", "f"]


def test_the_line_of_an_augmented_assignment_survives() -> None:
    text = "def forward(xp, x):\n    f = x\n    f += (\n        x.nothing\n    )\n    return f\n"
    unbound = text.replace("f = x", "pass")
    for body, line in ((text, 4), (text.replace("x.nothing", "None"), 3), (unbound, 3)):
        with pytest.raises((AttributeError, TypeError, UnboundLocalError)) as caught:
            program_from(body, "demo.py").forward(NUMPY, {"x": np.array(1.0)})
        assert fault_line(caught.value, "demo.py") == line


def test_nested_functions_and_lambdas_are_left_alone() -> None:
    program = program_from("""
        def forward(xp, x):
            def double(value):
                q = 2 * value
                return q

            triple = lambda value: 3 * value
            q = double(x)
            f = triple(q)
            return f
    """)
    one = np.ones(1)
    trace = program.forward(NUMPY, {"x": one}, {"q": one})
    assert trace.saved["q"] == 3, "only the assignment of `forward` itself takes the leaf"
    assert trace.outputs[0] == 9


def test_outputs_and_intermediates_in_several_output_functions() -> None:
    program = program_from("""
        def forward(xp, x):
            q = x * x
            f = q + 1
            g = q * 2
            return g, f

        def backward(xp, dg, df, x):
            dq = 2 * dg + df
            return {"x": 2 * x * dq}
    """)
    x = np.array(3.0)
    trace = program.forward(NUMPY, {"x": x})
    assert trace.outputs == (18, 10), "in the order of the return statement"
    cotangents = (np.array(1.0), np.array(10.0))
    returned, local = program.backward(NUMPY, cotangents, {"x": x}, trace)
    assert returned == {"x": 2 * 3 * 12}
    assert local == {"dq": 12}


def test_backward_is_handed_inputs_and_intermediates_by_name() -> None:
    program = program_from("""
        def forward(xp, x, y):
            q = x + y
            f = q * x
            return f

        def backward(xp, upstream, f, y, q):
            return {"all": (upstream, f, y, q)}
    """)
    inputs = {"x": np.array(2.0), "y": np.array(5.0)}
    trace = program.forward(NUMPY, inputs)
    returned, _ = program.backward(NUMPY, (np.array(1.0),), inputs, trace)
    assert returned["all"] == (1, 14, 5, 7)


def test_an_intermediate_hides_the_input_of_its_name() -> None:
    program = program_from("""
        def forward(xp, x):
            x = x * 10
            f = x * x
            return f

        def backward(xp, df, x):
            return {"x": 20 * x * df}
    """)
    inputs = {"x": np.array(1.0)}
    trace = program.forward(NUMPY, inputs)
    returned, _ = program.backward(NUMPY, (np.array(1.0),), inputs, trace)
    assert returned["x"] == 200


def test_an_intermediate_that_this_run_did_not_assign_is_named() -> None:
    program = program_from("""
        def forward(xp, x):
            if x < 0:
                q = -x
            f = x * x
            return f

        def backward(xp, df, q):
            return {"x": q * df}
    """)
    inputs = {"x": np.array(1.0)}
    trace = program.forward(NUMPY, inputs)
    with pytest.raises(HarnessError, match=r"`backward` asks for `q`.*did not assign"):
        program.backward(NUMPY, (np.array(1.0),), inputs, trace)


RECURSIVE = """
    def forward(xp, x, n):
        f = x if int(n) < 2 else x * forward(xp, x, n - 1)
        f *= 1
        return f

    def slope(xp, x, n):
        return forward(xp, x, n - 1)

    def backward(xp, df, x, n):
        dx = df * n * slope(xp, x, n)
        return {"x": dx}

    def native_numpy(x, n):
        return forward(None, x, n)
"""


def test_the_functions_of_a_file_may_call_each_other() -> None:
    program = program_from(RECURSIVE)
    inputs = {"x": np.array(3.0), "n": np.array(4)}
    inputs["x"].flags.writeable = False
    trace = program.forward(NUMPY, inputs)
    assert trace.outputs == (81,)
    assert trace.saved == {"f": 81}, "of the outer call alone"
    returned, _ = program.backward(NUMPY, (1.0,), inputs, trace)
    assert returned["x"] == 4 * 27
    assert program.functions["native_numpy"](**inputs) == 81


def test_an_edited_copy_may_call_the_other_functions_of_the_file() -> None:
    """What a repair runs: one function, among the globals of the case."""
    names = {**program_from(RECURSIVE).functions["backward"].__globals__}
    text = "def backward(xp, df, x, n):\n    return {'x': df * n * forward(xp, x, n - 1)}\n"
    edited = execute(replace(parse(dedent(RECURSIVE), "demo.py"), text=text), names)["backward"]
    assert edited(Recorder(), NUMPY, 1.0, np.array(3.0), 4) == {"x": 108}


FAULTY = """\
import numpy as np


def helper(value):
    return value.no_such_attribute


def forward(xp, x):
    q = xp.multiply(
        x,
        x,
    )
    if float(q) > 4:
        r = helper(q)
    for k in range(2):
        q = q / (x if k == 0 else "text")
    f = q
    return f


def backward(xp, df, x):
    dx = (
        df
        * missing_name
    )
    return {"x": dx}
"""


@pytest.mark.parametrize(("x", "line"), [(1.0, 16), (3.0, 5)], ids=["in a loop", "in a helper"])
def test_line_numbers_of_forward_survive(x: float, line: int) -> None:
    program = program_from(FAULTY, "somewhere/faulty.py")
    with pytest.raises((TypeError, AttributeError, np.exceptions.DTypePromotionError)) as caught:
        program.forward(NUMPY, {"x": np.array(x)})
    assert fault_line(caught.value, "somewhere/faulty.py") == line
    text = "".join(traceback.format_exception(caught.value))
    assert f'File "somewhere/faulty.py", line {line}' in text


def test_line_numbers_of_backward_survive() -> None:
    program = program_from(FAULTY, "faulty.py")
    with pytest.raises(NameError) as caught:
        program.backward(NUMPY, (1.0,), {"x": np.array(1.0)}, Trace((1.0,), {}))
    assert fault_line(caught.value, "faulty.py") == 24
    assert fault_line(caught.value, "other.py") is None


def test_a_stage_knows_its_line_and_text() -> None:
    stages = parse(FAULTY, "faulty.py").forward.stages
    assert [(stage.name, stage.line, stage.source) for stage in stages] == [
        ("q", 9, "q = xp.multiply("),
        ("r", 14, "r = helper(q)"),
        ("q", 16, 'q = q / (x if k == 0 else "text")'),
        ("f", 17, "f = q"),
    ]


# --- functions that are alive already ---


def live_forward(xp: Any, x: Any) -> Any:
    q = xp.sin(x)
    f = xp.sum(q * q)
    return f


def live_backward(xp: Any, df: Any, x: Any, q: Any) -> Any:
    dq = 2 * q * df
    return {"x": dq * xp.cos(x)}


def test_live_functions_are_staged_where_their_source_can_be_read() -> None:
    program, file, line = program_of(live_forward, live_backward)
    assert Path(file) == Path(__file__)
    assert line == live_forward.__code__.co_firstlineno
    assert program.forward_code.returns == ("f",)
    assert [stage.name for stage in program.forward_code.stages] == ["q", "f"]
    assert program.forward_code.stages[0].source == "q = xp.sin(x)"
    assert program.forward_code.stages[0].line == line + 1
    x = np.array([0.5, 1.0])
    trace = program.forward(NUMPY, {"x": x}, {"q": np.ones(2)})
    np.testing.assert_array_equal(trace.saved["q"], np.sin(x) + 1)
    _, local = program.backward(NUMPY, (1.0,), {"x": x}, trace)
    assert set(local) == {"dq"}


def test_a_closure_keeps_its_free_variables() -> None:
    def make(scale: float) -> Any:
        def forward(xp: Any, x: Any) -> Any:
            q = scale * x
            f = q + offset
            return f

        offset = 100.0
        return forward

    program, _, _ = program_of(make(3.0))
    assert program.forward(NUMPY, {"x": np.array(2.0)}).outputs == (106,)
    assert program.forward(NUMPY, {"x": np.array(2.0)}).saved["q"] == 6


def live_power(xp: Any, x: Any, n: Any) -> Any:
    f = x if int(n) < 2 else x * live_power(xp, x, n - 1)
    return f


def test_live_functions_may_call_themselves_and_each_other() -> None:
    def power(xp: Any, x: Any, n: Any) -> Any:
        f = x if int(n) < 2 else x * power(xp, x, n - 1)
        return f

    def slope(xp: Any, df: Any, x: Any, n: Any) -> Any:
        return {"x": df * n * power(xp, x, n - 1)}

    inputs = {"x": np.array(3.0), "n": np.array(4)}
    for function in (power, live_power):
        program, _, _ = program_of(function, slope)
        trace = program.forward(NUMPY, inputs)
        assert trace.outputs == (81,)
        assert trace.saved == {"f": 81}
        returned, _ = program.backward(NUMPY, (1.0,), inputs, trace)
        assert returned["x"] == 108


def test_a_live_function_may_return_an_expression() -> None:
    def forward(xp: Any, x: Any) -> Any:
        q = x * x
        return q + 1

    program, _, _ = program_of(forward)
    assert program.forward_code.returns == ("f",)
    trace = program.forward(NUMPY, {"x": np.array(2.0)})
    assert trace.outputs == (5,)
    assert trace.saved["q"] == 4


def pair(xp: Any, x: Any) -> Any:
    return xp.sum(x * x), xp.sum(x)


def nothing(xp: Any, x: Any) -> None:
    q = x * x  # noqa: F841


def bare(xp: Any, x: Any) -> Any:
    if x is None:
        return
    return xp.sum(x)


def listed(xp: Any, x: Any) -> Any:
    f = xp.sum(x)
    return [f]


def keyed(xp: Any, x: Any) -> Any:
    return {"f": xp.sum(x)}


def comprehended(xp: Any, x: Any) -> Any:
    return [2 * each for each in x]


@pytest.mark.parametrize("function", [pair, nothing, bare, listed, keyed, comprehended])
def test_a_live_function_that_does_not_return_one_value_names_its_outputs(function: Any) -> None:
    """Else autograd, say, would be asked for the gradient of a tuple, and be wrong."""
    with pytest.raises(CaseError, match="must end in `return name`") as caught:
        program_of(function)
    assert caught.value.file == Path(__file__)
    last = function.__code__.co_lines()
    assert caught.value.line == max(line for _, _, line in last if line)
    assert "`f = ...`" in caught.value.remedy


@pytest.mark.parametrize("value", [(1.0, 2.0), [1.0], {"f": 1.0}, None])
def test_what_an_expression_turns_out_to_return_is_one_array(value: Any) -> None:
    def forward(xp: Any, x: Any) -> Any:
        return make()

    def make() -> Any:
        return value

    for function in (forward, lambda xp, x: value):
        with pytest.raises(HarnessError, match=f"returned a {type(value).__name__} where one"):
            program_of(function)[0].forward(NUMPY, {"x": np.array(1.0)})


async def later(xp: Any, x: Any) -> Any:
    return x


def generated(xp: Any, x: Any) -> Any:
    yield x


@pytest.mark.parametrize(
    ("function", "line"), [(later, 0), (generated, 1)], ids=["async", "generator"]
)
def test_a_live_function_that_computes_nothing_is_refused(function: Any, line: int) -> None:
    for functions in ((function,), (live_forward, function)):
        with pytest.raises(CaseError, match="a call of it computes nothing") as caught:
            program_of(*functions)
        assert caught.value.line == function.__code__.co_firstlineno + line


def test_lambdas_run_as_they_are() -> None:
    forward = lambda xp, x: xp.sum(x * x)  # noqa: E731
    backward = lambda xp, df, x: {"x": 2 * x * df}  # noqa: E731
    program, _, _ = program_of(forward, backward)
    inputs = {"x": np.array([1.0, 2.0])}
    trace = program.forward(NUMPY, inputs)
    assert trace.outputs == (5,)
    assert not trace.saved
    returned, _ = program.backward(NUMPY, (1.0,), inputs, trace)
    np.testing.assert_array_equal(returned["x"], [2, 4])


def test_a_lambda_within_a_function_on_one_line_is_not_mistaken_for_it() -> None:
    def make() -> Any: return lambda xp, x: x + 1  # fmt: skip

    program, _, _ = program_of(make())
    assert program.forward(NUMPY, {"x": np.array(1.0)}).outputs == (2,)


def test_a_function_without_source_runs_as_it_is() -> None:
    names: dict[str, Any] = {}
    exec("def forward(xp, x):\n    q = x + 1\n    return q * 2\n", names)
    program, file, _ = program_of(names["forward"])
    assert file == "<unknown>"
    assert program.forward_code.parameters == ("x",)
    trace = program.forward(NUMPY, {"x": np.array(1.0)})
    assert trace.outputs == (4,)
    assert not trace.saved


class Layer:
    def forward(self, xp: Any, x: Any) -> Any:
        return x + 1

    __call__ = forward


def scaled(scale: float, xp: Any, x: Any) -> Any:
    return scale * x


def handing_on(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(xp: Any, x: Any) -> Any:
        return function(3.0, xp, x)

    return wrapper


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (functools.partial(scaled, 3.0), 6),
        (functools.partial(lambda xp, x, k: k * x, k=3.0), 6),
        (functools.partial(lambda xp, k, x: k * x, k=3.0), 6),
        (handing_on(scaled), 6),
        (Layer().forward, 3),
        (Layer(), 3),
    ],
    ids=["partial", "last fixed", "first fixed", "decorated", "method", "object"],
)
def test_other_callables_run_as_they_are(function: Any, expected: float) -> None:
    program, _, _ = program_of(function)
    assert program.forward_code.parameters == ("x",)
    assert program.forward(NUMPY, {"x": np.array(2.0)}).outputs == (expected,)


def test_a_method_is_not_staged_and_says_so() -> None:
    with pytest.raises(CaseError, match=r"`backward` asks for `q`.*that is not staged: a method"):
        program_of(Layer().forward, lambda xp, df, q: {"x": df * q})


def test_a_cache_is_left_out() -> None:
    """Its keys would be arrays."""
    cached = functools.cache(live_forward)
    program, file, line = program_of(cached, functools.lru_cache(maxsize=3)(live_backward))
    assert (Path(file), line) == (Path(__file__), live_forward.__code__.co_firstlineno)
    trace = program.forward(NUMPY, {"x": np.array([0.5, 1.0])})
    assert list(trace.saved) == ["q", "f"]


def test_a_cache_around_a_decorator_leaves_the_decorator() -> None:
    program, _, _ = program_of(functools.cache(handing_on(scaled)))
    assert program.forward(NUMPY, {"x": np.array(2.0)}).outputs == (6,)


def test_a_decorator_that_hides_the_parameters_is_asked_for_wraps() -> None:
    def hiding(function: Any) -> Any:
        def inner(*arguments: Any) -> Any:
            return function(*arguments)

        return inner

    with pytest.raises(CaseError, match=r"a decorator returned `inner`, it lacks .*wraps`"):
        program_of(hiding(live_forward))
    with pytest.raises(UsageError, match=r"`forward` takes `\*args`"):
        program_of(lambda *arguments: live_forward(*arguments))


def test_a_function_without_a_signature_is_refused() -> None:
    with pytest.raises(UsageError, match="the parameters of `forward` are not known"):
        program_of(dict)


def test_a_decorator_is_not_dropped() -> None:
    def negated(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*arguments: Any) -> Any:
            return -function(*arguments)

        return wrapper

    @negated
    def forward(xp: Any, x: Any) -> Any:
        f = x * x
        return f

    program, _, _ = program_of(forward)
    assert program.forward(NUMPY, {"x": np.array(2.0)}).outputs == (-4,)


def test_line_numbers_of_a_live_function_survive() -> None:
    def forward(xp: Any, x: Any) -> Any:
        q = x * x
        f = q.no_such_attribute
        return f

    program, file, line = program_of(forward)
    with pytest.raises(AttributeError) as caught:
        program.forward(NUMPY, {"x": np.array(1.0)})
    assert fault_line(caught.value, file) == line + 2


def test_a_live_backward_that_asks_for_nothing_known_is_refused() -> None:
    def backward(xp: Any, df: Any, x: Any, p: Any) -> Any:
        return {"x": df * p}

    with pytest.raises(CaseError, match=r"`backward` asks for `p`") as caught:
        program_of(live_forward, backward)
    assert caught.value.file == Path(__file__)
    assert caught.value.line == backward.__code__.co_firstlineno


def test_a_live_function_with_an_unknown_namespace_function_is_refused() -> None:
    def forward(xp: Any, x: Any) -> Any:
        f = xp.sinus(x)
        return f

    with pytest.raises(CaseError, match="did you mean `sin`") as caught:
        program_of(forward)
    assert caught.value.line == forward.__code__.co_firstlineno + 1


def test_a_function_of_a_case_has_a_module() -> None:
    text = """
        from __future__ import annotations
        from dataclasses import dataclass

        @dataclass
        class Half:
            of: float

        def forward(xp, x):
            f = Half(x).of / 2
            return f
    """
    # No module of that name is hidden.
    program = program_from(text, "json.py")
    assert program.forward(None, {"x": 3.0}).outputs == (1.5,)
    function = program.functions["forward"]
    assert vars(import_module(function.__module__)) is function.__globals__
    assert import_module("json").dumps([]) == "[]"

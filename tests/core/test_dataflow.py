"""Which line is to blame: by hand for every shape of `backward`, and for random programs."""

from __future__ import annotations

from textwrap import dedent

import numpy as np
import pytest
from builders import numerical, program_from, sample_for
from hypothesis import given
from hypothesis import strategies as st

from harness.diagnose import dataflow
from harness.diagnose.accusation import Accusation
from harness.diagnose.blame import suspects
from harness.diagnose.charge import Certainty
from harness.diagnose.dataflow import Step
from harness.diagnose.inquest import Findings, inquire
from harness.programs.source import parse


def flow(body: str) -> tuple[Step, ...]:
    lines = "\n".join(f"    {line}" for line in dedent(body).strip().split("\n"))
    return dataflow.steps(f"def backward(xp, df, x, y):\n{lines}\n", 1)


def needs(body: str) -> dict[str, set[str]]:
    """Step -> the steps it needs, by `name:line`."""
    found = flow(body)
    name = [f"{step.name}:{step.line - 1}" for step in found]
    return {
        name[position]: {name[need] for need in step.needs} for position, step in enumerate(found)
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            'dq = df * y\nreturn {"x": dq * 2}',
            {"dq:1": set(), "return x:2": {"dq:1"}},
        ),
        (  # an accumulator
            "dc = df\ndc += df * y\nreturn dc * 2",
            {"dc:1": set(), "dc:2": {"dc:1"}, "return :3": {"dc:2"}},
        ),
        (  # a name assigned again forgets its past
            "a = df\nb = a\na = y\nreturn a * b",
            {"a:1": set(), "b:2": {"a:1"}, "a:3": set(), "return :4": {"b:2", "a:3"}},
        ),
        (  # a branch may not have run
            "a = df\nif y is None:\n    a = y\nreturn a * 1",
            {"a:1": set(), "a:3": set(), "return :4": {"a:1", "a:3"}},
        ),
        (  # a loop carries a value back to its beginning
            "h = df\nfor i in range(3):\n    a = h * i\n    h = a + 1\nreturn h * 1",
            {
                "h:1": set(),
                "i:2": set(),
                "a:3": {"h:1", "h:4", "i:2"},
                "h:4": {"a:3"},
                "return :5": {"h:1", "h:4"},
            },
        ),
        (  # writing into an array
            "g = xp.zeros(3)\ni = 1\ng[i] = df\nreturn g * 1",
            {"g:1": set(), "i:2": set(), "g:3": {"g:1", "i:2"}, "return :4": {"g:3"}},
        ),
        (  # filling a list
            "g = []\nfor i in range(3):\n    g.append(df * i)\nreturn xp.stack(g)",
            {
                "g:1": set(),
                "i:2": set(),
                "g:3": {"g:1", "g:3", "i:2"},
                "return :4": {"g:1", "g:3"},
            },
        ),
        (  # several targets
            "(a, b), c = y\nreturn a * b, c * 2",
            {"a, b, c:1": set(), "return 0:2": {"a, b, c:1"}, "return 1:2": {"a, b, c:1"}},
        ),
        (  # nested dicts and lists
            'm = df\nreturn {"p": {"w": m * 1, "v": [df, m * 2]}}',
            {
                "m:1": set(),
                "return p.w:2": {"m:1"},
                "return p.v.0:2": set(),
                "return p.v.1:2": {"m:1"},
            },
        ),
        (  # a dict with a name
            'm = df\ng = {"w": m * 1}\nreturn g',
            {"m:1": set(), "g:2": {"m:1"}, "return w:2": {"m:1"}},
        ),
    ],
)
def test_what_a_step_needs(body: str, expected: dict[str, set[str]]) -> None:
    assert needs(body) == expected


def test_no_function_at_that_line() -> None:
    assert dataflow.steps("x = 1\n", 1) == ()


FORWARD = """
def forward(xp, x, y):
    q = x * y
    r = q + x
    f = xp.sum(r * r)
    return f
"""


@pytest.mark.parametrize(
    ("body", "faulty", "proved"),
    [
        # The cotangent is wrong although what it is computed from is right.
        ('dr = 2 * r * df\ndq = -dr\nreturn {"x": dq * y + dr, "y": dq * x}', 2, True),
        # An accumulator: the second line, not the first.
        ('dr = 2 * r * df\ndx = dr\ndx += dr * x\nreturn {"x": dx, "y": dr * x}', 3, False),
        # A mean that nothing names: all that is wrong depends on it, nothing that is right does.
        ('m2 = 3 * r * df\ndr = m2\ndq = m2\nreturn {"x": dq * y + dr, "y": dq * x}', 1, False),
        # The return spoils a local that is right.
        ('dr = 2 * r * df\ndx = dr * y + dr\nreturn {"x": -dx, "y": dr * x}', 3, True),
        # The return takes one for the other.
        ('dr = 2 * r * df\ndx = dr * y + dr\ndy = dr * x\nreturn {"x": dy, "y": dy}', 4, True),
        # The local that is returned as it is.
        ('dr = 2 * r * df\ndx = dr * y - dr\nreturn {"x": dx, "y": dr * x}', 2, True),
        # A local that is returned as it is without being called a gradient.
        ('g = r * df\nreturn {"x": g, "y": 2 * r * df * x}', 1, False),
        # A tuple, in the order of the inputs.
        ("dr = 2 * r * df\nreturn dr * y + dr, dr * y", 2, True),
        # A wrong shape.
        ('dr = 2 * r * df\ndq = xp.sum(dr)\nreturn {"x": dr * y + dr, "y": dq * x}', 2, True),
        # An exception, when all before it is right.
        ('dr = 2 * r * df\ndy = dr * x\ndx = dr[0][1] * y\nreturn {"x": dx, "y": dy}', 3, False),
        # A gradient that is not returned at all.
        ('dr = 2 * r * df\nreturn {"x": dr * y + dr}', None, False),
    ],
)
def test_the_line_to_blame(body: str, faulty: int | None, proved: bool) -> None:
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    text = f"{FORWARD}\ndef backward(xp, df, x, y, q, r):\n{lines}"
    code = parse(text, "demo.py")
    program = program_from(text)
    point = {"x": np.array([0.5, -1.5, 2.0]), "y": np.array([1.25, 0.5, -0.75])}
    sample = sample_for(program, point)
    found = suspects(code, inquire(program, sample, "demo.py"))
    first = code.backward.line
    if faulty is None:
        return
    assert found[0].step.line - first == faulty
    assert found[0].proved == proved
    accusation = Accusation(code, program, sample)
    assert accusation.charge.lines[0].number - first == faulty
    assert (accusation.charge.certainty is Certainty.PROVED) == proved
    source = body.split("\n")[faulty - 1]
    assert f"demo.py:{first + faulty}: `{source}`" in str(accusation.charge)


def test_a_return_that_may_lack_a_factor_is_a_suspect() -> None:
    found = flow('g = df\nhit = y\nreturn {"x": hit}')
    named = dataflow.suspects(found, {2: False})
    assert [(each.step.name, each.proved) for each in named] == [
        ("hit", False),
        ("return x", False),
    ]


def test_what_a_line_is_computed_from_nearest_first() -> None:
    found = flow("a = df\nb = y\nc = a * 2\nd = c * b\ne = a")
    assert [step.name for step in dataflow.ancestry(found, [found[3]])] == ["d", "c", "b", "a"]
    assert dataflow.ancestry(found, []) == []


def test_nothing_wrong_nobody_to_blame() -> None:
    code = parse(f"{FORWARD}\ndef backward(xp, df, x, y, r):\n    return df, df\n", "demo.py")
    assert suspects(code, Findings(right=("x", "y"))) == []
    assert suspects(parse(FORWARD, "demo.py"), Findings(wrong=("x",))) == []


@st.composite
def straight_lines(draw: st.DrawFn) -> tuple[list[set[int]], int, set[int]]:
    """What each line uses, the faulty line, and the lines whose value can be checked."""
    count = draw(st.integers(2, 9))
    uses = [
        draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set()
        for index in range(count)
    ]
    faulty = draw(st.integers(0, count - 1))
    return uses, faulty, draw(st.sets(st.integers(0, count - 1), min_size=1))


@numerical
@given(straight_lines())
def test_a_single_fault_is_among_the_suspects(
    drawn: tuple[list[set[int]], int, set[int]],
) -> None:
    uses, faulty, checked = drawn
    body = [f"v{index} = f({', '.join(f'v{u}' for u in used)})" for index, used in enumerate(uses)]
    spoiled = {faulty}
    for index, used in enumerate(uses):
        if used & spoiled:
            spoiled.add(index)
    found = flow("\n".join(body))
    verdicts = {index: index not in spoiled for index in checked}
    named = dataflow.suspects(found, verdicts)
    if checked & spoiled:
        assert f"v{faulty}" in [each.step.name for each in named]
        assert all(each.step.name == f"v{faulty}" for each in named if each.proved)
    else:
        assert named == []

"""A case's Python is refused, with its line and a way out, before any of it is run."""

from __future__ import annotations

from textwrap import dedent

import pytest
from builders import check_error, program_from

from harness.errors import CaseError
from harness.programs.source import parse

GOOD = """
    def forward(xp, W, x):
        q = xp.matmul(W, x)
        f = xp.sum(q)
        return f

    def backward(xp, df, x, q):
        dW = df * xp.ones_like(q)
        return {"W": dW}
"""


def test_what_is_known_of_a_good_file_without_running_it() -> None:
    code = parse("raise SystemExit\n" + dedent(GOOD), "good.py")
    assert code.forward.parameters == ("W", "x")
    assert code.forward.returns == ("f",)
    assert code.intermediates == ("q",)
    assert code.backward is not None
    assert code.backward.parameters == ("df", "x", "q")
    assert code.functions == {"forward", "backward"}


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        ("def forward(xp, x:\n    return x\n", 1, ["syntax error", "mend `def forward(xp, x:`"]),
        ("def forwrad(xp, x):\n    return x\n", None, ["`forward`", "def forward(xp, ...)"]),
        ("", None, ["no function `forward`", "defines no function"]),
        ("def forward(xp, x):\n    f = x\n    return f + 1\n", 3, ["`return name`", "f = ..."]),
        ("def forward(xp, x):\n    f = x\n", 2, ["must end in `return name`"]),
        (
            "def forward(xp, x):\n    f = x\n    if x:\n        return x\n    return f\n",
            5,
            ["must end in `return name`"],
        ),
        ("def forward(x):\n    f = x\n    return f\n", 1, ["must be `xp`", "def forward(xp, x)"]),
        ("\n\ndef forward():\n    return f\n", 3, ["must be `xp`"]),
        ("def forward(xp, x=1):\n    f = x\n    return f\n", 1, ["without defaults"]),
        ("def forward(xp, *x):\n    f = x\n    return f\n", 1, ["plain positional"]),
        ("def forward(xp, **x):\n    f = x\n    return f\n", 1, ["plain positional"]),
        ("def forward(xp, *, x):\n    f = x\n    return f\n", 1, ["plain positional"]),
        (
            "async def forward(xp, x):\n    f = x\n    return f\n",
            1,
            ["is `async`", "write `def forward(xp, ...)`"],
        ),
        ("def forward(xp, x):\n    f = x\n    yield f\n", 3, ["a generator", "of `yield`"]),
        ("def forward(xp, x):\n    f = yield from x\n    return f\n", 2, ["a generator"]),
        ("def forward(xp, x):\n    __stage__ = x\n    return x\n", 2, ["`__stage__`", "name"]),
        ("def forward(xp, __stage__):\n    f = 1\n    return f\n", 1, ["`__stage__`"]),
        (
            "def forward(xp, x):\n    f = xp.sinn(x)\n    return f\n",
            2,
            ["`xp.sinn` does not exist", "did you mean `sin`?", "array API standard"],
        ),
        (
            "def forward(xp, x):\n    f = xp.linalg.norm(x)\n    return f\n",
            2,
            ["`xp.linalg.norm` does not exist", "did you mean `"],
        ),
    ],
)
def test_a_bad_forward_is_refused(text: str, line: int | None, parts: list[str]) -> None:
    with pytest.raises(CaseError) as caught:
        parse(text, "cases/bad.py")
    check_error(caught.value, "cases/bad.py", line, *parts)


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        (
            "def backward(xp, df, qq):\n    return {'W': qq}\n",
            7,
            ["`backward` asks for `qq`", "did you mean `q`?", "name an input"],
        ),
        ("def backward(xp):\n    return {}\n", 7, ["0 cotangents", "def backward(xp, df, ...)"]),
        ("def backward(df):\n    return {}\n", 7, ["must be `xp`"]),
        ("def backward(xp, df, x=None):\n    return {}\n", 7, ["without defaults"]),
        (
            "def backward(xp, df, x):\n    return {'W': xp.matrix_transposed(x)}\n",
            8,
            ["`xp.matrix_transposed` does not exist", "did you mean `matrix_transpose`?"],
        ),
        ("def backward(xp, df):\n    yield df\n", 8, ["`backward` is a generator"]),
        ("async def backward(xp, df):\n    return df\n", 7, ["`backward` is `async`"]),
        (
            "def native_torch(W, y):\n    return W\n",
            7,
            ["`native_torch` asks for `y`", "choose from `W`, `x`"],
        ),
        (
            "def helper(xp):\n    return xp.ravel(1)\n",
            8,
            ["`xp.ravel` does not exist"],
        ),
    ],
)
def test_a_bad_companion_of_forward_is_refused(text: str, line: int, parts: list[str]) -> None:
    forward = "def forward(xp, W, x):\n    q = xp.matmul(W, x)\n    f = xp.sum(q)\n    return f\n"
    with pytest.raises(CaseError) as caught:
        parse(f"{forward}\n\n{text}", "bad.py")
    check_error(caught.value, "bad.py", line, *parts)


@pytest.mark.parametrize(
    "binding", ["f = (q := x) + x", "for q in [x]:\n        f = q", "f = [q for q in [x]][0]"]
)
def test_what_no_assignment_binds_cannot_be_asked_for(binding: str) -> None:
    forward = f"def forward(xp, x):\n    {binding}\n    return f\n"
    with pytest.raises(CaseError) as caught:
        parse(f"{forward}def backward(xp, df, q):\n    return {{'x': q}}\n", "bad.py")
    line = forward.count("\n") + 1
    check_error(caught.value, "bad.py", line, "`q`", "not recorded", "of its own: `q = ...`")


def test_two_outputs_need_two_cotangents() -> None:
    text = """
        def forward(xp, x):
            f = x
            g = x
            return f, g

        def backward(xp, df):
            return {"x": df}
    """
    with pytest.raises(CaseError) as caught:
        parse(dedent(text), "bad.py")
    check_error(caught.value, "bad.py", 7, "2 outputs", "def backward(xp, df, dg, ...)")


def test_a_generator_within_is_nobody_elses_business() -> None:
    text = """
        def forward(xp, x):
            def parts():
                yield x

            f = sum(parts())
            return f
    """
    assert parse(dedent(text), "good.py").forward.returns == ("f",)


def test_names_beside_the_namespace_are_not_its_business() -> None:
    text = """
        import numpy as np

        def forward(xp, x):
            y = np.einsum("i->i", x)
            f = xp.linalg.vector_norm(y).real
            return f
    """
    assert parse(dedent(text), "good.py").intermediates == ("y",)


def test_a_form_feed_does_not_shift_the_text_of_a_line() -> None:
    code = parse("# page\x0c break\n" + dedent(GOOD).lstrip(), "good.py")
    stage = code.forward.stage("q")
    assert stage is not None
    assert (stage.line, stage.source) == (3, "q = xp.matmul(W, x)")


def test_the_last_assignment_to_a_name_is_its_stage() -> None:
    text = "def forward(xp, x):\n    q = x\n    q = 2 * q\n    f = q\n    return f\n"
    forward = parse(text, "demo.py").forward
    stage = forward.stage("q")
    assert stage is not None
    assert stage.line == 3
    assert not stage.single
    assert forward.stage("nothing") is None


def long_sum(terms: int) -> str:
    return f"def forward(xp, x):\n    a = x\n    f = ({' + '.join(['x'] * terms)})\n    return f\n"


def test_a_sum_of_hundreds_of_terms_is_staged() -> None:
    program = program_from(long_sum(600))
    assert program.forward(None, {"x": 2.0}).outputs == (1200.0,)


@pytest.mark.parametrize("terms", [1000, 20_000, 100_000])
def test_a_sum_of_too_many_terms_is_refused_with_its_line(terms: int) -> None:
    with pytest.raises(CaseError) as caught:
        parse(long_sum(terms), "long.py")
    check_error(caught.value, "long.py", 3, "nested more than 700 deep", "split it")

"""Every bad input is refused before anything is computed: what, where, and what to do about it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from builders import check_error, write_case

from harness.cases.case import load
from harness.cases.registry import find, select
from harness.errors import CaseError, CaseErrors, HarnessError, UsageError
from harness.runs.plan import Request, cells

PYTHON = """
    def forward(xp, W, x):
        q = xp.matmul(W, x)
        f = xp.sum(q)
        return f

    def backward(xp, df, x, q):
        dq = df * xp.ones_like(q)
        return {"W": dq[:, None] * x[None, :], "x": x}
"""
YAML = """\
inputs:
  W: {shape: [m, n], draw: normal}
  x: {shape: [n], domain: [-1, 1]}
sizes:
  default: {m: 2, n: 3}
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from this project's own pyproject.toml."""
    monkeypatch.chdir(tmp_path)


def plan(
    folder: Path, patterns: tuple[str, ...] = (), tags: tuple[str, ...] = (), **options: Any
) -> None:
    """What every command does before it computes anything."""
    entries = select(find([folder]), patterns, tags)
    cells([load(entry.file) for entry in entries], Request(**options))


def refused(folder: Path, python: str = PYTHON, yaml: str = YAML) -> CaseError:
    write_case(folder, python, yaml)
    with pytest.raises(CaseError) as caught:
        plan(folder)
    return caught.value


def test_the_good_pair_is_accepted(tmp_path: Path) -> None:
    write_case(tmp_path / "cases", PYTHON, YAML)
    plan(tmp_path / "cases")


@pytest.mark.parametrize(
    ("extra", "line", "parts"),
    [
        ("points: {p: [}\n", 7, ["malformed YAML", "quote text"]),
        ("pionts: {}\n", 7, ["unknown key `pionts`", "did you mean `points`?"]),
        ("tags: [a]\ntags: [b]\n", 8, ["`tags` appears twice", "line 7"]),
        (
            "points:\n  p:\n    inputs: {W: [[1, 2]], x: [0, 0, 0]}\n",
            9,
            ["`x` has shape [3]", "[n]", "mend the numbers"],
        ),
        (
            "points:\n  p:\n    inputs: {W: [1, 2]}\n",
            9,
            ["`W` has shape [2]", "declared is [m, n]", "mend the numbers"],
        ),
        (
            "points:\n  p:\n    inputs:\n      x:\n      - 0\n      - 2\n",
            10,
            ["`x` is 2 at [1]", "domain [-1, 1]", "move the point"],
        ),
        ("points: {p: {inputs: {x: [.nan]}}}\n", 7, ["`x` is nan", "outside its domain"]),
        ("points: {p: {inputs: {W: [[.nan, 1]]}}}\n", 7, ["`W` holds NaN", "is defined"]),
        (
            "points:\n  p:\n    inputs:\n      W:\n      - [1]\n      - [1e400]\n",
            12,
            ["`1e400` is beyond the range of float64", "`.inf`"],
        ),
        ("points: {p: {cotangent: .nan}}\n", 7, ["`nan` is no array of numbers"]),
        ("points: {p: {inputs: {x: [[1, 2], [3]]}}}\n", 7, ["no array", "equal length"]),
        ("points: {p: {inputs: {x: [a, b]}}}\n", 7, ["no array of numbers", "nested lists"]),
        ('points: {p: {inputs: {x: ["1e999"]}}}\n', 7, ["no array of numbers"]),
        ("points: {p: {inputs: {w: [1]}}}\n", 7, ["`w` is no input", "choose from `W`, `x`"]),
        ("points: {p: {size: huge}}\n", 7, ["no size `huge`", "`default`"]),
        ("points: {p: {cotangent: one}}\n", 7, ["`one` is no array", "equal length"]),
        ("points: {p: {cotangent: {g: 1}}}\n", 7, ["`g` is no output", "choose from `f`"]),
        (
            "points: {p: {expect: {value: about 3}}}\n",
            7,
            ["`about 3` is no printed number", "in quotes"],
        ),
        (
            'points:\n  p:\n    expect:\n    - value: "1"\n      gradient: {x: [1.5]}\n',
            11,
            ["`1.5` is no printed number", "in quotes"],
        ),
        (
            'points: {p: {expect: {gradient: {y: "1"}}}}\n',
            7,
            ["`y` is neither an input nor an intermediate"],
        ),
        (
            'points: {p: {expect: {intermediates: {p: "1"}}}}\n',
            7,
            ["`p` is no intermediate", "`q`"],
        ),
        ('points: {p: {expect: {value: {g: "1"}}}}\n', 7, ["`g` is no output"]),
        ("training: {of: w, steps: 2, step_size: 1}\n", 7, ["`w` is no input", "`W`"]),
        (
            "training: {of: x, steps: k, step_size: 1}\n",
            7,
            ["`default` does not define `k`"],
        ),
        (
            "known:\n  - {backend: pytorch, status: fail, reason: r}\n",
            8,
            ["no backend `pytorch`", "did you mean `torch`?"],
        ),
    ],
)
def test_a_bad_yaml_file(tmp_path: Path, extra: str, line: int, parts: list[str]) -> None:
    error = refused(tmp_path / "cases", yaml=YAML + extra)
    check_error(error, tmp_path / "cases" / "demo.yaml", line, *parts)


@pytest.mark.parametrize(
    ("old", "new", "line", "parts"),
    [
        ("{m: 2, n: 3}", "{m: 2}", 3, ["a dimension `n`", "`default`", "add `n` to"]),
        ("default:", "small:", 5, ["no `default`", "sizes: {default:"]),
        ("  x: {", "  y: {", 4, ["`y` is no parameter of `forward`", "`forward` takes W, x"]),
        ("shape: [n], ", "", 4, ["`x` has neither `shape` nor `value`", "give it one"]),
        ("  x: {shape: [n], domain: [-1, 1]}\n", "", None, ["`forward` takes `x`", "declare `x`"]),
    ],
)
def test_yaml_that_does_not_fit_the_python(
    tmp_path: Path, old: str, new: str, line: int | None, parts: list[str]
) -> None:
    error = refused(tmp_path / "cases", yaml=YAML.replace(old, new))
    if line is None:  # the fault is the parameter that nothing declares
        check_error(error, tmp_path / "cases" / "demo.py", 2, *parts)
    else:
        check_error(error, tmp_path / "cases" / "demo.yaml", line, *parts)


@pytest.mark.parametrize(
    ("old", "new", "line", "parts"),
    [
        ("q = xp.matmul(W, x)", "q = xp.matmul(W, x", 3, ["syntax error", "mend `"]),
        ("def forward", "def foward", None, ["no function `forward`", "define `def forward"]),
        ("df, x, q)", "df, x, p)", 7, ["`backward` asks for `p`", "name an input"]),
        ("xp.matmul", "xp.matmull", 3, ["`xp.matmull` does not exist", "did you mean `matmul`"]),
        ("xp.ones_like", "xp.one_like", 8, ["`xp.one_like`", "did you mean `ones_like`?"]),
        ("return f", "return f + 1", 5, ["must end in `return name`", "give the result a name"]),
    ],
)
def test_a_bad_python_file(
    tmp_path: Path, old: str, new: str, line: int | None, parts: list[str]
) -> None:
    error = refused(tmp_path / "cases", python=PYTHON.replace(old, new))
    check_error(error, tmp_path / "cases" / "demo.py", line, *parts)


def test_yaml_without_python(tmp_path: Path) -> None:
    file = write_case(tmp_path / "cases", PYTHON, YAML)
    file.with_suffix(".py").unlink()
    with pytest.raises(CaseErrors) as caught:
        plan(tmp_path / "cases")
    (error,) = caught.value.errors
    check_error(error, file, None, "there is no `demo.py` beside it", "put `forward`")
    with pytest.raises(CaseError) as direct:
        load(file)
    check_error(direct.value, file, None, "there is no `demo.py` beside it", "put `forward`")


def test_python_without_yaml(tmp_path: Path) -> None:
    file = write_case(tmp_path / "cases", PYTHON, YAML)
    file.unlink()
    with pytest.raises(CaseErrors) as caught:
        plan(tmp_path / "cases")
    (error,) = caught.value.errors
    python = file.with_suffix(".py")
    check_error(error, python, None, "there is no `demo.yaml` beside it", "declare the inputs")


def test_helpers_and_tests_beside_cases_are_no_cases(tmp_path: Path) -> None:
    folder = tmp_path / "cases"
    write_case(folder, PYTHON, YAML)
    for name in ("_helper.py", "test_cases.py", "conftest.py"):
        (folder / name).write_text("", encoding="utf-8")
    plan(folder)


def test_the_wrong_suffix(tmp_path: Path) -> None:
    file = write_case(tmp_path / "cases", PYTHON, YAML)
    file.rename(file.with_suffix(".yml"))
    with pytest.raises(CaseErrors, match=r"suffix is `\.yaml`.*\n.*rename the file"):
        plan(tmp_path / "cases")


def test_every_bad_pair_is_named_in_one_go(tmp_path: Path) -> None:
    one = write_case(tmp_path, PYTHON, YAML, "one").with_suffix(".py")
    two = write_case(tmp_path, PYTHON, YAML, "two").with_suffix(".py")
    one.unlink()
    two.unlink()
    with pytest.raises(CaseErrors) as caught:
        find([tmp_path])
    assert "`one.py`" in str(caught.value)
    assert "`two.py`" in str(caught.value)


def test_two_cases_with_one_name(tmp_path: Path) -> None:
    first = write_case(tmp_path / "a", PYTHON, YAML)
    second = write_case(tmp_path / "b", PYTHON, YAML)
    with pytest.raises(CaseErrors) as caught:
        find([tmp_path / "a", tmp_path / "b"])
    (error,) = caught.value.errors
    check_error(error, second, None, f"already defined by {first}", "rename one")
    assert [entry.name for entry in find([tmp_path / "a", tmp_path / "a"])].count("demo") == 1


def test_a_case_of_the_users_hides_the_builtin_one_of_its_name(tmp_path: Path) -> None:
    mine = write_case(tmp_path, PYTHON, YAML, "relu_layer")
    assert [entry.file for entry in find([tmp_path]) if entry.name == "relu_layer"] == [mine]


@pytest.mark.parametrize("name", ["nowhere", "file.txt"])
def test_what_is_no_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").write_text("", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        plan(tmp_path / name)
    assert f"`{tmp_path / name}` cannot be read" in str(caught.value)
    assert "remedy: name a folder" in str(caught.value)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is unreadable for root"
)
def test_an_unreadable_folder(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0)
    try:
        with pytest.raises(UsageError, match="cannot be read"):
            plan(folder)
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patterns": ("dmeo",)}, "no case `dmeo`; did you mean `demo`?"),
        ({"tags": ("netbook",)}, "no case has the tag `netbook`; did you mean `notebook`?"),
        ({"backends": ("numpyric",)}, "no backend `numpyric`; did you mean `numeric`?"),
        ({"backends": ("manual:jit",)}, "`manual` has no variant `jit`"),
        ({"dtypes": ("float23",)}, "no dtype `float23`; did you mean `float32`?"),
        ({"modes": ("vpj",)}, "no mode `vpj`; did you mean `vjp`?"),
        ({"points": ("drwa",)}, "no point `drwa`; did you mean `draw"),
        ({"points": ("draw7",)}, "no `draw7` among 3 draws; raise `--draws`"),
        ({"sizes": ("large",)}, "no size `large`; choose from `default`"),
        ({"draws": 0}, "nothing to compare"),
        ({"modes": ("train",)}, "nothing to compare"),
    ],
)
def test_what_selects_nothing(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    write_case(tmp_path / "cases", PYTHON, YAML + "tags: [notebook]\n")
    with pytest.raises(UsageError) as caught:
        plan(tmp_path / "cases", **options)
    assert message in str(caught.value)


def test_no_tag_is_known_where_no_case_has_any(tmp_path: Path) -> None:
    write_case(tmp_path / "cases", PYTHON, YAML)
    with pytest.raises(UsageError, match="no case has the tag `x`; there is none to choose from"):
        plan(tmp_path / "cases", tags=("x",))


def test_training_of_what_is_not_differentiable(tmp_path: Path) -> None:
    yaml = YAML.replace("[-1, 1]}", "[-1, 1], differentiable: false}")
    error = refused(tmp_path, yaml=yaml + "training: {of: x, steps: 2, step_size: 1}\n")
    check_error(error, tmp_path / "demo.yaml", 7, "`x` is not differentiable", "train another")


def test_training_for_steps_that_no_size_defines(tmp_path: Path) -> None:
    python = "def forward(xp, x):\n    f = xp.sum(x)\n    return f\n"
    yaml = "inputs: {x: {shape: [3]}}\n"
    training = "training: {of: x, steps: n, step_size: 0.1}\n"
    for sizes in ("", "sizes: {large: {n: 3}}\n"):
        error = refused(tmp_path, python, yaml + sizes + training)
        line = 4 if sizes else 3
        check_error(error, tmp_path / "demo.yaml", line, "`default` does not define `n`", "number")


def test_infinities_at_a_point_are_numbers(tmp_path: Path) -> None:
    write_case(tmp_path, PYTHON, YAML + "points: {p: {inputs: {W: [[.inf], [-.INF]], x: [0]}}}\n")
    plan(tmp_path)


@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        ("{shape: [2, 2], draw: spd, domain: [0, 9]}", "numbers in [-2, 2]; leave out"),
        ("{shape: [2, 2], draw: orthogonal, domain: [0, 1]}", "numbers in [-1, 1]; leave"),
        ("{shape: [2], draw: simplex, domain: [0.4, 1]}", "numbers in [0, 1]; leave out"),
        ("{shape: [2], draw: integers, domain: [0, 1e30]}", "exceeds int64"),
        ("{shape: [2], draw: integers, domain: [-1e30, 0]}", "exceeds int64"),
        ("{shape: [2], draw: integers, domain: [0, 9223372036854775807]}", "exceeds int64"),
        ("{shape: [2, 3], draw: spd}", "needs a square shape"),
        ("{shape: [2], draw: orthogonal}", "needs a square shape"),
        ("{shape: [], draw: simplex}", "needs at least one dimension"),
        ("{shape: [2], draw: uniform}", "needs a finite `domain`"),
        ("{shape: [2], draw: uniform, domain: [0, .inf]}", "needs a finite `domain`"),
    ],
)
def test_a_draw_that_cannot_be_drawn(tmp_path: Path, leaf: str, message: str) -> None:
    python = "def forward(xp, x):\n    f = xp.sum(x)\n    return f\n"
    file = write_case(tmp_path, python, f"inputs:\n  x: {leaf}\n")
    with pytest.raises(CaseError) as caught:
        load(file)
    assert "demo.yaml:3: `inputs.x`: `draw: " in str(caught.value)
    assert message in str(caught.value)


def test_integers_at_a_point_are_integers(tmp_path: Path) -> None:
    python = "def forward(xp, k):\n    f = xp.sum(k * 1.0)\n    return f\n"
    yaml = "inputs:\n  k: {shape: [2], draw: integers, domain: [0, 3]}\n"
    error = refused(tmp_path, python, yaml + "points: {p: {inputs: {k: [1, 1.5]}}}\n")
    assert error.line == 4
    assert "`k` must be integers" in str(error)


def test_every_error_is_one_that_the_commands_catch() -> None:
    assert issubclass(CaseError, HarnessError)
    assert issubclass(CaseErrors, HarnessError)
    assert issubclass(UsageError, HarnessError)

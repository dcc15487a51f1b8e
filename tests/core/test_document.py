"""YAML as people who write numbers and variable names expect it, with the line of everything."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
from builders import check_error, numerical
from hypothesis import given
from hypothesis import strategies as st

from harness.cases.document import read
from harness.errors import CaseError


def load(folder: Path, text: str) -> Any:
    file = folder / "demo.yaml"
    file.write_text(text, encoding="utf-8")
    return read(file)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        ("+2.5e+3", 2500.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        (".inf", math.inf),
        ("7", 7),
        ("-7", -7),
        ("+7", 7),
        ("010", 10),
        ("09", 9),
        ("0", 0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("N", "N"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("2001-01-01", "2001-01-01"),
        ("nan", "nan"),
        ("inf", "inf"),
        ('"1.50"', "1.50"),
        ("'true'", "true"),
        ("=", "="),
        ("<<", "<<"),
        ("|\n  two\n  lines", "two\nlines\n"),
        (r"f(x) = \max(0, x)", r"f(x) = \max(0, x)"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(tmp_path: Path, text: str, value: Any) -> None:
    found = load(tmp_path, f"key: {text}\n").data["key"]
    assert found == value
    assert type(found) is type(value)


def test_nan_is_a_number(tmp_path: Path) -> None:
    assert math.isnan(load(tmp_path, "key: .nan\n").data["key"])


@numerical
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_as_python_prints_it_is_that_float(
    tmp_path_factory: pytest.TempPathFactory, value: float
) -> None:
    found = load(tmp_path_factory.getbasetemp(), f"key: [{value!r}]\n").data["key"][0]
    assert found == value
    assert isinstance(found, float)


def test_keys_are_text(tmp_path: Path) -> None:
    data = load(tmp_path, "no: 1\n1: 2\ntrue: 3\n1e3: 4\n").data
    assert data == {"no": 1, "1": 2, "true": 3, "1e3": 4}


NESTED = """\
# a comment
summary: text
inputs:
  params:
    - {shape: [2]}

    - shape:
        - 3
        - m
points: {p: {inputs: {x: [1, 2]}}}
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 2),
        (("summary",), 2),
        (("inputs", "params"), 4),
        (("inputs", "params", 0), 5),
        (("inputs", "params", 0, "shape"), 5),
        (("inputs", "params", 1, "shape"), 7),
        (("inputs", "params", 1, "shape", 1), 9),
        (("points", "p", "inputs", "x", 1), 10),
        (("inputs", "params", 7, "shape"), 4),
        (("nothing",), 2),
    ],
)
def test_every_entry_knows_its_line(tmp_path: Path, path: tuple[str | int, ...], line: int) -> None:
    document = load(tmp_path, NESTED)
    assert document.line(path) == line
    check_error(
        document.error(path, "this", "mend it"), document.file, line, "this", "remedy: mend it"
    )


def test_aliases_are_copied(tmp_path: Path) -> None:
    data = load(tmp_path, "a: &x [1, 2]\nb: *x\n").data
    assert data == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: [1, 2\n", 3, "malformed YAML"),
        ("a: 1\n b: 2\n", 2, "malformed YAML"),
        ("a: 1\nb: {c: 1}}\n", 2, "malformed YAML"),
        ('a: "text\n', 2, "malformed YAML"),
        ("a: 1\nb: *nowhere\n", 2, "undefined alias"),
        ("a: @name\n", 1, "malformed YAML"),
        ("a: x: y\n", 1, "malformed YAML"),
        ("a: 1\n---\nb: 1\n", 2, "malformed YAML"),
        ("a: !python/name:os.system x\n", 1, "malformed YAML"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", 4, "`c` appears twice (first on line 3)"),
        ("a: 1\nb: 2\na: 3\n", 3, "`a` appears twice (first on line 1)"),
        ("", 1, "a case is a mapping"),
        ("# nothing\n", 1, "a case is a mapping"),
        ("- a\n- b\n", 1, "a case is a mapping"),
        ("just text\n", 1, "a case is a mapping"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int, message: str
) -> None:
    with pytest.raises(CaseError) as caught:
        load(tmp_path, text)
    check_error(caught.value, tmp_path / "demo.yaml", line, message)


@pytest.mark.parametrize("text", ["!!int two", "!!float two", "!!bool perhaps"])
def test_a_tag_that_does_not_fit_its_scalar_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CaseError, match=r"is no (int|float|bool)") as caught:
        load(tmp_path, f"a: 1\nb: {text}\n")
    assert caught.value.line == 2


def test_an_alias_within_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="an alias refers to itself"):
        load(tmp_path, "a: &loop [1, *loop]\n")


def test_control_characters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"demo\.yaml:2: holds the control character `\\x1b`"):
        load(tmp_path, "a: 1\nb: \x1b[31m\n")
    for text in ('"\\e[31m"', '"\\u202e"', '{"\\a": 1}'):
        with pytest.raises(CaseError, match=r"demo\.yaml:2: `\\.* holds a control character"):
            load(tmp_path, f"a: 1\nb: {text}\n")
    assert load(tmp_path, 'a: "x\\ty\\nz"\n').data == {"a": "x\ty\nz"}


def test_aliases_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    with pytest.raises(CaseError, match="aliases repeat more than 100000 entries"):
        load(tmp_path, "\n".join(lines))
    assert load(tmp_path, "\n".join(lines[:4])).data["a3"][9][9] == [[1] * 10] * 10


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ("{a: ", "}"), ("- ", "")])
def test_what_is_nested_too_deeply_is_refused(tmp_path: Path, opened: str, closed: str) -> None:
    fits, deep = (f"a:\n  {opened * n}1{closed * n}\n" for n in (90, 100_000))
    assert load(tmp_path, fits).data["a"]
    with pytest.raises(CaseError, match=r"demo\.yaml:2: malformed YAML: nested more than 100 deep"):
        load(tmp_path, deep)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "demo.yaml")
    with pytest.raises(CaseError, match=r"demo\.yaml: is no file"):
        read(tmp_path / "demo.yaml")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"nothing\.yaml: cannot be read"):
        read(tmp_path / "nothing.yaml")
    file = tmp_path / "latin.yaml"
    file.write_bytes("a: é\n".encode("latin-1"))
    with pytest.raises(CaseError, match=r"latin\.yaml:1: is not UTF-8"):
        read(file)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeffa: 1\n").data == {"a": 1}

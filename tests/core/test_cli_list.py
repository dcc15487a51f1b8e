"""`harness list`, the global options, and what each command imports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pairs import GOOD, YAML, pair

from harness import __version__

Run = Callable[..., Any]
FRAMEWORKS = {"autograd", "tensorflow", "torch", "jax"}


def names(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines()]


def test_lists_name_tags_and_summary_of_every_case_in_order(harness: Run) -> None:
    said = harness("list")
    assert said.status == 0
    found = names(said.out)
    assert "sum_times_z" in found
    assert found == sorted(found)
    (line,) = [line for line in said.out.splitlines() if line.startswith("sum_times_z ")]
    assert "notebook" in line
    assert line.endswith("sum times z")


def test_columns_are_aligned(harness: Run) -> None:
    lines = harness("list", "sum_times_z", "polynomial_regression").out.splitlines()
    assert len({line.index("notebook") for line in lines}) == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sum_times_z"], ["sum_times_z"]),
        (["sum_times_z,sigmoid_staged"], ["sigmoid_staged", "sum_times_z"]),
        (["tanh_*"], ["tanh_by_exp", "tanh_network"]),
        (["--tag", "network"], ["relu_network", "tanh_network"]),
        (["tanh_*", "--tag", "network"], ["tanh_network"]),
    ],
)
def test_selects_by_name_glob_and_tag(harness: Run, words: list[str], expected: list[str]) -> None:
    said = harness("list", *words)
    assert said.status == 0
    assert names(said.out) == expected


@pytest.mark.parametrize(
    ("words", "offer"),
    [
        (["list", "sigmoid_stagd"], "did you mean `sigmoid_staged`?"),
        (["list", "--tag", "netwrk"], "did you mean `network`?"),
        (["list", "--tags", "network"], "did you mean `--tag`?"),
        (["show", "sigmoid_stagd"], "did you mean `sigmoid_staged`?"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(
    harness: Run, words: list[str], offer: str
) -> None:
    said = harness(*words)
    assert said.status == 2
    assert offer in said.err
    assert said.out == ""


def test_folders_of_the_command_line_come_besides_the_built_in_ones(
    harness: Run, tmp_path: Path
) -> None:
    pair(tmp_path / "mine", "cube")
    pair(tmp_path / "yours", "square")
    found = names(harness("list", "*", "--cases", "mine", "--cases", "yours").out)
    assert {"cube", "square", "sum_times_z"} <= set(found)
    assert found == names(harness("list", "*", "--cases", "mine,yours").out)


@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("show", "--no-run"),
        ("atlas", "--backend", "numeric", "--report", ""),
        ("run", "--backend", "manual", "--report", "", "--jobs", "0"),
    ],
)
def test_a_folder_alone_is_what_is_meant(
    harness: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    pair(tmp_path / "mine", "cube")
    said = harness(*words, "--cases", "mine")
    assert said.status == 0, said.err
    assert "sum_times_z" not in said.out
    assert "kink_abs" not in said.out
    assert "cube" in said.out or "sum of squares" in said.out


def test_a_malformed_file_is_named_after_the_others_are_listed(
    harness: Run, tmp_path: Path
) -> None:
    pair(tmp_path / "mine", "cube")
    pair(tmp_path / "mine", "bad", GOOD, "summary: [unclosed\n")
    said = harness("list", "--cases", "mine")
    assert said.status == 2
    assert "cube" in names(said.out)
    assert "mine/bad.yaml:" in said.err


def test_odd_tags_and_summaries_keep_the_table_whole(harness: Run, tmp_path: Path) -> None:
    yaml = YAML.replace("tags: [small]", "tags: small").replace("sum of", '"sum\\n of"')
    pair(tmp_path / "mine", "cube", GOOD, yaml.replace('"sum\\n of" squares', '"sum\\n of"'))
    said = harness("list", "cube", "--cases", "mine")
    assert said.status == 0
    assert said.out.split() == ["cube", "sum", "of"]


def test_version_and_help(harness: Run) -> None:
    assert harness("--version").out.strip() == f"gradient-harness {__version__}"
    said = harness("--help")
    assert said.status == 0
    for command in ("list", "run", "show", "schema"):
        assert command in said.out
        assert harness(command, "--help").status == 0


@pytest.mark.parametrize("words", [[], ["rnu"], ["run", "--draws", "x"], ["run", "--step", "0"]])
def test_bad_usage_is_status_2(harness: Run, words: list[str]) -> None:
    said = harness(*words)
    assert said.status == 2
    assert "error" in said.err


def test_one_word_too_many(harness: Run) -> None:
    said = harness("show", "sum_times_z", "sigmoid_staged")
    assert said.status == 2
    assert "`sigmoid_staged` is one word too many" in said.err


def test_schema_describes_the_format(harness: Run) -> None:
    said = harness("schema")
    schema = json.loads(said.out)
    assert said.status == 0
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert {"summary", "inputs", "points", "tolerance", "known"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False
    leaf = schema["$defs"]["Leaf"]["properties"]
    assert "closed interval" in leaf["domain"]["description"]


def module(*words: str) -> list[str]:
    return [sys.executable, "-m", "harness", *words]


def test_python_dash_m_is_the_command(tmp_path: Path) -> None:
    done = subprocess.run(
        module("list", "nosuch"), capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: no case `nosuch`")


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    process = subprocess.Popen(
        module("list"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    process.stdout.close()  # the reader goes before the first line is written
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize(("backward", "status"), [("2.0", 0), ("3.0", 1)])
def test_a_closed_pipe_leaves_a_run_its_status(tmp_path: Path, backward: str, status: int) -> None:
    pair(tmp_path / "mine", "square", GOOD.replace("2.0 *", f"{backward} *"), YAML)
    words = ("run", "--cases", "mine", "--backend", "manual", "--jobs", "0", "--report", "")
    process = subprocess.Popen(
        module(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (status, "")


def test_a_formula_is_printed_where_the_encoding_cannot_say_it(tmp_path: Path) -> None:
    pair(tmp_path / "mine", "cube", GOOD, YAML.replace("sum of squares", "Σ x²"))
    done = subprocess.run(
        module("list", "cube", "--cases", "mine"),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        env={"PYTHONIOENCODING": "ascii", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    assert r"\u03a3 x\xb2" in done.stdout


@pytest.mark.parametrize(
    ("words", "forbidden"),
    [
        (["--help"], "numpy pandas pydantic rich yaml"),
        (["list"], "numpy pandas pydantic rich"),
        (["list", "--tag", "network"], "numpy pandas pydantic rich"),
        (["schema"], "numpy pandas rich"),
        (["show", "sum_xy_z", "--no-run"], "numpy pandas"),
    ],
    ids=["help", "list", "list-tag", "schema", "show"],
)
def test_what_a_command_does_not_import(words: list[str], forbidden: str, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from harness.cli import main\n"
        "try:\n"
        f"    main({words!r})\n"
        "except SystemExit:\n"
        "    pass\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout
    assert set(done.stderr.split()) & {*forbidden.split(), *FRAMEWORKS} == set()

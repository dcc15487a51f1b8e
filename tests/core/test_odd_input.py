"""Input that nobody would write on purpose: one sentence with the remedy, and exit status 2."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import write_case
from pairs import GOOD, WRONG, YAML, pair

from harness.errors import did_you_mean

Run = Callable[..., Any]
OWN = ("--cases", "mine", "--backend", "manual")


def command(folder: Path, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, for what it does to its streams."""
    return subprocess.run(
        [sys.executable, "-m", "harness", *words],
        cwd=folder,
        text=True,
        check=False,
        **{"capture_output": not options, **options},
    )


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("=1+1", "a spreadsheet takes `=`"),
        ("@sum", "a spreadsheet takes `@`"),
        ("-x", "a spreadsheet takes `-`"),
        ("a\x1b[31m", "it holds a control character"),
        ("a\nb", "it is empty, or has blanks"),
        ("a ", "it is empty, or has blanks"),
        ("a,b", "commas separate names"),
        (os.fsdecode(b"a\xff"), "it holds a control character, or is not UTF-8"),
    ],
)
def test_a_name_that_is_none_is_refused(harness: Run, tmp_path: Path, name: str, why: str) -> None:
    pair(tmp_path / "mine", name)
    said = harness("run", *OWN)
    assert said.status == 2
    assert f"is no name of a case: {why}" in said.err
    assert "remedy: rename its two files" in said.err
    assert "\x1b" not in said.err


@pytest.mark.parametrize("name", ["a.b", "größe", "two words", "f[x]", "-1", "+0.5", "1e-3", "(0)"])
def test_any_other_name_is_one(harness: Run, tmp_path: Path, name: str) -> None:
    pair(tmp_path / "mine", name, yaml=YAML.replace("one:", f'"{name}":'))
    said = harness("run", *OWN, "--draws", "0", f"--point={name}", "--", name)
    assert said.status == 0, said.err
    assert f"\n{name} " in said.out


@pytest.mark.parametrize("key", ["points", "sizes"])
def test_the_name_of_a_point_is_held_to_the_same(harness: Run, tmp_path: Path, key: str) -> None:
    write_case(tmp_path / "mine", GOOD, f"inputs: {{x: {{shape: [2]}}}}\n{key}: {{'=A1': {{}}}}\n")
    said = harness("run", *OWN)
    assert said.status == 2
    assert "mine/demo.yaml:3: `=A1` is no name: a spreadsheet takes `=`" in said.err


def test_what_a_case_raises_cannot_steer_the_terminal(harness: Run, tmp_path: Path) -> None:
    fault = 'raise ValueError("\\x1b[31m red \\u202e")'
    pair(tmp_path / "mine", "red", GOOD.replace("dq = df", f"{fault}; dq = df"))
    said = harness("run", *OWN)
    assert said.status == 1
    assert r"ValueError: \x1b[31m red \u202e" in said.out
    for text in (said.out, (tmp_path / "reports" / "results.csv").read_text()):
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_a_suggestion_is_another_name() -> None:
    assert did_you_mean("f[x]", ["f[x]", "fx"]) == "did you mean `fx`?"
    assert did_you_mean("f[x]", ["f[x]"]) == "there is none to choose from"


def test_a_pipe_in_the_place_of_a_case_is_not_waited_for(harness: Run, tmp_path: Path) -> None:
    pair(tmp_path / "mine", "one")
    (tmp_path / "mine" / "one.yaml").unlink()
    os.mkfifo(tmp_path / "mine" / "one.yaml")
    for words in (("run", *OWN), ("list", "--cases", "mine"), ("show", "one", "--cases", "mine")):
        said = harness(*words)
        assert said.status == 2
        assert "mine/one.yaml: is no file" in said.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", [("list",), ("schema",), ("run", *OWN, "--jobs", "0")])
def test_a_full_standard_output_is_told(tmp_path: Path, words: tuple[str, ...]) -> None:
    pair(tmp_path / "mine", "one")
    with open("/dev/full", "w") as full:
        said = command(tmp_path, *words, stdout=full, stderr=subprocess.PIPE)
    assert said.returncode == 2
    assert said.stderr == (
        "error: standard output cannot be written to: No space left on device; write elsewhere\n"
    )
    assert (tmp_path / "reports" / "report.md").exists() == (words[0] == "run")


def test_a_standard_output_that_is_closed_changes_no_verdict(tmp_path: Path) -> None:
    for python, status in ((GOOD, 0), (WRONG, 1)):
        pair(tmp_path / "mine", "one", python)
        # By a shell: a framework that this process has loaded minds being forked.
        words = ["sh", "-c", 'exec "$0" "$@" >&-', sys.executable, "-m", "harness", "run", *OWN]
        said = subprocess.run(
            [*words, "--jobs", "0"], cwd=tmp_path, text=True, check=False, stderr=subprocess.PIPE
        )
        assert (said.returncode, said.stderr) == (status, "")


def test_a_line_that_cannot_be_found_does_not_hide_the_verdict(
    harness: Run, tmp_path: Path
) -> None:
    sums = [" + ".join([name] * count) for name, count in (("x", 650), ("df", 649))]
    python = f"""
        def forward(xp, x):
            f = {sums[0]}
            return f

        def backward(xp, df):
            dx = {sums[1]}
            return {{"x": dx}}
    """
    write_case(tmp_path / "mine", python, "inputs: {x: {shape: []}}\n")
    said = harness("run", *OWN, "--draws", "1")
    assert said.status == 1
    assert "fail: demo [draw0, float64] manual: d/dx" in said.out


@pytest.mark.parametrize("leaf", ["{shpe: []}", "{shpe: [2]}", "{vale: 2}", "{shpe: {a: []}}"])
def test_a_misspelt_key_is_no_container(harness: Run, tmp_path: Path, leaf: str) -> None:
    write_case(tmp_path / "mine", GOOD, f"inputs: {{x: {leaf}}}\n")
    said = harness("run", *OWN)
    assert said.status == 2
    assert "mine/demo.yaml:2: `inputs.x." in said.err
    assert "is no input" in said.err


def test_a_gradient_of_none_is_a_missing_one(harness: Run, tmp_path: Path) -> None:
    pair(tmp_path / "mine", "one", GOOD.replace('{"x": dx}', '{"x": None}'))
    said = harness("run", *OWN)
    assert said.status == 1
    assert "missing: the method returned no such gradient" in said.out
    assert "shape" not in said.out


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ("4", "`4` is 4 bytes, and no worker works with less than 128MiB"),
        ("lots", "`lots` is no size"),
        ("-1GiB", "is no size"),
        ("nan", "is no size"),
        ("0", "is no size"),
        ("4 parsecs", "is no size"),
    ],
)
def test_a_memory_limit_that_is_none(harness: Run, size: str, words: str) -> None:
    said = harness("run", f"--memory-limit={size}")
    assert said.status == 2
    assert words in said.err


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("tolerance: {float64: {rtol: .inf}}", "`tolerance.float64.rtol`: input should be less"),
        ("training: {of: x, steps: -1, step_size: 0.1}", "`training.steps"),
        ("? [a, b]\n: 1", "a key is a list or a mapping"),
    ],
)
def test_what_would_pass_anything_or_means_nothing(
    harness: Run, tmp_path: Path, yaml: str, words: str
) -> None:
    write_case(tmp_path / "mine", GOOD, f"inputs: {{x: {{shape: [2]}}}}\n{yaml}\n")
    said = harness("run", *OWN)
    assert said.status == 2
    assert f"mine/demo.yaml:3: {words}" in said.err


@pytest.mark.parametrize("returned", ["None", "[1.0]", "{1: 1.0}"])
def test_inputs_that_name_no_inputs(harness: Run, tmp_path: Path, returned: str) -> None:
    python = f"{GOOD}\n\ndef inputs(rng):\n    return {returned}\n"
    pair(tmp_path / "mine", "one", python, "summary: s\n")
    said = harness("run", *OWN, "--draws", "1")
    assert said.status == 1
    assert "that names no inputs" in said.out
    assert "remedy: end it in `return {...}`" in said.out


def test_an_endless_message_is_cut(harness: Run, tmp_path: Path) -> None:
    pair(
        tmp_path / "mine", "one", GOOD.replace("dq = df", "raise ValueError('y' * 10**6); dq = df")
    )
    said = harness("run", *OWN, "--draws", "0")
    assert said.status == 1
    assert len(said.out) < 10_000


def test_a_case_that_changes_the_folder_loses_no_report(harness: Run, tmp_path: Path) -> None:
    pair(
        tmp_path / "mine",
        "one",
        "import os\n" + GOOD.replace("q = x * x", "os.chdir('/'); q = x * x"),
    )
    said = harness("run", *OWN, "--draws", "1")
    assert said.status == 0, said.err
    assert (tmp_path / "reports" / "report.md").exists()
    assert said.out.endswith("see reports/report.md\n")

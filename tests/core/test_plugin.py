"""The pytest plugin, run by pytest on folders of cases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pairs import GOOD, RAISES, WRONG, YAML, pair

CORE = "--harness-backend=numeric,manual"

#: A conftest under which torch is not installed, whatever this machine has.
NO_TORCH = """
from harness import backends

class Absent(backends.backend_class("torch")):
    @classmethod
    def installed(cls):
        return False

keep = backends.registered(Absent)
keep.__enter__()
"""

#: A conftest under which the method `torch` exists, needs no framework, and cannot do anything.
NO_DERIVATIVE = """
from harness import backends
from harness.errors import Unsupported

class Lame(backends.backend_class("manual")):
    name = "torch"
    module = ""

    def differentiate(self, program, sample, task):
        if task.mode != "value":
            raise Unsupported("no VJP for sum") from NotImplementedError()
        return super().differentiate(program, sample, task)

keep = backends.registered(Lame)
keep.__enter__()
"""

GAP = """\
known:
  - {backend: torch, mode: vjp, status: unsupported, raises: NotImplementedError, reason: no VJP}
"""


@pytest.fixture
def cases(pytester: pytest.Pytester) -> Path:
    """A folder `cases` with one good case."""
    return pair(pytester.path / "cases", "square")


def test_each_method_at_each_point_is_a_test(pytester: pytest.Pytester, cases: Path) -> None:
    result = pytester.runpytest("cases", CORE, "--harness-dtype=float64,float32", "-v")
    result.assert_outcomes(passed=16)
    for name in ("one-float64-manual", "one-float32-numeric", "draw2-float64-numeric"):
        assert f"square.yaml::{name} PASSED" in result.stdout.str()


def test_one_test_is_chosen_by_its_name(pytester: pytest.Pytester, cases: Path) -> None:
    result = pytester.runpytest("cases/square.yaml::one-float64-manual", CORE)
    result.assert_outcomes(passed=1)


FORWARD_LINE = "def forward(xp, x):"


@pytest.mark.parametrize("written", ["def forward (xp, x):", "def  forward(xp, x):"])
def test_blanks_lose_no_case(pytester: pytest.Pytester, written: str) -> None:
    pair(pytester.path / "cases", "square", GOOD.replace(FORWARD_LINE, written))
    pytester.runpytest("cases", CORE).assert_outcomes(passed=8)


@pytest.mark.parametrize(
    ("python", "message"),
    [
        (GOOD.replace(FORWARD_LINE, "def forwad(xp, x):"), "no function `forward`; did you mean"),
        (GOOD.replace(FORWARD_LINE, "async def forward(xp, x):"), "`forward` is `async`"),
        (GOOD.replace("def ", "dfe "), "syntax error"),
        (None, "there is no `square.py` beside it"),
    ],
)
def test_half_a_case_is_an_error_and_not_silence(
    pytester: pytest.Pytester, python: str | None, message: str
) -> None:
    folder = pair(pytester.path / "cases", "square", python or GOOD)
    if python is None:
        (folder / "square.py").unlink()
    result = pytester.runpytest("cases", CORE)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*square*{message}*"])


def test_a_case_whose_inputs_are_code_is_not_lost_either(pytester: pytest.Pytester) -> None:
    pair(pytester.path / "cases", "square", "def forwad(xp, x):\n    ...\n", "summary: s\n")
    pytester.runpytest("cases", CORE).assert_outcomes(errors=1)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("square.yml", YAML, "a case's suffix is `.yaml`"),
        ("a,b.yaml", YAML, "commas separate names"),
        ("other.py", GOOD, "there is no `other.yaml` beside it"),
    ],
)
def test_a_declared_folder_is_held_to_all_rules(
    pytester: pytest.Pytester, cases: Path, name: str, text: str, message: str
) -> None:
    pytester.makeini("[pytest]\nharness_cases = cases\n")
    (cases / name).write_text(text)
    (cases / "test_helper.py").write_text("def test_nothing():\n    pass\n")
    result = pytester.runpytest("cases", CORE)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{message}*"])


@pytest.mark.parametrize(
    "text", ["summary: s\ninputs: {}\nsteps: {}\njobs: {}\n", "inputs: {a: 1}\n", "a: [\n"]
)
def test_a_yaml_file_of_somebody_else_is_left_alone(
    pytester: pytest.Pytester, cases: Path, text: str
) -> None:
    (cases / "other.yaml").write_text(text)
    (cases / "other.py").write_text("def forwards(x):\n    pass\n")
    pytester.runpytest("cases", CORE).assert_outcomes(passed=8)


@pytest.mark.parametrize("option", ["draws", "seed"])
def test_what_is_no_number_is_refused(pytester: pytest.Pytester, cases: Path, option: str) -> None:
    result = pytester.runpytest("cases", f"--harness-{option}=-1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*`-1` is no natural number; give 0, 1, 2, ...*"])


def test_draws_and_seed(pytester: pytest.Pytester, cases: Path) -> None:
    result = pytester.runpytest("cases", CORE, "--harness-draws=0", "--harness-seed=4")
    result.assert_outcomes(passed=2)


def test_a_failure_shows_the_harness_s_message_alone(pytester: pytest.Pytester) -> None:
    pair(pytester.path / "cases", "square", WRONG)
    result = pytester.runpytest("cases", "--harness-backend=manual", "--harness-seed=2")
    result.assert_outcomes(failed=4)
    text = result.stdout.str()
    assert "fail: square [one, float64] manual: d/dx" in text
    assert "  got        -" in text
    assert "(certified)" in text
    assert "the fault is in " in text
    assert "square.py:9: `dx = -2.5 * dq * x`" in text
    assert "Traceback" not in text
    assert "harness/" not in text.replace("cases/", "")
    again = "pytest cases/square.yaml::one-float64-manual --harness-backend=manual --harness-seed=2"
    assert f"  reproduce  {again}\n" in text
    repeated = pytester.runpytest(*again.split()[1:])
    repeated.assert_outcomes(failed=1)


def test_a_case_that_raises_names_its_line(pytester: pytest.Pytester) -> None:
    pair(pytester.path / "cases", "boom", RAISES)
    pair(pytester.path / "cases", "square")
    result = pytester.runpytest("cases", CORE)
    # It has no `backward`, so `manual` is not asked.
    result.assert_outcomes(passed=8, failed=4)
    assert "cases/boom.py:3: `f = xp.sum(q[7])`: IndexError" in result.stdout.str()


def test_a_missing_framework_is_a_skip_with_the_command(
    pytester: pytest.Pytester, cases: Path
) -> None:
    pytester.makeconftest(NO_TORCH)
    words = ("cases", "--harness-backend=manual,torch")
    result = pytester.runpytest_subprocess(*words, "-rs")
    result.assert_outcomes(passed=4, skipped=4)
    result.stdout.fnmatch_lines(["SKIPPED*torch is not installed: *pip install*"])
    for required in ("torch", "all", "manual,torch"):
        result = pytester.runpytest_subprocess(*words, f"--harness-require={required}")
        result.assert_outcomes(passed=4, failed=4)
        result.stdout.fnmatch_lines(["*`torch` is required and not installed: *pip install*"])


def test_a_declared_gap_is_an_expected_failure(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(NO_DERIVATIVE)
    words = ("cases", "--harness-backend=torch", "--harness-draws=0")
    pair(pytester.path / "cases", "square")
    undeclared = pytester.runpytest_subprocess(*words)
    undeclared.assert_outcomes(failed=1)
    pair(pytester.path / "cases", "square", GOOD, YAML + GAP)
    result = pytester.runpytest_subprocess(*words, "-rx")
    result.assert_outcomes(xfailed=1)
    result.stdout.fnmatch_lines(["XFAIL*no VJP*"])


def test_a_gap_that_is_gone_fails(pytester: pytest.Pytester) -> None:
    gap = GAP.replace("backend: torch", "backend: manual")
    pair(pytester.path / "cases", "square", GOOD, YAML + gap)
    result = pytester.runpytest("cases", "--harness-backend=manual", "--harness-draws=0")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*fixed: square*", "*declared gap is gone*remove its entry*"])


def test_a_bad_case_is_a_collection_error_with_its_line(
    pytester: pytest.Pytester, cases: Path
) -> None:
    pair(cases, "bad", GOOD, YAML + "tagz: [a]\n")
    result = pytester.runpytest("cases", CORE)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*bad.yaml:7: unknown key `tagz`; did you mean `tags`?"])
    assert "Traceback" not in result.stdout.str()


def test_somebody_else_s_yaml_is_ignored(pytester: pytest.Pytester, cases: Path) -> None:
    (cases / "settings.yaml").write_text("{not: [a case")
    (cases / "tool.yaml").write_text("a: 1\n")
    (cases / "tool.py").write_text("print('no function of that name')\n")
    result = pytester.runpytest("cases", CORE, "--harness-draws=0")
    result.assert_outcomes(passed=2)


def test_the_folders_of_the_ini_file_are_collected_besides_testpaths(
    pytester: pytest.Pytester, cases: Path
) -> None:
    (pytester.mkdir("tests") / "test_own.py").write_text("def test_own(): pass\n")
    pytester.makeini(f"[pytest]\ntestpaths = tests\nharness_cases = cases\naddopts = {CORE}\n")
    pytester.runpytest("--harness-draws=0").assert_outcomes(passed=3)
    pytester.runpytest("--harness-draws=0", "tests").assert_outcomes(passed=1)
    # A YAML file in such a folder is meant to be a case.
    (cases / "half.yaml").write_text("summary: half a case\n")
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*half.yaml: there is no `half.py` beside it*"])


def test_the_folders_of_the_ini_file_are_collected_once(
    pytester: pytest.Pytester, cases: Path
) -> None:
    pytester.makeini(f"[pytest]\nharness_cases = cases\naddopts = {CORE}\n")
    pytester.runpytest("--harness-draws=0").assert_outcomes(passed=2)


def test_a_folder_that_does_not_exist_is_bad_usage(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nharness_cases = nosuch\n")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*harness_cases: there is no folder*nosuch*"])


@pytest.mark.parametrize("option", ["backend", "require"])
def test_an_unknown_backend_is_bad_usage(
    pytester: pytest.Pytester, cases: Path, option: str
) -> None:
    result = pytester.runpytest("cases", f"--harness-{option}=torhc")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no backend `torhc`; did you mean `torch`?"])


def test_workers_of_xdist_share_the_cases(pytester: pytest.Pytester, cases: Path) -> None:
    pair(cases, "wrong", WRONG)
    result = pytester.runpytest_subprocess("cases", CORE, "-n", "2")
    # A wrong backward makes no other method look wrong.
    result.assert_outcomes(passed=12, failed=4)
    assert "fail: wrong [one, float64] manual: d/dx" in result.stdout.str()


OWN = """
import harness
import numpy as np

@harness.parametrize("square", cases=["cases"], backends=["numeric", "manual"], draws=1)
def test_check(cell):
    cell.check()

@harness.parametrize(cases=["cases"], backends=["manual"], points=["one"], argument="each")
def test_of_another_kind(each):
    assert each.case.name == "square"
    x = each.sample.inputs["x"]
    np.testing.assert_allclose(each.gradients().gradients["x"], 2 * x)
    assert {row.status for row in each.rows()} == {"pass"}
"""


def test_parametrize_decorates_a_test_of_one_s_own(pytester: pytest.Pytester, cases: Path) -> None:
    pytester.makepyfile(test_own=OWN)
    result = pytester.runpytest("test_own.py", "-v")
    result.assert_outcomes(passed=5)
    assert "test_check[square-draw0-float64-numeric] PASSED" in result.stdout.str()


def test_parametrize_fails_with_a_command_that_repeats_it(pytester: pytest.Pytester) -> None:
    pair(pytester.path / "cases", "square", WRONG)
    pytester.makepyfile(test_own=OWN)
    result = pytester.runpytest("test_own.py", "-k", "test_check and one and manual")
    result.assert_outcomes(failed=1, deselected=4)
    result.stdout.fnmatch_lines(
        ["*fail: square [[]one, float64] manual: d/dx", "*reproduce *harness run square *--cases*"]
    )
    assert "pytest_plugin.py" not in result.stdout.str()


def test_parametrize_refuses_an_unknown_name(pytester: pytest.Pytester, cases: Path) -> None:
    pytester.makepyfile(test_own=OWN.replace('"square", cases', '"sqare", cases'))
    result = pytester.runpytest("test_own.py")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no case `sqare`; did you mean `square`?*"])


def test_loading_the_plugin_imports_neither_numpy_nor_yaml(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\n\n\n"
        "def test_it(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.hasplugin('harness')\n"
        "    heavy = {'numpy', 'yaml', 'pydantic', 'pandas', 'rich', 'optree'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    words = ["-c", "/dev/null", "-p", "no:hypothesispytest", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "test_it.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stdout

"""`harness run`: what is compared, what it says, and its exit status."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from builders import absent
from pairs import FORWARD, GOOD, RAISES, WRONG, YAML, pair

Run = Callable[..., Any]
CORE = ("--backend", "numeric,manual")


def rows(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "results.csv")


@pytest.fixture
def no_torch() -> Iterator[None]:
    with absent("torch"):
        yield


def test_good_rows_are_status_0_and_leave_a_report(harness: Run, tmp_path: Path) -> None:
    said = harness("run", "sum_times_z", *CORE)
    assert said.status == 0
    assert said.err == ""
    assert "sum_times_z" in said.out
    assert "comparisons" in said.out.splitlines()[-1]
    assert "reports/report.md" in said.out.splitlines()[-1]
    table = rows(tmp_path / "reports")
    assert set(table["status"]) == {"pass"}
    assert set(table["backend"]) == {"numeric", "manual"}
    assert sorted(each.name for each in (tmp_path / "reports").iterdir()) == [
        ".results.lock",
        "report.md",
        "results.csv",
        "results.jsonl",
    ]


def test_the_report_goes_where_it_is_sent_or_nowhere(harness: Run, tmp_path: Path) -> None:
    assert harness("run", "sum_times_z", *CORE, "--report", "a/b").status == 0
    assert (tmp_path / "a" / "b" / "report.md").is_file()
    assert harness("run", "sum_times_z", *CORE, "--report", "").status == 0
    assert not (tmp_path / "reports").exists()


def test_the_report_repeats_the_command(harness: Run, tmp_path: Path) -> None:
    harness("run", "sum_times_z", *CORE, "--draws", "1")
    text = (tmp_path / "reports" / "report.md").read_text()
    assert "harness run sum_times_z --backend numeric,manual --draws 1" in text


def test_a_wrong_backward_is_status_1_with_a_message_to_act_on(
    harness: Run, tmp_path: Path
) -> None:
    pair(tmp_path / "mine", "square", WRONG)
    said = harness("run", "--cases", "mine", "--backend", "manual", "--point", "one")
    assert said.status == 1
    assert re.search(r"^square +fail", said.out, re.MULTILINE)
    message = said.out[said.out.index("fail: square [one, float64] manual: d/dx") :]
    got = re.search(r"^  got        (.*)$", message, re.MULTILINE)
    expected = re.search(r"^  expected   (.*)   \(certified\)$", message, re.MULTILINE)
    assert got is not None
    assert expected is not None
    # The digits stand below each other: the sign of one is a blank in the other. Every element is
    # wrong by the same factor, so that any of them may be the worst.
    worst = re.search(r"^  worst at   \[(\d)\]$", message, re.MULTILINE)
    assert worst is not None
    assert float(got[1]) == -2.5 * (int(worst[1]) + 1)
    assert expected[1] == f" {2.0 * (int(worst[1]) + 1)}"
    assert "times that" in message


def test_a_wrong_backward_is_blamed_on_its_line(harness: Run, tmp_path: Path) -> None:
    pair(tmp_path / "mine", "square", WRONG)
    said = harness("run", "--cases", "mine", *CORE, "--draws", "2")
    assert said.status == 1
    blamed = "the fault is in mine/square.py:9: `dx = -2.5 * dq * x`"
    message = said.out[said.out.index("manual: d/dx\n") :]
    assert f"looks like: wrong by a constant factor of -5/4; {blamed}" in message
    # The proof is the same at every point, so it is told once.
    (proof,) = re.findall(r"manual: certificate\n(.*\n.*\n)", said.out)
    assert f"  detail     proved wrong: d/dx; {blamed}" in proof
    assert "also in    2 other comparisons" in proof
    table = rows(tmp_path / "reports")
    assert set(table[table["backend"] == "numeric"]["status"]) == {"pass"}
    assert set(table["reference"]) == {"certified"}
    proofs = table[table["quantity"] == "certificate"]
    assert set(proofs["status"]) == {"fail"}
    assert proofs["digits"].isna().all()


def test_a_wrong_backward_is_told_what_is_right(harness: Run, tmp_path: Path) -> None:
    pair(tmp_path / "mine", "square", GOOD.replace("2.0 * dq", "-2.0 * dq"))
    said = harness("run", "--cases", "mine", *CORE, "--draws", "2")
    assert said.status == 1
    told = "`dx = -2.0 * dq * x`, which is right as `dx = 2.0 * dq * x`"
    assert f"looks like: wrong sign; the fault is in mine/square.py:9: {told}" in said.out
    assert f"proved wrong: d/dx; the fault is in mine/square.py:9: {told}" in said.out


def test_a_wrong_cotangent_between_right_gradients_is_a_remark(
    harness: Run, tmp_path: Path
) -> None:
    python = GOOD.replace("dq = df", "dq = 3 * df").replace("2.0 * dq", "2.0 / 3.0 * dq")
    pair(tmp_path / "mine", "square", python)
    said = harness("run", "--cases", "mine", "--backend", "manual", "--point", "one")
    assert said.status == 0
    table = rows(tmp_path / "reports").set_index("quantity")
    assert set(table["status"]) == {"pass"}
    assert "`dq`" in table["detail"]["certificate"]


def test_a_wrong_shape_is_blamed_and_repaired(harness: Run, tmp_path: Path) -> None:
    pair(tmp_path / "mine", "square", GOOD.replace("2.0 * dq * x", "xp.sum(2.0 * dq * x)"))
    said = harness("run", "--cases", "mine", "--backend", "manual", "--point", "one")
    assert said.status == 1
    assert "wrong shape" in said.out
    assert (
        "mine/square.py:9: `dx = xp.sum(2.0 * dq * x)`, which is right as `dx = 2.0 * dq * x`"
        in (said.out)
    )


def test_an_exception_is_traced_to_the_line_that_caused_it(harness: Run, tmp_path: Path) -> None:
    python = GOOD.replace("xp.ones_like(x)", "xp.ones_like(x[1:])")
    pair(tmp_path / "mine", "square", python)
    said = harness("run", "--cases", "mine", "--backend", "manual", "--point", "one")
    assert said.status == 1
    assert "mine/square.py:9: `dx = 2.0 * dq * x`: ValueError" in said.out
    assert "the fault is in mine/square.py:8: `dq = df * xp.ones_like(x[1:])`" in said.out
    pair(tmp_path / "other", "square", GOOD.replace("2.0 * dq", "dq.nothing * dq"))
    said = harness("run", "--cases", "other", "--backend", "manual", "--point", "one")
    assert "AttributeError" in said.out
    # The line of the exception is not told twice.
    assert "fault is in" not in said.out or "which is right as" in said.out


def test_the_report_says_what_is_proved(harness: Run, tmp_path: Path) -> None:
    pair(tmp_path / "mine", "wrong", WRONG)
    pair(tmp_path / "mine", "exact")
    exp = GOOD.replace("q = x * x", "q = xp.exp(x)").replace("2.0 * dq * x", "dq * xp.exp(x)")
    pair(tmp_path / "mine", "digits", exp)
    kinked = GOOD.replace("q = x * x", "q = xp.abs(x)").replace("2.0 * dq * x", "dq * xp.sign(x)")
    yaml = YAML.replace("[1.0, 2.0, 3.0]", "[0.0, 2.0, 3.0]")
    pair(tmp_path / "mine", "kinked", kinked, yaml)
    svd = GOOD.replace("q = x * x", "q = xp.linalg.svdvals(x[:, None]) ** 2")
    pair(tmp_path / "mine", "unfollowed", svd.replace("xp.ones_like(x)", "xp.ones(1)"))
    harness("run", "--cases", "mine", "--backend", "manual", "--draws", "1")
    text = (tmp_path / "reports" / "report.md").read_text()
    section = text[text.index("## Certificates") : text.index("## Cases")]
    lines = dict(re.findall(r"^\| (\w+) \| (.*) \|$", section, re.MULTILINE))
    assert re.fullmatch(r"(exact|[34]\d) \| 2 of 2 points \| ", lines["exact"])
    assert re.fullmatch(r"[34]\d \| 2 of 2 points \| ", lines["digits"])
    # The point is a kink, the draw is none.
    assert re.match(r"\S* \| 1 of 2 points \| one: kink, a subgradient", lines["kinked"])
    assert lines["wrong"].startswith(" | 0 of 2 points | one: fail, proved wrong: d/dx; ")
    assert "mine/wrong.py:9" in lines["wrong"]
    assert lines["unfollowed"].startswith(" | 0 of 2 points | one: undecided, ")
    assert "svdvals" in lines["unfollowed"]
    details = text[text.index("### exact") :]
    assert "| one | declared | float64 | vjp | certificate | pass exact |" in details
    assert " inf" not in text


def test_the_reproducing_command_repeats_that_row(harness: Run, tmp_path: Path) -> None:
    pair(tmp_path / "mine", "square", WRONG)
    common = ("--cases", "mine", *CORE, "--seed", "5", "--draws", "5", "--step", "1e-3")
    common = (*common, "--numeric", "fourth")
    first = harness("run", *common, "--point", "draw4", "--report", "all")
    assert first.status == 1
    commands = re.findall(r"^  reproduce  (.*)$", first.out, re.MULTILINE)
    assert commands
    table = rows(tmp_path / "all")
    bad = table[table["status"] != "pass"].drop(columns="seconds")
    for index, command in enumerate(commands):
        words = shlex.split(command)
        assert words[0] == "harness"
        again = harness(*words[1:], "--report", f"again{index}")
        assert again.status == 1
        repeated = rows(tmp_path / f"again{index}").drop(columns="seconds")
        wanted = bad.iloc[index]
        match = repeated[repeated["quantity"] == wanted["quantity"]]
        pd.testing.assert_series_equal(match.iloc[0], wanted, check_names=False)


def test_an_intermediate_is_reproduced_too(harness: Run, tmp_path: Path) -> None:
    pair(tmp_path / "mine", "square", GOOD.replace("dq = df", "dq = 3 * df"))
    said = harness("run", "--cases", "mine", *CORE, "--intermediates", "--draws", "0")
    assert said.status == 1
    message = said.out[said.out.index("manual: d/dq (intermediate)") :]
    command = message[message.index("reproduce  ") :].splitlines()[0].removeprefix("reproduce  ")
    again = harness(*shlex.split(command)[1:], "--report", "")
    assert again.status == 1
    assert "d/dq (intermediate)" in again.out


def test_a_case_that_raises_is_one_error_and_the_others_go_on(harness: Run, tmp_path: Path) -> None:
    pair(tmp_path / "mine", "boom", RAISES)
    pair(tmp_path / "mine", "square")
    said = harness("run", "--cases", "mine", *CORE)
    assert said.status == 1
    table = rows(tmp_path / "reports")
    assert set(table[table["case"] == "boom"]["status"]) == {"error"}
    assert set(table[table["case"] == "square"]["status"]) == {"pass"}
    assert said.out.count("mine/boom.py:3: `f = xp.sum(q[7])`: IndexError") == 1
    others = len(table[table["case"] == "boom"]) - 1
    assert f"also in    {others} other comparisons" in said.out


def test_twenty_messages_are_enough(harness: Run, tmp_path: Path) -> None:
    pair(tmp_path / "mine", "square", WRONG)
    said = harness("run", "--cases", "mine", "--backend", "manual", "--draws", "24")
    assert said.out.count("fail: square") == 20
    # One for each of the 25 points, and one for all their certificates, which say the same.
    assert "... and 6 more that are not good; reports/report.md has them all" in said.out
    report = (tmp_path / "reports" / "report.md").read_text()
    assert report.count("fail: square") == 26


def test_list_options_repeat_and_take_commas(harness: Run, tmp_path: Path) -> None:
    said = harness(
        "run", "sum_times_z,product_of_sums", "cos_sin_ratio",
        "--backend", "numeric", "--backend", "manual",
        "--dtype", "float64,float32", "--mode", "value", "--mode", "vjp",
        "--point", "printed,draw0", "--point", "draw1",
    )  # fmt: skip
    assert said.status == 0
    table = rows(tmp_path / "reports")
    assert set(table["case"]) == {"sum_times_z", "product_of_sums", "cos_sin_ratio"}
    assert set(table["backend"]) == {"numeric", "manual"}
    assert set(table["dtype"]) == {"float64", "float32"}
    assert set(table["mode"]) == {"value", "vjp"}
    assert set(table["point"]) == {"printed", "draw0", "draw1"}
    assert "float32: worst status" in said.out


def test_points_draws_and_modes(harness: Run, tmp_path: Path) -> None:
    pair(tmp_path / "mine", "square")
    base = ("run", "--cases", "mine", "--backend", "manual")
    harness(*base, "--draws", "2", "--report", "a")
    assert set(rows(tmp_path / "a")["point"]) == {"one", "draw0", "draw1"}
    harness(*base, "--point", "draw1", "--report", "b")
    assert set(rows(tmp_path / "b")["point"]) == {"draw1"}
    harness(*base, "--mode", "value", "--report", "c")
    assert set(rows(tmp_path / "c")["mode"]) == {"value"}


def test_sizes_and_seeds(harness: Run, tmp_path: Path) -> None:
    yaml = "summary: s\ninputs: {x: {shape: [n]}}\nsizes: {default: {n: 2}, big: {n: 5}}\n"
    pair(tmp_path / "mine", "square", GOOD, yaml)
    base = ("run", "--cases", "mine", *CORE, "--draws", "1")
    harness(*base, "--size", "default,big", "--report", "a")
    assert set(rows(tmp_path / "a")["size"]) == {"default", "big"}
    kept = []
    for name, seed in (("b", "7"), ("c", "7"), ("d", "8")):
        harness(*base, "--seed", seed, "--report", name)
        kept.append(list(rows(tmp_path / name)["got"].dropna()))
    assert kept[0] == kept[1] != kept[2]


def test_a_fixed_step_is_coarser_than_a_chosen_one(harness: Run, tmp_path: Path) -> None:
    base = ("run", "exp_sin_cos", "--backend", "numeric", "--draws", "0", "--mode", "vjp")
    harness(*base, "--report", "chosen")
    harness(*base, "--step", "1e-2", "--report", "fixed")
    chosen, fixed = (rows(tmp_path / name)["max_rel_error"].max() for name in ("chosen", "fixed"))
    assert fixed > 100 * chosen


def test_the_scheme_is_chosen_by_name_and_named_in_the_row(harness: Run, tmp_path: Path) -> None:
    base = ("run", "kink_relu", "--backend", "numeric", "--draws", "1", "--mode", "vjp")
    base = (*base, "--point", "draw0")
    details = {}
    for scheme in ("auto", "central", "fourth", "richardson"):
        harness(*base, "--numeric", scheme, "--report", scheme)
        details[scheme] = rows(tmp_path / scheme)["detail"].iloc[0]
    assert list(details.values()) == [
        *("fourth order", "central differences", "fourth order", "Richardson extrapolation")
    ]
    said = harness(*base, "--numeric", "complex", "--report", "complex")
    assert said.status == 1
    (row,) = rows(tmp_path / "complex").itertuples()
    assert row.status == "unsupported"
    assert "not analytic" in row.detail


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nosuch"], "no case `nosuch`"),
        (["sum_times_z", "--backend", "nunpy"], "no backend `nunpy`"),
        (["sum_times_z", "--backend", "torhc"], "did you mean `torch`?"),
        (["sum_times_z", "--backend", "torch:complie"], "did you mean `compile`?"),
        (["sum_times_z", "--dtype", "float46"], "did you mean `float64`?"),
        (["sum_times_z", "--mode", "vpj"], "did you mean `vjp`?"),
        (["sum_times_z", "--point", "prnted"], "did you mean `printed`?"),
        (["sum_times_z", "--size", "huge"], "no size `huge`"),
        (["sum_times_z", "--require", "torhc"], "did you mean `torch`?"),
        (["--tag", "nosuch"], "no case has the tag `nosuch`"),
        (["sum_times_z", "--cases", "nosuch"], "`nosuch` cannot be read"),
        (["sum_times_z", "--mode", "train"], "nothing to compare"),
        (["sum_times_z", "--report", "file"], "file` cannot be written to"),
        (["sum_times_z", "--report", "file/below"], "cannot be written to"),
    ],
)
def test_what_cannot_be_carried_out_is_status_2_and_leaves_nothing(
    harness: Run, tmp_path: Path, words: list[str], complaint: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    said = harness("run", *words)
    assert said.status == 2
    assert complaint in said.err
    assert said.out == ""
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_folder_in_the_place_of_a_report_is_noticed_before_the_work(
    harness: Run, tmp_path: Path
) -> None:
    (tmp_path / "reports" / "results.csv").mkdir(parents=True)
    said = harness("run", "sum_times_z", *CORE)
    assert said.status == 2
    assert "`results.csv` is a folder" in said.err
    assert said.out == ""


BAD = {
    "malformed": (GOOD, "summary: [unclosed\n", r"malformed\.yaml:\d+: malformed YAML"),
    "unknown_key": (GOOD, YAML + "tagz: [a]\n", r"unknown_key\.yaml:7: .*did you mean `tags`"),
    "syntax": ("def forward(xp, x:\n", YAML, r"syntax\.py:1: "),
    "no_forward": ("x = 1\n", YAML, r"no_forward\.py.*forward"),
    "parameter": (
        FORWARD + "\n\ndef backward(xp, df, y):\n    return {'x': y}\n",
        YAML,
        r"parameter\.py:7: .*`y`",
    ),
    "function": (
        FORWARD.replace("xp.sum", "xp.smu"),
        YAML,
        r"function\.py:3: .*did you mean `sum`",
    ),
    "shape": (GOOD, YAML.replace("[1.0, 2.0, 3.0]", "[1.0]"), r"shape\.yaml:6: "),
    "domain": (
        GOOD,
        YAML.replace("{shape: [3]}", "{shape: [3], domain: [0, 2]}"),
        r"domain\.yaml:6: ",
    ),
    "printed": (
        GOOD,
        YAML.replace("3.0]}}", '3.0]}, expect: {value: "fourteen"}}'),
        r"printed\.yaml:6: .*`fourteen`",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_case_is_named_with_file_and_line(harness: Run, tmp_path: Path, name: str) -> None:
    python, yaml, complaint = BAD[name]
    pair(tmp_path / "mine", name, python, yaml)
    said = harness("run", "--cases", "mine", *CORE)
    assert said.status == 2
    assert re.search(complaint, said.err), said.err
    assert said.err.startswith("error: mine/")
    assert "Traceback" not in said.err
    assert not (tmp_path / "reports").exists()


def test_every_bad_case_is_named_at_once(harness: Run, tmp_path: Path) -> None:
    for name, (python, yaml, _) in BAD.items():
        pair(tmp_path / "mine", name, python, yaml)
    said = harness("run", "--cases", "mine", *CORE)
    assert said.status == 2
    for name, (_, _, complaint) in BAD.items():
        assert re.search(complaint, said.err), name
    assert said.err.rstrip().endswith(f"{len(BAD)} errors; nothing was run")


@pytest.mark.parametrize("suffix", ["py", "yaml"])
def test_half_a_case_is_named(harness: Run, tmp_path: Path, suffix: str) -> None:
    pair(tmp_path / "mine", "square")
    (tmp_path / "mine" / f"square.{suffix}").unlink()
    said = harness("run", "--cases", "mine")
    assert said.status == 2
    assert f"there is no `square.{suffix}` beside it" in said.err


def test_two_cases_with_one_name(harness: Run, tmp_path: Path) -> None:
    pair(tmp_path / "mine", "square")
    pair(tmp_path / "yours", "square")
    said = harness("run", "--cases", "mine,yours")
    assert said.status == 2
    assert "case `square` is already defined by mine/square.yaml" in said.err
    assert "yours/square.yaml" in said.err


@pytest.mark.usefixtures("no_torch")
class TestMissing:
    """A framework that is not installed."""

    def test_is_a_row_with_the_command_that_installs_it(self, harness: Run, tmp_path: Path) -> None:
        said = harness("run", "sum_times_z", "--backend", "manual,torch")
        assert said.status == 0
        missing = rows(tmp_path / "reports").query("backend == 'torch'")
        assert set(missing["status"]) == {"missing"}
        assert all("pip install" in detail for detail in missing["detail"])
        assert said.out.count("pip install") == 1

    def test_is_a_failure_where_it_is_required(self, harness: Run) -> None:
        for words in (["--require", "torch"], ["--require", "all"], ["--require", "numeric,torch"]):
            said = harness("run", "sum_times_z", "--backend", "manual,torch", *words)
            assert said.status == 1
            assert "`torch` is required and not installed" in said.err
            assert "pip install" in said.err

    def test_is_a_failure_where_it_is_required_but_not_run(self, harness: Run) -> None:
        said = harness("run", "sum_times_z", "--backend", "manual", "--require", "torch")
        assert said.status == 1
        assert harness("run", "sum_times_z", *CORE, "--require", "all").status == 0

    def test_alone_is_nothing_compared(self, harness: Run) -> None:
        said = harness("run", "sum_times_z", "--backend", "torch")
        assert said.status == 2
        assert "nothing was compared" in said.err

    def test_is_named_by_show(self, harness: Run) -> None:
        said = harness("show", "sum_times_z", "--backend", "manual,torch")
        assert said.status == 0
        assert re.search(r"^torch is not installed: .*pip install", said.out, re.MULTILINE)


def test_no_progress_bar_outside_a_terminal(harness: Run) -> None:
    assert harness("run", "sum_times_z", *CORE).err == ""
    assert harness("run", "sum_times_z", *CORE, "--no-progress").err == ""


def test_an_interrupt_keeps_what_there_is(
    harness: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.runs.engine import Engine

    judge = Engine.rows

    def rows_until_interrupted(engine: Engine, cell: Any) -> Any:
        if cell.point == "draw1":
            raise KeyboardInterrupt
        return judge(engine, cell)

    monkeypatch.setattr(Engine, "rows", rows_until_interrupted)
    said = harness("run", "sum_times_z", *CORE)
    assert said.status == 130
    assert "interrupted; reports/ has the" in said.err
    assert "draw0" in set(rows(tmp_path / "reports")["point"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--point", "draw77"), "raise `--draws`"),
        (("linear_regression", "--draws", "0"), "`--draws` of at least 1"),
        (("--jobs", "0", "--timeout", "5"), "nothing can be stopped"),
        (("--jobs", "0", "--memory-limit", "1GiB"), "nothing can be stopped"),
        (("--executor", "dask://localhost:abc"), "is no executor"),
        (("--cases", "empty"), "holds no case"),
    ],
)
def test_what_cannot_be_meant_is_told(
    harness: Run, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    (tmp_path / "empty").mkdir()
    said = harness("run", "--backend", "manual", "--mode", "vjp", *options)
    assert said.status == 2
    assert words in said.err


def test_a_method_named_twice_has_its_rows_once() -> None:
    import harness as package

    once, twice = (
        package.run("exp_sin_cos", backends=("manual",) * times, draws=1, jobs=0)
        for times in (1, 2)
    )
    assert len(twice.rows) == len(once.rows)


def test_a_strict_run_fails_where_balls_cannot_follow(harness: Run, tmp_path: Path) -> None:
    svd = GOOD.replace("q = x * x", "q = xp.linalg.svdvals(x[:, None]) ** 2")
    pair(tmp_path / "mine", "square", svd)
    common = ("run", "--cases", "mine", "--backend", "numeric", "--mode", "vjp")
    assert harness(*common).status == 0
    said = harness(*common, "--strict")
    assert said.status == 1
    assert "--strict" in said.out

"""Nothing lost: the journal, and taking a run up again."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pandas as pd
import pytest
from builders import write_case
from hypothesis import given
from hypothesis import strategies as st

from harness import backends
from harness.cases.case import load
from harness.errors import UsageError
from harness.model import Row, Status
from harness.runs.journal import JOURNAL, Journal, Keys
from harness.runs.plan import Request, cells

Run = Callable[..., Any]

PYTHON = """
    def forward(xp, x):
        y = x * x
        return y

    def backward(xp, dy, x):
        dx = 2 * x * dy
        return {"x": dx}
"""
YAML = """
    inputs:
      x: {shape: [3]}
"""
OWN = ("run", "--cases", "own", "--backend", "manual,numeric")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    write_case(tmp_path / "own", PYTHON, YAML, "one")
    write_case(tmp_path / "own", PYTHON.replace("2 * x", "(x + x)"), YAML, "two")
    return tmp_path


def lines(folder: Path) -> list[str]:
    return (folder / "reports" / JOURNAL).read_text().splitlines()


def table(folder: Path) -> str:
    found = pd.read_csv(folder / "reports" / "results.csv").drop(columns="seconds")
    return str(found.to_csv())


def test_every_cell_has_a_line_and_a_finished_run_repeats_none(harness: Run, own: Path) -> None:
    assert harness(*OWN).status == 0
    first, report = lines(own), table(own)
    assert len(first) == 12  # two cases, three draws, two methods
    assert harness(*OWN, "--resume").status == 0
    assert lines(own) == first
    assert table(own) == report


def test_a_torn_last_line_is_done_again(harness: Run, own: Path) -> None:
    harness(*OWN)
    journal, report = own / "reports" / JOURNAL, table(own)
    whole = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(whole[:5]) + whole[5][:40])
    harness(*OWN, "--resume")
    assert [json.loads(line)["key"] for line in lines(own)[:5]] == [
        json.loads(line)["key"] for line in whole[:5]
    ]
    assert len(lines(own)) == len({json.loads(line)["key"] for line in lines(own)}) == 12
    assert table(own) == report


@pytest.mark.parametrize(
    ("change", "repeated"),
    [
        (lambda own, options: options.append("--seed=1"), 12),
        (lambda own, options: options.append("--step=1e-4"), 12),
        (lambda own, options: options.append("--numeric=fourth"), 12),
        (lambda own, options: options.append("--draws=4"), 4),
        (lambda own, options: write_case(own / "own", PYTHON + "\n    # a word\n", YAML, "one"), 6),
        (lambda own, options: write_case(own / "own", PYTHON, YAML + "\n", "one"), 0),
        (
            lambda own, options: write_case(own / "own", PYTHON, YAML.replace("3", "4"), "one"),
            6,
        ),
    ],
)
def test_another_seed_or_text_is_refused_cell_by_cell(
    harness: Run, own: Path, change: Callable[[Path, list[str]], None], repeated: int
) -> None:
    harness(*OWN)
    options: list[str] = []
    change(own, options)
    harness(*OWN, *options, "--resume")
    assert len(lines(own)) == 12 + repeated


def test_another_text_of_a_module_that_the_case_imports_is_refused(
    harness: Run, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(own))
    (own / "of_mine.py").write_text("from of_mine_too import FACTOR\n")
    (own / "of_mine_too.py").write_text("FACTOR = 2\n")
    imports = PYTHON.replace("2 * x", "FACTOR * x")
    write_case(own / "own", "    from of_mine import FACTOR\n" + imports, YAML, "one")
    harness(*OWN)
    (own / "of_mine_too.py").write_text("FACTOR = 3\n")
    harness(*OWN, "--resume")
    assert len(lines(own)) == 12 + 6


#: How code gets at what no import statement names, and the text that is then in `other.txt`.
READS = {
    "data at import": "FACTOR = float((HERE / 'other.txt').read_text())",
    "data in a call": "def factor():\n    return np.fromfile(HERE / 'other.txt', sep=' ')[0]",
    "a module by name": "from importlib import import_module\nsys.path.insert(0, str(HERE))\n"
    "FACTOR = import_module(HERE.name + '_other').FACTOR",
    "a module by its file": "from importlib.util import module_from_spec, spec_from_file_location\n"
    "spec = spec_from_file_location('other', HERE / f'{HERE.name}_other.py')\n"
    "module = module_from_spec(spec)\nspec.loader.exec_module(module)\nFACTOR = module.FACTOR",
}


@pytest.mark.parametrize("how", READS)
@pytest.mark.parametrize("jobs", ["0", "2"])
def test_whatever_the_code_of_a_case_reads_is_remembered(
    harness: Run, own: Path, monkeypatch: pytest.MonkeyPatch, how: str, jobs: str
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])

    def say(factor: float) -> None:
        sys.modules.pop("own_other", None)
        (own / "own" / "other.txt").write_text(f"{factor} ")
        (own / "own" / "own_other.py").write_text(f"FACTOR = {factor}\n")

    say(2.0)
    factor = "factor()" if how == "data in a call" else "FACTOR"
    head = "import sys\nimport numpy as np\nfrom pathlib import Path\n"
    head += f"HERE = Path(__file__).parent.absolute()\n{READS[how]}\n"
    write_case(own / "own", "", YAML, "one")
    code = head + dedent(PYTHON).replace("2 * x", f"{factor} * x")
    (own / "own" / "one.py").write_text(code)
    assert harness(*OWN, "--jobs", jobs).status == 0
    assert harness(*OWN, "--jobs", jobs, "--resume").status == 0
    assert len(lines(own)) == 12
    say(3.25)  # compiled code is told by its size from that of the same second
    assert harness(*OWN, "--jobs", jobs, "--resume").status == 1
    again = [json.loads(line)["rows"][0]["case"] for line in lines(own)[12:]]
    assert again.count("one") == 6


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"status": "pass"', '"status": "splendid"'),
        ('"read": {', '"unread": {'),
        ('"digits": ', '"figures": '),
        ('"rows": [', '"rows": [0, '),
        ('{"key"', '[{"key"'),
    ],
)
def test_a_line_that_says_what_no_row_says_is_done_again(
    harness: Run, own: Path, old: str, new: str
) -> None:
    harness(*OWN)
    report, journal = table(own), own / "reports" / JOURNAL
    whole = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([whole[0].replace(old, new), *whole[1:]]))
    assert harness(*OWN, "--resume").status == 0
    assert len(lines(own)) == 12 + 1
    assert table(own) == report


@pytest.mark.parametrize("status", [Status.CRASH, Status.TIMEOUT])
def test_a_cell_whose_worker_was_lost_is_done_again(harness: Run, own: Path, status: str) -> None:
    harness(*OWN)
    report, journal = table(own), own / "reports" / JOURNAL
    whole = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([whole[0].replace('"pass"', f'"{status}"'), *whole[1:]]))
    harness(*OWN, "--resume")
    assert len(lines(own)) == 12 + 1
    assert table(own) == report


@pytest.mark.parametrize("name", ["results.jsonl", ".results.lock"])
def test_a_journal_that_cannot_be_written_is_told(harness: Run, own: Path, name: str) -> None:
    (own / "reports" / name).mkdir(parents=True)
    said = harness(*OWN)
    assert said.status == 2
    assert name in said.err and "--report DIR" in said.err


class Full:
    """A file on a disk that has room for three more lines."""

    def __init__(self, file: Any) -> None:
        self.file, self.name, self.room = file, file.name, 3

    def write(self, line: bytes) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        self.room -= 1
        return int(self.file.write(line))

    def close(self) -> None:
        self.file.close()


def test_a_full_disk_costs_the_rest_and_is_told(
    harness: Run, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Journal.__init__

    def full(self: Any, *arguments: Any, **options: Any) -> None:
        opened(self, *arguments, **options)
        self._file = Full(self._file)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "__init__", full)
        said = harness(*OWN)
    assert said.status == 2
    assert "No space left" in said.err and "--resume" in said.err
    assert "comparisons" in said.out
    assert len(lines(own)) == 3
    assert harness(*OWN, "--resume").status == 0
    assert len(lines(own)) == 12


def test_another_version_of_a_method_is_refused(harness: Run, own: Path) -> None:
    class Newer(backends.backend_class("numeric")):  # type: ignore[misc]
        @classmethod
        def versions(cls) -> dict[str, str]:
            return {"numpy": "99"}

    harness(*OWN)
    with backends.registered(Newer):
        harness(*OWN, "--resume")
    assert len(lines(own)) == 12 + 6


def test_without_resume_a_run_starts_afresh(harness: Run, own: Path) -> None:
    harness(*OWN)
    harness(*OWN, "--draws", "1")
    assert len(lines(own)) == 4


def test_resume_needs_a_folder(harness: Run, own: Path) -> None:
    said = harness(*OWN, "--report", "", "--resume")
    assert said.status == 2
    assert "--report DIR" in said.err


def test_two_runs_into_one_folder_are_told(harness: Run, own: Path) -> None:
    case = load(own / "own" / "one.yaml")
    (own / "reports").mkdir()
    journal = Journal(own / "reports", Keys([case], Request()))
    try:
        said = harness(*OWN)
        assert said.status == 2
        assert re.search("another run is writing into `.*reports`", said.err)
    finally:
        journal.close()
    assert harness(*OWN).status == 0


def test_a_folder_is_free_again_after_a_mistake(own: Path) -> None:
    case = load(own / "own" / "one.yaml")
    keys = Keys([case], Request())
    journal = Journal(own, keys)
    with pytest.raises(UsageError):
        Journal(own, keys)
    journal.close()
    Journal(own, keys).close()


@given(st.floats(), st.text())
def test_a_row_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, number: float, text: str
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    case = load(write_case(folder, PYTHON, YAML))
    request = Request(backends=("manual",))
    plan = cells([case], request)
    row = Row("a", "b", "c", "d", "e", "vjp", "f", Status.PASS, digits=number, detail=text)
    journal = Journal(folder, Keys([case], request))
    journal.append(plan[0], [row], {})
    journal.close()
    again = Journal(folder, Keys([case], request), resume=True)
    assert repr(again.find(plan[0])) == repr([row])
    assert again.find(plan[1]) is None
    again.close()


def start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "harness", *OWN, "--draws", "20", "--jobs", "2", *options]

    # A shell without a terminal lets what it starts in the background ignore SIGINT.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        with (folder / "said").open("wb") as said:
            return subprocess.Popen(words, cwd=folder, stdout=said, stderr=said)
    finally:
        signal.signal(signal.SIGINT, before)


def wait_for_lines(folder: Path, number: int, process: subprocess.Popen[bytes]) -> None:
    journal = folder / "reports" / JOURNAL
    while process.poll() is None and not (
        journal.exists() and journal.read_bytes().count(b"\n") >= number
    ):
        time.sleep(0.01)


@pytest.mark.parametrize("number", [1, 40])
def test_a_killed_run_is_taken_up_without_a_row_lost_or_doubled(
    harness: Run, own: Path, number: int
) -> None:
    process = start(own)
    wait_for_lines(own, number, process)
    process.kill()
    process.wait()
    journal = own / "reports" / JOURNAL
    left = journal.read_bytes().splitlines(keepends=True)
    left = [line.decode().strip() for line in left if line.endswith(b"\n")]
    assert start(own, "--resume").wait() == 0
    assert lines(own)[: len(left)] == left
    assert len(lines(own)) == len({json.loads(line)["key"] for line in lines(own)}) == 80
    report = table(own)
    assert harness(*OWN, "--draws", "20").status == 0
    assert table(own) == report


#: A case that waits for a file, so that nobody has to be quick.
WAITING = """
    import time
    from pathlib import Path

    import numpy as np

    def forward(xp, x):
        y = x * x
        return y

    def inputs(rng):
        while not Path("go").exists():
            time.sleep(0.01)
        return {"x": np.ones(3)}
"""


def test_an_interrupt_writes_what_there_is_and_says_how_to_go_on(own: Path) -> None:
    write_case(own / "own", WAITING, "inputs: {x: {}}\n", "two")
    process = start(own)
    wait_for_lines(own, 40, process)
    process.send_signal(signal.SIGINT)
    process.wait()
    said = (own / "said").read_text()
    assert process.returncode == 130, said
    assert "go on with: harness run --cases own" in said and "--resume" in said
    assert set(pd.read_csv(own / "reports" / "results.csv")["case"]) == {"one"}
    (own / "go").touch()
    assert start(own, "--resume").wait() == 0
    assert set(pd.read_csv(own / "reports" / "results.csv")["case"]) == {"one", "two"}

"""Modules beside a case belong to it: read, checked, rewritten and sent along with it."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from builders import write_case

from harness.cases.case import Case, load
from harness.cases.registry import find
from harness.cases.sampling import NUMPY
from harness.errors import CaseError
from harness.runs.journal import Keys
from harness.runs.plan import Request, cells

YAML = "inputs: {x: {shape: [3]}}\n"
CASE = """
    import losses
    import numpy as np
    from losses import shifted as moved, TWO

    def forward(xp, x):
        import losses as again
        f = moved(xp, again.double(xp, x)) * TWO * np.ones(3)
        return f

    def backward(xp, df):
        return {"x": 4.0 * df * losses.ones(xp, df)}
"""
LOSSES = """\
from tools import clean

TWO = 2.0


def double(xp, x):
    return 2.0 * x


def shifted(xp, x):
    y = clean(xp, x)
    y[0] += 1.0
    return y


def ones(xp, x):
    return xp.ones_like(x)
"""
TOOLS = "def clean(xp, x):\n    y = x * 1.0\n    y[1] -= 1.0\n    return y\n"


def written(folder: Path, losses: str = LOSSES) -> Case:
    yaml = write_case(folder, CASE, YAML)
    (folder / "losses.py").write_text(losses)
    (folder / "tools.py").write_text(TOOLS)
    return load(yaml)


def value(case: Case) -> list[float]:
    found: list[float] = case.program.forward(NUMPY, {"x": np.ones(3)}).outputs[0].tolist()
    return found


def test_a_case_imports_what_lies_beside_it(tmp_path: Path) -> None:
    case = written(tmp_path)
    assert value(case) == [6.0, 2.0, 4.0]
    assert set(case.code.modules) == {"losses", "tools"}
    assert [entry.name for entry in find([tmp_path]) if entry.own] == ["demo"]
    returned, _ = case.program.backward(
        NUMPY, (np.ones(3),), {}, case.program.forward(NUMPY, {"x": np.ones(3)})
    )
    assert returned["x"].tolist() == [4.0, 4.0, 4.0]


def test_each_folder_has_modules_of_its_own(tmp_path: Path) -> None:
    one = written(tmp_path / "one")
    two = written(tmp_path / "two", LOSSES.replace("TWO = 2.0", "TWO = 3.0"))
    assert value(one) == [6.0, 2.0, 4.0]
    assert value(two) == [9.0, 3.0, 6.0]


def test_a_case_takes_its_modules_along(tmp_path: Path) -> None:
    case = pickle.loads(pickle.dumps(written(tmp_path)))
    (tmp_path / "losses.py").unlink()
    (tmp_path / "tools.py").unlink()
    assert value(case) == [6.0, 2.0, 4.0]


def test_a_module_that_changes_changes_the_key_of_every_cell(tmp_path: Path) -> None:
    keys = []
    for tools in (TOOLS, TOOLS.replace("-= 1.0", "-= 2.0")):
        case = written(tmp_path)
        (tmp_path / "tools.py").write_text(tools)
        case = load(tmp_path / "demo.yaml")
        request = Request(backends=("manual",))
        keys.append(Keys([case], request).of(cells([case], request)[0]))
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("losses", "line", "said"),
    [
        ("def double(xp, x):\n    return xp.sofmax(x)\n", 2, "did you mean `softmax`"),
        ("def double(xp, x:\n", 1, "syntax error"),
    ],
)
def test_a_bad_module_is_refused_by_its_own_line(
    tmp_path: Path, losses: str, line: int, said: str
) -> None:
    with pytest.raises(CaseError, match=said) as caught:
        written(tmp_path, losses)
    assert str(caught.value).startswith(str(tmp_path / "losses.py"))
    assert caught.value.line == line


def test_a_module_of_python_itself_is_not_hidden(tmp_path: Path) -> None:
    text = (
        "import statistics\ndef forward(xp, x):\n    f = x * statistics.mean([2.0])\n    return f"
    )
    yaml = write_case(tmp_path, text, YAML)
    (tmp_path / "statistics.py").write_text("raise RuntimeError\n")
    assert value(load(yaml)) == [2.0, 2.0, 2.0]

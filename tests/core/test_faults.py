"""The faults of the transcribed backwards: each applies, changes the gradient, and is caught."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from harness.backends.manual import ManualBackend
from harness.cases.sampling import draw_sample
from harness.programs.staging import StagedProgram
from harness.truth.certificate import certify

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import faults
from faults import HELD_OUT, TUNING, Fault

CASES = faults.cases()
FAULTS = {name: list(faults.read(name)) for name in (TUNING, HELD_OUT)}
ALL = [fault for found in FAULTS.values() for fault in found]
DRAWS = ("draw0", "draw1", "draw2")


@pytest.mark.parametrize("index", range(len(ALL)), ids=lambda i: f"{ALL[i].case}-{i}")
def test_a_fault_changes_the_gradient_and_is_proved_wrong(index: int) -> None:
    fault = ALL[index]
    case = CASES[fault.case]
    code = fault.code(case)
    changed = [
        number
        for number, (old, new) in enumerate(
            zip(case.code.text.split("\n"), code.text.split("\n"), strict=True), 1
        )
        if old != new
    ]
    assert changed == [fault.line(case.code.text)]
    assert code.forward == case.code.forward
    program, seen = StagedProgram.of(code), 0
    for point in DRAWS:
        sample = draw_sample(case, point, "default", "float64")
        right = ManualBackend().differentiate(case.program, sample).gradients
        wrong = ManualBackend().differentiate(program, sample).gradients
        differs = any(not np.allclose(wrong[key], right[key], 1e-9, 0) for key in right)
        seen += differs
        assert certify(program, sample).state == ("wrong" if differs else "verified")
    assert seen


def test_every_transcribed_backward_has_three_faults_and_none_twice() -> None:
    counts = Counter(fault.case for fault in ALL)
    library = {name for name, case in CASES.items() if "library" in case.declared.tags}
    assert set(counts) == library
    assert min(counts.values()) >= 3
    assert len({(fault.case, fault.right, fault.wrong) for fault in ALL}) == len(ALL)


def test_a_hash_decides_which_third_is_held_out() -> None:
    assert all(fault.home == name for name, found in FAULTS.items() for fault in found)
    assert 0.25 < len(FAULTS[HELD_OUT]) / len(ALL) < 0.42


def test_a_line_that_is_not_there_or_not_alone_is_refused() -> None:
    fault = Fault("demo", "dx = df * y", "dx = df", "the factor is forgotten")
    text = "def backward(xp, df, y):\n    dx = df * y\n    return {'x': dx}\n"
    assert fault.line(text) == 2
    assert fault.applied(text).split("\n")[1] == "    dx = df"
    with pytest.raises(ValueError, match=r"demo: `dx = df \* y` is 0 lines of it, not one"):
        fault.line(text.replace("y", "z"))
    with pytest.raises(ValueError, match="is 2 lines"):
        fault.applied(text + text)

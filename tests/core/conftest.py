"""A pair of case files for a test, written and loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from builders import case_from

from harness.cases.case import Case


@pytest.fixture
def case(tmp_path: Path) -> Callable[..., Case]:
    """`case(python, yaml)` writes `demo.py` and `demo.yaml` into the test's folder, loads them."""

    def make(python: str, yaml: str, name: str = "demo") -> Case:
        return case_from(tmp_path, python, yaml, name)

    return make

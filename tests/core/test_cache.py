"""What workers compile is kept for the next run, where the user wants that and has room for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.runs import cache
from harness.runs.workers import LocalWorkers


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return tmp_path / "caches"


def test_the_folder_is_the_users_and_made_when_it_is_needed(home: Path) -> None:
    found = cache.folder()
    assert found is not None
    assert found.is_dir()
    assert found.is_relative_to(home / "gradient-harness")
    assert cache.folder() == found


def test_without_a_place_there_is_none(home: Path) -> None:
    home.write_text("a file")
    assert cache.folder() is None


@pytest.mark.parametrize(("options", "kept"), [({}, True), ({"cache": False}, False)])
def test_workers_compile_there_or_in_a_folder_that_goes_with_them(
    home: Path, options: dict[str, bool], kept: bool
) -> None:
    workers = LocalWorkers(1, **options)
    folder = workers.compiled()
    assert folder is not None
    assert Path(folder).is_relative_to(home) == kept
    assert home.exists() == kept
    workers.close()
    assert os.path.isdir(folder) == kept


def test_what_is_timed_is_compiled_on_its_own(home: Path) -> None:
    assert LocalWorkers(1, threads=1).compiled() is None

"""A long benchmark in pieces: each is done once, in order, and only kept for the code it is of."""

from __future__ import annotations

import argparse
import operator
import sys
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import pieces
from pieces import Piece, done

PIECES = [Piece("one"), Piece("two"), Piece("one", range(100)), Piece("one", range(100, 150))]
NAMES = ["one.faults", "two.faults", "one.draws-0-100", "one.draws-100-150"]


class Work:
    """Gives the name of a piece, and remembers what it was asked; raises at `bad`."""

    def __init__(self, bad: str = "") -> None:
        self.bad, self.asked = bad, []

    def __call__(self, piece: Piece) -> str:
        if piece.name == self.bad:
            raise KeyboardInterrupt
        self.asked.append(piece.name)
        return piece.name


def test_every_piece_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(done(PIECES, Work(), 1, None)) == NAMES
    assert "4/4 one.draws-100-150" in capsys.readouterr().err


def test_processes_do_the_same() -> None:
    assert list(done(PIECES, operator.attrgetter("name"), 2, None)) == NAMES


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    first, second, third = Work(bad=NAMES[2]), Work(), Work()
    with pytest.raises(KeyboardInterrupt):
        done(PIECES, first, 1, tmp_path)
    assert first.asked == NAMES[:2]
    assert list(done(PIECES, second, 1, tmp_path)) == NAMES
    assert second.asked == NAMES[2:]
    assert list(done(PIECES, third, 1, tmp_path)) == NAMES
    assert third.asked == []


def test_what_other_code_or_options_made_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of(**options: object) -> str:
        return pieces.digest(partial(print, options=argparse.Namespace(**options)))

    assert of(seed=0, jobs=1, draws=5) == of(seed=0, jobs=2, draws=1000)
    assert of(seed=0) != of(seed=1)
    before = of(seed=0)
    monkeypatch.setattr(pieces, "ROOT", tmp_path)
    (tmp_path / "harness").mkdir()
    assert of(seed=0) != before
    before = of(seed=0)
    (tmp_path / "harness" / "certificate.py").write_text("x = 1")
    assert of(seed=0) != before

"""Faults as people make them: one line of a transcribed backward, as fixes in commit histories show
it before the fix. The mutants of `mutants.py` are drawn by rules; these were written by hand.

`tuning.yaml` may be looked at while the finder of faulty lines is built. `heldout.yaml`, a third of
all, is for measuring it afterwards. A hash of the fault decides where it belongs, so nobody chose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.cases import registry
from harness.cases.case import Case, load
from harness.programs.source import Code, parse

FOLDER = Path(__file__).parent
TUNING, HELD_OUT = "tuning", "heldout"


@dataclass(frozen=True)
class Fault:
    """In the Python file of `case`, the line `right` reads `wrong`; `what` says what went wrong.
    Both lines are without their indentation."""

    case: str
    right: str
    wrong: str
    what: str

    @property
    def home(self) -> str:
        """The file that it belongs to, by its hash: two thirds are for tuning."""
        digest = hashlib.sha256(f"{self.case}\n{self.right}\n{self.wrong}".encode()).digest()
        return TUNING if digest[0] % 3 else HELD_OUT

    def line(self, text: str) -> int:
        """The number, from 1, of the line that goes wrong in a case's Python file.

        Raises ValueError where `right` is no line of it, or more than one.
        """
        lines = [line.strip() for line in text.split("\n")]
        if lines.count(self.right) != 1:
            count = lines.count(self.right)
            raise ValueError(f"{self.case}: `{self.right}` is {count} lines of it, not one")
        return lines.index(self.right) + 1

    def applied(self, text: str) -> str:
        """The Python file with the fault in it."""
        lines, index = text.split("\n"), self.line(text) - 1
        lines[index] = lines[index].replace(self.right, self.wrong)
        return "\n".join(lines)

    def code(self, case: Case) -> Code:
        """The faulty file, parsed."""
        return parse(self.applied(case.code.text), case.code.file)


def read(name: str = TUNING) -> Iterator[Fault]:
    """The faults of one of the two files, case by case."""
    cases = yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))
    for case, found in cases.items():
        for each in found:
            yield Fault(case, **each)


def cases() -> dict[str, Case]:
    """Every built-in case that a fault may name."""
    return {entry.name: load(entry.file) for entry in registry.find()}

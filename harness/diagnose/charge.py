"""What is said of the faulty line, and how sure that is.

"The fault is in" is a promise: it is proved, or this line alone of all that could be the fault
becomes right by an edit, which is certified. Where several do, nobody can know which of them the
author got wrong. All else is a suspicion, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from harness.diagnose.repair import Repair

#: Lines that are named at most. "Either" names all of them, or it would not be true.
NAMED = 3


class Certainty(Enum):
    """How sure it is that the fault is in the first of the lines of a charge."""

    PROVED = "proved"
    REPAIRED = "repaired"
    EITHER = "either"
    SUSPECTED = "suspected"


@dataclass(frozen=True)
class Line:
    """A line of the case's file, as it stands there, and what would make it right, if known."""

    number: int
    source: str
    repair: Repair | None = None


@dataclass(frozen=True)
class Charge:
    """`lines`, the most suspect first: one that is PROVED wrong or REPAIRED; with EITHER, those
    that have a certified repair; with SUSPECTED, all that come into question."""

    file: str
    certainty: Certainty
    lines: tuple[Line, ...]

    def __str__(self) -> str:
        """In words, for people; "" where there is no line."""
        told = [self._told(each) for each in self.lines[:NAMED]]
        if not told:
            return ""
        if self.certainty is Certainty.SUSPECTED:
            return (
                f"suspected, in this order: {', '.join(told)}"
                if told[1:]
                else f"suspected: {told[0]}"
            )
        if self.certainty is Certainty.EITHER:
            return f"the fault is either in {', or in '.join(told)}"
        reason = ""
        if self.lines[0].repair is None:
            reason = ", since all that it is computed from is right"
        return f"the fault is in {told[0]}{reason}"

    def _told(self, line: Line) -> str:
        place, repair = f"{self.file}:{line.number}: `{line.source}`", line.repair
        if repair is None:
            return place
        if not repair.certified:
            return f"{place} (a guess, right at this point: `{repair.text}`)"
        return f"{place}, which is right as `{repair.text}`"


def charge(
    file: str, lines: Sequence[Line], *, proved: bool = False, complete: bool = False
) -> Charge:
    """`lines` come in the order of suspicion. `proved`: the first of them is known to be wrong.
    `complete`: of all lines that could be the fault, those without a repair have none."""
    certified = [each for each in lines if each.repair is not None and each.repair.certified]
    guessed = [each for each in lines if each.repair is not None and not each.repair.certified]
    others = [each for each in lines if each.repair is None]
    if proved:
        mended = [each for each in certified if each.number == lines[0].number]
        return Charge(file, Certainty.PROVED, tuple((mended or lines)[:1]))
    if 1 < len(certified) <= NAMED:
        return Charge(file, Certainty.EITHER, tuple(certified))
    if len(certified) == 1 and complete and not guessed:
        return Charge(file, Certainty.REPAIRED, tuple(certified))
    return Charge(file, Certainty.SUSPECTED, (*certified, *guessed, *others))

"""Everything that is said of a wrong backward: which cotangents are wrong, the line, its repair.

Two kinds of evidence meet. Names: a local `dq` that is wrong while all that it is computed from is
right is at fault, and what leads to a right one is not. Values, which need no names: a line of
which no value would make all gradients right is acquitted. Then edits are tried on what is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from harness.diagnose.blame import suspects
from harness.diagnose.charge import Certainty, Charge, Line, charge
from harness.diagnose.dataflow import Suspect
from harness.diagnose.evidence import Evidence
from harness.diagnose.inquest import Findings, inquire
from harness.diagnose.repair import LINES, Repairs, places_on, search
from harness.diagnose.required import RIGHT
from harness.diagnose.span import Level
from harness.model import Sample
from harness.programs.source import Code
from harness.programs.staging import StagedProgram
from harness.truth.lifted import Lifted


class Accusation:
    """Of the backward of `program` at one sample, computed when it is first asked for: a backward
    that is right costs nothing."""

    def __init__(self, code: Code, program: StagedProgram, sample: Sample) -> None:
        self._code, self._program, self._sample = code, program, sample

    @cached_property
    def findings(self) -> Findings:
        """What is still right, and what is wrong."""
        return inquire(self._program, self._sample, self._code.file)

    @cached_property
    def text(self) -> str:
        """The line, and what it should be, in words; "" where there is nothing to say. The verdict
        stands without it: what cannot be found out is no reason to lose a wrong gradient."""
        try:
            return self._text()
        except Exception as error:
            return f"which line is at fault is not known: {type(error).__name__}: {error}"

    def _text(self) -> str:
        found = self.charge
        # Where it raises, the line is known; what is worth saying is why, or which one is to blame.
        mended = any(each.repair for each in found.lines)
        if self.findings.line is not None and not (mended or self.findings.wrong):
            return ""
        return str(found)

    @cached_property
    def charge(self) -> Charge:
        """The lines in question, and how sure that is."""
        if not self.findings.wrong and self.findings.line is None:
            return Charge(self._code.file, Certainty.SUSPECTED, ())
        named = suspects(self._code, self.findings)
        evidence = self._evidence
        if evidence is None:
            lines = list(dict.fromkeys(each.step.line for each in named))
            return self._charge(lines, Repairs(), named, proved=bool(named) and named[0].proved)
        proved = bool(named) and named[0].proved
        if proved and not self._confirmed(evidence, named[0]):
            proved, named = False, []  # a name that misleads
        ordered = order(evidence, named)
        if proved:
            first = ("backward", named[0].step.line)
            ordered = [first, *(each for each in ordered if each != first)]
        tried = ordered[:1] if proved else ordered[:LINES]
        repairs = search(evidence, places_on(evidence, tried))
        complete = repairs.complete and len(tried) == len(ordered)
        lines = [*repairs.found, *(line for _, line in ordered if line not in repairs.found)]
        return self._charge(lines, repairs, named, proved=proved, complete=complete)

    @cached_property
    def _evidence(self) -> Evidence | None:
        """None where the source is not known, or `forward` raises."""
        try:
            with np.errstate(all="ignore"):
                return Evidence(self._code, self._program, self._sample)
        except Exception:  # whatever the case's code raises is said elsewhere
            return None

    def _confirmed(self, evidence: Evidence, suspect: Suspect) -> bool:
        """Whether all gradients would be right if a line that is proved wrong by its name gave what
        its name says: what is called `dq` may be meant to be something else."""
        if ("backward", suspect.step.line) in evidence.acquitted:
            return False
        name = suspect.step.name[1:]
        node = getattr(suspect.step.node, "value", None)
        required = evidence.required.get(id(node))
        if name not in self._sample.intermediates:
            return True
        if required is None or not required.whole:
            return not (evidence.required and evidence.unknown(node))
        lifted = Lifted(self._program, evidence.sample)
        direction = lifted.directions([name])
        truth = lifted.derivative(direction)
        terms = required.value(evidence.records[0]) * direction[name]
        size = float(np.sum(np.abs(terms)))
        return truth is None or abs(float(np.sum(terms)) - float(truth)) <= RIGHT * size

    def _charge(
        self,
        lines: Sequence[int],
        repairs: Repairs,
        named: Sequence[Suspect],
        *,
        proved: bool = False,
        complete: bool = False,
    ) -> Charge:
        sources = self._sources(named)
        told = [
            Line(number, sources.get(number, ""), repairs.found.get(number)) for number in lines
        ]
        return charge(self._code.file, told, proved=proved, complete=complete)

    def _sources(self, named: Sequence[Suspect]) -> Mapping[int, str]:
        """Line -> what stands there, without its line breaks."""
        found = {each.step.line: each.step.source for each in reversed(named)}
        if self._evidence is not None:
            text = self._code.text.split("\n")
            for possible in self._evidence.possible:
                site = possible.site
                node = site.node if site.line != site.statement.lineno else site.statement
                source = " ".join(text[node.lineno - 1 : node.end_lineno])
                found.setdefault(site.line, " ".join(source.split()))
        return found


def order(evidence: Evidence, named: Sequence[Suspect]) -> list[tuple[str, int]]:
    """Function and number of the lines that come into question, the most suspect first.

    Names tell which lines explain what is wrong and nothing that is right, values which of those
    could be the fault, and how plainly; where they contradict each other, values are believed.
    """
    ranks: dict[tuple[str, int], float] = {}
    for each in evidence.possible:
        place = each.site.function, each.site.line
        ranks[place] = min(ranks.get(place, np.inf), each.rank)
    positions = {
        ("backward", each.step.line): index for index, each in reversed([*enumerate(named)])
    }
    for place in positions:
        if place not in evidence.acquitted:
            ranks.setdefault(place, float(Level.UNKNOWN))
    explaining = [each for each in ranks if each in positions or each[0] != "backward"]
    if not any(each in positions for each in explaining):
        explaining = list(ranks)
    last = len(positions)
    return sorted(explaining, key=lambda each: (ranks[each], positions.get(each, last), each[1]))

"""Everything that is said of a wrong backward: which cotangents are wrong, the line, its repair."""

from __future__ import annotations

from functools import cached_property

from harness.diagnose.blame import blame, suspects
from harness.diagnose.inquest import Findings, inquire
from harness.diagnose.repair import repairs
from harness.model import Sample
from harness.source import Code
from harness.staging import StagedProgram


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
        found = suspects(self._code, self.findings)
        mended = repairs(self._code, self._program, self._sample, found)
        # Where it raises, the line is known; what is worth saying is why, or which one is to blame.
        if self.findings.line is not None and not (mended or self.findings.wrong):
            return ""
        return blame(self._code, self.findings, mended)

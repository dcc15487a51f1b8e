"""What is judged: a program at one sample, with what its author says about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

from harness.cases.schema import CaseFile, Gap, Point
from harness.diagnose.accusation import Accusation
from harness.judging.directional_evidence import DirectionalEvidence
from harness.judging.evidence import Evidence
from harness.judging.verdict import Tolerance
from harness.model import Array, Sample, Task, TaskMode
from harness.programs import trees
from harness.programs.source import Code
from harness.programs.staging import StagedProgram
from harness.training import Trajectories


class Subject:
    """A program at one sample and its references, shared by every method that is judged on it.

    program:       what is run.
    code:          its source, where a faulty line is looked for.
    declared:      what its author declares of it as a whole: tolerances, gaps, training.
    point:         what is declared of these numbers: expectations.
    draw:          makes the sample when it is first asked for, which may raise anything.
    spread:        leaf path -> half a unit of the last digit of each printed input.
    intermediates: whether the gradient of every intermediate is wanted, not only of those that an
                   expectation names.
    steps:         of training, where it is declared.
    """

    def __init__(
        self,
        program: StagedProgram,
        code: Code,
        declared: CaseFile,
        draw: Callable[[], Sample],
        *,
        point: Point | None = None,
        spread: Callable[[], Mapping[str, Array]] = dict,
        intermediates: bool = False,
        steps: int = 0,
    ) -> None:
        self.program, self.code, self.declared = program, code, declared
        self.point = point or Point()
        self._draw, self._spread = draw, spread
        self._intermediates, self._steps = intermediates, steps

    @cached_property
    def sample(self) -> Sample:
        """The numbers; drawing them may run the author's Python, which may raise anything."""
        return self._draw()

    @cached_property
    def digest(self) -> str:
        """A hash of the numbers, "" where no code of the author draws them: what two processes that
        speak of one sample can compare."""
        return trees.digest(self.sample) if "inputs" in self.code.functions else ""

    @property
    def known(self) -> list[Gap]:
        """The gaps that its author declares."""
        return list(self.declared.known)

    def declared_tolerance(self, dtype: str) -> Tolerance | None:
        """The tolerance that its author declares for a dtype; None where there is none."""
        found = self.declared.tolerance.get(dtype)  # type: ignore[call-overload]
        return None if found is None else Tolerance(found.rtol, found.atol)

    def tolerance(self, dtype: str) -> Tolerance:
        """The declared tolerance of a dtype, or the default."""
        return self.declared_tolerance(dtype) or Tolerance()

    @cached_property
    def wanted(self) -> tuple[str, ...]:
        """Intermediates that an expectation of this point asks for, or all."""
        named = {
            name
            for expectation in self.point.expect
            for name in (*expectation.gradient, *expectation.intermediates)
        }
        return tuple(
            name for name in self.sample.intermediates if name in named or self._intermediates
        )

    def task(self, mode: TaskMode) -> Task:
        """What a method is asked in a mode."""
        steps = {each.step for each in self.point.expect if each.step is not None}
        return Task(mode, self.wanted, tuple(sorted(steps)) if mode == "vjp" else ())

    @cached_property
    def evidence(self) -> Evidence:
        """The references of value and gradient."""
        return Evidence(
            self.program,
            self.sample,
            spread=dict(self._spread()),
            wanted=self.wanted,
            tolerance=self.tolerance("float64"),
        )

    @cached_property
    def directional(self) -> DirectionalEvidence:
        """The references of JVP and HVP."""
        return DirectionalEvidence(self.evidence)

    @cached_property
    def accusation(self) -> Accusation:
        """What is to be said of a wrong backward."""
        return Accusation(self.code, self.program, self.evidence.sample)

    @cached_property
    def trajectories(self) -> Trajectories:
        """Training runs from these numbers. Only for what declares training."""
        assert self.declared.training is not None
        return Trajectories(self.program, self.sample, self.declared.training, self._steps)

"""What the cells of a run share: backends, made once, and samples with their references."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import cached_property

from harness import backends, training, trees
from harness.backends.base import Backend
from harness.backends.numeric import NumericBackend
from harness.cases.case import Case
from harness.cases.sampling import RANDOM, draw_sample, printed_spread
from harness.cases.schema import Point
from harness.diagnose.accusation import Accusation
from harness.judging.compare import Tolerance
from harness.judging.directional_evidence import DirectionalEvidence
from harness.judging.evidence import Evidence
from harness.model import DIRECTIONAL, Array, Sample
from harness.plan import Cell, Request
from harness.rounding.emulated import EMULATED, EmulatedBackend

#: Samples whose references are kept. Cells of one sample come one after the other, except where
#: pytest shuffles them.
KEPT = 4


class Subject:
    """A sample and its references, shared by every method that is judged on it."""

    def __init__(self, case: Case, cell: Cell, request: Request) -> None:
        self._case, self._cell, self._request = case, cell, request

    @cached_property
    def sample(self) -> Sample:
        """The numbers; drawing them runs the case's Python, which may raise anything."""
        cell = self._cell
        request = self._request
        return draw_sample(
            *(self._case, cell.point, cell.size, cell.dtype, request.seed),
            tangents=not set(DIRECTIONAL).isdisjoint(request.modes),
        )

    @cached_property
    def digest(self) -> str:
        """A hash of the numbers, "" where no code of the case draws them: what two processes that
        speak of one sample can compare."""
        return trees.digest(self.sample) if self._case.supplies_inputs else ""

    @property
    def point(self) -> Point:
        """The declared point, or an empty one for a random draw."""
        return self._case.declared.points.get(self._cell.point, RANDOM)

    @cached_property
    def wanted(self) -> tuple[str, ...]:
        """Intermediates that an expectation of this point, or the request, asks for."""
        named = {
            name
            for expectation in self.point.expect
            for name in (*expectation.gradient, *expectation.intermediates)
        }
        return tuple(
            name
            for name in self.sample.intermediates
            if name in named or self._request.intermediates
        )

    @cached_property
    def accusation(self) -> Accusation:
        """What is to be said of a wrong backward."""
        return Accusation(self._case.code, self._case.program, self.evidence.sample)

    @cached_property
    def evidence(self) -> Evidence:
        """The references of the sample."""
        declared = self._cell.point in self._case.declared.points
        return Evidence(
            self._case.program,
            self.sample,
            spread=printed_spread(self._case, self._cell.point) if declared else {},
            wanted=self.wanted,
            tolerance=tolerance_of(self._case, "float64"),
        )

    @cached_property
    def directional(self) -> DirectionalEvidence:
        """The references of JVP and HVP."""
        return DirectionalEvidence(self.evidence)


class Workbench:
    """The cases of a run, its backends and its subjects."""

    def __init__(self, cases: Iterable[Case], request: Request) -> None:
        self.cases = {case.name: case for case in cases}
        self.request = request
        self._backends: dict[str, Backend] = {}
        self._ends: dict[tuple[str, str, str, str], list[Array]] = {}
        self._emulated = EmulatedBackend()
        self._subjects: OrderedDict[tuple[str, str, str, str], Subject] = OrderedDict()

    def backend(self, label: str, dtype: str = "float64") -> Backend:
        """The one instance of a backend in this run; the one that emulates a dtype for it."""
        if label == "manual" and dtype in EMULATED:
            return self._emulated
        if label not in self._backends:
            made = backends.make(label)
            if label == "numeric":
                made = NumericBackend(step=self.request.step, numeric=self.request.numeric)
            self._backends[label] = made
        return self._backends[label]

    def subject(self, cell: Cell) -> Subject:
        """The sample of a cell and its references."""
        key = (cell.case, cell.point, cell.size, cell.dtype)
        if key not in self._subjects:
            self._subjects[key] = Subject(self.cases[cell.case], cell, self.request)
            while len(self._subjects) > KEPT:
                self._subjects.popitem(last=False)
        self._subjects.move_to_end(key)
        return self._subjects[key]

    def trajectory(
        self, cell: Cell, label: str, errors: Sequence[Array] | float | None = None
    ) -> list[Array]:
        """The parameters at the end of training with one method's gradients, to which `errors` are
        added (see `training.disturbed`); each run is made once."""
        kind = "" if errors is None else "relative" if isinstance(errors, float) else "absolute"
        key = (cell.case, cell.size, label, kind)
        if key not in self._ends:
            case = self.cases[cell.case]
            sample = training.sample_for(case, self.subject(cell).sample)
            gradient = self.backend(label).gradient_function(case.program, sample)
            self._ends[key] = training.descend(
                gradient if errors is None else training.disturbed(gradient, errors),
                trees.variables(sample),
                training.declared(case),
                training.steps_of(case, cell.size),
            )
        return self._ends[key]


def tolerance_of(case: Case, dtype: str) -> Tolerance:
    """The declared tolerance of a dtype, or the default."""
    declared = case.declared.tolerance.get(dtype)  # type: ignore[call-overload]
    return Tolerance() if declared is None else Tolerance(declared.rtol, declared.atol)

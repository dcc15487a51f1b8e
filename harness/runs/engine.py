"""Runs cells in this process and yields rows; it prints nothing and writes nothing.

No exception of a case or a method escapes: it is the business of one row, and the other cells go
on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from harness import backends
from harness.backends.base import Backend
from harness.backends.numeric import NumericBackend
from harness.cases.case import Case
from harness.cases.points import printed_spread
from harness.cases.sampling import draw_sample
from harness.cell import Cell
from harness.judging.cell import judged
from harness.judging.subject import Subject
from harness.label import Label
from harness.model import DIRECTIONAL, Answer, Array, Gradients, Row
from harness.rounding.emulated import EMULATED, EmulatedBackend
from harness.runs.answering import answer
from harness.runs.plan import Request

#: Samples whose references are kept. Cells of one sample come one after the other, except where
#: pytest shuffles them.
KEPT = 4


class Engine:
    """Answers and judges cells of some cases. Backends are made once; the references of a sample
    serve all its methods."""

    def __init__(self, cases: Iterable[Case], request: Request | None = None) -> None:
        self.cases = {case.name: case for case in cases}
        self.request = request or Request()
        self._backends: dict[tuple[Label, str], Backend] = {}
        self._subjects: OrderedDict[tuple[str, str, str, str], Subject] = OrderedDict()

    def run(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, list[Row]]]:
        """The rows of each cell, in turn."""
        for cell in cells:
            yield cell, self.rows(cell)

    def rows(self, cell: Cell) -> list[Row]:
        """The rows of one cell; never empty."""
        return self.judge(cell, self.answer(cell))

    def answer(self, cell: Cell) -> Answer:
        """What the method of a cell says in each mode that the run asks for; never raises."""
        return answer(self.subject(cell), self.backend(cell), self.request.modes_of(cell))

    def judge(self, cell: Cell, given: Answer) -> list[Row]:
        """The rows of an answer."""
        return judged(cell, given, self.subject(cell))

    def gradients(self, cell: Cell) -> Gradients:
        """The bare result of a cell, not judged; raises what the case or the method raises."""
        subject = self.subject(cell)
        with np.errstate(all="ignore"):
            return self.backend(cell).differentiate(
                subject.program, subject.sample, subject.task("vjp")
            )

    def backend(self, cell: Cell) -> Backend:
        """The one instance in this run of a cell's method for its dtype."""
        key = (cell.backend, cell.dtype)
        if key not in self._backends:
            made = backend_for(*key, step=self.request.step, numeric=self.request.numeric)
            self._backends[key] = made
        return self._backends[key]

    def subject(self, cell: Cell) -> Subject:
        """The sample of a cell and its references."""
        key = (cell.case, cell.point, cell.size, cell.dtype)
        if key not in self._subjects:
            self._subjects[key] = self._subject(cell)
            while len(self._subjects) > KEPT:
                self._subjects.popitem(last=False)
        self._subjects.move_to_end(key)
        return self._subjects[key]

    def _subject(self, cell: Cell) -> Subject:
        case, request = self.cases[cell.case], self.request

        def spread() -> Mapping[str, Array]:
            declared = cell.point in case.declared.points
            return printed_spread(case, cell.point) if declared else {}

        return Subject(
            case.program,
            case.code,
            case.declared,
            partial(
                draw_sample,
                *(case, cell.point, cell.size, cell.dtype, request.seed),
                tangents=not set(DIRECTIONAL).isdisjoint(request.modes),
            ),
            point=case.declared.points.get(cell.point),
            spread=spread,
            intermediates=request.intermediates,
            steps=case.training_steps(cell.size),
        )


def backend_for(
    label: Label, dtype: str, *, step: float | None = None, numeric: str = "auto"
) -> Backend:
    """A backend for samples of a dtype. `step` and `numeric` are those of a method that takes
    differences."""
    method = backends.class_of(label)
    if method.written and dtype in EMULATED:
        return EmulatedBackend()
    if issubclass(method, NumericBackend):
        return method(step=step, numeric=numeric)
    return backends.make(label)

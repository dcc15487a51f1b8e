"""Runs cells and yields rows; it prints nothing and writes nothing.

Every pair that was asked for leaves at least one row: a method that is not installed, cannot do it,
raises, or tampers with its inputs says so in its own row, and the other cells go on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from harness import backends, printed, training, trees
from harness.backends.base import Backend
from harness.backends.numeric import NumericBackend
from harness.cases.case import Case
from harness.cases.sampling import draw_sample, printed_spread
from harness.cases.schema import Expectation, Gap, Point
from harness.compare import DEFAULT_RTOL, Tolerance, Truth, Verdict, judge
from harness.errors import CaseError, HarnessError, Unsupported
from harness.evidence import Evidence
from harness.model import Array, Gradients, Row, Sample, Status, unit_roundoff
from harness.plan import Cell, Request
from harness.staging import fault_line

#: Samples whose references are kept. Cells of one sample come one after the other, except where
#: pytest shuffles them.
_KEPT = 4


class Engine:
    """Judges cells. Backends are made once; the references of a sample serve all its methods."""

    def __init__(self, cases: Iterable[Case], request: Request | None = None) -> None:
        self.cases = {case.name: case for case in cases}
        self.request = request or Request()
        self._backends: dict[str, Backend] = {}
        self._subjects: OrderedDict[tuple[str, str, str, str], _Subject] = OrderedDict()
        self._trajectories: dict[tuple[str, str, str, float], list[Array]] = {}

    def run(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, list[Row]]]:
        """The rows of each cell, in turn."""
        for cell in cells:
            yield cell, self.rows(cell)

    def rows(self, cell: Cell) -> list[Row]:
        """The rows of one cell; never empty, and no exception of a case or a method escapes."""
        case = self.cases[cell.case]
        judge_ = _CellJudge(case, cell, self)
        rows = judge_.rows()
        return [_declared(row, case.declared.known, judge_.raised) for row in rows]

    def gradients(self, cell: Cell) -> Gradients:
        """The bare result of a cell, not judged; raises what the case or the method raises."""
        return _CellJudge(self.cases[cell.case], cell, self).compute(gradient=True)

    def backend(self, label: str) -> Backend:
        """The one instance of a backend that this engine uses."""
        if label not in self._backends:
            made = backends.make(label)
            if label == "numeric" and self.request.step is not None:
                made = NumericBackend(step=self.request.step)
            self._backends[label] = made
        return self._backends[label]

    def subject(self, cell: Cell) -> _Subject:
        """The sample of a cell and its references."""
        key = (cell.case, cell.point, cell.size, cell.dtype)
        if key not in self._subjects:
            self._subjects[key] = _Subject(self.cases[cell.case], cell, self.request)
            while len(self._subjects) > _KEPT:
                self._subjects.popitem(last=False)
        self._subjects.move_to_end(key)
        return self._subjects[key]

    def trajectory(self, cell: Cell, label: str, noise: float = 0.0) -> list[Array]:
        """The final parameters of a training run with one method's gradients.

        `noise` multiplies every gradient by 1 + noise or 1 - noise at random, to learn how much
        errors of that size move the end of the run.
        """
        key = (cell.case, cell.size, label, noise)
        if key not in self._trajectories:
            case = self.cases[cell.case]
            subject = training.sample_for(case, self.subject(cell).sample)
            gradient = self.backend(label).gradient_function(case.program, subject)
            self._trajectories[key] = training.descend(
                training.noisy(gradient, noise) if noise else gradient,
                trees.variables(subject),
                training.declared(case),
                training.steps_of(case, cell.size),
            )
        return self._trajectories[key]


class _Subject:
    """A sample and its references, shared by the cells of one sample."""

    def __init__(self, case: Case, cell: Cell, request: Request) -> None:
        self._case, self._cell, self._request = case, cell, request

    @cached_property
    def sample(self) -> Sample:
        cell = self._cell
        return draw_sample(self._case, cell.point, cell.size, cell.dtype, self._request.seed)

    @property
    def point(self) -> Point:
        return self._case.declared.points.get(self._cell.point, Point())

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
    def evidence(self) -> Evidence:
        declared = self._cell.point in self._case.declared.points
        return Evidence(
            self._case.program,
            self.sample,
            spread=printed_spread(self._case, self._cell.point) if declared else {},
            wanted=self.wanted,
            tolerance=tolerance_of(self._case, "float64"),
        )


@dataclass
class _CellJudge:
    """One cell on its way to rows. `raised` is the exception that stopped it, if any."""

    case: Case
    cell: Cell
    engine: Engine
    raised: BaseException | None = None

    def rows(self) -> list[Row]:
        backend_class = backends.backend_class(self.cell.backend.partition(":")[0])
        if not backend_class.installed():
            detail = f"not installed: {backend_class.install}"
            return self._failed(self._modes, Status.MISSING, detail)
        try:
            return self._training_rows() if self.cell.training else self._gradient_rows()
        except Exception as error:  # whatever a case or a framework raises is one row's business
            return self._explained(self._modes, error)

    @property
    def _modes(self) -> tuple[str, ...]:
        if self.cell.training:
            return ("train",)
        return tuple(mode for mode in self.engine.request.modes if mode != "train")

    @property
    def _subject(self) -> _Subject:
        return self.engine.subject(self.cell)

    def _gradient_rows(self) -> list[Row]:
        sample = self._subject.sample
        if "vjp" not in self._modes:
            return self._value_rows(self.compute(gradient=False))
        try:
            found = self.compute(gradient=True)
        except Exception as error:
            # A method without this derivative may still have the value.
            rows = self._explained(("vjp",), error)
            if "value" in self._modes:
                try:
                    rows = self._value_rows(self.compute(gradient=False)) + rows
                except Exception as second:
                    rows = self._explained(("value",), second) + rows
            return rows
        rows = self._value_rows(found) if "value" in self._modes else []
        for path in sample.differentiable:
            rows.append(self._derivative_row(f"d/d{path}", path, found, found.gradients))
        for name in found.intermediates:
            quantity = f"d/d{name} (intermediate)"
            rows.append(self._derivative_row(quantity, name, found, found.intermediates))
        for expectation in self._subject.point.expect:
            rows.extend(self._expectation_rows(expectation, found))
        return rows

    def compute(self, *, gradient: bool, step: float | None = None) -> Gradients:
        """Run the method on its own copy of the sample, and make sure it left the copy alone."""
        label = self.cell.backend
        if label.endswith(":native") and label.partition(":")[0] not in self.case.code.natives:
            raise Unsupported(f"the case has no `native_{label.partition(':')[0]}`")
        sample = self._subject.sample
        given = trees.cast(sample, sample.dtype)
        backend = self.engine.backend(label) if step is None else NumericBackend(step=step)
        found = backend.differentiate(
            self.case.program,
            given,
            gradient=gradient,
            intermediates=[] if label.endswith(":native") else self._subject.wanted,
        )
        changed = _changed(given, sample)
        if changed:
            raise HarnessError(f"`{label}` changed its input `{changed}`")
        return found

    def _value_rows(self, found: Gradients) -> list[Row]:
        rows = []
        for name in self.case.code.forward.returns:
            truth = self._subject.evidence.value(name)
            if self.cell.backend == "manual":
                truth = replace(truth, source="numeric")
            verdict = self._judge(found.values.get(name), truth)
            rows.append(self._row("value", name, verdict, truth.source, found))
        return rows

    def _derivative_row(
        self, quantity: str, name: str, found: Gradients, arrays: dict[str, Array]
    ) -> Row:
        truth = self._subject.evidence.derivative(name, judged=self.cell.backend)
        verdict = self._judge(arrays.get(name), truth, found, name)
        return self._row("vjp", quantity, verdict, truth.source, found)

    def _expectation_rows(self, expectation: Expectation, found: Gradients) -> list[Row]:
        """Printed numbers, each with the tolerance that its digits carry."""
        name = self.cell.backend.partition(":")[0]
        if expectation.backend is not None and expectation.backend != name:
            return []
        note = ""
        if expectation.step is not None:
            found = self.compute(gradient=True, step=expectation.step)
            note = f"step {expectation.step:g}"
        rows = []
        values: list[tuple[str, str, Any]] = list(_by_output(self.case, expectation.value))
        values += [("values", key, numbers) for key, numbers in expectation.intermediates.items()]
        for path, numbers in _by_leaf(expectation.gradient, self._subject.sample):
            kind = "intermediates" if path in self._subject.sample.intermediates else "gradients"
            values.append((kind, path, numbers))
        for kind, key, numbers in values:
            array = getattr(found, kind).get(key)
            if array is None and self.cell.backend.endswith(":native"):
                continue  # a native function has no named intermediates
            expected, half = printed.to_arrays(numbers)
            truth = Truth(expected, "printed")
            mode = "value" if kind == "values" else "vjp"
            if mode not in self._modes:
                continue
            allowance = half + self._subject.evidence.printed_allowance(kind, key)
            if array is not None and array.shape == expected.shape:
                coarse = "float32" if expectation.dtype == "float32" else self.cell.dtype
                allowance = allowance + Tolerance().array(expected, coarse)
            verdict = self._judge(array, truth, found, key, allowance)
            quantity = {
                "values": f"expect {key}",
                "gradients": f"expect d/d{key}",
                "intermediates": f"expect d/d{key} (intermediate)",
            }[kind]
            row = self._row(mode, quantity, verdict, "printed", found)
            rows.append(replace(row, detail="; ".join(filter(None, (row.detail, note)))))
        return rows

    def _training_rows(self) -> list[Row]:
        """The end of the run against that of the hand-written backward (of numeric differences for
        the backward itself), and against the closed form where there is one."""
        cell, engine = self.cell, self.engine
        subject = training.sample_for(self.case, self._subject.sample)
        steps = training.steps_of(self.case, cell.size)
        has_backward = self.case.code.backward is not None
        main = "manual" if has_backward else "numeric"
        other = "numeric" if cell.backend == main else main
        approximate = {cell.backend, other} & {"numeric"}
        noise = training.NUMERIC_NOISE if approximate else unit_roundoff(cell.dtype)
        final = engine.trajectory(cell, cell.backend)
        calm, shaken = engine.trajectory(cell, main), engine.trajectory(cell, main, noise)
        judges = [(other, engine.trajectory(cell, other))]
        exact = training.closed_form(self.case, self._subject.sample, steps)
        if exact is not None:
            judges.append(("closed form", [exact[path] for path in subject.differentiable]))
        rows = []
        for source, expected in judges:
            for index, path in enumerate(subject.differentiable):
                moved = float(np.max(np.abs(shaken[index] - calm[index]), initial=0.0))
                allowance = training.FACTOR * moved + training.floor(expected[index], steps)
                verdict = judge(
                    final[index],
                    Truth(expected[index], source),
                    Tolerance(0.0),
                    cell.dtype,
                    allowance=allowance,
                )
                detail = f"gradient errors of {noise:.1g} move it by up to {moved:.1g}"
                if allowance > training.CHAOTIC * float(np.max(np.abs(calm[index]), initial=0.0)):
                    verdict = replace(verdict, status=Status.UNSUPPORTED)
                    detail = f"chaotic, so nothing can be said: {detail}; choose another `start`"
                quantity = f"{path} after {steps} steps"
                if source == "closed form":
                    quantity = f"expect {quantity}"
                row = self._row("train", quantity, verdict, source, None)
                rows.append(replace(row, detail=detail))
        return rows

    def _judge(
        self,
        got: Array | None,
        truth: Truth,
        found: Gradients | None = None,
        name: str = "",
        allowance: Array | float = 0.0,
    ) -> Verdict:
        tolerance = (
            Tolerance(0.0)
            if truth.source == "printed"
            else tolerance_of(self.case, self.cell.dtype)
        )
        return judge(
            got,
            truth,
            tolerance,
            self.cell.dtype,
            uncertainty=found.uncertainty.get(name) if found else None,
            sampled=found.sampled.get(name) if found else None,
            allowance=allowance,
        )

    def _row(
        self, mode: str, quantity: str, verdict: Verdict, source: str, found: Gradients | None
    ) -> Row:
        cell = self.cell
        detail = "; ".join(filter(None, (verdict.detail, found.detail if found else "")))
        return Row(
            cell.case,
            cell.point,
            cell.size,
            cell.dtype,
            cell.backend,
            mode,
            quantity,
            **verdict.measures(),
            reference=source,
            seconds=found.seconds if found else float("nan"),
            detail=detail,
        )

    def _failed(self, modes: Sequence[str], status: str, detail: str) -> list[Row]:
        cell = self.cell
        return [
            Row(
                cell.case,
                cell.point,
                cell.size,
                cell.dtype,
                cell.backend,
                mode,
                "all",
                status,
                detail=detail,
            )
            for mode in modes
        ]

    def _explained(self, modes: Sequence[str], error: Exception) -> list[Row]:
        """The rows of a method that raised: `unsupported` if it says so, `error` if it does not."""
        self.raised = error.__cause__ if isinstance(error, Unsupported) else error
        self.raised = self.raised or error
        status = Status.UNSUPPORTED if isinstance(error, Unsupported) else Status.ERROR
        return self._failed(modes, status, describe(error, self.case))


def tolerance_of(case: Case, dtype: str) -> Tolerance:
    """The declared tolerance of a dtype, or the default."""
    declared = case.declared.tolerance.get(dtype)  # type: ignore[call-overload]
    return Tolerance() if declared is None else Tolerance(declared.rtol, declared.atol)


def describe(error: BaseException, case: Case) -> str:
    """An exception in one line, with the line of the case's Python where it arose."""
    if isinstance(error, CaseError):
        return str(error)
    text = " ".join(str(error).split())
    own = isinstance(error, HarnessError)
    message = text if own else f"{type(error).__name__}: {text}" if text else type(error).__name__
    line = fault_line(error, case.code.file)
    if line is None:
        return message
    source = case.code.text.splitlines()[line - 1].strip()
    return f"{case.code.file}:{line}: `{source}`: {message}"


def _declared(row: Row, gaps: Sequence[Gap], raised: BaseException | None) -> Row:
    """A row that a declared gap covers becomes `known`, or `fixed` once it passes."""
    for gap in gaps:
        wanted: list[tuple[str | None, str]] = [
            (gap.backend, row.backend),
            (gap.mode, row.mode),
            (gap.point, row.point),
            (gap.dtype, row.dtype),
            (gap.quantity, row.quantity),
        ]
        if not all(want is None or want == have for want, have in wanted):
            continue
        if row.status == Status.PASS:
            detail = f"declared gap is gone ({gap.reason}); remove its entry under `known`"
            return replace(row, status=Status.FIXED, detail=detail)
        names = {each.__name__ for each in type(raised).__mro__} if raised else set()
        if row.status == gap.status and (gap.raises is None or gap.raises in names):
            return replace(row, status=Status.KNOWN, detail=f"{gap.reason} [{row.detail}]")
    return row


def _changed(given: Sample, sample: Sample) -> str:
    """The path of the first input that is no longer what it was, or ""."""
    before = {**trees.flatten(sample.inputs), **_numbered(sample)}
    after = {**trees.flatten(given.inputs), **_numbered(given)}
    for path, array in before.items():
        if path not in after or not np.array_equal(after[path], array, equal_nan=True):
            return path
    return ""


def _numbered(sample: Sample) -> dict[str, Array]:
    return {f"cotangent {index}": each for index, each in enumerate(sample.cotangents)}


def _by_output(case: Case, value: Any) -> Iterator[tuple[str, str, Any]]:
    if value is None:
        return
    named = value if isinstance(value, dict) else {case.code.forward.returns[0]: value}
    for name, numbers in named.items():
        yield "values", name, numbers


def _by_leaf(gradient: dict[str, Any], sample: Sample) -> Iterator[tuple[str, Any]]:
    """The printed gradients by leaf path; below a leaf, lists are data."""
    leaves = {*sample.differentiable, *sample.intermediates}

    def walk(path: str, node: Any) -> Iterator[tuple[str, Any]]:
        if path in leaves or not isinstance(node, dict | list):
            yield path, node
            return
        items: Callable[[], Any] = node.items if isinstance(node, dict) else lambda: enumerate(node)
        for key, child in items():
            yield from walk(f"{path}.{key}", child)

    for name, node in gradient.items():
        yield from walk(name, node)


__all__ = ["DEFAULT_RTOL", "Engine", "describe", "tolerance_of"]

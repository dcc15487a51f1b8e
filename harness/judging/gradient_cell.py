"""Judges one method on one sample: its value, its gradients, what sources printed for the point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from harness import backends, printed
from harness.backends.manual import ManualBackend
from harness.backends.numeric import NumericBackend
from harness.cases.schema import Expectation
from harness.cell import Cell
from harness.diagnose.signature import signature
from harness.dtypes import is_half, unit_roundoff
from harness.judging import rows
from harness.judging.at_ties import at_ties
from harness.judging.compare import exactly
from harness.judging.subject import Subject
from harness.judging.trial import WRONG, tried
from harness.judging.verdict import DEFAULT_RTOL, Allows, Tolerance, Truth, Verdict
from harness.model import CERTIFIED, PRINTED, Array, Gradients, Row, Sample, Status
from harness.quantity import CERTIFICATE, Kind, Quantity
from harness.rounding.deviation import Deviation, OwnRounding, RoundingTolerance


class GradientCell:
    """Judges the numbers that a method gave, by mode."""

    def __init__(self, cell: Cell, subject: Subject, found: Mapping[str, Gradients]) -> None:
        self.cell, self.subject, self.found = cell, subject, found
        self.method = backends.class_of(cell.backend)

    def rows(self) -> list[Row]:
        """The rows of these modes. Raises what a reference raises."""
        result: list[Row] = []
        found = self.found
        if "value" in found:
            result += self._value_rows(found["value"])
        if "vjp" in found:
            result += self._derivative_rows(found["vjp"])
        numbers = found.get("vjp", found.get("value"))
        if numbers is not None:
            for expectation in self.subject.point.expect:
                result.extend(self._expectation_rows(expectation, numbers, list(found)))
        return result

    def _value_rows(self, found: Gradients) -> list[Row]:
        result = []
        for name in self.subject.program.outputs:
            truth, got = self.subject.evidence.value(name), found.values.get(name)
            if np.issubdtype(self.subject.evidence.values[name].dtype, np.inexact):
                verdict = self._judge("values", name, got, truth)
            else:
                verdict = exactly(got, truth)
            ours = {self.method.name, truth.source} <= {ManualBackend.name, NumericBackend.name}
            if ours and verdict.status == Status.PASS:  # both ran the same `forward` on numpy
                verdict = Verdict(Status.UNDECIDED, detail="nothing independent to judge it by")
            result.append(
                rows.judged(
                    self.cell, "value", Quantity("value", name), verdict, truth.source, found
                )
            )
        return result

    def _derivative_rows(self, found: Gradients) -> list[Row]:
        """Every differentiable leaf, then every intermediate that was named or asked for."""
        if not self.subject.sample.differentiable:
            detail = "no input is differentiable: there is no gradient to compare"
            return rows.uncompared(self.cell, ["vjp"], Status.UNDECIDED, detail)
        leaves = self.subject.sample.differentiable
        judged = {path: self._derivative("gradients", path, found) for path in leaves}
        verdicts = {path: verdict for path, (_, verdict) in judged.items()}
        truths = {path: truth for path, (truth, _) in judged.items()}
        verdicts |= at_ties(
            verdicts, truths, found, self.subject.evidence, self.cell.dtype, self.method
        )
        result = [
            self._derivative_row(Quantity("gradient", path), truth, verdicts[path], found)
            for path, (truth, _) in judged.items()
        ]
        if self.method.written:
            result.append(self._certificate_row(found))
        native = self.cell.backend.native
        wanted = () if native else self.subject.wanted
        all_right = all(each.status in (Status.PASS, Status.KINK) for each in verdicts.values())
        remarks = self.subject.evidence.certificate.remarks if self.method.written else ()
        for name in dict.fromkeys([*found.intermediates, *wanted]):
            quantity = Quantity("intermediate", name)
            if name in remarks:
                if name in wanted:
                    verdict = Verdict(Status.UNDECIDED, detail=_remark(name))
                    result.append(rows.judged(self.cell, "vjp", quantity, verdict, "", found))
            elif self.method.written and name not in found.intermediates:
                verdict = Verdict(Status.UNDECIDED, detail=f"`backward` assigns no `d{name}`")
                result.append(rows.judged(self.cell, "vjp", quantity, verdict, "", found))
            else:
                truth, verdict = self._derivative("intermediates", name, found)
                if self.method.written and verdict.status in WRONG and all_right:
                    verdict = replace(verdict, status=Status.UNDECIDED, detail=_remark(name))
                result.append(self._derivative_row(quantity, truth, verdict, found))
        return result

    def _derivative(self, kind: str, name: str, found: Gradients) -> tuple[Truth, Verdict]:
        """One gradient or one of `intermediates`, by itself: its reference and the verdict."""
        got = getattr(found, kind).get(name)
        truth = self.subject.evidence.derivative(name, judged=self.method.name)
        verdict = self._judge(kind, name, got, truth, found)
        if truth.source == self.method.name and verdict.status == Status.PASS:
            verdict = Verdict(Status.UNDECIDED, detail="nothing independent to judge it by")
        return truth, verdict

    def _derivative_row(
        self, quantity: Quantity, truth: Truth, verdict: Verdict, found: Gradients
    ) -> Row:
        kind = "gradients" if quantity.kind == "gradient" else "intermediates"
        got = getattr(found, kind).get(quantity.name)
        note = self._diagnosis(quantity.name, got, truth, verdict)
        return rows.judged(self.cell, "vjp", quantity, verdict, truth.source, found, note)

    def _certificate_row(self, found: Gradients) -> Row:
        """What is proved about the backward as a formula, apart from how it rounds."""
        certificate = self.subject.evidence.certificate
        status = {
            "verified": Status.PASS,
            "close": Status.PASS,
            "wrong": Status.FAIL,
            "kink": Status.KINK,
            "convention": Status.CONVENTION,
            "jump": Status.JUMP,
            "undecided": Status.UNDECIDED,
        }[certificate.state]
        wrong = ", ".join(Quantity("gradient", name) for name in certificate.wrong)
        proved = certificate.state in ("verified", "close", "kink") and certificate.digits > 0
        digits = certificate.digits if proved else math.nan
        detail = {
            "verified": f"verified {_how_far(certificate.digits)}",
            "close": f"the same {_how_far(certificate.digits)} and then proved different, as a "
            "rounded constant makes it",
            "wrong": "; ".join(filter(None, (f"proved wrong: {wrong}", certificate.reason))),
            "kink": certificate.reason
            or "a subgradient; the pieces that meet at the kink are "
            f"verified {_how_far(certificate.digits)}",
            "convention": certificate.reason,
            "jump": certificate.reason,
            "undecided": certificate.reason,
        }[certificate.state]
        note = self.subject.accusation.text if certificate.state == "wrong" else ""
        note = note or "; ".join(map(_remark, certificate.remarks))
        verdict = Verdict(status, digits=digits, detail=detail)
        return rows.judged(self.cell, "vjp", CERTIFICATE, verdict, CERTIFIED, found, note)

    def _diagnosis(self, name: str, got: Array | None, truth: Truth, verdict: Verdict) -> str:
        """What a wrong gradient looks like and, for the backward, which line is to blame."""
        if verdict.status not in WRONG or got is None:
            return ""
        looks = signature(got, truth.value)
        blamed = self.subject.accusation.text if self._at_fault(name) else ""
        return "; ".join(filter(None, (f"looks like: {looks}" if looks else "", blamed)))

    def _at_fault(self, name: str) -> bool:
        """Whether the backward as a formula is wrong about `name`; a wrong shape has no certificate
        to say so."""
        certificate = self.subject.evidence.certificate
        if not self.method.written or certificate.state not in ("wrong", "undecided"):
            return False
        return name in certificate.wrong or name in self.subject.accusation.findings.wrong

    def _expectation_rows(
        self, expectation: Expectation, found: Gradients, modes: Sequence[str]
    ) -> Iterator[Row]:
        """Printed numbers, each with the tolerance that its digits carry."""
        label = self.cell.backend
        if expectation.backend not in (None, label.method):
            return
        note = ""
        if expectation.step is not None:
            if expectation.step not in found.at_steps or "vjp" not in modes:
                return
            found = _with_rounding_alone(found.at_steps[expectation.step], expectation.step)
            note = f"step {expectation.step:g}"
        for kind, key, numbers in self._expected(expectation):
            mode = "value" if kind == "values" else "vjp"
            array = getattr(found, kind).get(key)
            # A native function has no named intermediates, so none can be expected of it.
            if mode not in modes or (array is None and label.native):
                continue
            expected, half = printed.to_arrays(numbers)
            allowance = half + self.subject.evidence.printed_allowance(kind, key)
            allowance = allowance + self._printed_rounding(expectation.dtype, kind, key, expected)
            truth = Truth(expected, PRINTED)
            verdict = self._judge(kind, key, array, truth, found, allowance)
            quantity = Quantity(_QUANTITIES[kind], key, expected=True)
            yield rows.judged(self.cell, mode, quantity, verdict, PRINTED, found, note)

    def _printed_rounding(self, dtype: str, kind: str, key: str, expected: Array) -> Array:
        """Rounding errors that a printed number and a recomputed one may differ by: of a few
        operations in the dtype of the source, of more in that of the cell if it is coarser."""
        size, here = np.abs(expected), self.cell.dtype
        few = np.asarray(8 * unit_roundoff(dtype) * size)
        if here == "float64":
            return few
        # 256 roundings of bfloat16 are the whole number: there the measured ones have to do.
        deviation = self.subject.evidence.deviation(48) if is_half(here) else None
        moved = getattr(deviation, kind).get(key) if deviation else None
        if moved is None:
            return few + 256 * unit_roundoff(here) * size
        return few + RoundingTolerance(moved).array(expected, here)

    def _expected(self, expectation: Expectation) -> Iterator[tuple[str, str, Any]]:
        """Field of Gradients, key in it, and printed numbers, of everything expected."""
        if expectation.value is not None:
            named = expectation.value
            if not isinstance(named, dict):
                named = {self.subject.program.outputs[0]: named}
            yield from (("values", name, numbers) for name, numbers in named.items())
        for name, numbers in expectation.intermediates.items():
            yield "values", name, numbers
        sample = self.subject.sample
        for path, numbers in _by_leaf(expectation.gradient, sample):
            kind = "intermediates" if path in sample.intermediates else "gradients"
            yield kind, path, numbers

    def _judge(
        self,
        kind: str,
        name: str,
        got: Array | None,
        truth: Truth,
        found: Gradients | None = None,
        allowance: Array | float = 0.0,
    ) -> Verdict:
        """Compare `name` among the values, gradients or intermediates (`kind`) with its truth."""
        tolerances = self._tolerances(kind, name, truth)
        return tried(self.cell, name, got, truth, tolerances, found, allowance)[0]

    def _tolerances(self, kind: str, name: str, truth: Truth) -> Iterator[Allows]:
        """The tolerances to try in turn: the declared one, or what rounding explains.

        Most numbers are as good as their own last bits, whatever else rounding might excuse, and
        need no more. For the others errors are planted in every operation of `forward`, which tells
        how well the problem is conditioned, and then in those of the backward; a few runs tell
        nearly always, and before something is called wrong, many are made.
        """
        evidence, dtype = self.subject.evidence, self.cell.dtype
        if truth.source == PRINTED:
            yield Tolerance(0.0)
            return
        if self.subject.declared_tolerance(dtype):
            yield self.subject.tolerance(dtype)
            return
        if kind != "values" and self._proved_wrong(name):
            # Cancellation is no excuse of a formula that is proved wrong.
            yield Tolerance(DEFAULT_RTOL[dtype])
            return
        if truth.source == CERTIFIED:
            yield RoundingTolerance(np.zeros(()))
        measure = evidence.rounding_of_values if kind == "values" else evidence.conditioning
        if kind != "values" and truth.sides is not None:
            measure = evidence.deviation  # inputs that err would let the jump pass
        problem: Array | None = None
        for runs in RUNS:
            problem = _of(measure(runs), kind, name)
            if problem is not None:
                yield RoundingTolerance(problem)
        if problem is None:
            problem = _of(evidence.deviation(RUNS[-1]), kind, name)
            yield RoundingTolerance(problem) if problem is not None else Tolerance()
        elif kind != "values":
            yield from self._own_roundings(kind, name, problem, truth)

    def _own_roundings(
        self, kind: str, name: str, problem: Array, truth: Truth
    ) -> Iterator[Allows]:
        """What the operations of the method explain beyond the conditioning of the problem: those
        of the backward that somebody wrote, and those of the textbooks' where nobody did."""
        evidence = self.subject.evidence
        unsure = 0.0 if truth.uncertainty is None else truth.uncertainty
        for zeros in (np.abs(truth.value) <= unsure, None):
            for runs in RUNS:
                written = _of(evidence.deviation(runs), kind, name)
                rules = (
                    None
                    if self.method.written
                    else _of(evidence.rounding_of_rules(runs), kind, name)
                )
                known = [each for each in (written, rules) if each is not None]
                if known:
                    yield OwnRounding(problem, reduce(np.fmax, known), zeros)

    def _proved_wrong(self, name: str) -> bool:
        return self.method.written and name in self.subject.evidence.certificate.wrong


#: How many times errors are planted.
RUNS = (6, 48)


def _of(deviation: Deviation | None, kind: str, name: str) -> Array | None:
    """That of one quantity, if it is known."""
    found: Array | None = None if deviation is None else getattr(deviation, kind).get(name)
    return found


#: Field of Gradients -> the kind of quantity that it holds.
_QUANTITIES: dict[str, Kind] = {
    "values": "value",
    "gradients": "gradient",
    "intermediates": "intermediate",
}


def _remark(name: str) -> str:
    """What is said of a misleading name while every gradient is right."""
    return f"remark: `d{name}` is not the cotangent of `{name}`"


def _how_far(digits: float) -> str:
    """The digits of a certificate in words: a lower bound, so never rounded up."""
    return "exactly" if math.isinf(digits) else f"to {math.floor(digits)} digits"


def _with_rounding_alone(found: Gradients, step: float) -> Gradients:
    """The difference quotients as such: what is left uncertain is the rounding of two values.

    Their truncation error is part of what the source printed, and must not widen the tolerance.
    """
    largest = max(float(np.max(np.abs(each), initial=0.0)) for each in found.values.values())
    some = next(iter(found.values.values()))
    dtype = (
        "float64" if is_half(some.dtype.name) else some.dtype.name
    )  # as harness.backends.numeric
    rounding = 2 * unit_roundoff(dtype) * largest / step
    errors = {name: np.full(each.shape, rounding) for name, each in found.uncertainty.items()}
    return replace(found, uncertainty=errors)


def _by_leaf(gradient: Mapping[str, Any], sample: Sample) -> Iterator[tuple[str, Any]]:
    """The printed gradients by leaf path; below a leaf, lists are data."""
    leaves = {*sample.differentiable, *sample.intermediates}

    def walk(path: str, node: Any) -> Iterator[tuple[str, Any]]:
        if path in leaves or not isinstance(node, dict | list):
            yield path, node
            return
        items = list(node.items() if isinstance(node, dict) else enumerate(node))
        for key, child in items:
            yield from walk(f"{path}.{key}", child)

    for name, node in gradient.items():
        yield from walk(name, node)

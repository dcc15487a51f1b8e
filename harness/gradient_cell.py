"""One method on one sample: its value, its gradients, and what sources printed for the point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from harness import printed, rows, trees
from harness.backends.numeric import NumericBackend
from harness.cases.schema import Expectation
from harness.compare import Tolerance, Truth, Verdict, judge
from harness.errors import HarnessError, Unsupported
from harness.model import Array, Gradients, Row, Sample, unit_roundoff
from harness.plan import Cell
from harness.workbench import Workbench, tolerance_of


class GradientCell:
    """Runs a method and judges what comes back."""

    def __init__(self, cell: Cell, bench: Workbench) -> None:
        self.cell, self.bench = cell, bench
        self.case = bench.cases[cell.case]
        self.subject = bench.subject(cell)
        self.modes = tuple(mode for mode in bench.request.modes if mode != "train")

    def rows(self) -> list[Row]:
        """The rows of the modes asked for. Raises what the case or the method raises."""
        if "vjp" not in self.modes:
            return self._value_rows(self.compute(gradient=False))
        try:
            found = self.compute()
        except Exception as error:
            if "value" not in self.modes:
                raise
            # A method without this derivative may still have the value.
            value = self._value_rows(self.compute(gradient=False))
            return value + rows.raised(self.cell, ["vjp"], error, self.case)
        result = self._value_rows(found) if "value" in self.modes else []
        for path in self.subject.sample.differentiable:
            result.append(self._derivative_row(f"d/d{path}", path, found, found.gradients))
        for name in found.intermediates:
            quantity = f"d/d{name} (intermediate)"
            result.append(self._derivative_row(quantity, name, found, found.intermediates))
        for expectation in self.subject.point.expect:
            result.extend(self._expectation_rows(expectation, found))
        return result

    def compute(self, *, gradient: bool = True, step: float | None = None) -> Gradients:
        """Run the method on its own copy of the sample, and make sure it left the copy alone.

        `step` runs the numeric method with that fixed step instead. Raises what the case or the
        method raises, Unsupported for a native function that the case does not have, HarnessError
        for a method that changes its inputs.
        """
        label = self.cell.backend
        name, _, variant = label.partition(":")
        native = variant == "native"
        if native and name not in self.case.code.natives:
            raise Unsupported(f"the case has no `native_{name}`")
        sample = self.subject.sample
        given = trees.cast(sample, sample.dtype)
        backend = self.bench.backend(label) if step is None else NumericBackend(step=step)
        found = backend.differentiate(
            self.case.program,
            given,
            gradient=gradient,
            intermediates=() if native else self.subject.wanted,
        )
        changed = _changed(given, sample)
        if changed:
            raise HarnessError(f"`{label}` changed its input `{changed}`")
        return found

    def _value_rows(self, found: Gradients) -> list[Row]:
        result = []
        for name in self.case.code.forward.returns:
            truth = self.subject.evidence.value(name)
            if self.cell.backend == "manual":
                truth = replace(truth, source="numeric")
            verdict = self._judge(found.values.get(name), truth)
            result.append(rows.judged(self.cell, "value", name, verdict, truth.source, found))
        return result

    def _derivative_row(
        self, quantity: str, name: str, found: Gradients, arrays: Mapping[str, Array]
    ) -> Row:
        truth = self.subject.evidence.derivative(name, judged=self.cell.backend)
        verdict = self._judge(arrays.get(name), truth, found, name)
        return rows.judged(self.cell, "vjp", quantity, verdict, truth.source, found)

    def _expectation_rows(self, expectation: Expectation, found: Gradients) -> Iterator[Row]:
        """Printed numbers, each with the tolerance that its digits carry."""
        name, _, variant = self.cell.backend.partition(":")
        if expectation.backend not in (None, name):
            return
        note = ""
        if expectation.step is not None:
            if name != "numeric":
                return
            found = _with_rounding_alone(self.compute(step=expectation.step), expectation.step)
            note = f"step {expectation.step:g}"
        for kind, key, numbers in self._expected(expectation):
            mode = "value" if kind == "values" else "vjp"
            array = getattr(found, kind).get(key)
            # A native function has no named intermediates, so none can be expected of it.
            if mode not in self.modes or (array is None and variant == "native"):
                continue
            expected, half = printed.to_arrays(numbers)
            allowance = half + self.subject.evidence.printed_allowance(kind, key)
            if array is not None and array.shape == expected.shape:
                coarse = "float32" if expectation.dtype == "float32" else self.cell.dtype
                allowance = allowance + Tolerance().array(expected, coarse)
            truth = Truth(expected, "printed")
            verdict = self._judge(array, truth, found, key, allowance)
            quantity = {
                "values": f"expect {key}",
                "gradients": f"expect d/d{key}",
                "intermediates": f"expect d/d{key} (intermediate)",
            }[kind]
            yield rows.judged(self.cell, mode, quantity, verdict, "printed", found, note)

    def _expected(self, expectation: Expectation) -> Iterator[tuple[str, str, Any]]:
        """Field of Gradients, key in it, and printed numbers, of everything expected."""
        if expectation.value is not None:
            named = expectation.value
            if not isinstance(named, dict):
                named = {self.case.code.forward.returns[0]: named}
            yield from (("values", name, numbers) for name, numbers in named.items())
        for name, numbers in expectation.intermediates.items():
            yield "values", name, numbers
        sample = self.subject.sample
        for path, numbers in _by_leaf(expectation.gradient, sample):
            kind = "intermediates" if path in sample.intermediates else "gradients"
            yield kind, path, numbers

    def _judge(
        self,
        got: Array | None,
        truth: Truth,
        found: Gradients | None = None,
        name: str = "",
        allowance: Array | float = 0.0,
    ) -> Verdict:
        dtype = self.cell.dtype
        is_printed = truth.source == "printed"
        return judge(
            got,
            truth,
            Tolerance(0.0) if is_printed else tolerance_of(self.case, dtype),
            dtype,
            uncertainty=found.uncertainty.get(name) if found else None,
            sampled=found.sampled.get(name) if found else None,
            allowance=allowance,
        )


def _with_rounding_alone(found: Gradients, step: float) -> Gradients:
    """The difference quotients as such: what is left uncertain is the rounding of two values.

    Their truncation error is part of what the source printed, and must not widen the tolerance.
    """
    largest = max(float(np.max(np.abs(each), initial=0.0)) for each in found.values.values())
    some = next(iter(found.values.values()))
    rounding = 2 * unit_roundoff(str(some.dtype)) * largest / step
    errors = {name: np.full(each.shape, rounding) for name, each in found.uncertainty.items()}
    return replace(found, uncertainty=errors)


def _changed(given: Sample, sample: Sample) -> str:
    """The path of the first input or cotangent that is no longer what it was, or ""."""
    after = _arrays(given)
    for path, array in _arrays(sample).items():
        if path not in after or not np.array_equal(after[path], array, equal_nan=True):
            return path
    return ""


def _arrays(sample: Sample) -> dict[str, Array]:
    cotangents = {f"cotangent {index}": each for index, each in enumerate(sample.cotangents)}
    return {**trees.flatten(sample.inputs), **cotangents}


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

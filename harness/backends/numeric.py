"""Numeric differences: slow, approximate, and independent of every derivative rule.

How one quotient is taken, and how its error is known, says `harness.differences`. Here is what they
are taken of: for the gradient, <cotangents, outputs> along the axis of each element; for the JVP,
the outputs along the tangents; for the HVP, the gradient along the tangents. That gradient is the
hand-written backward's, where there is one: a numeric gradient has lost a third of the digits
already, and would cost its own price four times over. So of an HVP this method is independent only
in the second derivative, and its rows say so.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import array_api_compat.numpy as array_numpy
import numpy as np

from harness import trees
from harness.backends.base import VJP, Backend, Call
from harness.differences import EVERYWHERE, POOR, ROUNDING, Line, along, joined, quotient, steps
from harness.dtypes import FORMATS, convert, is_half
from harness.errors import Unsupported
from harness.model import Array, Gradients, Sample, Task
from harness.namespace import Namespace
from harness.staging import Program

#: Elements per input beyond which a seeded sample of them is taken, four evaluations each.
FULL = 1024
#: The more elements there are, the longer each evaluation takes: so many times the number of
#: elements are evaluated, but never fewer than the fewest.
WORK, FEWEST = 2**22, 16
#: The same for an intermediate, which only serves to cross-check the manual backward.
FULL_INTERMEDIATE = 16
#: Elements of all leaves together up to which an HVP is made of numeric gradients.
FULL_HESSIAN = 64

#: Relative steps: eps**(1/3) for a function that is good to eps, and what that becomes for one that
#: is good to eps**POOR, as a quotient is.
ROOT, ROOT_OF_QUOTIENTS = 1 / 3, POOR / 3

#: A function of the inputs: named arrays, each with bounds of its errors.
Estimate: TypeAlias = Callable[[dict[str, Any]], dict[str, tuple[Array, Array]]]


class NumericBackend(Backend):
    """Difference quotients of `forward`. `step` fixes the step instead of choosing it."""

    name = "numeric"
    distributions = ("numpy",)
    approximate = True

    def __init__(self, variant: str = "", step: float | None = None) -> None:
        super().__init__(variant)
        self.step = step
        self.xp = Namespace("numpy", array_numpy)

    @np.errstate(all="ignore")
    def differentiate(self, program: Program, sample: Sample, task: Task = VJP) -> Gradients:
        """As in the base class, with `uncertainty` for every element and `sampled` where only
        some of the elements of a large input were computed."""
        start, dtype = time.perf_counter(), sample.dtype
        sample = _workable(sample)
        trace = program.forward(self.xp, trees.assembler(sample, np.array)(_copies(sample)))
        values = dict(
            zip(program.forward_code.returns, map(np.asarray, trace.outputs), strict=True)
        )
        values |= {name: np.asarray(trace.saved[name]) for name in task.intermediates}
        result = Gradients(_narrowed(values, dtype))
        if task.mode == "vjp":
            self._gradient(program, sample, task.intermediates, result, dtype)
        elif task.mode == "jvp":
            outputs = self._outputs(program)
            result.jvps = self._along_tangents(outputs, sample, result, ROOT, dtype)
        elif task.mode == "hvp":
            written = program.backward_code is not None
            result.detail = f"differences of {'`backward`' if written else 'differences'}"
            slopes = self._written(program, sample) if written else self._own(program, sample)
            root = ROOT if written else ROOT_OF_QUOTIENTS
            result.hvps = self._along_tangents(slopes, sample, result, root, dtype)
        if sample.dtype != dtype and task.mode != "value":
            result.detail = "; ".join(filter(None, (result.detail, f"taken in {sample.dtype}")))
        result.seconds = time.perf_counter() - start
        return result

    def _gradient(
        self,
        program: Program,
        sample: Sample,
        intermediates: Sequence[str],
        result: Gradients,
        dtype: str,
    ) -> None:
        """By element, in the dtype of `sample`, then rounded to `dtype`."""
        assemble = trees.assembler(sample, lambda array: array)
        variables = _copies(sample, intermediates)
        count = len(sample.differentiable)
        eps = float(np.finfo(sample.dtype).eps)

        def evaluate() -> tuple[float, float]:
            leaves = dict(zip(intermediates, variables[count:], strict=True))
            outputs = program.forward(self.xp, assemble(variables[:count]), leaves).outputs
            return _contract(sample.cotangents, outputs)

        middle, _ = evaluate()
        names = [*sample.differentiable, *intermediates]
        for position, (name, variable) in enumerate(zip(names, variables, strict=True)):
            full = FULL if position < count else FULL_INTERMEDIATE
            full = min(full, max(FEWEST, WORK // max(variable.size, 1)))
            indices = _chosen(sample, name, variable.size, full)
            derivative = np.full(variable.size, np.nan)
            error = np.full(variable.size, np.nan)
            # The perturbed leaf of an intermediate is zero; its magnitude is the intermediate's.
            magnitudes = variable if position < count else result.values[name]
            scale = _typical(magnitudes)
            flat = variable.reshape(-1)
            for index in indices:
                size = max(abs(float(magnitudes.reshape(-1)[index])), scale)
                center = float(flat[index])
                if not math.isfinite(size):
                    continue  # no step leads away from infinity
                scales = (size, 1.0, abs(center) or size, size / 64, size / 4096)
                derivative[index], error[index] = quotient(
                    _axis(evaluate, flat, int(index), eps),
                    middle,
                    self._steps(scales, eps**ROOT),
                    center=center,
                    domain=sample.domains.get(name, (-math.inf, math.inf)),
                    eps=eps,
                    sharp=size >= 1,
                )
            target = result.gradients if position < count else result.intermediates
            within = _within(derivative, error, dtype)
            target[name] = convert(within.reshape(variable.shape), dtype)
            result.uncertainty[name] = error.reshape(variable.shape)
            if len(indices) < variable.size:
                result.sampled[name] = indices
        sampled = ", ".join(
            f"{len(indices)} elements of {name}" for name, indices in result.sampled.items()
        )
        result.detail = f"sampled: {sampled}" if sampled else ""

    def _outputs(self, program: Program) -> Estimate:
        """What a JVP is the derivative of: every floating output."""

        def evaluate(inputs: dict[str, Any]) -> dict[str, tuple[Array, Array]]:
            outputs = map(np.asarray, program.forward(self.xp, inputs).outputs)
            named = zip(program.forward_code.returns, outputs, strict=True)
            return {name: _rounded(each) for name, each in named if each.dtype.kind == "f"}

        return evaluate

    def _written(self, program: Program, sample: Sample) -> Estimate:
        """What an HVP is the derivative of: the gradient, by the hand-written backward."""

        def evaluate(inputs: dict[str, Any]) -> dict[str, tuple[Array, Array]]:
            trace = program.forward(self.xp, inputs)
            returned, _ = program.backward(self.xp, sample.cotangents, inputs, trace)
            found = trees.by_path(returned, sample)
            missing = [path for path in sample.differentiable if path not in found]
            if missing:
                raise Unsupported(f"`backward` returned no gradient for `{missing[0]}`")
            return {path: _rounded(np.asarray(each)) for path, each in found.items()}

        return evaluate

    def _own(self, program: Program, sample: Sample) -> Estimate:
        """The gradient by this method. Raises Unsupported where that would take too long."""
        size = sum(each.size for each in trees.variables(sample))
        if size > FULL_HESSIAN:
            raise Unsupported(
                f"no `backward`, and {size} elements are too many for differences of differences"
            )

        def evaluate(inputs: dict[str, Any]) -> dict[str, tuple[Array, Array]]:
            found = self.differentiate(program, replace(sample, inputs=inputs))
            return {path: (each, found.uncertainty[path]) for path, each in found.gradients.items()}

        return evaluate

    def _along_tangents(
        self, evaluate: Estimate, sample: Sample, result: Gradients, root: float, dtype: str
    ) -> dict[str, Array]:
        """The derivative along the tangents of each array that `evaluate` gives, rounded to
        `dtype`. `result` is told how far each may be off, and which elements no step could tell."""
        assemble = trees.assembler(sample, lambda array: array)
        eps = float(np.finfo(sample.dtype).eps)

        def function(variables: list[Array]) -> tuple[Array, Array]:
            found = evaluate(assemble(variables)).values()
            return joined(values for values, _ in found), joined(errors for _, errors in found)

        derivative, error = along(
            function,
            _copies(sample),
            [sample.tangents[path] for path in sample.differentiable],
            [sample.domains.get(path, EVERYWHERE) for path in sample.differentiable],
            lambda scales: self._steps(scales, eps**root),
            eps,
        )
        here = {name: values for name, (values, _) in evaluate(assemble(_copies(sample))).items()}
        # What follows the last end is empty.
        ends = np.cumsum([values.size for values in here.values()], dtype=int)
        parts = (np.split(each, ends)[:-1] for each in (derivative, error))
        pieces = zip(here.items(), *parts, strict=True)
        found = {}
        for (name, values), slopes, errors in pieces:
            slopes = _within(slopes, errors, dtype)
            found[name] = slopes.reshape(values.shape).astype(values.dtype)
            result.uncertainty[name] = errors.reshape(values.shape)
            if not np.isfinite(errors).all():
                result.sampled[name] = np.flatnonzero(np.isfinite(errors))
        return _narrowed(found, dtype)

    def gradient_function(
        self, program: Program, sample: Sample
    ) -> Callable[[list[Array]], list[Array]]:
        assemble = trees.assembler(sample, lambda array: array)
        root = float(np.finfo(sample.dtype).eps) ** (1 / 3)

        def gradient(arrays: list[Array]) -> list[Array]:
            variables = [np.array(array, order="C") for array in arrays]
            results = []
            for path, variable in zip(sample.differentiable, variables, strict=True):
                bounds = sample.domains.get(path, (-math.inf, math.inf))
                flat = variable.reshape(-1)
                derivative = np.empty(variable.size)
                for index, center in enumerate(flat.tolist()):
                    step = self.step or root * max(abs(center), 1.0)
                    # Training may carry a parameter out of its domain; then there is none to keep.
                    inside = bounds[0] <= center <= bounds[1]
                    lowest, highest = bounds if inside else (-math.inf, math.inf)
                    flat[index] = min(center + step, highest)
                    high = float(flat[index])
                    above, _ = _contract(
                        sample.cotangents, program.forward(self.xp, assemble(variables)).outputs
                    )
                    flat[index] = max(center - step, lowest)
                    low = float(flat[index])
                    below, _ = _contract(
                        sample.cotangents, program.forward(self.xp, assemble(variables)).outputs
                    )
                    flat[index] = center
                    derivative[index] = (above - below) / (high - low) if high > low else np.nan
                results.append(derivative.reshape(variable.shape).astype(sample.dtype))
            return results

        return gradient

    def calls(self, program: Program, sample: Sample) -> tuple[Call, Call]:
        # Every element, by two evaluations: of a large input `differentiate` takes a sample.
        variables, gradient = trees.variables(sample), self.gradient_function(program, sample)

        def value() -> Any:
            return program.forward(self.xp, sample.inputs)

        return value, lambda: (value(), gradient(variables))

    def _steps(self, scales: Sequence[float], root: float) -> Iterable[float]:
        """The steps to try in turn."""
        return steps(scales, root) if self.step is None else [self.step]


def _axis(evaluate: Callable[[], tuple[float, float]], flat: Array, index: int, eps: float) -> Line:
    """What `evaluate` gives when `flat[index]` is moved; `flat` is what it was afterwards."""
    center = flat[index]

    def line(offset: float) -> tuple[float, float, float]:
        flat[index] = center + offset
        place = float(flat[index])
        try:
            value, magnitude = evaluate()
        finally:
            flat[index] = center
        return place, value, ROUNDING * eps * magnitude

    return line


def _rounded(values: Array) -> tuple[Array, Array]:
    """An array with bounds of the rounding errors that it comes with, underflow among them."""
    kind = np.finfo(values.dtype)
    return values, ROUNDING * (float(kind.eps) * np.abs(values) + float(kind.tiny))


def _copies(sample: Sample, intermediates: Sequence[str] = ()) -> list[Array]:
    """The variables, in C order, so that `reshape(-1)` is a view that can be written through."""
    return [np.array(array, order="C") for array in trees.variables(sample, intermediates)]


def _workable(sample: Sample) -> Sample:
    """The same numbers in a dtype that leaves a difference some digits: the root of the error of a
    16-bit function is no derivative, so those are taken in float64 and rounded once."""
    return trees.cast(sample, "float64") if is_half(sample.dtype) else sample


def _within(derivative: Array, error: Array, dtype: str) -> Array:
    """A quotient without a correct digit is no sign of infinity where the dtype ends."""
    bounds = np.where(error >= np.abs(derivative), FORMATS[dtype].largest, np.inf)
    return np.asarray(np.clip(derivative, -bounds, bounds))


def _narrowed(arrays: Mapping[str, Array], dtype: str) -> dict[str, Array]:
    """Float64 numbers as the half dtype has them; those of another dtype as they are, to be
    judged."""
    return {
        name: convert(each, dtype) if is_half(dtype) and each.dtype == np.float64 else each
        for name, each in arrays.items()
    }


def _typical(values: Array) -> float:
    """A magnitude for an element that is zero: that of its neighbours, or 1."""
    finite = np.abs(values[np.isfinite(values)]) if values.size else np.zeros(1)
    largest = float(finite.max()) if finite.size else 0.0
    return largest * 1e-3 if largest > 0 else 1.0


def _chosen(sample: Sample, name: str, size: int, full: int) -> Array:
    """All flat indices, or a seeded sample of `full` of them."""
    if size <= full:
        return np.arange(size)
    seed = [size, *f"{sample.case}/{sample.point}/{name}".encode()]
    return np.sort(np.random.default_rng(seed).choice(size, full, replace=False))


def _contract(cotangents: Sequence[Array], outputs: Sequence[Any]) -> tuple[float, float]:
    """`<cotangent, outputs>` in float64, and the sum of the magnitudes of its terms."""
    total = magnitude = 0.0
    for cotangent, output in zip(cotangents, outputs, strict=True):
        terms = np.multiply(cotangent, output, dtype=np.float64)
        total += float(terms.sum())
        magnitude += float(np.abs(terms).sum())
    return total, magnitude


BACKEND = NumericBackend

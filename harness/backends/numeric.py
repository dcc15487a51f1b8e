"""Numeric differences: slow, approximate, and independent of every derivative rule.

How one quotient is taken, and how its error is known, says `harness.differences`. Here is what they
are taken of: for the gradient, <cotangents, outputs> along the axis of each element; for the JVP,
the outputs along the tangents; for the HVP, the gradient along the tangents. That gradient is the
hand-written backward's, where there is one: a numeric gradient has lost a third of the digits
already, and would cost its own price four times over. So of an HVP this method is independent only
in the second derivative, and its rows say so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from harness.backends.base import VJP, Backend, Call
from harness.differences.derivative import (
    EVERYWHERE,
    Found,
    Plan,
    along,
    derivative,
    joined,
    middle_of,
    scales_in,
)
from harness.differences.perturbed import SPREAD, Perturbed, nearby, wider
from harness.differences.sampled import chosen
from harness.differences.stencils import POOR, ROUNDING
from harness.directions import Scaled, Slopes
from harness.dtypes import FORMATS, convert, is_half
from harness.errors import Unsupported
from harness.model import Array, Gradients, Sample, Task
from harness.programs import trees
from harness.programs.namespace import of_numpy
from harness.programs.operators.stopping import frozen
from harness.programs.program import Program

#: Elements per input beyond which a seeded sample of them is taken, ten evaluations each.
FULL = 1024
#: The more elements there are, the longer each evaluation takes: so many times the number of
#: elements are evaluated, but never fewer than the fewest.
WORK, FEWEST = 2**22, 16
#: Random directions that then stand for the rest, ten to 30 evaluations each: with 1e7 elements,
#: 2e9 element evaluations are all that anybody waits for.
DIRECTIONS = 8
#: The elements of an intermediate, which only serves to cross-check the manual backward.
FULL_INTERMEDIATE = 16
#: Elements of all leaves together up to which an HVP is made of numeric gradients.
FULL_HESSIAN = 64

#: A function of the inputs: named arrays, each with bounds of its errors.
Estimate: TypeAlias = Callable[[dict[str, Any]], dict[str, tuple[Array, Array]]]


class NumericBackend(Backend):
    """Difference quotients of `forward`. `step` fixes the step instead of choosing it; `numeric`
    names the scheme (see `differences.Plan`)."""

    name = "numeric"
    distributions = ("numpy",)
    approximate = True

    def __init__(self, variant: str = "", step: float | None = None, numeric: str = "auto") -> None:
        super().__init__(variant)
        self.plan = Plan(numeric, step)
        self.xp = of_numpy()

    @property
    def settings(self) -> tuple[Any, ...]:
        return (self.plan,)

    @np.errstate(all="ignore")
    def differentiate(self, program: Program, sample: Sample, task: Task = VJP) -> Gradients:
        """As in the base class, with `uncertainty` for every element; where only some elements of a
        large input were computed, `sampled` and, of leaves, `slopes` along random directions.

        Raises Unsupported for a case that the scheme asked for by name cannot do."""
        start, dtype = time.perf_counter(), sample.dtype
        at_steps = {
            step: NumericBackend(step=step).differentiate(program, sample, replace(task, steps=()))
            for step in task.steps
        }
        sample = _workable(sample)
        with frozen():  # the run at rest comes first
            trace = program.forward(self.xp, trees.assembler(sample, np.array)(_copies(sample)))
            values = dict(zip(program.outputs, map(np.asarray, trace.outputs), strict=True))
            values |= {name: np.asarray(trace.saved[name]) for name in task.intermediates}
            result = Gradients(_narrowed(values, dtype), at_steps=at_steps)
            if task.mode == "vjp":
                self._gradient(program, sample, task.intermediates, result, dtype)
            elif task.mode == "jvp":
                outputs = self._outputs(program)
                result.jvps = self._along_tangents(outputs, sample, result, dtype)
            elif task.mode == "hvp":
                # `backward` does not tell what it has from where no gradient flows.
                written = program.backward_stages is not None and not _stops(program)
                result.detail = f"differences of {'`backward`' if written else 'differences'}"
                slopes = self._written(program, sample) if written else self._own(program, sample)
                quality = 1.0 if written else POOR  # a quotient of quotients
                result.hvps = self._along_tangents(slopes, sample, result, dtype, quality)
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
        perturbed = Perturbed(program, sample, intermediates, self.xp)
        middle, count = np.full((1, 1), perturbed.middle()), len(sample.differentiable)
        notes, schemes = list[str](), list[str]()
        for position, name in enumerate(perturbed.names):
            variable, is_leaf = perturbed.variables[position], position < count
            full = FULL if is_leaf else FULL_INTERMEDIATE
            full = min(full, max(FEWEST, WORK // max(variable.size, 1)))
            scales = scales_in(sample.domains.get(name, EVERYWHERE), variable)
            indices = chosen(sample, name, scales, full)
            # The perturbed leaf of an intermediate is zero; its magnitude is the intermediate's.
            magnitudes = variable if is_leaf else result.values[name]
            values, errors = np.full((2, variable.size), np.nan)
            found = self._axes(perturbed, position, middle, indices, magnitudes)
            values[indices], errors[indices] = found.best[:, 0], found.error[:, 0]
            schemes += found.titles()
            values = _within(values, errors, dtype)
            target = result.gradients if is_leaf else result.intermediates
            target[name] = convert(values.reshape(variable.shape), dtype)
            result.uncertainty[name] = errors.reshape(variable.shape)
            known = indices[np.isfinite(errors[indices])]
            if len(known) < variable.size:
                result.sampled[name] = known
            if len(indices) < variable.size:
                note = f"{len(indices)} of {variable.size} elements of {name}"
                if is_leaf:
                    slopes = self._slopes(perturbed, position, scales)
                    result.slopes[name] = slopes
                    note += f" and {slopes.power()}" if slopes.known() else ""
                notes.append(note)
        parts = [", ".join(dict.fromkeys(schemes))]
        parts += [f"sampled: {', '.join(notes)}"] if notes else []
        result.detail = "; ".join(filter(None, parts))

    def _axes(
        self,
        perturbed: Perturbed,
        position: int,
        middle: Array,
        indices: Array,
        magnitudes: Array,
    ) -> Found:
        """The derivative along the axes of some elements of one variable."""
        variable = perturbed.variables[position]
        center = variable.reshape(-1)[indices].astype(np.float64)
        size = np.abs(magnitudes.reshape(-1)[indices].astype(np.float64))
        size = np.maximum(size, _typical(magnitudes))
        center = np.where(np.isfinite(size), center, np.nan)  # no step leads away from infinity
        near = np.where(center == 0, size, np.abs(center))
        line = perturbed.line(position)
        found = derivative(
            lambda lanes, offsets: line(indices[lanes], offsets),
            middle,
            self.plan.attempts([size, np.ones_like(size), near], perturbed.eps),
            center=center,
            domain=perturbed.sample.domains.get(perturbed.names[position], EVERYWHERE),
            named=self.plan.numeric != "auto",
        )
        if self.plan.numeric == "complex" and not np.all(np.isfinite(found.best)):
            name = perturbed.names[position]
            raise Unsupported(
                f"`forward` is not real, or not analytic, near some element of `{name}`"
            )
        return found

    def _slopes(self, perturbed: Perturbed, position: int, scales: Array) -> Slopes:
        """The derivative along random directions of one leaf, each made when it is needed."""
        sample, variable = perturbed.sample, perturbed.variables[position]
        # Directions are an extra: the scheme that has none of them is no reason to refuse.
        plan = Plan(step=self.plan.step) if self.plan.numeric == "complex" else self.plan
        name = perturbed.names[position]
        found = Slopes.empty(name, variable.shape, DIRECTIONS)
        if np.any(scales < 1):
            found = Scaled.along(name, scales, DIRECTIONS)
        assemble = list(perturbed.variables)

        def function(moved: list[Array]) -> tuple[Array, Array]:
            assemble[position] = moved[0]
            value, magnitude = perturbed.contracted(assemble)
            return np.array([value]), np.array([perturbed.rounding(magnitude)])

        domain = sample.domains.get(found.name, EVERYWHERE)
        middle = middle_of(function, [variable], perturbed.eps)
        for index in range(DIRECTIONS):
            one = along(
                function,
                [variable],
                [found.direction(index)],
                [domain],
                plan,
                perturbed.eps,
                middle=middle,
            )
            found.midpoints[index], found.radii[index] = one.best[0, 0], one.error[0, 0]
        return found

    def _outputs(self, program: Program) -> Estimate:
        """What a JVP is the derivative of: every floating output."""

        def evaluate(inputs: dict[str, Any]) -> dict[str, tuple[Array, Array]]:
            outputs = map(np.asarray, program.forward(self.xp, inputs).outputs)
            named = zip(program.outputs, outputs, strict=True)
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
        self,
        evaluate: Estimate,
        sample: Sample,
        result: Gradients,
        dtype: str,
        quality: float = 1.0,
    ) -> dict[str, Array]:
        """The derivative along the tangents of each array that `evaluate` gives, which is good to
        eps**quality, rounded to `dtype`. `result` is told how far each may be off, and which
        elements no step could tell."""
        assemble = trees.assembler(sample, lambda array: array)

        domains = [sample.domains.get(path, EVERYWHERE) for path in sample.differentiable]
        noise: Array | float = 0.0
        if quality == 1:  # else its errors are known
            noise = _noise(lambda moved: evaluate(assemble(moved)), _copies(sample), domains)

        def function(variables: list[Array]) -> tuple[Array, Array]:
            found = evaluate(assemble(variables)).values()
            errors = joined(errors for _, errors in found)
            return joined(values for values, _ in found), errors + noise

        got = along(
            function,
            _copies(sample),
            [sample.tangents[path] for path in sample.differentiable],
            domains,
            self.plan,
            float(np.finfo(sample.dtype).eps),
            quality,
        )
        here = {name: values for name, (values, _) in evaluate(assemble(_copies(sample))).items()}
        # What follows the last end is empty.
        ends = np.cumsum([values.size for values in here.values()], dtype=int)
        parts = (np.split(each, ends)[:-1] for each in (got.best[0], got.error[0]))
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
        perturbed = Perturbed(program, sample, (), self.xp)

        def gradient(arrays: list[Array]) -> list[Array]:
            for variable, array in zip(perturbed.variables, arrays, strict=True):
                variable[...] = array
            with frozen():
                if _stops(program):
                    perturbed.middle()
                return [
                    perturbed.slopes(position, self.plan.step).astype(sample.dtype)
                    for position in range(len(perturbed.variables))
                ]

        return gradient

    def calls(self, program: Program, sample: Sample) -> tuple[Call, Call]:
        # Every element, by two evaluations: of a large input `differentiate` takes a sample.
        variables, gradient = trees.variables(sample), self.gradient_function(program, sample)

        def value() -> Any:
            return program.forward(self.xp, sample.inputs)

        return value, lambda: (value(), gradient(variables))


def _stops(program: Program) -> bool:
    return "stop_gradient" in program.text


def _rounded(values: Array) -> tuple[Array, Array]:
    """An array with bounds of the rounding errors that it comes with, underflow among them."""
    kind = np.finfo(values.dtype)
    return values, ROUNDING * (float(kind.eps) * np.abs(values) + float(kind.tiny))


def _noise(
    evaluate: Callable[[list[Array]], dict[str, tuple[Array, Array]]],
    variables: list[Array],
    domains: Sequence[tuple[float, float]],
) -> Array | float:
    """How far each element is off because of rounding on the way to it (see `Perturbed.noise`)."""
    for carrier in wider(variables[0].dtype.name) if variables else ():
        worst: Array | float | None = None
        for moved in nearby(variables, domains):
            try:
                narrow, wide = evaluate(moved), evaluate([each.astype(carrier) for each in moved])
            except Exception:  # a library that knows no such numbers, or there is no value beside
                continue
            with np.errstate(all="ignore"):
                off = np.abs(joined(a - wide[name][0] for name, (a, _) in narrow.items()))
            worst = np.fmax(0.0 if worst is None else worst, np.where(np.isfinite(off), off, 0.0))
        if worst is not None:
            return SPREAD * worst
    return 0.0


def _copies(sample: Sample) -> list[Array]:
    """The variables, in C order, so that `reshape(-1)` is a view that can be written through."""
    return [np.array(array, order="C") for array in trees.variables(sample)]


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
    """A magnitude for an element that is smaller: that of its neighbours, or 1. Where it needs a
    smaller step, its error estimate says so, and it gets one."""
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    return float(np.median(sizes)) if sizes.size else 1.0


BACKEND = NumericBackend

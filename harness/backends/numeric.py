"""Numeric differences: slow, approximate, and independent of every derivative rule.

A difference quotient is only worth something together with its error, so every element comes with
one: the truncation error from a second quotient with twice the step, a kink from the second
difference, the rounding error from the size of the function. The step balances truncation and
rounding, eps**(1/3) times the magnitude of the element (Press et al., Numerical Recipes, section
5.7); where that turns out poor, steps for other magnitudes are tried and the quotient with the
smallest error estimate is kept. No evaluation leaves a declared domain: at its edge the quotient is
one-sided, of the same order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import array_api_compat.numpy as array_numpy
import numpy as np

from harness import trees
from harness.backends.base import Backend, Call
from harness.dtypes import FORMATS, convert, is_half
from harness.model import Array, Gradients, Sample
from harness.namespace import Namespace
from harness.staging import Program

#: Elements per input beyond which a seeded sample of them is taken, four evaluations each.
FULL = 1024
#: The more elements there are, the longer each evaluation takes: so many times the number of
#: elements are evaluated, but never fewer than the fewest.
WORK, FEWEST = 2**22, 16
#: The same for an intermediate, which only serves to cross-check the manual backward.
FULL_INTERMEDIATE = 16
#: Rounding error of one evaluation of the function, in units of eps times its magnitude.
ROUNDING = 16.0
#: The second step, in units of the first. Not a power of two: a function with such a period (a
#: quantizer, say) would look constant to both.
COARSE = 1.75
#: A quotient whose relative error estimate exceeds eps to this power is tried with other steps:
#: 5e-7 in float64, 2e-3 in float32, some thousand times what a well chosen step leaves.
POOR = 0.4


class NumericBackend(Backend):
    """Central differences of `<cotangent, forward(x)>`, element by element.

    `step` fixes the step for every element instead of choosing it.
    """

    name = "numeric"
    distributions = ("numpy",)
    approximate = True

    def __init__(self, variant: str = "", step: float | None = None) -> None:
        super().__init__(variant)
        self.step = step
        self.xp = Namespace("numpy", array_numpy)

    @np.errstate(all="ignore")
    def differentiate(
        self,
        program: Program,
        sample: Sample,
        *,
        gradient: bool = True,
        intermediates: Sequence[str] = (),
    ) -> Gradients:
        """As in the base class, with `uncertainty` for every element and `sampled` where only
        some of the elements of a large input were computed."""
        start, dtype = time.perf_counter(), sample.dtype
        sample = _workable(sample)
        assemble = trees.assembler(sample, lambda array: array)
        # In C order, so that `reshape(-1)` is a view that can be written through.
        variables = [np.array(array, order="C") for array in trees.variables(sample, intermediates)]
        count = len(sample.differentiable)
        trace = program.forward(self.xp, assemble(variables[:count]))
        values = dict(
            zip(program.forward_code.returns, map(np.asarray, trace.outputs), strict=True)
        )
        values |= {name: np.asarray(trace.saved[name]) for name in intermediates}
        result = Gradients({name: _narrowed(each, dtype) for name, each in values.items()})
        if not gradient:
            result.seconds = time.perf_counter() - start
            return result

        def evaluate() -> tuple[float, float]:
            leaves = dict(zip(intermediates, variables[count:], strict=True))
            outputs = program.forward(self.xp, assemble(variables[:count]), leaves).outputs
            return _contract(sample.cotangents, outputs)

        middle, _ = evaluate()
        eps = float(np.finfo(sample.dtype).eps)
        names = [*sample.differentiable, *intermediates]
        for position, (name, variable) in enumerate(zip(names, variables, strict=True)):
            domain = sample.domains.get(name, (-math.inf, math.inf))
            full = FULL if position < count else FULL_INTERMEDIATE
            full = min(full, max(FEWEST, WORK // max(variable.size, 1)))
            indices = _chosen(sample, name, variable.size, full)
            derivative = np.full(variable.size, np.nan)
            error = np.full(variable.size, np.nan)
            # The perturbed leaf of an intermediate is zero; its magnitude is the intermediate's.
            magnitudes = variable if position < count else values[name]
            scale = _typical(magnitudes)
            for index in indices:
                size = max(abs(float(magnitudes.reshape(-1)[index])), scale)
                if not math.isfinite(size):
                    continue  # no step leads away from infinity
                derivative[index], error[index] = self._quotient(
                    evaluate, middle, variable.reshape(-1), int(index), size, domain, eps
                )
            target = result.gradients if position < count else result.intermediates
            # A quotient without a correct digit is no sign of infinity where the dtype ends.
            largest = FORMATS[dtype].largest
            bounded = np.where(error >= np.abs(derivative), largest, np.inf)
            derivative = np.clip(derivative, -bounded, bounded)
            target[name] = convert(derivative.reshape(variable.shape), dtype)
            result.uncertainty[name] = error.reshape(variable.shape)
            if len(indices) < variable.size:
                result.sampled[name] = indices
        sampled = ", ".join(
            f"{len(indices)} elements of {name}" for name, indices in result.sampled.items()
        )
        result.detail = f"sampled: {sampled}" if sampled else ""
        if sample.dtype != dtype:
            result.detail = "; ".join(filter(None, (result.detail, f"taken in {sample.dtype}")))
        result.seconds = time.perf_counter() - start
        return result

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

    def _quotient(
        self,
        evaluate: Callable[[], tuple[float, float]],
        middle: float,
        flat: Array,
        index: int,
        size: float,
        domain: tuple[float, float],
        eps: float,
    ) -> tuple[float, float]:
        """The derivative with respect to `flat[index]`, and its error estimate."""
        center = float(flat[index])
        if not math.isfinite(center):  # no neighbour on either side
            return math.nan, math.inf
        best = (math.nan, math.inf)
        for tried, step in enumerate(self._steps(center, size, eps)):
            for direction in _stencils(center, step, domain):
                found = _difference(evaluate, middle, flat, index, step, direction, eps)
                if found[1] < best[1] or math.isnan(best[0]):
                    best = found
                # exp(1e-12 + 6e-18) is 1 too: no change over a tiny step says nothing.
                zero = best[0] == 0 and (tried > 0 or size >= 1)
                if zero or best[1] <= eps**POOR * abs(best[0]):
                    return best
        return best

    def _steps(self, center: float, size: float, eps: float) -> Iterator[float]:
        """Steps to try in turn, powers of two so that `x + h` is mostly exact."""
        if self.step is not None:
            yield self.step
            return
        root = eps ** (1 / 3)
        for scale in dict.fromkeys((size, 1.0, abs(center) or size, size / 64, size / 4096)):
            yield 2.0 ** round(math.log2(max(root * scale, float(np.finfo(np.float64).tiny))))


def _workable(sample: Sample) -> Sample:
    """The same numbers in a dtype that leaves a difference some digits: the root of the error of a
    16-bit function is no derivative, so those are taken in float64 and rounded once."""
    return trees.cast(sample, "float64") if is_half(sample.dtype) else sample


def _narrowed(array: Array, dtype: str) -> Array:
    """A float64 value as the half dtype has it; one of another dtype as it is, to be judged."""
    return convert(array, dtype) if is_half(dtype) and array.dtype == np.float64 else array


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


def _stencils(center: float, step: float, domain: tuple[float, float]) -> list[int]:
    """0 for a central quotient, +1 or -1 for a one-sided one: what stays inside the domain."""
    low, high = domain
    if low <= center - 2 * step and center + 2 * step <= high:
        return [0]
    sides = []
    if center + 4 * step <= high:
        sides.append(1)
    if low <= center - 4 * step:
        sides.append(-1)
    return sides


def _contract(cotangents: Sequence[Array], outputs: Sequence[Any]) -> tuple[float, float]:
    """`<cotangent, outputs>` in float64, and the sum of the magnitudes of its terms."""
    total = magnitude = 0.0
    for cotangent, output in zip(cotangents, outputs, strict=True):
        terms = np.multiply(cotangent, output, dtype=np.float64)
        total += float(terms.sum())
        magnitude += float(np.abs(terms).sum())
    return total, magnitude


def _difference(
    evaluate: Callable[[], tuple[float, float]],
    middle: float,
    flat: Array,
    index: int,
    step: float,
    direction: int,
    eps: float,
) -> tuple[float, float]:
    """Quotient with `step`, and its error from the one with `2 step`; restores `flat`.

    `middle` is the function at the center. Exactly at relu's kink both central quotients are 0.5,
    as if that were certain. The second difference over the step tells: it halves with the step
    where the function is smooth, and stays, being the jump of the derivative, where it is not.
    """
    center = flat[index]
    jump = 0.0

    def at(offset: float) -> tuple[float, float, float]:
        flat[index] = center + offset
        where = float(flat[index])
        try:
            return (where, *evaluate())
        finally:
            flat[index] = center

    if direction == 0:
        (x1, f1, m1), (x0, f0, m0) = at(step), at(-step)
        (x3, f3, _), (x2, f2, _) = at(COARSE * step), at(-COARSE * step)
        if x1 == x0:  # the step is below the spacing of the floats here
            return math.nan, math.inf
        fine, coarse = (f1 - f0) / (x1 - x0), (f3 - f2) / (x3 - x2)
        rounding = (m1 + m0) / (x1 - x0)
        second = 2 * (f1 - 2 * middle + f0) / (x1 - x0)
        jump = 2 * second - 2 * (f3 - 2 * middle + f2) / (x3 - x2)
    else:
        side = direction * step
        (x0, f0, m0), (x1, f1, m1) = at(0.0), at(side)
        (x2, f2, _), (x4, f4, _) = at(2 * side), at(4 * side)
        if x2 == x0:
            return math.nan, math.inf
        fine = (-3 * f0 + 4 * f1 - f2) / (x2 - x0)
        coarse = (-3 * f0 + 4 * f2 - f4) / (x4 - x0)
        rounding = 4 * (m1 + m0) / abs(x2 - x0)
    # The factor 5 covers functions for which two steps are not yet enough for asymptotics.
    error = 5 * abs(fine - coarse) + abs(jump) / 2 + ROUNDING * eps * rounding
    # An infinite error estimate beside a finite number would let anything agree with it.
    return (fine, error) if math.isfinite(fine) and math.isfinite(error) else (math.nan, math.inf)


BACKEND = NumericBackend

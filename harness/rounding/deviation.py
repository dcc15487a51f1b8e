"""How far honest rounding moves each number of a sample: the tolerance that nobody has to guess.

A fixed `rtol` is too loose for a product and too tight for a difference of nearly equal numbers.
Here the program itself says what it is good for: its forward and its hand-written backward run
again with an error of random sign planted in every operation (see `rounded`), and the largest of
the deviations is what one honest rounding per operation does to that element. Whatever is off by
more than `K` times that, and `K` units in the last place besides, is no rounding.

The planted errors are `K` times as large as rounding errors, and the deviation is divided by `K`
afterwards. To first order that changes nothing. Where the program decides (`x > 0`, `max`), it
makes the tolerance cover the jump exactly when a method within it may have decided otherwise; and
in float64 it lifts the planted errors above those of the arithmetic that carries them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from harness.backends.manual import ManualBackend
from harness.dtypes import FORMATS, unit_roundoff
from harness.errors import Unsupported
from harness.model import Array, Gradients, Sample, Task, TaskMode
from harness.programs import trees
from harness.programs.program import Program
from harness.rounding.rounded import Rounding

#: The one constant. `benchmarks/calibration.py` measures it: the worst ratio of correct code is 13
#: (frameworks that differentiate through the maximum of a logsumexp of 1e5 numbers).
K = 32.0
#: In bfloat16, 32 roundings are an eighth of the number, and a gradient of zero passes in ten of 22
#: cases. The worst ratio there is 5.2 (sums that are added up in bfloat16), at sizes up to 1000.
K_BFLOAT16 = 16.0
#: In bfloat16, thirty-two roundings of a transcendental function would be half of its value.
LARGEST_STEP = 2.0**-6

_KINDS = ("values", "gradients", "intermediates")
_Arrays: TypeAlias = dict[tuple[str, str], Array]


@dataclass(frozen=True)
class Deviation:
    """What one honest rounding error per operation does, elementwise, absolute, as float64.

    values:        output or wanted intermediate -> deviation of its value.
    gradients:     leaf path -> deviation of its VJP.
    intermediates: intermediate -> deviation of its cotangent, where `backward` names it.

    An element is infinite where no run with errors gave a finite number, though the exact one did.
    """

    dtype: str
    values: dict[str, Array]
    gradients: dict[str, Array] = field(default_factory=dict)
    intermediates: dict[str, Array] = field(default_factory=dict)


def deviation(
    program: Program,
    sample: Sample,
    *,
    intermediates: Sequence[str] = (),
    runs: int = 6,
    seed: int = 0,
) -> Deviation:
    """The largest deviation in `runs` runs from the run without errors; it depends on `seed` only,
    and more runs can only widen it.

    Another order of operations errs elsewhere: in a batch normalisation that cancels three digits,
    some elements owe nothing to the error of the mean here and 430 u in a framework. What any
    order may do shows when the inputs err, too (half as many runs again). Such a deviation counts
    up to the largest of the quantity with exact inputs: at a kink it would be the jump.

    A program without `backward` gets values alone. Raises Unsupported where the code uses
    something that the erring namespace lacks, and whatever the code itself raises.
    """
    exact = evaluate(program, sample, Rounding(sample.dtype, 0.0), intermediates=intermediates)
    step = step_of(sample.dtype)

    def run(index: int, inputs_err: bool) -> Gradients:
        rounding = Rounding(sample.dtype, step, (seed, index, int(inputs_err)))
        return evaluate(
            program, sample, rounding, intermediates=intermediates, inputs_err=inputs_err
        )

    return largest_of(exact, run, runs, sample.dtype)


def step_of(dtype: str) -> float:
    """The size of a planted error."""
    return min(K * unit_roundoff(dtype), LARGEST_STEP)


def largest_of(
    exact: Gradients,
    run: Callable[[int, bool], Gradients],
    runs: int,
    dtype: str,
    capped: bool = True,
) -> Deviation:
    """The largest deviation from `exact` of `runs` runs without errors of the inputs, and of half
    as many with them; each is told its index and whether its inputs are to err. Those count up to
    the largest of the quantity with exact inputs, if they are `capped`."""

    def largest(count: int, inputs_err: bool) -> _Arrays:
        found: _Arrays = {}
        for index in range(count):
            erring = run(index, inputs_err)
            for kind, name, array in _arrays(exact):
                moved = _distance(getattr(erring, kind)[name], array, name)
                found[kind, name] = np.fmax(found.get((kind, name), np.nan), moved)
        return found

    operations, inputs = largest(runs, False), largest(max(runs // 2, 1), True)
    result = Deviation(dtype, {}, {}, {})
    for kind, name, array in _arrays(exact):
        own = operations[kind, name]
        own = np.where(np.isnan(own), np.where(np.isfinite(array), np.inf, 0.0), own)
        most = np.max(own, initial=0.0, where=np.isfinite(own))
        widened = np.fmax(own, np.fmin(inputs[kind, name], most if capped else np.inf))
        scaled = widened * (unit_roundoff(dtype) / step_of(dtype))
        getattr(result, kind)[name] = np.asarray(scaled, np.float64)
    return result


def tolerance(expected: Array, deviation: Array, dtype: str, k: float | None = None) -> Array:
    """`k` (u |expected| + deviation): the absolute error that rounding explains, elementwise; `k`
    is the constant of the dtype if none is given.

    What one underflow may do is added to that: where frameworks flush what is below the smallest
    normal number to zero, that number. What others did before is part of the deviation.
    """
    size = np.abs(np.asarray(expected, dtype=np.float64))
    known = FORMATS[dtype]
    if k is None:
        k = K_BFLOAT16 if dtype == "bfloat16" else K
    return np.asarray(k * (known.unit * size + deviation) + known.underflow)


def evaluate(
    program: Program,
    sample: Sample,
    rounding: Rounding,
    *,
    intermediates: Sequence[str] = (),
    inputs_err: bool = False,
    gradient: bool = True,
) -> Gradients:
    """Forward and hand-written backward (if there is one, and `gradient`) on the arrays of
    `rounding`, in its carrier's dtype."""
    backend = ManualBackend()
    backend.xp = rounding.xp

    def leaf(_path: str, array: Array) -> Any:
        return rounding.leaf(array, inputs_err)

    with np.errstate(all="ignore"):
        held = replace(
            sample,
            inputs=dict(trees.map_with_path(leaf, sample.inputs)),
            cotangents=tuple(rounding.leaf(each) for each in sample.cotangents),
        )
        mode: TaskMode = "vjp" if gradient and program.backward_stages is not None else "value"
        return backend.differentiate(program, held, Task(mode, tuple(intermediates)))


def _arrays(gradients: Gradients) -> Iterator[tuple[str, str, Array]]:
    for kind in _KINDS:
        for name, array in getattr(gradients, kind).items():
            yield kind, name, array


def _distance(erring: Array, exact: Array, name: str) -> Array:
    """|erring - exact|; NaN where that says nothing, for `fmax` to pass over."""
    if erring.shape != exact.shape:
        raise Unsupported(f"rounding: the shape of `{name}` depends on rounding errors")
    with np.errstate(invalid="ignore"):
        moved = np.abs(erring - exact).astype(np.float64)
    return np.where(np.isfinite(moved), moved, np.nan)


@dataclass(frozen=True)
class RoundingTolerance:
    """The tolerance of one quantity, in the place of a `verdict.Tolerance`."""

    deviation: Array

    def array(self, expected: Array, dtype: str) -> Array:
        """As in `verdict.Allows`."""
        return tolerance(expected, self.deviation, dtype)

    def zero(self, expected: Array, dtype: str) -> Array:
        """As in `verdict.Allows`: what rounding explains besides that of the number itself."""
        return tolerance(np.zeros(()), self.deviation, dtype)


@dataclass(frozen=True)
class OwnRounding:
    """The tolerance of one quantity by a formula of its own: what the conditioning does not explain
    (`problem`, a deviation), its operations may (`formula`, another).

    That is so of all elements, or of the `zeros` alone: no formula that adds and subtracts has a
    digit of those right.
    """

    problem: Array
    formula: Array
    zeros: Array | None = None

    def array(self, expected: Array, dtype: str) -> Array:
        """As in `verdict.Allows`."""
        return tolerance(expected, self._explained, dtype)

    def zero(self, expected: Array, dtype: str) -> Array:
        """As in `verdict.Allows`."""
        return tolerance(np.zeros(()), self._explained, dtype)

    @property
    def _explained(self) -> Array:
        either = np.fmax(self.problem, np.where(np.isfinite(self.formula), self.formula, 0.0))
        return np.asarray(
            either if self.zeros is None else np.where(self.zeros, either, self.problem)
        )

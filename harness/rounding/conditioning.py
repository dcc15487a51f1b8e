"""How far the gradient itself moves where `forward` rounds: what no method can do better than.

Between the true gradient and a number that a method returns lie two kinds of rounding. Those of
`forward` make of it a function nearby, whose gradient is another one: that is the conditioning of
the problem, and excuses everybody. Those of the backward belong to its formula, and another formula
may do without them: 1 - tanh(x)**2 loses all digits at 20, 1 / cosh(x)**2 none.

So errors are planted in `forward` alone, each operation off by a factor, and the gradient of that
function is derived exactly, in arithmetic that is wider than the dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness.derived.program import Derived
from harness.errors import Unsupported
from harness.model import Array, Gradients, Sample
from harness.programs import trees
from harness.programs.program import Program
from harness.rounding.deviation import Deviation, evaluate, largest_of, step_of
from harness.rounding.functions import ERRORS
from harness.rounding.rounded import Rounding

#: Functions that are none of `ERRORS`, in units of the step. Sums err in their terms.
_OTHERS = {
    **dict.fromkeys("cumulative_prod cumulative_sum matmul pow prod".split(), 1.0),
    **dict.fromkeys("cholesky det inv logaddexp slogdet solve".split(), 4.0),
}
#: Elements of all inputs up to which numpy's widest arithmetic is worth its time: it has no fast
#: matrix product.
WIDE = 2**14


class Factors:
    """The errors of one run, as a `derived.tape.Planted`."""

    def __init__(self, dtype: str, seed: Sequence[int]) -> None:
        self._rounding = Rounding(dtype, step_of(dtype), seed)

    def factor(self, name: str, shape: tuple[int, ...]) -> Array | None:
        """As in `Planted`."""
        size = ERRORS.get(name) or _OTHERS.get(name)
        return np.asarray(self._rounding.perturb(np.ones(shape), size)) if size else None

    def terms(self, shape: tuple[int, ...], axis: Any) -> Array | None:
        """As in `Planted`."""
        return self._rounding.perturb_terms(np.ones(shape), axis)

    def moved(self, sample: Sample, carrier: type[np.floating[Any]]) -> Sample:
        """The sample with an error in every number of its inputs."""

        def move(_path: str, leaf: Array) -> Array:
            if leaf.dtype.kind != "f" and leaf.dtype.name != sample.dtype:
                return leaf
            return np.asarray(leaf.astype(carrier) * self._rounding.perturb(np.ones(leaf.shape)))

        return replace(sample, inputs=dict(trees.map_with_path(move, sample.inputs)))


def conditioning(
    program: Program,
    sample: Sample,
    *,
    intermediates: Sequence[str] = (),
    runs: int = 6,
    seed: int = 0,
) -> Deviation:
    """As `deviation.deviation`, of the gradient of `forward` alone; whether there is a backward
    makes no difference. Beside a kink it is the jump of the gradient. Raises Unsupported for a
    function without a rule."""
    count = sum(np.size(leaf) for leaf in trees.flatten(sample.inputs).values())
    carriers: list[type[np.floating[Any]]] = [np.float64]
    if count <= WIDE:
        carriers.insert(0, np.longdouble)
    for carrier in carriers:
        try:
            return _in(carrier, program, sample, intermediates, runs, seed)
        except Unsupported:  # numpy's linear algebra knows float64 at most
            if carrier is carriers[-1]:
                raise
    raise AssertionError


def _in(
    carrier: type[np.floating[Any]],
    program: Program,
    sample: Sample,
    intermediates: Sequence[str],
    runs: int,
    seed: int,
) -> Deviation:
    exact_numbers = Rounding(sample.dtype, 0.0, carrier=carrier)

    def gradient(errors: Factors | None, at: Sample) -> Gradients:
        derived = Derived(program, sample, exact=True, errors=errors)
        return evaluate(derived, at, exact_numbers, intermediates=intermediates)

    def run(index: int, inputs_err: bool) -> Gradients:
        errors = Factors(sample.dtype, (seed, index, int(inputs_err)))
        return gradient(errors, errors.moved(sample, carrier) if inputs_err else sample)

    return largest_of(gradient(None, sample), run, runs, sample.dtype, capped=False)

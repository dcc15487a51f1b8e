"""The manual method in a dtype that numpy does not have.

numpy's bfloat16 (of `ml_dtypes`) is a dtype without its rules: a Python number beside an array
makes it float32, so does a matrix product, `where` makes it float64, and a 0-d array times a number
raises. A case that is right everywhere else would fail there. So its code runs on the arrays that
the rounding tolerance is measured with (see `rounded`), held in float64; but no error is planted:
the result of every operation is rounded to the nearest number of the dtype, sums and products of
matrices at the end, as the frameworks' kernels accumulate.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.backends.base import VJP
from harness.backends.manual import ManualBackend
from harness.dtypes import FORMATS, convert
from harness.model import Array, Gradients, Sample, Task
from harness.programs.program import Program
from harness.rounding.deviation import evaluate
from harness.rounding.rounded import Rounding

#: The dtypes in which the manual method is emulated.
EMULATED = ("bfloat16",)


class Nearest(Rounding):
    """Arrays of the standard in which every operation is exact, then rounded to the dtype once."""

    def __init__(self, dtype: str) -> None:
        super().__init__(dtype, 0.0)

    def constant(self, data: Any) -> Any:
        """Numbers that the code brings, as the dtype has them."""
        return self._nearest(super().constant(data))

    def wrap(self, value: Any) -> Any:
        """What a case gets in place of what numpy returns, rounded."""
        wrapped = super().wrap(value)
        if hasattr(wrapped, "data"):
            wrapped.data = self._nearest(wrapped.data)
        return wrapped

    def _nearest(self, data: Array) -> Array:
        return FORMATS[self.dtype].nearest(data) if data.dtype.kind == "f" else data


class EmulatedBackend(ManualBackend):
    """`manual` for the dtypes of EMULATED."""

    def differentiate(self, program: Program, sample: Sample, task: Task = VJP) -> Gradients:
        """As in the base class. Raises Unsupported besides where the code uses something that the
        arrays of `harness.rounding.rounded` lack."""
        gradient = task.mode == "vjp"
        if task.mode in ("jvp", "hvp") or (gradient and program.backward_stages is None):
            return super().differentiate(program, sample, task)
        found = evaluate(
            program,
            sample,
            Nearest(sample.dtype),
            intermediates=task.intermediates,
            gradient=gradient,
        )

        def narrow(arrays: dict[str, Array]) -> dict[str, Array]:
            return {
                name: convert(each, sample.dtype) if each.dtype.kind == "f" else each
                for name, each in arrays.items()
            }

        return replace(
            found,
            values=narrow(found.values),
            gradients=narrow(found.gradients),
            intermediates=narrow(found.intermediates),
            detail=f"emulated: numpy has no {sample.dtype}",
        )

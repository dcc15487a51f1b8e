"""What a sample's numbers are judged by.

Two opinions that share no derivative rule, both in float64 whatever the dtype of the sample:
numeric differences, and the hand-written backward. Where they agree, the backward is the reference,
being the more accurate; where they do not, the numeric differences are, so that a wrong backward
makes no framework look wrong. The backward itself is judged by the numeric differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from harness import trees
from harness.backends.manual import ManualBackend
from harness.backends.numeric import NumericBackend
from harness.compare import Tolerance, Truth, judge
from harness.model import Array, Gradients, Sample, Status
from harness.staging import Program


class Evidence:
    """The references of one sample; each is computed when it is first asked for.

    `spread` gives half a unit of the last digit of each printed input by leaf path.
    """

    def __init__(
        self,
        program: Program,
        sample: Sample,
        *,
        spread: dict[str, Array] | None = None,
        wanted: Sequence[str] = (),
        tolerance: Tolerance | None = None,
    ) -> None:
        self.program = program
        self.sample = trees.cast(sample, "float64")
        self._spread = spread or {}
        self._wanted = tuple(wanted)
        self._tolerance = tolerance or Tolerance()

    @cached_property
    def manual(self) -> Gradients | Exception:
        """What the hand-written backward says, or why it says nothing."""
        try:
            return ManualBackend().differentiate(
                self.program, self.sample, intermediates=self._values
            )
        except Exception as error:  # the case's own code may raise anything
            return error

    @cached_property
    def numeric(self) -> Gradients:
        """Numeric differences, also of every intermediate whose cotangent the backward names."""
        named = self.manual.intermediates if isinstance(self.manual, Gradients) else ()
        names = [
            name for name in self.sample.intermediates if name in named or name in self._wanted
        ]
        return NumericBackend().differentiate(self.program, self.sample, intermediates=names)

    @cached_property
    def values(self) -> dict[str, Array]:
        """Outputs and wanted intermediates of `forward` on numpy."""
        if isinstance(self.manual, Gradients):
            return self.manual.values
        return (
            ManualBackend()
            .differentiate(self.program, self.sample, gradient=False, intermediates=self._values)
            .values
        )

    def value(self, name: str) -> Truth:
        """The reference of an output or a wanted intermediate."""
        has_backward = isinstance(self.manual, Gradients)
        return Truth(self.values[name], "manual" if has_backward else "numeric")

    def derivative(self, name: str, *, judged: str) -> Truth:
        """The reference of the gradient for a leaf or an intermediate.

        `judged` is the backend that will be compared with it, since nothing is judged by itself
        where there is another opinion.
        """
        numeric = self.numeric
        second = Truth(
            _either(numeric, name),
            "numeric",
            numeric.uncertainty.get(name),
            numeric.sampled.get(name),
        )
        if judged == "manual" or not isinstance(self.manual, Gradients):
            return second
        written = _get(self.manual, name)
        if written is None or written.shape != second.value.shape:
            return second
        first = Truth(written, "manual")
        if judged == "numeric":
            return first
        verdict = judge(written, second, self._tolerance, "float64")
        return first if verdict.status == Status.PASS else second

    def printed_allowance(self, kind: str, name: str) -> Array | float:
        """How far the rounding of printed inputs can move a quantity.

        The sum over those inputs of |Q(x + half a unit) - Q(x - half a unit)| / 2, evaluated with
        the hand-written backward; zero where no input is printed or there is no backward.
        """
        total: Array | float = 0.0
        for above, below in self._moved:
            one, other = (getattr(each, kind).get(name) for each in (above, below))
            if one is not None and other is not None:
                total = total + np.abs(one - other) / 2
        return total

    @cached_property
    def _moved(self) -> list[tuple[Gradients, Gradients]]:
        """The backward with each printed number moved up and down by half a unit."""
        if not self._spread or not isinstance(self.manual, Gradients):
            return []
        return [
            (self._at(path, index, float(half[index])), self._at(path, index, -float(half[index])))
            for path, half in self._spread.items()
            for index in np.ndindex(half.shape)
            if half[index]
        ]

    def _at(self, path: str, index: tuple[int, ...], offset: float) -> Gradients:
        def move(here: str, leaf: Array) -> Array:
            if here != path:
                return leaf
            moved = leaf.copy()
            moved[index] += offset
            return moved

        inputs = dict(trees.map_with_path(move, self.sample.inputs))
        return ManualBackend().differentiate(
            self.program, replace(self.sample, inputs=inputs), intermediates=self._values
        )

    @property
    def _values(self) -> tuple[str, ...]:
        """Wanted intermediates that `forward` is known to assign."""
        return tuple(name for name in self._wanted if self.program.forward_code.stage(name))


def _get(gradients: Gradients, name: str) -> Array | None:
    found = gradients.gradients.get(name)
    return found if found is not None else gradients.intermediates.get(name)


def _either(gradients: Gradients, name: str) -> Array:
    found = _get(gradients, name)
    assert found is not None, name
    return found

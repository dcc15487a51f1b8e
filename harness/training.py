"""Trajectory cases: train with each method's gradients and compare where they end.

A gradient that is wrong in the tenth digit passes most checks; ten thousand steps with it do not
end at the same place. The update rules are numpy, the same for all, so that only the gradients
differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness.backends.base import Backend
from harness.cases.schema import Training
from harness.errors import HarnessError
from harness.model import Array, Sample
from harness.programs import trees
from harness.programs.namespace import of_numpy
from harness.programs.staging import StagedProgram

Gradient = Callable[[list[Array]], list[Array]]

#: The end may differ by this many times what one disturbed run did to it. Two error patterns of
#: the same size rarely lead to ends that differ by more than a few of those.
FACTOR = 8.0
#: An allowance beyond this, relative to the largest parameter, would let anything pass.
CHAOTIC = 1e-3


def floor(expected: Array, steps: int) -> float:
    """What the rounding of the updates themselves may leave after `steps` of them: the square root
    of their number in ulp of the largest parameter, as a random walk."""
    largest = float(np.max(np.abs(expected), initial=0.0))
    return FACTOR * float(np.finfo(expected.dtype).eps) * largest * float(np.sqrt(steps))


def disturbed(gradient: Gradient, errors: Sequence[Array] | float) -> Gradient:
    """`gradient` with errors added to it, to learn how far they carry.

    A number is the unit roundoff of an exact method: every element is multiplied by 1 + u or 1 - u,
    at random in each step. Arrays are the error estimates of an approximate method, whose errors
    persist: each is added with a random sign that stays the same. Both are seeded.
    """
    rng = np.random.default_rng(0)
    signs = np.array([-1.0, 1.0])
    if isinstance(errors, float):
        return lambda parameters: [
            each * (1 + errors * rng.choice(signs, each.shape)) for each in gradient(parameters)
        ]
    biases = [error * rng.choice(signs, error.shape) for error in errors]
    return lambda parameters: [
        each + bias for each, bias in zip(gradient(parameters), biases, strict=True)
    ]


def descend(gradient: Gradient, start: list[Array], training: Training, steps: int) -> list[Array]:
    """The parameters after `steps` updates with `gradient`.

    gradient_descent: x <- x - step_size g.
    momentum: v <- mass v - (1 - mass) g; x <- x + step_size v (v starts at zero).
    """
    parameters = [array.copy() for array in start]
    for first, begin in zip(gradient(parameters), start, strict=True):
        if first.shape != begin.shape or first.dtype != begin.dtype:
            raise HarnessError(
                f"a gradient has shape {list(first.shape)} and dtype {first.dtype}, its parameter "
                f"{list(begin.shape)} and {begin.dtype}"
            )
    if training.optimizer == "gradient_descent":
        for _ in range(steps):
            slopes = gradient(parameters)
            parameters = [
                x - training.step_size * g for x, g in zip(parameters, slopes, strict=True)
            ]
        return parameters
    velocity = [np.zeros_like(array) for array in start]
    for _ in range(steps):
        slopes = gradient(parameters)
        velocity = [
            training.mass * v - (1 - training.mass) * g
            for v, g in zip(velocity, slopes, strict=True)
        ]
        parameters = [x + training.step_size * v for x, v in zip(parameters, velocity, strict=True)]
    return parameters


class Trajectories:
    """Training runs of one program from one sample, each made once.

    sample: the start, with only the trained input differentiable and a cotangent of one: the loss.
    """

    def __init__(
        self, program: StagedProgram, sample: Sample, training: Training, steps: int
    ) -> None:
        self.program, self.training, self.steps = program, training, steps
        trained = tuple(
            path
            for path in sample.differentiable
            if path == training.of or path.startswith(f"{training.of}.")
        )
        ones = tuple(np.ones_like(cotangent) for cotangent in sample.cotangents)
        self.sample = replace(sample, differentiable=trained, cotangents=ones)
        self._ends: dict[tuple[Any, ...], list[Array]] = {}

    def end(self, backend: Backend, errors: Sequence[Array] | float | None = None) -> list[Array]:
        """The parameters at the end of training with a method's gradients, to which `errors` are
        added (see `disturbed`); of each method and kind of errors there is one run."""
        kind = "" if errors is None else "relative" if isinstance(errors, float) else "absolute"
        key = (backend.label, backend.settings, kind)
        if key not in self._ends:
            gradient = backend.gradient_function(self.program, self.sample)
            self._ends[key] = descend(
                gradient if errors is None else disturbed(gradient, errors),
                trees.variables(self.sample),
                self.training,
                self.steps,
            )
        return self._ends[key]

    def closed_form(self) -> dict[str, Array] | None:
        """Leaf path -> the exact parameters at the end, where the author's Python can say them."""
        function = self.program.functions.get("closed_form")
        if function is None:
            return None
        given: dict[str, Any] = {
            "xp": of_numpy(),
            "steps": self.steps,
            "step_size": self.training.step_size,
            **self.sample.inputs,
        }
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        result = self.program.call("closed_form", **{name: given[name] for name in names})
        of = self.training.of
        return {
            f"{of}.{path}" if path else of: np.asarray(leaf, dtype=np.float64)
            for path, leaf in trees.flatten(result).items()
        }

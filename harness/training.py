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

from harness import trees
from harness.cases.case import Case
from harness.cases.sampling import NUMPY
from harness.cases.schema import Training
from harness.errors import HarnessError
from harness.model import Array, Sample

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


def declared(case: Case) -> Training:
    """The training block of a case that has one."""
    assert case.declared.training is not None
    return case.declared.training


def steps_of(case: Case, size: str) -> int:
    """The number of steps, which may be the name of a size."""
    training = declared(case)
    if isinstance(training.steps, int):
        return training.steps
    return case.declared.sizes[size][training.steps]


def sample_for(case: Case, sample: Sample) -> Sample:
    """The sample with only the trained input differentiable and a cotangent of one: the loss."""
    training = declared(case)
    trained = tuple(
        path
        for path in sample.differentiable
        if path == training.of or path.startswith(f"{training.of}.")
    )
    ones = tuple(np.ones_like(cotangent) for cotangent in sample.cotangents)
    return replace(sample, differentiable=trained, cotangents=ones)


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


def closed_form(case: Case, sample: Sample, steps: int) -> dict[str, Array] | None:
    """Leaf path -> the exact parameters after `steps`, where the case's Python can say them."""
    training = declared(case)
    function = case.program.functions.get("closed_form")
    if function is None:
        return None
    given: dict[str, Any] = {
        "xp": NUMPY,
        "steps": steps,
        "step_size": training.step_size,
        **sample.inputs,
    }
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    result = case.program.call("closed_form", **{name: given[name] for name in names})
    return {
        f"{training.of}.{path}" if path else training.of: np.asarray(leaf, dtype=np.float64)
        for path, leaf in trees.flatten(result).items()
    }

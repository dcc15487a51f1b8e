"""The hand-written backward on numpy: what the author claims and the others are judged by.

`backward` gets arrays that it cannot write to. A backward that mutates what it was given works
until somebody else holds the same array, and no comparison of numbers would show it.

A backward is a VJP and nothing else: of JVP and HVP this method has none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from harness.backends.base import VJP, Backend, Call
from harness.dtypes import locked
from harness.errors import HarnessError, Unsupported, did_you_mean
from harness.model import MODES, Array, Gradients, Sample, Task
from harness.programs import trees
from harness.programs.namespace import of_numpy
from harness.programs.program import Program, Trace


class MutatedInput(HarnessError):
    """`backward` wrote into an array that belongs to its caller."""


class ManualBackend(Backend):
    """Runs `forward`, hands the intermediates that `backward` asks for to it, and runs that."""

    name = "manual"
    written = True
    modes = MODES
    distributions = ("numpy",)

    def __init__(self, variant: str = "") -> None:
        super().__init__(variant)
        self.xp = of_numpy()

    @np.errstate(all="ignore")
    def differentiate(self, program: Program, sample: Sample, task: Task = VJP) -> Gradients:
        """As in the base class; besides, every local `d<name>` of `backward` is reported as the
        cotangent of the intermediate `<name>`, whether asked for or not.

        Raises MutatedInput for a backward that writes into its arguments.
        """
        if task.mode not in ("value", "vjp"):
            raise Unsupported(f"a backward gives no {task.mode.upper()}")
        start = time.perf_counter()
        with _refused():
            trace = self._forward(program, sample)
        values = dict(zip(program.outputs, map(np.asarray, trace.outputs), strict=True))
        values |= {name: np.asarray(trace.saved[name]) for name in task.intermediates}
        result = Gradients(values)
        if task.mode == "vjp":
            with _refused():
                returned, recorded = self._backward(program, sample, trace)
            result.gradients = _by_path(returned, sample)
            result.intermediates = {
                name: np.asarray(recorded[f"d{name}"])
                for name in sample.intermediates
                if f"d{name}" in recorded
            }
        result.seconds = time.perf_counter() - start
        return result

    def gradient_function(
        self, program: Program, sample: Sample
    ) -> Callable[[list[Array]], list[Array]]:
        assemble = trees.assembler(sample, lambda array: array)

        def gradient(arrays: list[Array]) -> list[Array]:
            inputs = assemble(arrays)
            trace = program.forward(self.xp, inputs)
            returned, _ = program.backward(self.xp, sample.cotangents, inputs, trace)
            gradients = trees.by_path(returned, sample)
            return [gradients[path] for path in sample.differentiable]

        return gradient

    def calls(self, program: Program, sample: Sample) -> tuple[Call, Call]:
        inputs, cotangents = sample.inputs, sample.cotangents

        def value() -> Trace:
            return program.forward(self.xp, inputs)

        def gradient() -> Any:
            if program.backward_stages is None:
                raise Unsupported("the case has no `backward`")
            return program.backward(self.xp, cotangents, inputs, value())

        return value, gradient

    def _forward(self, program: Program, sample: Sample) -> Trace:
        return program.forward(self.xp, _locked(sample.inputs))

    def _backward(
        self, program: Program, sample: Sample, trace: Trace
    ) -> tuple[Any, Mapping[str, Any]]:
        if program.backward_stages is None:
            raise Unsupported("the case has no `backward`")
        saved = Trace(trace.outputs, _locked(trace.saved))
        try:
            return program.backward(
                self.xp, tuple(map(_view, sample.cotangents)), _locked(sample.inputs), saved
            )
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise MutatedInput(
                "`backward` writes into an array that it was given; write into a copy"
            ).with_traceback(error.__traceback__) from error


@contextmanager
def _refused() -> Iterator[None]:
    """numpy's linear algebra knows no half dtype, and says so in a TypeError."""
    try:
        yield
    except TypeError as error:
        if "unsupported in linalg" not in str(error):
            raise
        raise Unsupported(f"TypeError: {error}").with_traceback(error.__traceback__) from error


def _locked(named: Mapping[str, Any]) -> dict[str, Any]:
    """Each value as one that cannot be written to, nested arrays included; the owner's array stays
    as it is."""
    return {name: _view(value) for name, value in named.items()}


def _view(value: Any) -> Any:
    # What is no array of numpy stays as it is: errors are planted in arrays of another kind.
    if isinstance(value, np.ndarray):
        return locked(value)
    if isinstance(value, np.generic | float | int):
        return value
    return trees.map_with_path(
        lambda _, leaf: locked(leaf) if isinstance(leaf, np.ndarray) else leaf, value
    )


def _by_path(returned: Any, sample: Sample) -> dict[str, Array]:
    """The gradients by leaf path. One that is missing, or None, is left out, to be judged as
    missing; a name that is no input and another number of arrays are errors, with what to do about
    them."""
    if returned is None:
        raise HarnessError("`backward` returned nothing; end it in `return {...}` by input name")
    names = trees.input_names(sample)
    by_input = trees.by_input(returned, sample)
    if not isinstance(returned, Mapping):
        count = len(returned) if isinstance(returned, tuple | list) else 1
        if count != len(by_input) or not by_input.keys() >= {*names}:
            raise HarnessError(
                f"`backward` returned {count} gradients for {len(names)} differentiable "
                f"inputs ({', '.join(names)}); return a dict by input name"
            )
    for name in by_input:
        if name not in sample.inputs:
            raise HarnessError(
                f"`backward` returned a gradient for `{name}`, which is no input; "
                + did_you_mean(name, names)
            )
    found = trees.flatten(by_input)
    for path, gradient in found.items():
        if path in sample.differentiable:
            continue
        leaves = trees.flatten(sample.inputs)
        # A bare array where a container belongs is judged as missing its leaves.
        if path not in leaves and not any(leaf.startswith(f"{path}.") for leaf in leaves):
            raise HarnessError(
                f"`backward` returned a gradient for `{path}` (shape {list(np.shape(gradient))}), "
                f"which is no input; {did_you_mean(path, leaves)}"
            )
    return {path: np.asarray(leaf) for path, leaf in trees.by_path(returned, sample).items()}


BACKEND = ManualBackend

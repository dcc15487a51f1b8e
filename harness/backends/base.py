"""What every method of computing gradients has in common.

A framework backend says a few things: its namespace, how an array goes in and out, its VJP, JVP and
HVP, and how it compiles a function. Everything else (nested inputs, intermediates, multi-output
functions, native variants, timing) is written once, here. The framework is imported inside the
class, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from harness.dtypes import DTYPES, is_floating, locked
from harness.errors import HarnessError, Unsupported
from harness.label import NATIVE, Label
from harness.model import ALL_MODES, Array, Gradients, Mode, Sample, Task
from harness.programs import trees
from harness.programs.namespace import Namespace
from harness.programs.program import Program

#: A function of a flat list of framework arrays; it returns its outputs and what it recorded.
Primal = Callable[[Sequence[Any]], tuple[Any, ...]]
#: A computation whose arguments are in place; it returns when its numbers are there.
Call = Callable[[], Any]
#: What a method is asked unless it is told otherwise.
VJP = Task("vjp")


class Backend:
    """One method. `variant` is what follows the colon in its name (`jit` in `jax:jit`)."""

    name: ClassVar[str]
    #: The module whose presence says that the framework is installed; "" where none is needed.
    module: ClassVar[str] = ""
    #: Distributions whose versions a report names.
    distributions: ClassVar[tuple[str, ...]] = ()
    #: The command that installs the framework.
    install: ClassVar[str] = ""
    #: The dtypes that it has at all. A run that names no method leaves out those that lack its own.
    dtypes: ClassVar[tuple[str, ...]] = DTYPES
    #: Compiled variants; `native` exists besides for every case that has a `native_<name>`.
    variants: ClassVar[tuple[str, ...]] = ()
    #: Seconds that the framework takes to load, and to compile what it meets for the first time,
    #: roughly: who takes longest is started first.
    startup: ClassVar[float] = 0.0
    #: What it can be asked for.
    modes: ClassVar[tuple[Mode, ...]] = ALL_MODES
    #: Whether the method approximates, and so reports its uncertainty.
    approximate: ClassVar[bool] = False
    #: Whether its derivative is the hand-written one, which is what is being tested.
    written: ClassVar[bool] = False

    def __init__(self, variant: str = "") -> None:
        self.variant = variant

    @property
    def settings(self) -> tuple[Any, ...]:
        """What else than the label tells two instances apart."""
        return ()

    @property
    def label(self) -> Label:
        """The name in tables and on the command line: `torch`, `torch:native`."""
        return Label.of(self.name, self.variant)

    @classmethod
    def installed(cls) -> bool:
        """Whether the framework can be imported; nothing is imported to find out."""
        return not cls.module or importlib.util.find_spec(cls.module) is not None

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Distribution name -> installed version."""
        found = {}
        for name in cls.distributions:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        return found

    def start(self, shared: str | None = None) -> None:
        """Import the framework, in a process that will serve this backend alone. `shared` is a
        folder in which the processes of one run on one machine may leave each other what they
        compile."""

    def differentiate(self, program: Program, sample: Sample, task: Task = VJP) -> Gradients:
        """The value of `sample` and the derivative that `task` asks for.

        Raises Unsupported where this method cannot do it, and whatever the case's code raises.
        """
        raise NotImplementedError

    def gradient_function(
        self, program: Program, sample: Sample
    ) -> Callable[[list[Array]], list[Array]]:
        """The gradient as a function of the differentiable leaves alone, as fast as this method
        can make it: what a training loop calls thousands of times."""
        raise NotImplementedError

    def calls(self, program: Program, sample: Sample) -> tuple[Call, Call]:
        """The value alone, and value and gradient, as calls to be timed: the inputs are converted
        once, here, and nothing is converted back. What differentiating would raise, they raise."""
        raise NotImplementedError


class FrameworkBackend(Backend):
    """A backend that differentiates by itself. A new framework overrides the methods below."""

    @cached_property
    def xp(self) -> Namespace:
        """The framework's array namespace."""
        raise NotImplementedError

    def start(self, shared: str | None = None) -> None:
        _ = self.xp

    def asarray(self, array: Array) -> Any:
        """A framework array of the same shape and dtype, sharing no memory with `array`."""
        raise NotImplementedError

    def traced(self, array: Array) -> Any:
        """As `asarray`, for an array that the case's code sees only as the tracer of a derivative,
        and so cannot write to: it may share the memory of `array`."""
        return self.asarray(array)

    def to_numpy(self, array: Any) -> Array:
        """The numpy array of a framework array, to be read: it may share its memory, and then it
        cannot be written to. A Python number becomes a 0-d array."""
        return locked(np.asarray(array))

    def vjp(
        self, function: Primal, variables: list[Any], cotangents: list[Any]
    ) -> tuple[tuple[Any, ...], list[Any]]:
        """Outputs of `function(variables)`, and for each variable the VJP with `cotangents`.

        A variable that no output depends on gets zeros of its shape. The outputs may be more than
        the cotangents: the rest are recorded intermediates, not differentiated.
        """
        raise NotImplementedError

    def jvp(
        self, function: Primal, variables: list[Any], tangents: list[Any]
    ) -> tuple[tuple[Any, ...], list[Any]]:
        """Outputs of `function(variables)`, and for each the JVP with `tangents`; None for an
        output that depends on no variable, or is not floating."""
        raise Unsupported(f"`{self.name}` has no JVP")

    def hvp(
        self, function: Primal, variables: list[Any], cotangents: list[Any], tangents: list[Any]
    ) -> tuple[tuple[Any, ...], list[Any]]:
        """Outputs of `function(variables)`, and for each variable the Hessian of
        <cotangents, outputs> times `tangents`; zeros where that does not depend on it. The outputs
        may be more than the cotangents, as in `vjp`.

        Here: reverse over reverse, the Hessian being symmetric. That takes a VJP that can itself be
        differentiated; a framework that does better says so.
        """
        outputs: tuple[Any, ...] = ()

        def gradient(variables: Sequence[Any]) -> tuple[Any, ...]:
            nonlocal outputs
            outputs, gradients = self.vjp(function, list(variables), cotangents)
            return tuple(gradients)

        _, results = self.vjp(gradient, variables, tangents)
        return outputs, results

    def forward(self, function: Primal, variables: list[Any]) -> tuple[Any, ...]:
        """Outputs alone, without recording anything for a gradient."""
        return function(variables)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` compiled for repeated calls; as it is where the framework has no compiler."""
        return function

    def fused(self, function: Primal) -> Primal:
        """The primal compiled, where that is what a variant compiles, and not the derivative."""
        return function

    def unsupported(self, error: Exception) -> bool:
        """Whether `error` is the framework's way of saying that it has no such derivative."""
        return isinstance(error, NotImplementedError)

    def differentiate(self, program: Program, sample: Sample, task: Task = VJP) -> Gradients:
        with self._translated():
            return self._differentiate(program, sample, task)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the framework's way of saying that it cannot into Unsupported."""
        try:
            yield
        except Exception as error:
            if not self.unsupported(error):
                raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise Unsupported(f"{type(error).__name__}: {reason}") from error

    def _differentiate(self, program: Program, sample: Sample, task: Task) -> Gradients:
        # A native function has no intermediates; only a gradient needs leaves to perturb them.
        intermediates = () if self.variant == NATIVE else task.intermediates
        perturbed = intermediates if task.mode == "vjp" else ()
        function = self.primal(program, sample, intermediates)
        derivative, arguments = self._asked(sample, task.mode, perturbed)

        def call(*arguments: Any) -> tuple[tuple[Any, ...], Sequence[Any]]:
            return derivative(function, *arguments)

        compiled = self.variant in self.variants and task.mode != "value"
        run = self.compile(call) if compiled else call
        start = time.perf_counter()
        outputs, results = run(*arguments)
        seconds = time.perf_counter() - start
        returns = program.outputs
        values = zip((*returns, *intermediates), map(self._read, outputs), strict=True)
        found = Gradients(dict(values), seconds=seconds)
        if task.mode == "jvp":
            found.jvps = dict(self._tangents(found.values, zip(returns, results, strict=False)))
            return found
        arrays = [self._read(each) for each in results]
        leaves = dict(zip(sample.differentiable, arrays, strict=False))
        if task.mode == "hvp":
            found.hvps = leaves
        else:
            found.gradients = leaves
            found.intermediates = dict(zip(perturbed, arrays[len(leaves) :], strict=False))
        return found

    def _read(self, array: Any) -> Array:
        """A result; of a native function a copy, since foreign code may use its memory again."""
        found = self.to_numpy(array)
        return found.copy() if self.variant == NATIVE else found

    def _asked(
        self, sample: Sample, mode: str, perturbed: tuple[str, ...]
    ) -> tuple[Callable[..., tuple[tuple[Any, ...], Sequence[Any]]], list[list[Any]]]:
        """The function of a mode, and what it takes after the primal."""
        arrays = trees.variables(sample, perturbed)
        if mode == "value":
            variables = [self.asarray(array) for array in arrays]
            return lambda *given: (self.forward(*given), ()), [variables]
        variables = [self.traced(array) for array in arrays]
        cotangents = [self.traced(each) for each in sample.cotangents]
        if mode == "vjp":
            return self.vjp, [variables, cotangents]
        tangents = [self.traced(sample.tangents[path]) for path in sample.differentiable]
        if mode == "jvp":
            return self.jvp, [variables, tangents]
        return self.hvp, [variables, cotangents, tangents]

    def _tangents(
        self, values: Mapping[str, Array], results: Iterable[tuple[str, Any]]
    ) -> Iterator[tuple[str, Array]]:
        """Every floating output with its tangent, zeros where it does not depend on anything."""
        for name, result in results:
            if result is not None:
                yield name, self._read(result)
            elif is_floating(values[name].dtype) or values[name].dtype.kind == "c":
                yield name, np.zeros_like(values[name])

    def primal(
        self, program: Program, sample: Sample, intermediates: tuple[str, ...] = ()
    ) -> Primal:
        """`forward` as a function of the differentiable leaves and, where more variables are given,
        of one leaf per intermediate.

        Its outputs are those of `forward`, then the named intermediates.
        """
        assemble = trees.assembler(sample, self.asarray)
        count = len(sample.differentiable)
        native = program.native(self.name) if self.variant == NATIVE else None
        if native is None and self.variant == NATIVE:
            raise Unsupported(f"the case has no `native_{self.name}`")

        def function(variables: Sequence[Any]) -> tuple[Any, ...]:
            inputs = assemble(variables[:count])
            if native is not None:
                result = native(**inputs)
                outputs = tuple(result) if isinstance(result, tuple | list) else (result,)
                if len(outputs) != len(program.outputs):
                    raise HarnessError(
                        f"`native_{self.name}` returned {len(outputs)} outputs, `forward` has "
                        f"{len(program.outputs)}: {', '.join(program.outputs)}"
                    )
                return outputs
            leaves = dict(zip(intermediates, variables[count:], strict=False))
            trace = program.forward(self.xp, inputs, leaves)
            return (*trace.outputs, *(trace.saved[name] for name in intermediates))

        return function

    def gradient_function(
        self, program: Program, sample: Sample
    ) -> Callable[[list[Array]], list[Array]]:
        function = self.primal(program, sample)
        cotangents = [self.asarray(each) for each in sample.cotangents]

        def gradient(variables: list[Any]) -> list[Any]:
            return self.vjp(function, variables, cotangents)[1]

        compiled = self.compile(gradient)

        def call(arrays: list[Array]) -> list[Array]:
            with self._translated():
                results = compiled([self.asarray(array) for array in arrays])
            return [self.to_numpy(each) for each in results]

        return call

    def calls(self, program: Program, sample: Sample) -> tuple[Call, Call]:
        function = self.primal(program, sample)
        variables = [self.asarray(array) for array in trees.variables(sample)]
        cotangents = [self.asarray(each) for each in sample.cotangents]

        def value(variables: list[Any]) -> Any:
            return self.forward(self.fused(function), variables)

        def gradient(variables: list[Any], cotangents: list[Any]) -> Any:
            return self.vjp(function, variables, cotangents)

        ready = self.compile if self.variant in self.variants else _unchanged
        first, second = ready(value), ready(gradient)
        return lambda: first(variables), lambda: second(variables, cotangents)


def _unchanged(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


__all__ = ["VJP", "Backend", "Call", "FrameworkBackend", "Primal"]

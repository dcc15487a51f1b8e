"""What every method of computing gradients has in common.

A framework backend says five things: its namespace, how an array goes in and out, its VJP, and how
it compiles a function. Everything else (nested inputs, intermediates, multi-output functions,
native variants, timing) is written once, here. The framework is imported inside the class, so that
importing this package costs nothing.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from harness import trees
from harness.errors import Unsupported
from harness.model import Array, Gradients, Sample
from harness.namespace import Namespace
from harness.staging import Program

#: A function of a flat list of framework arrays; it returns its outputs and what it recorded.
Primal = Callable[[Sequence[Any]], tuple[Any, ...]]
#: A computation whose arguments are in place; it returns when its numbers are there.
Call = Callable[[], Any]


class Backend:
    """One method. `variant` is what follows the colon in its name (`jit` in `jax:jit`)."""

    name: ClassVar[str]
    #: The module whose presence says that the framework is installed; "" where none is needed.
    module: ClassVar[str] = ""
    #: Distributions whose versions a report names.
    distributions: ClassVar[tuple[str, ...]] = ()
    #: The command that installs the framework.
    install: ClassVar[str] = ""
    #: Compiled variants; `native` exists besides for every case that has a `native_<name>`.
    variants: ClassVar[tuple[str, ...]] = ()
    #: Seconds that importing the framework takes, roughly: who takes longest is started first.
    startup: ClassVar[float] = 0.0
    #: Whether the method approximates, and so reports its uncertainty.
    approximate: ClassVar[bool] = False

    def __init__(self, variant: str = "") -> None:
        self.variant = variant

    @property
    def label(self) -> str:
        """The name in tables and on the command line: `torch`, `torch:native`."""
        return f"{self.name}:{self.variant}" if self.variant else self.name

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

    def start(self) -> None:
        """Import the framework, in a process that will serve this backend alone."""

    def differentiate(
        self,
        program: Program,
        sample: Sample,
        *,
        gradient: bool = True,
        intermediates: Sequence[str] = (),
    ) -> Gradients:
        """Value and, where `gradient`, the VJP of `sample`, also for the named intermediates.

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

    def start(self) -> None:
        _ = self.xp

    def asarray(self, array: Array) -> Any:
        """A framework array of the same shape and dtype, sharing no memory with `array`."""
        raise NotImplementedError

    def to_numpy(self, array: Any) -> Array:
        """The numpy array of a framework array; a Python number becomes a 0-d array."""
        return np.asarray(array)

    def vjp(
        self, function: Primal, variables: list[Any], cotangents: list[Any]
    ) -> tuple[tuple[Any, ...], list[Any]]:
        """Outputs of `function(variables)`, and for each variable the VJP with `cotangents`.

        A variable that no output depends on gets zeros of its shape. The outputs may be more than
        the cotangents: the rest are recorded intermediates, not differentiated.
        """
        raise NotImplementedError

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

    def differentiate(
        self,
        program: Program,
        sample: Sample,
        *,
        gradient: bool = True,
        intermediates: Sequence[str] = (),
    ) -> Gradients:
        with self._translated():
            return self._differentiate(program, sample, gradient, tuple(intermediates))

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

    def _differentiate(
        self, program: Program, sample: Sample, gradient: bool, intermediates: tuple[str, ...]
    ) -> Gradients:
        native = self.variant == "native"
        if native and intermediates:
            intermediates = ()
        variables = [self.asarray(array) for array in trees.variables(sample, intermediates)]
        function = self.primal(program, sample, intermediates)
        cotangents = [self.asarray(each) for each in sample.cotangents]
        if not gradient:
            start = time.perf_counter()
            outputs = self.forward(function, variables)
            return self._collect(program, intermediates, outputs, time.perf_counter() - start)

        def vjp(primals: list[Any], tangents: list[Any]) -> tuple[tuple[Any, ...], list[Any]]:
            return self.vjp(function, primals, tangents)

        call = self.compile(vjp) if self.variant in self.variants else vjp
        start = time.perf_counter()
        outputs, results = call(variables, cotangents)
        result = self._collect(program, intermediates, outputs, time.perf_counter() - start)
        arrays = [self.to_numpy(each) for each in results]
        result.gradients = dict(zip(sample.differentiable, arrays, strict=False))
        result.intermediates = dict(
            zip(intermediates, arrays[len(sample.differentiable) :], strict=True)
        )
        return result

    def _collect(
        self,
        program: Program,
        intermediates: tuple[str, ...],
        outputs: tuple[Any, ...],
        seconds: float,
    ) -> Gradients:
        names = (*program.forward_code.returns, *intermediates)
        values = {name: self.to_numpy(each) for name, each in zip(names, outputs, strict=True)}
        return Gradients(values, seconds=seconds)

    def primal(
        self, program: Program, sample: Sample, intermediates: tuple[str, ...] = ()
    ) -> Primal:
        """`forward` as a function of the differentiable leaves and of one leaf per intermediate.

        Its outputs are those of `forward`, then the named intermediates.
        """
        assemble = trees.assembler(sample, self.asarray)
        count = len(sample.differentiable)
        native = program.functions[f"native_{self.name}"] if self.variant == "native" else None

        def function(variables: Sequence[Any]) -> tuple[Any, ...]:
            inputs = assemble(variables[:count])
            if native is not None:
                result = native(**{name: inputs[name] for name in _parameters(native)})
                return tuple(result) if isinstance(result, tuple | list) else (result,)
            leaves = dict(zip(intermediates, variables[count:], strict=True))
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


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    return function.__code__.co_varnames[: function.__code__.co_argcount]


__all__ = ["Backend", "Call", "FrameworkBackend", "Primal"]

"""jax computes in float32 unless told otherwise, and telling it is a global switch.

A user's own tests may run in the same process, so the switch is a context here, entered by
everything that makes, reads or traces an array. jax also returns before it has computed: a time
that does not wait for the numbers measures nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from harness.backends.base import FrameworkBackend, Primal
from harness.errors import Unsupported
from harness.model import Array
from harness.programs.namespace import Namespace


class JaxBackend(FrameworkBackend):
    """jax on the CPU; `jit` compiles the whole derivative with XLA."""

    name = "jax"
    module = "jax"
    startup = 20.0
    distributions = ("jax", "jaxlib")
    install = "python -m pip install 'gradient-harness[jax]'"
    variants = ("jit",)

    @cached_property
    def _jax(self) -> Any:
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        import jax

        return jax

    @cached_property
    def xp(self) -> Namespace:
        return _Namespace(self._jax)

    def start(self, shared: str | None = None) -> None:
        super().start(shared)
        config = self._jax.config
        if shared is not None and config.jax_compilation_cache_dir is None:
            # Single operations take most of a run to compile, and a second worker meets the same.
            config.update("jax_compilation_cache_dir", shared)
            config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        # Threads and their memory belong to the library: a limit is what comes on top of them.
        self._jax.devices()

    def asarray(self, array: Array) -> Any:
        with self._jax.enable_x64(True):
            # A copy of our own: jax may keep the memory of an aligned numpy array.
            return self._jax.numpy.asarray(np.array(array))

    def to_numpy(self, array: Any) -> Array:
        with self._jax.enable_x64(True):
            return super().to_numpy(array)

    def forward(self, function: Primal, variables: list[Any]) -> tuple[Any, ...]:
        with self._jax.enable_x64(True):
            outputs: tuple[Any, ...] = self._jax.block_until_ready(function(variables))
        return outputs

    def vjp(
        self, function: Primal, variables: list[Any], cotangents: list[Any]
    ) -> tuple[tuple[Any, ...], list[Any]]:
        jax, count = self._jax, len(cotangents)

        def primal(arguments: list[Any]) -> tuple[list[Any], tuple[Any, ...]]:
            outputs = tuple(jax.numpy.asarray(each) for each in function(arguments))
            return [each for each in outputs[:count] if self._inexact(each)], outputs

        with jax.enable_x64(True):
            _, pullback, outputs = jax.vjp(primal, variables, has_aux=True)
            # An integer output carries no cotangent; another's takes its dtype, so that a case
            # that slips into the wrong one is told so by the comparison, not by a TypeError.
            wanted = [
                cotangent.astype(output.dtype)
                for output, cotangent in zip(outputs, cotangents, strict=False)
                if self._inexact(output)
            ]
            (gradients,) = pullback(wanted)
            jax.block_until_ready((outputs, gradients))
        return outputs, gradients

    def jvp(
        self, function: Primal, variables: list[Any], tangents: list[Any]
    ) -> tuple[tuple[Any, ...], list[Any]]:
        jax = self._jax

        def primal(arguments: list[Any]) -> tuple[Any, ...]:
            return tuple(jax.numpy.asarray(each) for each in function(arguments))

        with jax.enable_x64(True):
            outputs, results = jax.jvp(primal, (variables,), (tangents,))
            # The tangent of integers has a dtype of its own, which holds nothing.
            found = [each if self._inexact(each) else None for each in results]
            jax.block_until_ready((outputs, found))
        return outputs, found

    def hvp(
        self, function: Primal, variables: list[Any], cotangents: list[Any], tangents: list[Any]
    ) -> tuple[tuple[Any, ...], list[Any]]:
        def gradient(arguments: list[Any]) -> tuple[list[Any], tuple[Any, ...]]:
            outputs, gradients = self.vjp(function, arguments, cotangents)
            return gradients, outputs

        jax = self._jax
        with jax.enable_x64(True):
            _, found, outputs = jax.jvp(gradient, (variables,), (tangents,), has_aux=True)
            jax.block_until_ready((outputs, found))
        return outputs, found

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        compiled = self._jax.jit(function)

        def call(*arguments: Any) -> Any:
            with self._jax.enable_x64(True):
                return self._jax.block_until_ready(compiled(*arguments))

        return call

    def unsupported(self, error: Exception) -> bool:
        # A function with a VJP of its own has no JVP. The other two are how jit says that a case
        # branches or selects on its data.
        errors = self._jax.errors
        custom = isinstance(error, TypeError) and "custom_vjp function" in str(error)
        return custom or isinstance(
            error,
            NotImplementedError
            | errors.ConcretizationTypeError
            | errors.NonConcreteBooleanIndexError,
        )

    def _inexact(self, array: Any) -> bool:
        return bool(self._jax.numpy.issubdtype(array.dtype, self._jax.numpy.inexact))


class _Namespace(Namespace):
    """jax reads no lists in brackets, and where it compiles it knows an index by its shape alone.
    There it has to write by itself; of an element that is written twice it does not say which value
    stays, so elsewhere it is not asked."""

    def __init__(self, jax: Any) -> None:
        plain = Namespace("jax", jax.numpy)

        def set_at(x: Any, key: Any, value: Any, /) -> Any:
            try:
                return plain.set_at(x, key, value)
            except jax.errors.TracerArrayConversionError:
                return x.at[_listed(key)].set(value)

        def add_at(x: Any, key: Any, value: Any, /) -> Any:
            try:
                return plain.add_at(x, key, value)
            except jax.errors.TracerArrayConversionError:
                return x.at[_listed(key)].add(value)

        super().__init__("jax", jax.numpy, {"set_at": set_at, "add_at": add_at})
        self._jax = jax

    def item(self, array: Any, key: Any) -> Any:
        return array[_listed(key)]

    def plain_index(self, key: Any) -> Any:
        try:
            return super().plain_index(key)
        except self._jax.errors.TracerArrayConversionError:
            raise Unsupported("jax: an index that a compiled function computes") from None


def _listed(key: Any) -> Any:
    """An index with arrays in the place of lists."""
    if isinstance(key, tuple):
        return tuple(map(_listed, key))
    return np.asarray(key) if isinstance(key, list) else key


BACKEND = JaxBackend

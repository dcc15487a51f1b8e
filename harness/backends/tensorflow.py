"""tensorflow: two tapes and an accumulator, and what no wrapper of its namespace mends.

That are a tensor's own operators: `W @ x` wants two axes on both sides, there is no `x.T`; these
are reported as unsupported. And `(x > 0) * x` is not
an error but booleans, where numpy has floats: it fails by its dtype. What can be mended is, in
`harness.backends.tensorflow_namespace`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from harness.backends.base import FrameworkBackend, Primal
from harness.backends.tensorflow_namespace import namespace
from harness.imports import hidden, silent_stderr
from harness.model import Array
from harness.programs.namespace import Namespace

#: How tensorflow says that it lacks a gradient, a kernel, or what the standard wants of operators.
_LACKING = (
    "No gradient defined",
    "unsupported operations",
    "ndims must be >= 2",
    "has different ndims",
    "Shape must be at least rank 2",
    "Shape must be rank 2",
    "Tensor object has no attribute",
    "Tensor' object has no attribute",
    "not 'SymbolicTensor'",
    "is not in the list of allowed values",
    "All kernels registered for op",
)


class TensorflowBackend(FrameworkBackend):
    """GradientTape; `function` traces the derivative into a graph and `xla` compiles that graph.
    An accumulator around a tape has no HVP that tape around tape lacks, and takes twice as long."""

    name = "tensorflow"
    module = "tensorflow"
    startup = 5.0
    distributions = ("tensorflow", "tensorflow-cpu")
    install = "python -m pip install 'gradient-harness[tensorflow]'"
    variants = ("function", "xla")

    @cached_property
    def _tf(self) -> Any:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with silent_stderr():
            import tensorflow as tf
        return tf

    def start(self, shared: str | None = None) -> None:
        # It imports these merely because they are installed: 4.9 s of CPU, and 2.9 s without.
        with hidden("jax", "pandas", "scipy", "matplotlib", "PIL"):
            super().start(shared)

    @cached_property
    def xp(self) -> Namespace:
        return namespace(self._tf)

    def asarray(self, array: Array) -> Any:
        return self._tf.constant(np.array(array))  # the copy: a tensor may keep numpy's memory

    def to_numpy(self, array: Any) -> Array:
        # numpy makes no array of a 0-d bfloat16 tensor, but of its number.
        return super().to_numpy(array.numpy() if self._tf.is_tensor(array) else array)

    def vjp(
        self, function: Primal, variables: list[Any], cotangents: list[Any]
    ) -> tuple[tuple[Any, ...], list[Any]]:
        tf = self._tf
        with tf.GradientTape() as tape:
            for variable in variables:
                tape.watch(variable)
            outputs = tuple(self.xp.asarray(each) for each in function(variables))
        # A cotangent takes its output's dtype, so that a case that slips into the wrong one is
        # told so by the comparison; an integer output has none.
        pairs = [
            (output, tf.cast(cotangent, output.dtype))
            for output, cotangent in zip(outputs, cotangents, strict=False)
            if output.dtype.is_floating or output.dtype.is_complex
        ]
        gradients = tape.gradient(
            [output for output, _ in pairs],
            variables,
            output_gradients=[cotangent for _, cotangent in pairs],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        # The gradient of a gather is a list of slices.
        return outputs, [tf.convert_to_tensor(each) for each in gradients]

    def jvp(
        self, function: Primal, variables: list[Any], tangents: list[Any]
    ) -> tuple[tuple[Any, ...], list[Any]]:
        with self._tf.autodiff.ForwardAccumulator(variables, tangents) as accumulator:
            outputs = tuple(self.xp.asarray(each) for each in function(variables))
        return outputs, [accumulator.jvp(each) for each in outputs]

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        # Autograph would rewrite the source of the case, which the harness has rewritten already.
        jit = True if self.variant == "xla" else None
        compiled: Callable[..., Any] = self._tf.function(function, autograph=False, jit_compile=jit)
        return compiled

    def unsupported(self, error: Exception) -> bool:
        errors = self._tf.errors
        lacking = (
            NotImplementedError,
            errors.UnimplementedError,
            errors.OperatorNotAllowedInGraphError,  # a traced case branches or loops on its data
        )
        return isinstance(error, lacking) or any(text in str(error) for text in _LACKING)


BACKEND = TensorflowBackend

"""Bare torch is not the array API: `var` applies Bessel's correction, `max(axis)` is a pair.

array_api_compat mends that, and its namespace is used as it is but for one thing. The standard's
default dtype is the widest; torch's is float32, so `xp.asarray([0.1])` would carry 7 digits into a
case that is judged to 16. torch's own default is a global switch, which belongs to the user.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from harness.backends.base import FrameworkBackend, Primal
from harness.dtypes import locked, numpy_dtype
from harness.errors import Unsupported
from harness.model import Array
from harness.programs.namespace import Namespace

#: What a RuntimeError says where torch lacks a derivative or a kernel.
_LACKING = re.compile(
    "derivative .*not implemented|not implemented for|Low precision dtypes not supported"
)


class TorchBackend(FrameworkBackend):
    """torch on the CPU; `compile` runs the function through torch.compile."""

    name = "torch"
    module = "torch"
    startup = 2.0
    distributions = ("torch", "array-api-compat")
    install = "python -m pip install 'gradient-harness[torch]'"
    variants = ("compile",)

    def __init__(self, variant: str = "") -> None:
        super().__init__(variant)
        self._compiled: tuple[Primal, Primal] | None = None

    @cached_property
    def _torch(self) -> Any:
        import torch

        return torch

    @cached_property
    def _dual(self) -> Any:
        """Dual numbers. With the first one torch compiles rules of its own, and warns of that."""
        dual, one = self._torch.autograd.forward_ad, self._torch.ones(())
        with warnings.catch_warnings(), dual.dual_level():
            warnings.simplefilter("ignore", DeprecationWarning)
            dual.make_dual(one, one)
        return dual

    @cached_property
    def xp(self) -> Namespace:
        import array_api_compat.torch as module

        return _Namespace("torch", module, {**_creation(module), **_operators(module)})

    def asarray(self, array: Array) -> Any:
        # torch shares numpy's memory, warns of read-only and refuses reversed arrays; not a copy.
        if array.dtype.kind == "V":  # bfloat16 is no dtype that torch knows; the bits are
            return self._torch.from_numpy(np.array(array.view(np.uint16))).view(
                self._torch.bfloat16
            )
        return self._torch.from_numpy(np.array(array, order="C"))

    def to_numpy(self, array: Any) -> Array:
        if isinstance(array, self._torch.Tensor):
            if array.dtype == self._torch.bfloat16:
                return self.to_numpy(array.float()).astype(numpy_dtype("bfloat16"))
            return locked(array.numpy(force=True))  # it may be lazily conjugated, or zero
        return super().to_numpy(array)

    def forward(self, function: Primal, variables: list[Any]) -> tuple[Any, ...]:
        with self._torch.no_grad():
            return function(variables)

    def vjp(
        self, function: Primal, variables: list[Any], cotangents: list[Any]
    ) -> tuple[tuple[Any, ...], list[Any]]:
        function = self.fused(function)
        leaves = [each.detach().requires_grad_(True) for each in variables]
        outputs = function(leaves)
        return outputs, self._pulled(outputs, leaves, cotangents)

    def _pulled(
        self, outputs: Sequence[Any], leaves: list[Any], cotangents: list[Any], **options: Any
    ) -> list[Any]:
        """The VJP of each leaf, zeros where no output depends on it."""
        torch = self._torch
        attached = [
            (output, cotangent)
            for output, cotangent in zip(outputs, cotangents, strict=False)
            if isinstance(output, torch.Tensor) and output.requires_grad
        ]
        if not (attached and leaves):
            return [torch.zeros_like(each) for each in leaves]
        targets, tangents = zip(*attached, strict=True)
        return list(
            torch.autograd.grad(targets, leaves, tangents, materialize_grads=True, **options)
        )

    def jvp(
        self, function: Primal, variables: list[Any], tangents: list[Any]
    ) -> tuple[tuple[Any, ...], list[Any]]:
        self._check_compiled()
        torch, dual = self._torch, self._dual
        with dual.dual_level():
            pairs = zip(variables, tangents, strict=True)
            outputs = function([dual.make_dual(*pair) for pair in pairs])
            found = [
                dual.unpack_dual(each) if isinstance(each, torch.Tensor) else (each, None)
                for each in outputs
            ]
        return tuple(primal for primal, _ in found), [tangent for _, tangent in found]

    def hvp(
        self, function: Primal, variables: list[Any], cotangents: list[Any], tangents: list[Any]
    ) -> tuple[tuple[Any, ...], list[Any]]:
        self._check_compiled()
        leaves = [each.detach().requires_grad_(True) for each in variables]
        outputs = function(leaves)
        gradients = self._pulled(outputs, leaves, cotangents, create_graph=True)
        return outputs, self._pulled(gradients, leaves, tangents)

    def _check_compiled(self) -> None:
        # A compiled function drops its tangents without a word, and its VJP cannot be
        # differentiated; of torch.func's transformations only the parts around them are compiled.
        if self.variant == "compile":
            raise Unsupported("torch.compile has neither forward mode nor double backward")

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` as it is: torch.compile takes 19 s to start (6 s with its cache on disk), and
        a step of a small network, 0.3 ms, gets no faster by it. The variant `compile` compiles the
        primal instead (see `vjp`): torch.autograd.grad would break the graph of anything larger.
        """
        return function

    def fused(self, function: Primal) -> Primal:
        if self.variant != "compile":
            return function
        if self._compiled is None or self._compiled[0] is not function:
            # Every case passes through the same code objects, and after eight recompilations of
            # one of them torch runs it uncompiled without a word.
            self._torch.compiler.reset()
            self._compiled = function, self._torch.compile(function)
        return self._compiled[1]

    def unsupported(self, error: Exception) -> bool:
        return isinstance(error, NotImplementedError) or (
            isinstance(error, RuntimeError) and _LACKING.search(str(error)) is not None
        )


class _Namespace(Namespace):
    """A tensor's own brackets take no steps backwards."""

    def item(self, array: Any, key: Any) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        backwards = any(isinstance(each, slice) and (each.step or 1) < 0 for each in parts)
        return self.gathered(array, key) if backwards else array[key]


def _creation(module: Any) -> dict[str, Any]:
    """The functions that create arrays, with float64 where the caller names no dtype."""

    def plain(function: Callable[..., Any]) -> Callable[..., Any]:
        def create(*arguments: Any, dtype: Any = None, **options: Any) -> Any:
            return function(*arguments, dtype=dtype or module.float64, **options)

        return create

    def inferred(function: Callable[..., Any]) -> Callable[..., Any]:
        def create(*arguments: Any, dtype: Any = None, **options: Any) -> Any:
            if dtype is None and _holds([*arguments, *options.values()], float):
                dtype = module.float64
            return function(*arguments, dtype=dtype, **options)

        return create

    convert = inferred(module.asarray)

    def asarray(obj: Any, /, **options: Any) -> Any:
        if isinstance(obj, list | tuple) and _holds(obj, module.Tensor):
            raise Unsupported(
                "torch: `xp.asarray` cuts the arrays of a list off from their gradient; "
                "write `xp.stack`"
            )
        return convert(obj, **options)

    return {
        **{name: plain(getattr(module, name)) for name in "empty eye linspace ones zeros".split()},
        **{name: inferred(getattr(module, name)) for name in "arange full".split()},
        "asarray": asarray,
    }


def _operators(module: Any) -> dict[str, Any]:
    """Those of `harness.programs.operators` that torch has under other terms."""

    def logsumexp(x: Any, /, axis: Any = None, keepdims: bool = False) -> Any:
        axes = tuple(range(x.ndim)) if axis is None else axis
        return module.logsumexp(x, axes, keepdims) if x.ndim else x

    def segment_sum(data: Any, segment_ids: Any, num_segments: int, /) -> Any:
        known = (segment_ids >= 0) & (segment_ids < num_segments)
        start = module.zeros((num_segments, *data.shape[1:]), dtype=data.dtype)
        return start.index_add(0, segment_ids[known].to(module.int64), data[known])

    return {
        "logsumexp": logsumexp,
        "softmax": lambda x, /, axis=-1: module.softmax(x, axis),
        "log_softmax": lambda x, /, axis=-1: module.log_softmax(x, axis),
        "segment_sum": segment_sum,
        "stop_gradient": lambda x, /: x.detach(),
    }


def _holds(value: Any, kind: type) -> bool:
    """Whether an instance of `kind` stands anywhere in nested lists and tuples."""
    if isinstance(value, list | tuple):
        return any(_holds(each, kind) for each in value)
    return isinstance(value, kind)


BACKEND = TorchBackend

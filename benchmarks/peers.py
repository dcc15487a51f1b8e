"""The checkers that people use today, each as it is called in its own documentation.

Every one of them sees the case as a custom operation of its framework: the primal is `forward`, the
gradient is the hand-written `backward`, both run in that framework's namespace. What a checker
raises counts as a complaint, since that is how its user would hear of it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from harness import backends
from harness.backends.base import FrameworkBackend
from harness.backends.manual import ManualBackend
from harness.model import Sample
from harness.programs import trees
from harness.programs.program import Program
from harness.programs.trees import by_path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class Operation:
    """A case with its backward as primal and VJP of a flat list of arrays of one namespace."""

    def __init__(self, program: Program, sample: Sample, xp: Any, asarray: Callable[..., Any]):
        self.program, self.sample, self.xp = program, sample, xp
        self.assemble = trees.assembler(sample, asarray)
        self.variables = [asarray(each) for each in trees.variables(sample)]

    def primal(self, *variables: Any) -> tuple[Any, ...]:
        return self.program.forward(self.xp, self.assemble(variables)).outputs

    def pullback(self, variables: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        inputs = self.assemble(variables)
        trace = self.program.forward(self.xp, inputs)
        returned, _ = self.program.backward(self.xp, tuple(cotangents), inputs, trace)
        found = by_path(returned, self.sample)
        return [found[path] for path in self.sample.differentiable]


class Peer:
    """One checker. `threshold` says in words what its verdict rests on."""

    name: str
    backend: str
    threshold: str

    def passes(self, program: Program, sample: Sample) -> bool:
        """Whether the checker has no complaint. Raises what the checker raises."""
        raise NotImplementedError

    @cached_property
    def framework(self) -> FrameworkBackend:
        made = backends.make(self.backend)
        assert isinstance(made, FrameworkBackend)
        return made

    def operation(self, program: Program, sample: Sample) -> Operation:
        return Operation(program, sample, self.framework.xp, self.framework.asarray)

    def complains(self, program: Program, sample: Sample) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return not self.passes(program, sample)
            except Exception:
                return True


class TorchSlow(Peer):
    name, backend = "torch slow", "torch"
    threshold = "torch.autograd.gradcheck, eps 1e-6, atol 1e-5, rtol 1e-3 (its defaults)"
    fast = False

    def custom(self, operation: Operation) -> tuple[Callable[..., Any], list[Any]]:
        """The operation as a torch function, and its variables as leaves."""
        import torch

        class Custom(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *variables: Any) -> Any:
                ctx.save_for_backward(*variables)
                outputs = tuple(each.clone() for each in operation.primal(*variables))
                return outputs if len(outputs) > 1 else outputs[0]

            @staticmethod
            def backward(ctx: Any, *cotangents: Any) -> Any:
                return tuple(operation.pullback(ctx.saved_tensors, cotangents))

        return Custom.apply, [each.requires_grad_(True) for each in operation.variables]

    def passes(self, program: Program, sample: Sample) -> bool:
        import torch

        torch.manual_seed(0)
        custom, leaves = self.custom(self.operation(program, sample))
        return bool(
            torch.autograd.gradcheck(custom, leaves, fast_mode=self.fast, raise_exception=False)
        )


class TorchFast(TorchSlow):
    name, fast = "torch fast", True
    threshold = "torch.autograd.gradcheck(fast_mode=True), the same defaults"


class Jax(Peer):
    name, backend = "jax", "jax"
    threshold = "jax.test_util.check_grads, order 1, rev, its defaults for float64"

    def passes(self, program: Program, sample: Sample) -> bool:
        import jax
        from jax.test_util import check_grads

        operation = self.operation(program, sample)

        @jax.custom_vjp
        def custom(*variables: Any) -> Any:
            return operation.primal(*variables)

        def forward(*variables: Any) -> Any:
            return operation.primal(*variables), variables

        custom.defvjp(forward, lambda saved, given: tuple(operation.pullback(saved, given)))
        with jax.enable_x64(True):
            check_grads(custom, tuple(operation.variables), order=1, modes=["rev"])
        return True


class _Flat:
    """All outputs as one vector of numpy numbers, for checkers that know one output only."""

    def __init__(self, program: Program, sample: Sample) -> None:
        self.operation = Operation(program, sample, ManualBackend().xp, np.array)
        self.shapes = [each.shape for each in sample.cotangents]

    def primal(self, *variables: Any) -> Any:
        outputs = self.operation.primal(*variables)
        return np.concatenate([np.ravel(each) for each in outputs])

    def pullback(self, variables: Sequence[Any], cotangent: Any) -> list[Any]:
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        parts = np.split(np.asarray(cotangent), np.cumsum(sizes)[:-1])
        shaped = [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]
        return [np.asarray(each) for each in self.operation.pullback(variables, shaped)]


class Autograd(Peer):
    name, backend = "autograd", "autograd"
    threshold = "autograd.test_util.check_grads, order 1, rev, abs < 1e-6 or rel < 1e-6; seeded"

    def passes(self, program: Program, sample: Sample) -> bool:
        from autograd.extend import defvjp, primitive
        from autograd.test_util import check_grads

        np.random.seed(0)  # noqa: NPY002  (it draws from the global generator)
        flat = _Flat(program, sample)
        custom = primitive(flat.primal)

        def rule(index: int) -> Callable[..., Any]:
            def make(_answer: Any, *variables: Any) -> Any:
                return lambda given: flat.pullback(variables, given)[index]

            return make

        defvjp(custom, *map(rule, range(len(flat.operation.variables))))
        # Each argument by itself is how the check is called on a function of several arguments.
        for index in range(len(flat.operation.variables)):
            check_grads(custom, index, modes=["rev"], order=1)(*flat.operation.variables)
        return True


class TensorFlow(Peer):
    name, backend = "tensorflow", "tensorflow"
    threshold = "tf.test.compute_gradient, largest difference below 1e-4, as in its own tests"

    def passes(self, program: Program, sample: Sample) -> bool:
        import tensorflow as tf

        operation = self.operation(program, sample)
        count = len(sample.cotangents)

        @tf.custom_gradient
        def custom(*variables: Any) -> Any:
            outputs = [tf.identity(each) for each in operation.primal(*variables)]

            def pullback(*cotangents: Any) -> Any:
                found = operation.pullback(variables, cotangents)
                return found if len(found) > 1 else found[0]

            return (outputs if count > 1 else outputs[0]), pullback

        for index in range(count):
            function = custom if count == 1 else lambda *v, i=index: custom(*v)[i]
            one, two = tf.test.compute_gradient(function, operation.variables)
            for theory, numeric in zip(one, two, strict=True):
                # A NaN is no agreement.
                if not np.max(np.abs(theory - numeric), initial=0.0) < 1e-4:
                    return False
        return True


class SciPy(Peer):
    name, backend = "scipy", ""
    threshold = "scipy.optimize.check_grad of <cotangent, f>, norm of the difference below 1e-5"

    def passes(self, program: Program, sample: Sample) -> bool:
        from scipy.optimize import check_grad

        flat = _Flat(program, sample)
        variables = flat.operation.variables
        splits = np.cumsum([each.size for each in variables])[:-1]
        cotangent = np.concatenate([each.ravel() for each in sample.cotangents])

        def unpack(x: Any) -> list[Any]:
            parts = np.split(x, splits)
            return [part.reshape(v.shape) for part, v in zip(parts, variables, strict=True)]

        def gradient(x: Any) -> Any:
            given = unpack(x)
            found = flat.pullback(given, cotangent)
            for each, variable in zip(found, given, strict=True):
                if each.shape != variable.shape:
                    raise ValueError("wrong shape")
            return np.concatenate([each.ravel() for each in found])

        start = np.concatenate([each.ravel() for each in variables])
        function = lambda x: float(np.dot(flat.primal(*unpack(x)), cotangent))  # noqa: E731
        return bool(check_grad(function, gradient, start) < 1e-5)


PEERS: tuple[Peer, ...] = (TorchSlow(), TorchFast(), Jax(), Autograd(), TensorFlow(), SciPy())

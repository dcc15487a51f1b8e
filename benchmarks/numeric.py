"""Numeric differences beside those of others: CPU time as ratios, and errors, in one run.

    python benchmarks/numeric.py [elements]

Each function has a closed form, so that the error is that of the numeric gradient alone. torch's
and tensorflow's checkers compute a gradient of their own besides, since they offer nothing less;
tensorflow's numeric Jacobian is the one that `compute_gradient` returns, torch's is read from where
`gradcheck` has it. Everything runs on one thread; the best of several runs counts.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from harness import backends
from harness.backends.numeric import NumericBackend
from harness.model import Sample
from harness.programs import trees
from harness.programs.namespace import Namespace
from harness.programs.program import Program
from harness.programs.source import parse
from harness.programs.staging import StagedProgram

#: Bodies and their derivatives.
FUNCTIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "sum of elementwise": (
        "f = xp.sum(xp.sin(x) * xp.exp(-x * x) + xp.tanh(x))",
        lambda x: np.exp(-x * x) * (np.cos(x) - 2 * x * np.sin(x)) + 1 / np.cosh(x) ** 2,
    ),
    "log of sum": (
        "m = xp.sum(xp.exp(x))\n    f = xp.log(m)",
        lambda x: np.exp(x) / np.sum(np.exp(x)),
    ),
    "matrix times vector": (
        "w = xp.reshape(x, (-1, 20))\n    v = xp.linspace(-1.0, 1.0, 20, dtype=x.dtype)\n"
        "    f = xp.sum(xp.tanh(xp.matmul(w, v)))",
        lambda x: np.outer(
            1 / np.cosh(x.reshape(-1, 20) @ np.linspace(-1, 1, 20)) ** 2, np.linspace(-1, 1, 20)
        ).ravel(),
    ),
    "with a maximum": (
        "f = xp.sum(xp.maximum(x, 0.3 * x) * xp.sin(x))",
        lambda x: np.where(x > 0, 1, 0.3) * np.sin(x) + np.maximum(x, 0.3 * x) * np.cos(x),
    ),
}
SCHEMES = ("auto", "central", "fourth", "richardson", "complex")


def best(function: Callable[[], Any], budget: float = 4.0) -> tuple[float, Any]:
    """The shortest CPU time of up to seven runs, the first of which warms up."""
    found, times = function(), []
    while len(times) < 7 and sum(times) < budget:
        start = time.process_time()
        found = function()
        times.append(time.process_time() - start)
    return min(times), found


def setting(body: str, x: Any) -> tuple[Program, Sample]:
    text = f"def forward(xp, x):\n    {body}\n    return f\n"
    program = StagedProgram.of(parse(text, "bench.py"))
    return program, Sample("bench", "draw0", "default", "float64", {"x": x}, ("x",), (np.ones(()),))


def rivals(program: Program, sample: Sample) -> dict[str, Callable[[], Any]]:
    """Name -> a run that returns the numeric gradient."""
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf
    import torch
    from scipy.differentiate import jacobian

    torch.set_num_threads(1)
    # The module, which the function of the same name hides.
    inside = importlib.import_module("torch.autograd.gradcheck")
    made: dict[str, Any] = {name: backends.make(name) for name in ("torch", "tensorflow")}

    def function(name: str) -> Callable[[Any], Any]:
        assemble = trees.assembler(sample, made[name].asarray)
        return lambda x: program.forward(made[name].xp, assemble([x])).outputs[0]

    x = sample.inputs["x"]
    of_torch, of_tensorflow = function("torch"), function("tensorflow")
    leaf, tensor = torch.tensor(x, requires_grad=True), tf.constant(x)

    def torch_slow() -> Any:
        assert torch.autograd.gradcheck(of_torch, (leaf,), raise_exception=False) is not None
        return None

    def torch_numbers() -> Any:
        return inside._get_numerical_jacobian(of_torch, (leaf,), eps=1e-6)[0][0].numpy().ravel()

    def tensorflow() -> Any:
        return tf.test.compute_gradient(of_tensorflow, [tensor])[1][0].ravel()

    def scipy() -> Any:
        # It evaluates many points, of shape (elements, ...), in one call: here, a row each.
        rows = {
            "sum": lambda array: np.sum(array.reshape(len(array), -1), axis=1),
            "reshape": lambda array, shape: array.reshape(len(array), *shape),
        }
        xp = Namespace("numpy", np, rows)

        def many(points: Any) -> Any:
            each = np.ascontiguousarray(points.reshape(len(points), -1).T)
            return program.forward(xp, {"x": each}).outputs[0].reshape(1, *points.shape[1:])

        return jacobian(many, x).df

    numbers = torch_numbers()
    return {
        "torch gradcheck, slow mode": lambda: (torch_slow(), numbers)[1],
        "tf.test.compute_gradient": tensorflow,
        "scipy.differentiate.jacobian": lambda: scipy().ravel(),
    }


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    x = np.random.default_rng(0).normal(size=count)
    for title, (body, closed) in FUNCTIONS.items():
        program, sample = setting(body, x)
        truth = closed(x)
        print(f"\n{title}, {count} inputs")
        print(f"  {'':30} {'CPU s':>9} {'ratio':>8} {'max error':>10}  estimate")
        runs: dict[str, Callable[[], Any]] = {
            name: partial(NumericBackend(numeric=name).differentiate, program, sample)
            for name in SCHEMES
        }
        reference = 0.0
        for name, run in {**runs, **rivals(program, sample)}.items():
            try:
                seconds, found = best(run)
            except Exception as error:
                print(f"  {name:30} {type(error).__name__}: {str(error)[:60]}")
                continue
            estimate = ""
            if name in runs:
                estimate = f"{float(np.max(found.uncertainty['x'])):.1e}  {found.detail}"
                found = found.gradients["x"]
            reference = reference or seconds
            error = float(np.max(np.abs(found - truth)))
            print(
                f"  {name:30} {seconds:9.4f} {seconds / reference:8.1f} {error:10.1e}  {estimate}"
            )


if __name__ == "__main__":
    main()

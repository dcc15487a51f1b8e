"""The same gradients with no harness at all: what `benchmarks/overhead.py` compares `run` with.

A plain script, as someone would write it: import the frameworks named, load the numbers, call each
framework's own gradient function on each case's `forward`, and throw the results away. Its only
input is a pickle of numpy arrays. It compares nothing, checks nothing, and reports nothing; a
function that a framework cannot do is passed over.

    python benchmarks/bare.py DATA FOLDER METHOD ...
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import array_api_compat.numpy as anp
import numpy as np

METHODS = ("numeric", "manual", "autograd", "tensorflow", "torch", "jax")
wanted = [name for name in METHODS if name in sys.argv]  # no other framework is imported
if "autograd" in wanted:
    import autograd.numpy as autograd_numpy
    from autograd.builtins import list as autograd_list
    from autograd.core import make_vjp
if "jax" in wanted:
    import jax

    jax.config.update("jax_enable_x64", True)
if "tensorflow" in wanted:
    import tensorflow as tf
    import tensorflow.experimental.numpy as tnp
if "torch" in wanted:
    import array_api_compat.torch as atorch
    import torch


def replaced(inputs: Any, leaves: list[Any]) -> Any:
    """The nested inputs with each index standing in a leaf's place turned into that leaf."""
    if isinstance(inputs, dict):
        return {key: replaced(each, leaves) for key, each in inputs.items()}
    if isinstance(inputs, list | tuple):
        return type(inputs)(replaced(each, leaves) for each in inputs)
    return leaves[inputs] if isinstance(inputs, int) else inputs


def primal(module: Any, xp: Any, sample: dict[str, Any], convert: Any) -> Any:
    """`forward` as a function of its differentiable leaves."""
    fixed = {}
    for name, value in sample["inputs"].items():
        fixed[name] = convert(value) if isinstance(value, np.ndarray) else value

    def function(*leaves: Any) -> Any:
        return module.forward(xp, **replaced(fixed, list(leaves)))

    return function


def numeric(module: Any, sample: dict[str, Any]) -> None:
    """Central differences, two evaluations per element."""
    leaves = [leaf.copy() for leaf in sample["leaves"]]
    function = primal(module, anp, sample, np.array)
    for leaf in leaves:
        flat = leaf.reshape(-1)
        for index in range(min(flat.size, 1024)):
            center = flat[index]
            step = 6e-6 * max(abs(center), 1.0)
            flat[index] = center + step
            above = np.sum(sample["cotangent"] * function(*leaves))
            flat[index] = center - step
            below = np.sum(sample["cotangent"] * function(*leaves))
            flat[index] = center
            _ = (above - below) / (2 * step)


def manual(module: Any, sample: dict[str, Any]) -> None:
    primal(module, anp, sample, np.array)(*sample["leaves"])
    module.backward(anp, sample["cotangent"], *sample["saved"])


def with_autograd(module: Any, sample: dict[str, Any]) -> None:
    function = primal(module, autograd_numpy, sample, np.array)
    leaves = autograd_list(sample["leaves"])
    vjp, _ = make_vjp(lambda variables: function(*variables), leaves)
    vjp(sample["cotangent"])


def with_tensorflow(module: Any, sample: dict[str, Any]) -> None:
    function = primal(module, tnp, sample, tf.convert_to_tensor)
    leaves = [tf.convert_to_tensor(leaf) for leaf in sample["leaves"]]
    with tf.GradientTape() as tape:
        tape.watch(leaves)
        result = function(*leaves)
    for gradient in tape.gradient(result, leaves, tf.convert_to_tensor(sample["cotangent"])):
        if gradient is not None:
            gradient.numpy()


def with_torch(module: Any, sample: dict[str, Any]) -> None:
    function = primal(module, atorch, sample, torch.tensor)
    leaves = [torch.tensor(leaf, requires_grad=True) for leaf in sample["leaves"]]
    result = function(*leaves)
    for gradient in torch.autograd.grad(result, leaves, torch.tensor(sample["cotangent"])):
        gradient.numpy()


def with_jax(module: Any, sample: dict[str, Any]) -> None:
    function = primal(module, jax.numpy, sample, jax.numpy.asarray)
    _, pullback = jax.vjp(function, *[jax.numpy.asarray(leaf) for leaf in sample["leaves"]])
    for gradient in pullback(jax.numpy.asarray(sample["cotangent"])):
        np.asarray(gradient)


BY_NAME = {
    "numeric": numeric,
    "manual": manual,
    "autograd": with_autograd,
    "tensorflow": with_tensorflow,
    "torch": with_torch,
    "jax": with_jax,
}


def main(data: Path, folder: Path, methods: list[str]) -> None:
    samples = pickle.loads(data.read_bytes())
    modules: dict[str, Any] = {}
    for sample in samples:
        name = sample["case"]
        if name not in modules:
            spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
            assert spec and spec.loader
            modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(modules[name])
        for method in methods:
            with contextlib.suppress(Exception):  # no such derivative
                BY_NAME[method](modules[name], sample)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]), Path(sys.argv[2]), wanted)

"""Nested inputs: a leaf of a pytree is known by its path, `params.layer1.weights.0`.

Lists and tuples count as the same kind of container where data is matched by path, so that a YAML
file can give the numbers of a tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import optree

from harness.errors import HarnessError, did_you_mean
from harness.model import Array, Sample

_NAMESPACE = "harness"


def join(path: Iterable[Any]) -> str:
    """`("params", "layer1", 0)` as `params.layer1.0`."""
    return ".".join(str(part) for part in path)


def _flatten(tree: Any) -> tuple[list[str], list[Any], Any]:
    """Paths, leaves and structure; dicts keep the order in which they were written."""
    with optree.dict_insertion_ordered(True, namespace=_NAMESPACE):
        paths, leaves, spec = optree.tree_flatten_with_path(
            tree, none_is_leaf=True, namespace=_NAMESPACE
        )
    return [join(path) for path in paths], list(leaves), spec


def flatten(tree: Any) -> dict[str, Any]:
    """Path -> leaf; a bare leaf has the path ``""``. None is a leaf, not an empty container."""
    paths, leaves, _ = _flatten(tree)
    return dict(zip(paths, leaves, strict=True))


def map_with_path(function: Callable[[str, Any], Any], tree: Any) -> Any:
    """The same tree with every leaf replaced by `function(path, leaf)`."""
    return optree.tree_map_with_path(
        lambda path, leaf: function(join(path), leaf), tree, none_is_leaf=True
    )


def assembler(
    sample: Sample, asarray: Callable[[Array], Any]
) -> Callable[[Sequence[Any]], dict[str, Any]]:
    """A function that rebuilds the inputs around new differentiable leaves.

    The other leaves are converted with `asarray` once. The function takes the leaves in the order
    of `sample.differentiable`; numeric differences call it thousands of times.
    """
    names, leaves, spec = _flatten(sample.inputs)
    wanted = set(sample.differentiable)
    fixed = [
        None if name in wanted else asarray(leaf) for name, leaf in zip(names, leaves, strict=True)
    ]
    positions = [names.index(path) for path in sample.differentiable]

    def assemble(variables: Sequence[Any]) -> dict[str, Any]:
        current = list(fixed)
        for position, variable in zip(positions, variables, strict=True):
            current[position] = variable
        return dict(spec.unflatten(current))

    return assemble


def variables(sample: Sample, intermediates: Sequence[str] = ()) -> list[Array]:
    """The differentiable leaves in order, then one array of zeros per named intermediate."""
    leaves = flatten(sample.inputs)
    return [leaves[path] for path in sample.differentiable] + [
        np.zeros(sample.intermediates[name], sample.dtype) for name in intermediates
    ]


def cast(sample: Sample, dtype: str) -> Sample:
    """Copies of the same numbers in a float dtype; exact when it is a wider one."""

    def convert(_path: str, leaf: Array) -> Array:
        return leaf.astype(dtype) if np.issubdtype(leaf.dtype, np.floating) else leaf.copy()

    return replace(
        sample,
        dtype=dtype,
        inputs=dict(map_with_path(convert, sample.inputs)),
        cotangents=tuple(cotangent.astype(dtype) for cotangent in sample.cotangents),
        tangents={path: tangent.astype(dtype) for path, tangent in sample.tangents.items()},
    )


def by_path(returned: Any, sample: Sample) -> dict[str, Array]:
    """What `backward` returned, as leaf path -> array.

    A dict is taken by input name; a tuple, a list or a bare array in the order of the
    differentiable inputs. One that is missing is left out. Raises HarnessError for a name that is
    no input, and for another number of arrays.
    """
    if returned is None:
        raise HarnessError("`backward` returned nothing; end it in `return {...}` by input name")
    names = list(dict.fromkeys(path.split(".")[0] for path in sample.differentiable))
    if not isinstance(returned, Mapping):
        items = returned if isinstance(returned, tuple | list) else [returned]
        if len(items) != len(names):
            raise HarnessError(
                f"`backward` returned {len(items)} gradients for {len(names)} differentiable "
                f"inputs ({', '.join(names)}); return a dict by input name"
            )
        returned = dict(zip(names, items, strict=True))
    for name in returned:
        if name not in sample.inputs:
            raise HarnessError(
                f"`backward` returned a gradient for `{name}`, which is no input; "
                + did_you_mean(name, names)
            )
    found = {path: np.asarray(leaf) for path, leaf in flatten(dict(returned)).items()}
    leaves = flatten(sample.inputs)
    for path, gradient in found.items():
        # A bare array where a container belongs is judged as missing its leaves.
        if path not in leaves and not any(leaf.startswith(f"{path}.") for leaf in leaves):
            raise HarnessError(
                f"`backward` returned a gradient for `{path}` (shape {list(gradient.shape)}), "
                f"which is no input; {did_you_mean(path, leaves)}"
            )
    return found

"""Nested inputs: a leaf of a pytree is known by its path, `params.layer1.weights.0`.

Lists and tuples count as the same kind of container where data is matched by path, so that a YAML
file can give the numbers of a tuple.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import optree

from harness.dtypes import convert, is_floating, numpy_dtype
from harness.model import Array, Sample

_NAMESPACE = "harness"
# Entered for good, the name being nobody else's: entering it takes longer than flattening.
_ORDERED = optree.dict_insertion_ordered(True, namespace=_NAMESPACE)
_ORDERED.__enter__()


def join(path: Iterable[Any]) -> str:
    """`("params", "layer1", 0)` as `params.layer1.0`."""
    return ".".join(map(str, path))


def flattened(tree: Any) -> tuple[list[str], list[Any], Any]:
    """Paths, leaves and structure; dicts keep the order in which they were written."""
    paths, leaves, spec = optree.tree_flatten_with_path(
        tree, none_is_leaf=False, namespace=_NAMESPACE
    )
    return [join(path) for path in paths], leaves, spec


def flatten(tree: Any) -> dict[str, Any]:
    """Path -> leaf; a bare leaf has the path ``""``. None is an empty container: an input that is
    not there has no gradient."""
    paths, leaves, _ = flattened(tree)
    return dict(zip(paths, leaves, strict=True))


def map_with_path(function: Callable[[str, Any], Any], tree: Any) -> Any:
    """The same tree with every leaf replaced by `function(path, leaf)`."""
    return optree.tree_map_with_path(
        lambda path, leaf: function(join(path), leaf), tree, none_is_leaf=False
    )


def digest(sample: Sample) -> str:
    """A hash of every number of a sample: inputs, cotangents and tangents."""
    found = hashlib.sha256()
    for path, leaf in flatten((sample.inputs, sample.cotangents, sample.tangents)).items():
        array = np.asarray(leaf)
        # An object's bytes are its address.
        data = repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes()
        found.update(f"{path} {array.dtype} {array.shape}\0".encode() + data)
    return found.hexdigest()


def assembler(
    sample: Sample, asarray: Callable[[Array], Any]
) -> Callable[[Sequence[Any]], dict[str, Any]]:
    """A function that rebuilds the inputs around new differentiable leaves.

    The other leaves are converted with `asarray` once. The function takes the leaves in the order
    of `sample.differentiable`; numeric differences call it thousands of times.
    """
    names, leaves, spec = flattened(sample.inputs)
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
    # The path of an input that is one leaf is its name, and no name has a dot.
    whole = all(path in sample.inputs for path in sample.differentiable)
    leaves = sample.inputs if whole else flatten(sample.inputs)
    return [leaves[path] for path in sample.differentiable] + [
        np.zeros(sample.intermediates[name], numpy_dtype(sample.dtype)) for name in intermediates
    ]


def cast(sample: Sample, dtype: str) -> Sample:
    """Copies of the same numbers in a float dtype; exact when it is a wider one."""

    return replace(
        sample,
        dtype=dtype,
        inputs=dict(map_with_path(lambda _, leaf: cast_leaf(leaf, dtype), sample.inputs)),
        cotangents=tuple(convert(cotangent, dtype) for cotangent in sample.cotangents),
        tangents={path: convert(tangent, dtype) for path, tangent in sample.tangents.items()},
    )


def cast_leaf(leaf: Array, dtype: str) -> Array:
    """A copy of an array in a float dtype; of integers and booleans, as they are."""
    return convert(leaf, dtype) if is_floating(leaf.dtype) else leaf.copy()


def shape_of(sample: Sample, name: str) -> tuple[int, ...]:
    """The shape of a leaf, by path, or of an intermediate."""
    if name in sample.intermediates:
        return sample.intermediates[name]
    shape: tuple[int, ...] = flatten(sample.inputs)[name].shape
    return shape


def by_path(returned: Any, sample: Sample) -> dict[str, Any]:
    """What `backward` returned for the differentiable leaves, by path.

    A missing one, and None, is left out.
    """
    found = flatten(by_input(returned, sample))
    return {path: found[path] for path in sample.differentiable if path in found}


def by_input(returned: Any, sample: Sample) -> dict[str, Any]:
    """What `backward` returned, by input name. A tuple, a list or a bare array is taken in the
    order of the differentiable inputs, or of all inputs where the others have None."""
    if returned is None or isinstance(returned, Mapping):
        return dict(returned or {})
    items = returned if isinstance(returned, tuple | list) else [returned]
    names = input_names(sample)
    whole = len(items) == len(sample.inputs) and all(
        item is None for name, item in zip(sample.inputs, items, strict=True) if name not in names
    )
    return dict(zip(sample.inputs if whole else names, items, strict=False))


def input_names(sample: Sample) -> list[str]:
    """The inputs that have a differentiable leaf."""
    return list(dict.fromkeys(path.split(".")[0] for path in sample.differentiable))

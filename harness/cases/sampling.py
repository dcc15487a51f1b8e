"""From a case to a `Sample`: declared numbers or seeded draws, rounded to the dtype.

A draw depends on the seed, the case's name, the size and the point alone, never on the order of a
run, so that one cell can be repeated by itself. Numbers are rounded to the dtype first, so every
method sees the same ones. This module runs the case's Python (`inputs`, and `forward` once on numpy
to learn the shapes of outputs and intermediates).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness import printed
from harness.cases.case import Case
from harness.cases.draws import draw
from harness.cases.numbers import bounds, clipped, locked, rounded
from harness.cases.points import implied_sizes, numbers_at
from harness.cases.schema import Leaf, Point
from harness.dtypes import convert, is_floating
from harness.errors import CaseError, did_you_mean
from harness.model import Array, Sample
from harness.programs import trees
from harness.programs.namespace import of_numpy
from harness.programs.program import Program, Trace

NUMPY = of_numpy()
#: What is declared of a point that is not: nothing.
RANDOM = Point()


def rng_for(seed: int, *parts: str) -> np.random.Generator:
    """A generator that depends on the seed and the texts alone."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    # The words of the seed and of the digest; a list of them would be taken apart by numpy again.
    length = max(1, -(-seed.bit_length() // 32)) * 4
    words = np.frombuffer(seed.to_bytes(length, "little") + digest, dtype="<u4")
    return np.random.default_rng(words)


@dataclass
class Chance:
    """The generator of a sample, made when the first number is drawn: a point may need none."""

    key: tuple[Any, ...]

    @cached_property
    def rng(self) -> np.random.Generator:
        return rng_for(*self.key)


def draw_sample(
    case: Case, point: str, size: str, dtype: str, seed: int = 0, *, tangents: bool = True
) -> Sample:
    """The sample of `case` at a declared point or a random one (`draw0`, `draw1`, ...); without
    `tangents`, which JVP and HVP alone ask for, it has none.

    Raises CaseError for a point whose numbers do not fit the declared shapes or domains, and
    whatever the case's own code raises.
    """
    declared = case.declared.points.get(point, RANDOM)
    chance = Chance((seed, case.name, size, point))
    numbers = numbers_at(case, declared, point)
    named = declared.size or ("default" if point in case.declared.points else size)
    sizes = dict(case.declared.sizes.get(named, {}))
    sizes.update(implied_sizes(case, numbers, point))
    supplied = _supply(case, chance, sizes)
    inputs: dict[str, Any] = {}
    for name in case.code.forward.parameters:
        if name not in case.declared.inputs and name not in supplied:
            raise _unsupplied(case, name)
        spec, tree = case.declared.inputs.get(name), supplied.get(name)
        inputs[name] = _leaf_arrays(case, name, spec, tree, numbers, sizes, chance, dtype)
    paths, arrays, structure = trees.flattened(inputs)
    leaves = dict(zip(paths, arrays, strict=True))
    unused = [path for path in numbers if path not in leaves and numbers[path] is not None]
    if unused:
        raise case.document.error(
            ("points", point, "inputs", unused[0].split(".")[0]),
            f"`{unused[0]}` is no leaf; {did_you_mean(unused[0], leaves)}",
        )
    specs = {path: _declared_leaf(case, path) for path in leaves}
    differentiable = tuple(
        path
        for path, leaf in leaves.items()
        if is_floating(leaf.dtype) and specs[path].differentiable
    )
    domains = {}
    for path, spec in specs.items():
        if spec.domain is not None:
            if supplied:  # others are inside by making
                _check_domain(case, path, leaves[path], spec.domain)
            domains[path] = (float(spec.domain[0]), float(spec.domain[1]))
    with np.errstate(all="ignore"):
        # In float64, since numpy lacks functions of the half dtypes; the shapes are the same.
        copies = structure.unflatten([trees.cast_leaf(leaf, "float64") for leaf in arrays])
        trace = case.program.forward(NUMPY, copies)
    for leaf in arrays:
        locked(leaf)
    found = Sample(
        case.name,
        point,
        size,
        dtype,
        inputs,
        differentiable,
        _cotangents(case, point, trace, chance, dtype),
        perturbable(case.program, trace.saved),
        domains,
    )
    if tangents:
        along = rng_for(seed, case.name, size, point, "tangents")
        moved = {path: leaves[path] for path in differentiable}
        found.tangents.update(_tangents(along, dtype, moved))
    return found


def _supply(case: Case, chance: Chance, sizes: Mapping[str, int]) -> dict[str, Any]:
    """What the case's `inputs(rng, **sizes)` returns; nothing where there is no such function."""
    if not case.supplies_inputs:
        return {}
    supplied = case.program.call("inputs", chance.rng, **sizes)
    if not isinstance(supplied, Mapping) or not all(isinstance(each, str) for each in supplied):
        raise CaseError(
            f"`inputs` returned a {type(supplied).__name__} that names no inputs",
            file=case.code.file,
            remedy="end it in `return {...}` by the names of `forward`'s parameters",
        )
    for name in supplied:
        if name not in case.code.forward.parameters:
            problem = f"which `forward` does not take; {did_you_mean(name, case.leaves)}"
        elif not _is_supplied(case.declared.inputs.get(name)):
            problem = f"which `{case.name}.yaml` gives data already"
        else:
            continue
        raise CaseError(
            f"`inputs` returned `{name}`, {problem}",
            file=case.code.file,
            remedy="return it under another name, or not at all",
        )
    return dict(supplied)


def _cotangents(
    case: Case, point: str, trace: Trace, chance: Chance, dtype: str
) -> tuple[Array, ...]:
    """One cotangent per output: the declared one, ones at a declared point, else a random one."""
    found = []
    for name, output in zip(case.code.forward.returns, trace.outputs, strict=True):
        shape = np.shape(output)
        if point in case.declared.points:
            cotangent = _cotangent(case, case.declared.points[point], point, name, shape)
        else:
            cotangent = np.asarray(chance.rng.standard_normal(shape))
        found.append(locked(convert(cotangent, dtype)))
    return tuple(found)


def _tangents(
    rng: np.random.Generator, dtype: str, leaves: Mapping[str, Array]
) -> dict[str, Array]:
    """One tangent per leaf, also random at a declared point: along a direction of ones, `x - y`
    would look constant. From a generator of its own, so that nothing else is drawn otherwise."""
    return {
        path: locked(convert(np.asarray(rng.standard_normal(leaf.shape)), dtype))
        for path, leaf in leaves.items()
    }


def perturbable(program: Program, saved: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shapes of the intermediates that are floating arrays, bound once and no output."""
    names = (stage.name for stage in program.stages if stage.single)
    return {
        name: np.shape(saved[name])
        for name in names
        if name not in program.outputs
        and isinstance(saved.get(name), np.ndarray | np.floating)
        and saved[name].dtype.kind == "f"
    }


def _is_supplied(spec: Any) -> bool:
    """Whether `inputs(rng)` may supply an input: it is undeclared, or some leaf has no data."""
    if spec is None:
        return True
    if isinstance(spec, Leaf):
        return spec.shape is None and spec.value is None
    children = spec.values() if isinstance(spec, Mapping) else spec
    return any(_is_supplied(child) for child in children)


def _unsupplied(case: Case, name: str) -> CaseError:
    return CaseError(
        f"`inputs` returned no `{name}`, and `{case.name}.yaml` gives it no data",
        file=case.code.file,
        remedy=f"return `{name}` from `inputs`, or give it a `shape` in the YAML",
    )


def _leaf_arrays(
    case: Case,
    path: str,
    spec: Any,
    supplied: Any,
    numbers: Mapping[str, Array | None],
    sizes: Mapping[str, int],
    chance: Chance,
    dtype: str,
) -> Any:
    """The tree of arrays below `path`: a point's numbers first, then `inputs`, then the YAML. What
    is null there is None."""
    if path in numbers and numbers[path] is None:
        return None
    if isinstance(spec, Mapping):
        return {
            key: _leaf_arrays(
                case, f"{path}.{key}", child, _child(supplied, key), numbers, sizes, chance, dtype
            )
            for key, child in spec.items()
        }
    if isinstance(spec, list):
        return [
            _leaf_arrays(
                case, f"{path}.{i}", child, _child(supplied, i), numbers, sizes, chance, dtype
            )
            for i, child in enumerate(spec)
        ]
    if supplied is not None:
        return trees.map_with_path(
            lambda below, leaf: rounded(
                numbers.get(f"{path}.{below}" if below else path, leaf), dtype
            ),
            supplied,
        )
    if spec is None and path not in numbers:
        return None
    spec = spec or Leaf()
    if path in numbers:
        values = numbers[path]
    elif spec.value is not None:
        values = printed.values(spec.value)
    elif spec.shape is not None:
        shape = tuple(sizes[each] if isinstance(each, str) else each for each in spec.shape)
        values = draw(spec, shape, chance.rng)
    else:
        raise _unsupplied(case, path)
    result = rounded(values, dtype, spec.kind)
    if spec.domain is not None and spec.kind == "f":
        result = clipped(result, spec.domain)
    return result


def _child(supplied: Any, key: Any) -> Any:
    if isinstance(supplied, Mapping):
        return supplied.get(key)
    if isinstance(supplied, list | tuple):
        return supplied[key] if key < len(supplied) else None
    return None


def _declared_leaf(case: Case, path: str) -> Leaf:
    """The declared leaf at `path`, or the one that encloses it and leaves its data to `inputs`; an
    undeclared input is a leaf without properties."""
    while path:
        if path in case.leaves:
            return case.leaves[path]
        path = path.rpartition(".")[0]
    return Leaf()


def _check_domain(case: Case, path: str, values: Array, domain: tuple[float, float]) -> None:
    """Numbers that `inputs` supplies are inside the declared domain."""
    low, high = bounds(domain, values.dtype)
    inside = (values >= low) & (values <= high)
    if not inside.all():
        raise CaseError(
            f"`inputs` returned {float(values[~inside].flat[0]):g} for `{path}`, outside its "
            f"domain [{domain[0]:g}, {domain[1]:g}]",
            file=case.code.file,
            remedy="mend `inputs`, or widen the domain",
        )


def _cotangent(
    case: Case, declared: Point, point: str, output: str, shape: tuple[int, ...]
) -> Array:
    given = declared.cotangent
    if isinstance(given, Mapping):
        given = given.get(output)
    if given is None:
        return np.ones(shape)
    values = printed.values(given)
    if values.shape != shape:
        raise case.document.error(
            ("points", point, "cotangent"),
            f"the cotangent of `{output}` has shape {list(values.shape)}, the output {list(shape)}",
        )
    return values

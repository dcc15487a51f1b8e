"""The numbers that a declared point gives, checked against what its leaves declare.

Nothing of the case's code is run for it, so that bad numbers are told before anything is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness import printed
from harness.cases.case import Case
from harness.cases.document import Path_
from harness.cases.schema import Point
from harness.model import Array


def check_points(case: Case) -> None:
    """Check the numbers of every declared point without running the case's code.

    Raises CaseError for numbers that fit neither the declared shape nor the declared domain.
    """
    for name, point in case.declared.points.items():
        implied_sizes(case, numbers_at(case, point, name), name)


def printed_spread(case: Case, point: str) -> dict[str, Array]:
    """Path -> half a unit of the last digit of each number that the point prints (quoted ones)."""
    found = {}
    for path, node in _point_leaves(case, case.declared.points[point]).items():
        if node is None:
            continue
        _, half = printed.to_arrays(node)
        if np.any(half):
            found[path] = half
    return found


def _point_leaves(case: Case, point: Point) -> dict[str, Any]:
    """Path -> nested list of numbers at a point; lists are data where the declared leaf is."""
    found: dict[str, Any] = {}

    def walk(path: str, node: Any) -> None:
        if path not in case.leaves and isinstance(node, Mapping):
            for key, child in node.items():
                walk(f"{path}.{key}", child)
        elif path not in case.leaves and isinstance(node, list) and _container(case, path):
            for index, child in enumerate(node):
                walk(f"{path}.{index}", child)
        else:
            found[path] = node

    for name, node in point.inputs.items():
        walk(name, node)
    return found


def _container(case: Case, path: str) -> bool:
    return any(leaf.startswith(f"{path}.") for leaf in case.leaves)


def _at(point: str, path: str) -> Path_:
    location = tuple(int(part) if part.isdigit() else part for part in path.split("."))
    return ("points", point, "inputs", *location)


def numbers_at(case: Case, declared: Point, point: str) -> dict[str, Array | None]:
    """Path -> float64 numbers given at a point, checked against the declared domain; None for what
    is null there."""
    found: dict[str, Array | None] = {}
    for path, node in _point_leaves(case, declared).items():
        at = _at(point, path)
        if node is None:
            found[path] = None
            continue
        try:
            values = printed.values(node)
        except (ValueError, TypeError, OverflowError):
            raise case.document.error(
                at, f"`{path}` is no array of numbers", "give nested lists of equal length"
            ) from None
        leaf = case.leaves.get(path)
        if leaf is not None and leaf.domain is not None:
            low, high = leaf.domain
            outside = ~((values >= low) & (values <= high))
            if np.any(outside):
                index = np.unravel_index(int(np.argmax(outside)), values.shape)
                raise case.document.error(
                    at,
                    f"`{path}` is {values[index]:g}{_index(index)}, outside its domain "
                    f"[{low:g}, {high:g}]",
                    "move the point, or widen the domain",
                )
        if np.isnan(values).any():
            raise case.document.error(
                at, f"`{path}` holds NaN", "give numbers at which `forward` is defined"
            )
        if leaf is not None and leaf.kind == "i" and np.any(values != np.rint(values)):
            raise case.document.error(at, f"`{path}` must be integers, as it is declared")
        found[path] = values
    return found


def _index(index: tuple[Any, ...]) -> str:
    return " at [" + ", ".join(str(int(i)) for i in index) + "]" if index else ""


def implied_sizes(case: Case, numbers: Mapping[str, Array | None], point: str) -> dict[str, int]:
    """The named dimensions that the shapes of a point's numbers imply."""
    sizes: dict[str, int] = {}
    for path, values in numbers.items():
        leaf = case.leaves.get(path)
        if leaf is None or leaf.shape is None or values is None:
            continue
        fits = len(leaf.shape) == values.ndim and all(
            sizes.setdefault(want, have) == have if isinstance(want, str) else want == have
            for want, have in zip(leaf.shape, values.shape, strict=True)
        )
        if not fits:
            known = f" with {sizes}" if sizes else ""
            raise case.document.error(
                _at(point, path),
                f"`{path}` has shape {list(values.shape)}, declared is "
                f"[{', '.join(map(str, leaf.shape))}]{known}",
                "mend the numbers or the declared shape",
            )
    return sizes

"""Numbers as a source printed them: "0.26" stands for anything that rounds to it.

A printed number carries its own tolerance, half a unit of its last digit. That is why expectations
are quoted in YAML: 24.9989554697 read as a float would forget how many digits were printed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.model import Array

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def is_number(text: str) -> bool:
    """Whether `text` is a finite decimal number as a program prints it ("0.", "-9.57e-03")."""
    return _NUMBER.fullmatch(text.strip()) is not None and math.isfinite(float(text))


def half_unit(text: str) -> float:
    """Half a unit of the last printed digit: 0.005 for "0.26", 0.05 for "12.0", 0.5 for "12."."""
    exponent = Decimal(text.strip()).as_tuple().exponent
    assert isinstance(exponent, int)
    return 0.5 * 10.0**exponent


def to_arrays(numbers: Any) -> tuple[Array, Array]:
    """Float64 values of a nested list, and the half unit of each: zero for an unquoted number."""
    return values(numbers), _convert(
        numbers, lambda leaf: half_unit(leaf) if isinstance(leaf, str) else 0.0
    )


def values(numbers: Any) -> Array:
    """Float64 values of a nested list. Raises OverflowError for a printed one beyond its range."""

    def number(leaf: Any) -> float:
        value = float(leaf)
        if isinstance(leaf, str) and math.isinf(value):
            raise OverflowError(f"`{leaf}` is beyond the range of float64")
        return value

    return _convert(numbers, number)


def kind(numbers: Any) -> str:
    """What a nested list holds, by numpy's letter: `b` if truth values alone, `i` if whole numbers
    without a point alone, else `f`."""
    if isinstance(numbers, list):
        kinds = {*map(kind, numbers)}
        return kinds.pop() if len(kinds) == 1 else "f"
    return "b" if isinstance(numbers, bool) else "i" if isinstance(numbers, int) else "f"


def is_regular(numbers: Any) -> bool:
    """Whether a nested list is an array: lists beside each other have equal shapes."""

    def shape(node: Any) -> tuple[int, ...] | None:
        if not isinstance(node, list):
            return ()
        inner = {shape(each) for each in node}
        if len(inner) > 1 or None in inner:
            return None
        return (len(node), *(inner.pop() or () if inner else ()))

    return shape(numbers) is not None


def _convert(numbers: Any, convert: Callable[[Any], float]) -> Array:
    def walk(node: Any) -> Any:
        return [walk(each) for each in node] if isinstance(node, list) else convert(node)

    import numpy as np  # whoever only validates a case does not pay for it

    return np.array(walk(numbers), dtype=np.float64)

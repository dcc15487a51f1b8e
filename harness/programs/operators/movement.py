"""What puts numbers into other places, or makes them out of places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def one_hot(xp: Any, labels: Any, /, num_classes: int, *, dtype: Any = None) -> Any:
    """1 where the last axis, of length `num_classes`, is at its label, else 0; of shape
    (*labels.shape, num_classes). A label that is no class has zeros. `dtype` is float64 if none is
    given, as that of `xp.zeros` is."""
    classes = xp.arange(num_classes, dtype=labels.dtype)
    hot = xp.equal(xp.expand_dims(labels, axis=-1), classes)
    return xp.astype(hot, xp.float64 if dtype is None else dtype)


def pad(xp: Any, x: Any, /, pad_width: Any, constant_values: Any = 0) -> Any:
    """`x` with constants around it. `pad_width` is one number for every side, (before, after) for
    every axis, or such a pair for each axis."""
    for axis, sizes in enumerate(_pairs(pad_width, x.ndim)):
        before, after = (
            xp.full((*x.shape[:axis], size, *x.shape[axis + 1 :]), constant_values, dtype=x.dtype)
            for size in sizes
        )
        x = xp.concat([before, x, after], axis=axis) if any(sizes) else x
    return x


def _pairs(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    if isinstance(pad_width, int):
        return [(pad_width, pad_width)] * ndim
    if all(isinstance(each, int) for each in pad_width):
        sides: Sequence[int] = pad_width
        before, after = sides if len(sides) == 2 else (sides[0], sides[0])
        return [(before, after)] * ndim
    pairs = [(int(before), int(after)) for before, after in pad_width]
    if len(pairs) == 1:
        return pairs * ndim
    if len(pairs) != ndim:
        raise ValueError(f"`pad_width` has {len(pairs)} pairs, the array {ndim} axes")
    return pairs

"""Sums of products over named axes, and sums of rows by label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from string import ascii_letters
from typing import Any


def einsum(xp: Any, subscripts: str, /, *operands: Any) -> Any:
    """Einstein's summation, as `numpy.einsum` writes it; axes under `...` have equal lengths.

    Two operands at a time, each pair as one product of stacked matrices.
    """
    inputs, output = _parsed(subscripts, [x.ndim for x in operands])
    arrays = [_diagonal(xp, x, labels) for x, labels in zip(operands, inputs, strict=True)]
    result, labels = arrays[0]
    for place, (other, others) in enumerate(arrays[1:], 2):
        later = {*output, *(label for _, each in arrays[place:] for label in each)}
        result, labels = _product(xp, (result, labels), (other, others), later)
    result, labels = _summed(xp, result, labels, set(output))
    return xp.permute_dims(result, tuple(labels.index(each) for each in output))


def _parsed(subscripts: str, ndims: Sequence[int]) -> tuple[list[str], str]:
    """One letter for each axis of each operand, and for those of the result."""
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(ndims):
        raise ValueError(
            f"einsum: `{subscripts}` is for {len(inputs)} operands, not for {len(ndims)}"
        )
    free = [each for each in ascii_letters if each not in subscripts]
    unnamed = [
        "".join(free[: ndim - len(labels) + 3]) if "..." in labels else ""
        for labels, ndim in zip(inputs, ndims, strict=True)
    ]
    inputs = [labels.replace("...", names) for labels, names in zip(inputs, unnamed, strict=True)]
    longest = max(unnamed, key=len)
    if not arrow:
        once = (each for each in {*left} - {",", "."} if left.count(each) == 1)
        return inputs, longest + "".join(sorted(once))
    return inputs, output.replace("...", longest)


def _diagonal(xp: Any, x: Any, labels: str) -> tuple[Any, str]:
    """`x` with every label once: of a label that is repeated, the diagonal."""
    if x.ndim != len(labels):
        raise ValueError(f"einsum: `{labels}` is for {len(labels)} axes, not for {x.ndim}")
    for label in labels:
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            n = x.shape[first]
            rest = [axis for axis in range(x.ndim) if axis not in (first, second)]
            square = xp.permute_dims(x, (*rest, first, second))
            flat = xp.reshape(square, (*(x.shape[axis] for axis in rest), n * n))
            x = xp.take(flat, xp.arange(n) * (n + 1), axis=len(rest))
            labels = "".join(labels[axis] for axis in rest) + label
    return x, labels


def _summed(xp: Any, x: Any, labels: str, kept: set[str]) -> tuple[Any, str]:
    axes = tuple(axis for axis, label in enumerate(labels) if label not in kept)
    if not axes:
        return x, labels
    return xp.sum(x, axis=axes), "".join(each for each in labels if each in kept)


def _product(
    xp: Any, one: tuple[Any, str], two: tuple[Any, str], later: set[str]
) -> tuple[Any, str]:
    """The product of two operands, summed over the labels that nobody needs `later`."""
    one = _summed(xp, *one, later | {*two[1]})
    two = _summed(xp, *two, later | {*one[1]})
    shared = [each for each in one[1] if each in two[1]]
    stacked = "".join(each for each in shared if each in later)
    summed = "".join(each for each in shared if each not in later)
    rows = "".join(each for each in one[1] if each not in shared)
    columns = "".join(each for each in two[1] if each not in shared)
    sizes = dict(zip(one[1] + two[1], (*one[0].shape, *two[0].shape), strict=True))
    left = _matrices(xp, *one, (stacked, rows, summed), sizes)
    right = _matrices(xp, *two, (stacked, summed, columns), sizes)
    labels = stacked + rows + columns
    return xp.reshape(xp.matmul(left, right), tuple(sizes[each] for each in labels)), labels


def _matrices(xp: Any, x: Any, labels: str, groups: Sequence[str], sizes: dict[str, int]) -> Any:
    """`x` with one axis for each group of labels."""
    order = tuple(labels.index(label) for group in groups for label in group)
    shape = tuple(math.prod(sizes[label] for label in group) for group in groups)
    return xp.reshape(xp.permute_dims(x, order), shape)


def segment_sum(xp: Any, data: Any, segment_ids: Any, num_segments: int, /) -> Any:
    """The sums of those rows of `data` that have one id: row i of the result, of shape
    (num_segments, *data.shape[1:]), is the sum of all rows whose id is i."""
    hot = xp.one_hot(segment_ids, num_segments, dtype=data.dtype)
    rows = xp.reshape(data, (data.shape[0], -1))
    sums = xp.matmul(xp.matrix_transpose(hot), rows)
    return xp.reshape(sums, (num_segments, *data.shape[1:]))

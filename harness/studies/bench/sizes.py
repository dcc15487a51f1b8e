"""The sizes of a bench: the case's named ones, and those that a sweep makes of one of them.

A swept size is a named size like any other (`n=1000`), put into a copy of the case, so that nothing
else has to know of sweeps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.cases.case import Case
from harness.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Sweep:
    """One dimension and its values."""

    dimension: str
    values: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its sizes."""
        return tuple(f"{self.dimension}={value}" for value in self.values)


def parse(words: Sequence[str]) -> Sweep:
    """The sweep that `n=100,1000` means, given as its words. Raises UsageError."""
    dimension, _, first = words[0].partition("=")
    values = (first, *words[1:])
    if not dimension or not all(re.fullmatch("[1-9][0-9]*", value) for value in values):
        raise UsageError(
            f"`{','.join(words)}` is no sweep of a dimension; write one such as "
            "`--sizes n=100,1000,10000` (named sizes are `--size`'s)"
        )
    return Sweep(dimension, tuple(sorted({int(value) for value in values})))


def swept(case: Case, sweep: Sweep) -> Case:
    """The case with the sizes of a sweep, the other dimensions as in its default size. Raises
    UsageError where no size of it has such a dimension."""
    default = case.declared.sizes.get("default", {})
    if sweep.dimension not in default:
        raise UsageError(
            f"`{case.name}` has no dimension `{sweep.dimension}`; "
            + did_you_mean(sweep.dimension, default)
        )
    added = {
        name: {**default, sweep.dimension: value}
        for name, value in zip(sweep.names, sweep.values, strict=True)
    }
    declared = case.declared.model_copy(update={"sizes": {**case.declared.sizes, **added}})
    return replace(case, declared=declared)


def axis(case: Case, sizes: Sequence[str]) -> tuple[str, dict[str, float]]:
    """The one dimension that differs between sizes of a case, and its value in each; "" and
    nothing where none does, or several do."""
    known = {size: case.declared.sizes.get(size, {}) for size in sizes}
    names = {name for each in known.values() for name in each}
    differing = [name for name in names if len({each.get(name) for each in known.values()}) > 1]
    if len(differing) != 1 or any(differing[0] not in each for each in known.values()):
        return "", {}
    return differing[0], {size: float(each[differing[0]]) for size, each in known.items()}

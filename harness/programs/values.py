"""What the writes of a case become: functions from the old value of a name to its new one.

Whoever runs the case's text in plain numpy has to get the same numbers as here, where arrays are
values. So a write that would reach there what is read later under another name (`row = x[0]; row[1]
= 2`), or an array of whoever called, is an error with its line. Lists and dicts are what they are
in Python.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from harness.errors import HarnessError
from harness.programs.operators.writing import whole_mask

#: Whose an array is that a name holds: the function's own; lent to `backward`, where numpy may say
#: that it is locked; or borrowed by a helper from its caller, who would not see a new one.
OWN, LENT, BORROWED = "own", "lent", "borrowed"


def written(
    xp: Any,
    target: Any,
    key: Any,
    value: Any,
    readers: Mapping[str, Callable[[], Any]],
    owner: str = OWN,
) -> Any:
    """`target` with `value` at `key`: a new array, or the same list, dict or object, changed.

    `readers` give what is read later under other names. Raises HarnessError for a write that
    reaches a reader or is into what is BORROWED, and numpy's ValueError for what is LENT.
    """
    if not _is_array(target) or (owner == LENT and _is_locked(target)):
        target[key] = value
        return target
    if owner == BORROWED:
        raise HarnessError(
            "this writes into an array of the caller, who would not see it where arrays are "
            "values; begin with a copy, `xp.asarray(..., copy=True)`, and return it"
        )
    reached = _reached(target, readers)
    if reached is not None:
        raise HarnessError(
            f"this writes into `{reached}` too, which shares the memory of what is written to and "
            "is read later; write into a copy: `xp.asarray(..., copy=True)`"
        )
    return xp.set_at(target, key, value)


def updated(
    xp: Any,
    target: Any,
    key: Any,
    name: str,
    other: Any,
    readers: Mapping[str, Callable[[], Any]],
    owner: str = OWN,
) -> Any:
    """`written`, with `target[key] += other` for the operator of that name."""
    mask = whole_mask(target, key) if _is_array(target) else None
    if mask is not None and not getattr(other, "shape", ()) and not xp.knows(key):
        changed = xp.where(mask, augmented(name, target, other), target)
        return xp.astype(changed, target.dtype)
    old = item(xp, target, key)
    return written(xp, target, key, augmented(name, old, other, owner), readers, owner)


def through(target: Any, key: Any, value: Any) -> None:
    """Write into what no name of the function holds. Raises HarnessError for an array: nobody would
    see the new one."""
    if _is_array(target) and not _is_locked(target):
        raise HarnessError(
            "this writes through a view, or into an array of another function, where arrays are "
            "values; give the array a name, write into that, and hand it on"
        )
    target[key] = value


def augmented(name: str, value: Any, other: Any, owner: str = OWN) -> Any:
    """What `value += other` leaves under its name, for the operator of that name."""
    if isinstance(value, list | dict | set) or (owner == LENT and _is_locked(value)):
        return getattr(operator, f"i{name.strip('_')}")(value, other)
    return getattr(operator, name)(value, other)


def within(container: Any, key: Any) -> Any:
    """The member of a container that is written into. Raises HarnessError for that of an array."""
    if _is_array(container):
        raise HarnessError(
            "this writes into an index of an index, of which some are views and some are copies; "
            "write one index: `x[0, 1] = ...`"
        )
    return container[key]


def item(xp: Any, value: Any, key: Any) -> Any:
    """`value[key]`, where the namespace reads an index that the array does not."""
    return xp.item(value, key) if _is_array(value) else value[key]


def _is_array(value: Any) -> bool:
    return hasattr(value, "dtype") and hasattr(value, "shape")


def _is_locked(value: Any) -> bool:
    return not getattr(getattr(value, "flags", None), "writeable", True)


def _reached(target: Any, readers: Mapping[str, Callable[[], Any]]) -> str | None:
    """The first reader that shares the memory of a numpy array, if any does."""
    import numpy as np  # here, since code is read and rewritten without it

    def arrays(value: Any) -> Iterator[Any]:
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, list | tuple | dict):
            for each in value.values() if isinstance(value, dict) else value:
                yield from arrays(each)

    def overlap(other: Any) -> bool:
        try:
            return bool(np.shares_memory(target, other, max_work=1000))  # type: ignore[arg-type]
        except np.exceptions.TooHardError:  # two views, each with gaps where the other may lie
            return True

    if isinstance(target, np.ndarray):
        for name, reader in readers.items():
            with suppress(NameError):  # not assigned in this run
                if any(map(overlap, arrays(reader()))):
                    return name
    return None


#: What rewritten code finds under the name VALUES.
RUNTIME = SimpleNamespace(
    written=written,
    updated=updated,
    through=through,
    augmented=augmented,
    within=within,
    item=item,
    slice=slice,
)

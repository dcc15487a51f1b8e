"""The methods of computing gradients, by name.

A built-in backend is the file of its name in this folder. Another package adds one through the
entry-point group `harness.backends`: the entry's name is the backend's, its object the class.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from functools import cache
from typing import TYPE_CHECKING

from harness.errors import UsageError, did_you_mean
from harness.label import NATIVE, Label

if TYPE_CHECKING:
    from harness.backends.base import Backend

BUILTIN = ("numeric", "manual", "autograd", "tensorflow", "torch", "jax")
ENTRY_POINTS = "harness.backends"


def names() -> tuple[str, ...]:
    """Every backend that can be asked for, built-in ones first; nothing is imported."""
    return (*BUILTIN, *(name for name in _installed() if name not in BUILTIN))


@cache
def backend_class(name: str) -> type[Backend]:
    """The class of a backend, without importing its framework. Raises UsageError if unknown."""
    if name in BUILTIN:
        found: type[Backend] = importlib.import_module(f"harness.backends.{name}").BACKEND
        return found
    if name in _installed():
        loaded: type[Backend] = _installed()[name].load()
        return loaded
    raise UsageError(f"no backend `{name}`; {did_you_mean(name, names())}")


def known_label(text: str) -> Label:
    """`text` as a label. Raises UsageError for an unknown backend or variant."""
    label = Label(text)
    valid = (*class_of(label).variants, NATIVE)
    if label.variant and label.variant not in valid:
        raise UsageError(
            f"`{label.method}` has no variant `{label.variant}`; "
            + did_you_mean(label.variant, valid)
        )
    return label


def class_of(label: Label) -> type[Backend]:
    """The class of a label's method. Raises UsageError if unknown."""
    return backend_class(label.method)


def make(label: str) -> Backend:
    """A new backend for a label such as `torch` or `jax:jit`."""
    known = known_label(label)
    return class_of(known)(known.variant)


@cache
def _installed() -> dict[str, importlib.metadata.EntryPoint]:
    points = importlib.metadata.entry_points(group=ENTRY_POINTS)
    return {point.name: point for point in points}

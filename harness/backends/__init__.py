"""The methods of computing gradients, by name.

A built-in backend is the file of its name in this folder. Another package adds one through the
entry-point group `harness.backends`: the entry's name is the backend's, its object the class. A
notebook, a script or a test adds one for a while, in its own process, by `registered`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from harness.errors import UsageError, did_you_mean
from harness.label import NATIVE, Label

if TYPE_CHECKING:
    from harness.backends.base import Backend

BUILTIN = ("numeric", "manual", "autograd", "tensorflow", "torch", "jax")
ENTRY_POINTS = "harness.backends"


_registered: dict[str, type[Backend]] = {}


def names() -> tuple[str, ...]:
    """Every backend that can be asked for, built-in ones first; nothing is imported."""
    return tuple(dict.fromkeys((*BUILTIN, *_installed(), *_registered)))


@contextmanager
def registered(*classes: type[Backend]) -> Iterator[None]:
    """Each class is the backend of its `name` within the block, in the place of any that has that
    name. Only this process knows of it: a run that is to use it needs `jobs=0`."""
    before = dict(_registered)
    _registered.update({each.name: each for each in classes})
    try:
        yield
    finally:
        _registered.clear()
        _registered.update(before)


def backend_class(name: str) -> type[Backend]:
    """The class of a backend, without importing its framework. Raises UsageError if unknown."""
    return _registered[name] if name in _registered else _found(name)


@cache
def _found(name: str) -> type[Backend]:
    if name in BUILTIN:
        found: type[Backend] = importlib.import_module(f"harness.backends.{name}").BACKEND
        return found
    if name in _installed():
        return _loaded(_installed()[name])
    raise UsageError(f"no backend `{name}`; {did_you_mean(name, names())}")


def _loaded(point: importlib.metadata.EntryPoint) -> type[Backend]:
    """The class behind an entry point. Where it cannot be had, which is nobody else's trouble, one
    that is not installed, and says why."""
    from harness.backends.base import Backend

    try:
        found = point.load()
        if not (isinstance(found, type) and issubclass(found, Backend)):
            raise TypeError(f"`{point.value}` is no class of a backend")
    except (Exception, SystemExit) as error:  # whatever the package of somebody else raises
        package = point.dist.name if point.dist else point.module
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        install = f"its entry point raises {reason}; mend or uninstall `{package}`"
        absent = {"name": point.name, "install": install, "installed": classmethod(lambda _: False)}
        return type("Broken", (Backend,), absent)
    return found


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

"""The names that a case may use are those of the array API standard, neither more nor fewer."""

from __future__ import annotations

import types

import pytest

from harness.programs.namespace import LINALG, STANDARD

strict = pytest.importorskip("array_api_strict")

#: What array-api-strict offers and a case may not use.
EXTRA = {
    "ArrayAPIStrictFlags",  # its own switches, as are the next three
    "get_array_api_strict_flags",
    "reset_array_api_strict_flags",
    "set_array_api_strict_flags",
    "Device",  # a device of its own, for tests of libraries
    "broadcast_shapes",  # of the 2025.12 standard, as is the next; `STANDARD` is 2024.12
    "isin",
}


def offered(module: types.ModuleType) -> set[str]:
    """The names that a module declares as public, without `__version__` and its like."""
    return {name for name in module.__all__ if not name.startswith("__")} - EXTRA


def test_the_main_namespace_is_the_standard() -> None:
    assert offered(strict) ^ STANDARD == set()


def test_linalg_is_the_standard() -> None:
    assert offered(strict.linalg) ^ LINALG == set()

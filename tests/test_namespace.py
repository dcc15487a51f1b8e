"""The names that a case may use are those of the array API standard, neither more nor fewer."""

from __future__ import annotations

import types
import warnings

import pytest

from harness.namespace import LINALG, STANDARD

strict = pytest.importorskip("array_api_strict")

#: What array-api-strict offers besides the standard.
EXTRA = {
    "ArrayAPIStrictFlags",  # its own switches, as are the next four
    "get_array_api_strict_flags",
    "set_array_api_strict_flags",
    "reset_array_api_strict_flags",
    "Device",  # a device of its own, for tests of libraries
    "__array_namespace_info__",  # inspection, which no function needs that is to be differentiated
}


def offered(module: types.ModuleType) -> set[str]:
    """Public names; private ones and the modules that array-api-strict is made of left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {
            name
            for name in dir(module)
            if not name.startswith("_")
            and (not isinstance(getattr(module, name), types.ModuleType) or name in STANDARD)
        }
    return names - EXTRA


def test_the_main_namespace_is_the_standard() -> None:
    assert offered(strict) ^ STANDARD == set()


def test_linalg_is_the_standard() -> None:
    assert offered(strict.linalg) ^ LINALG == set()

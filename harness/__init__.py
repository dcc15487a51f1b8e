"""gradient-harness: declare a function and its backward once, check it everywhere.

Names are imported when they are first used: the pytest plugin and `harness list` must not pay for
numpy, and nothing here imports a framework.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from harness.errors import GradientMismatch, HarnessError

if TYPE_CHECKING:
    from harness.api import Report, check, run
    from harness.pytest_plugin import parametrize

__version__ = "0.1.0"
__all__ = ["GradientMismatch", "HarnessError", "Report", "check", "parametrize", "run"]

_HOME = {
    "check": "harness.api",
    "Report": "harness.api",
    "parametrize": "harness.pytest_plugin",
    "run": "harness.api",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module `harness` has no attribute `{name}`")

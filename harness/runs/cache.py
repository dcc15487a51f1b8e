"""Where workers leave each other what they compile, from one run to the next: most of a first run
is jax compiling single operations.

Compiled code is that of one kind of processor, and a home folder may serve several machines.
"""

from __future__ import annotations

import hashlib
import platform
import tempfile
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path


def folder() -> Path | None:
    """The cache of this user and this kind of processor, made where it is not there yet; None where
    it cannot be written to."""
    found = user_cache_path("gradient-harness") / "compiled" / _processor()
    try:
        found.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=found):
            return found
    except OSError:
        return None


def _processor() -> str:
    """A short hash of what this processor can do, as far as the system tells it."""
    told = platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        told += "".join(sorted({each for each in lines if each.startswith(("flags", "Features"))}))
    return hashlib.sha256(told.encode()).hexdigest()[:16]

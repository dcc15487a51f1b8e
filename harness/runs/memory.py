"""How much memory a task needed at its worst moment, libraries included."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def forget_peak() -> None:
    """Start to measure anew, where the system can; else the peak is that of the whole process."""
    with suppress(OSError):
        _CLEAR.write_text("5")


def peak() -> int:
    """Bytes of memory that this process held at its worst moment; 0 where nobody knows."""
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return 0
    import resource

    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found if sys.platform == "darwin" else found * 1024

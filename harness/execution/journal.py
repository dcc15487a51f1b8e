"""The journal of a run: every finished cell, on disk before anybody sees it.

One line of JSON per cell, appended in one write, so that what is killed at any moment leaves whole
lines and at most one torn one. A line's key is a hash of everything that its rows depend on: the
text of the case, the options, the versions of the method. Taking a run up again repeats only the
cells whose key is not there, whoever wrote the journal.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from harness import __version__, backends
from harness.cases.case import Case
from harness.errors import UsageError
from harness.model import Row
from harness.plan import Cell, Request

JOURNAL = "results.jsonl"
_LOCK = ".results.lock"
_FLOATS = tuple(field.name for field in fields(Row) if field.type == "float")


class Keys:
    """The keys of the cells of one run."""

    def __init__(self, cases: Sequence[Case], request: Request) -> None:
        self._texts = {
            case.name: _digest(repr(case.document.data), case.code.text) for case in cases
        }
        self._request = request
        self._versions: dict[str, str] = {}

    def of(self, cell: Cell) -> str:
        """The key of a cell: it changes with whatever may change the rows."""
        request = self._request
        return _digest(
            self._texts[cell.case],
            self._version(cell.backend),
            *map(str, (*vars(cell).values(), request.modes_of(cell), request.seed)),
            *map(str, (request.step, request.numeric, request.intermediates)),
        )

    def _version(self, label: str) -> str:
        name = label.partition(":")[0]
        if name not in self._versions:
            # The referee takes part in every row.
            everything = {"python-flint": version("python-flint")}
            everything |= backends.backend_class("manual").versions()
            everything |= backends.backend_class(name).versions()
            installed = backends.backend_class(name).installed()
            self._versions[name] = f"{__version__} {sorted(everything.items())} {installed}"
        return self._versions[name]


class Journal:
    """The journal in a folder, held by one run at a time."""

    def __init__(self, folder: Path, keys: Keys, *, resume: bool = False) -> None:
        """Open it, to go on with it where `resume`, else empty. Raises UsageError where another
        run writes into the folder."""
        self._keys = keys
        self._lock = FileLock(folder / _LOCK)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise UsageError(
                f"another run is writing into `{folder}`; wait for it, or give another --report DIR"
            ) from None
        path = folder / JOURNAL
        written = path.read_bytes() if resume and path.exists() else b""
        self._known = _read(written)
        # What was torn off in the last line is cut away, so that the next line stands alone.
        self._file: IO[bytes] = path.open("ab")
        self._file.truncate(written.rfind(b"\n") + 1)

    @property
    def lines(self) -> int:
        """How many cells the journal held when it was opened."""
        return len(self._known)

    def find(self, cell: Cell) -> list[Row] | None:
        """The rows of a cell that was finished before, with this very code, data and versions."""
        found = self._known.get(self._keys.of(cell))
        return None if found is None else [_row(each) for each in found]

    def append(self, cell: Cell, rows: Sequence[Row]) -> None:
        """Write a finished cell."""
        line = {"key": self._keys.of(cell), "rows": [_plain(row) for row in rows]}
        self._file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Give the folder back."""
        self._file.close()
        self._lock.release()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _read(written: bytes) -> dict[str, list[Any]]:
    """Key -> rows as written; a line that cannot be read counts for nothing."""
    found: dict[str, list[Any]] = {}
    for line in written.splitlines():
        with suppress(ValueError, TypeError, KeyError):
            entry = json.loads(line)
            found[entry["key"]] = entry["rows"]
    return found


def _plain(row: Row) -> dict[str, Any]:
    """A row as JSON, which has no NaN and no infinity."""
    found = dict(vars(row))
    for name in _FLOATS:
        value = found[name]
        found[name] = value if math.isfinite(value) else str(value)
    return found


def _row(found: Mapping[str, Any]) -> Row:
    return Row(**{**found, **{name: float(found[name]) for name in _FLOATS}})

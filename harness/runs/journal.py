"""The journal of a run: every finished cell, on disk before anybody sees it.

One line of JSON per cell, appended in one write, so that what is killed at any moment leaves whole
lines and at most one torn one. A line's key is a hash of what its rows depend on: the text of the
case and of the modules of its author that it imports, the options, the versions of the method and
of the harness. Beside it stand the digests of whatever else the case's code has read. Taking a run
up again repeats only the cells whose key is not there, whoever wrote the journal, those for which
another file has changed, and those whose worker was lost or too slow, which may have had reasons of
its own.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from harness import backends
from harness.cases.case import Case
from harness.cases.helpers import helpers
from harness.cell import Cell
from harness.errors import UsageError
from harness.label import Label
from harness.model import Row, Status
from harness.quantity import Quantity
from harness.runs import reads
from harness.runs.plan import Request

JOURNAL = "results.jsonl"
_LOCK = ".results.lock"
_FLOATS = tuple(field.name for field in fields(Row) if field.type == "float")


def _elsewhere(case: Case) -> dict[str, str]:
    """File -> text of the modules that a case and those beside it import from elsewhere."""
    return helpers(case.code.text, *(module.text for module in case.code.modules.values()))


class Keys:
    """The keys of the cells of one run."""

    def __init__(self, cases: Sequence[Case], request: Request) -> None:
        self._texts = {
            case.name: _digest(
                repr(case.document.data),
                case.code.text,
                *(part for module in case.code.modules.values() for part in module),
                *(part for item in _elsewhere(case).items() for part in item),
            )
            for case in cases
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

    def _version(self, label: Label) -> str:
        name = label.method
        if name not in self._versions:
            # The referee, and `forward` on numpy, take part in every row.
            everything = {name: version(name) for name in ("python-flint", "numpy")}
            everything["harness"] = _own()
            everything |= backends.backend_class(name).versions()
            installed = backends.backend_class(name).installed()
            self._versions[name] = f"{sorted(everything.items())} {installed}"
        return self._versions[name]


class Journal:
    """The journal in a folder, held by one run at a time."""

    def __init__(self, folder: Path, keys: Keys, *, resume: bool = False) -> None:
        """Open it, to go on with it where `resume`, else empty. Raises UsageError where another
        run writes into the folder, or where it cannot be written to."""
        self._keys = keys
        self._lock = FileLock(folder / _LOCK)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise UsageError(
                f"another run is writing into `{folder}`; wait for it, or give another --report DIR"
            ) from None
        except OSError as error:
            raise _unwritable(folder / _LOCK, error) from None
        path = folder / JOURNAL
        try:
            written = path.read_bytes() if resume and path.exists() else b""
            self._file: IO[bytes] = path.open("ab", buffering=0)
            # What was torn off in the last line is cut away, so that the next line stands alone.
            self._file.truncate(written.rfind(b"\n") + 1)
        except OSError as error:
            self._lock.release()
            raise _unwritable(path, error) from None
        self._known = _read(written)

    def find(self, cell: Cell) -> list[Row] | None:
        """The rows of a cell that was finished before, with this very code, data and versions."""
        found, read = self._known.get(self._keys.of(cell), ((), {}))
        lost = any(row.status in (Status.CRASH, Status.TIMEOUT) for row in found)
        return None if lost or not found or not reads.unchanged(read) else [*found]

    def append(self, cell: Cell, rows: Sequence[Row], read: Mapping[str, str]) -> None:
        """Write a finished cell, and the digests of the files that its rows depend on. Raises
        UsageError where the disk does not take it."""
        plain = [_plain(row) for row in rows]
        entry = {"key": self._keys.of(cell), "read": dict(read), "rows": plain}
        line = json.dumps(entry, allow_nan=False).encode() + b"\n"
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise _unwritable(Path(self._file.name), error) from None

    def close(self) -> None:
        """Give the folder back."""
        self._file.close()
        self._lock.release()


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"`{path}` cannot be written to: {error.strerror or error}\n"
        "  remedy: make room or name another folder with `--report DIR`; what is in the journal is "
        "not lost, `--resume` goes on with it"
    )


@cache
def _own() -> str:
    """A hash of the harness itself: from a checkout to the next, a verdict may mean something else
    though the version is the same."""
    package = Path(__file__).parent.parent
    files = sorted(file for file in package.rglob("*.py") if "builtin" not in file.parts)
    return _digest(*(file.read_text(encoding="utf-8") for file in files))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _read(written: bytes) -> dict[str, tuple[list[Row], dict[str, str]]]:
    """Key -> rows, and the digests of the files that they depend on. A line that cannot be read, or
    that says what no row of today can say, counts for nothing: its cell is done again."""
    found: dict[str, tuple[list[Row], dict[str, str]]] = {}
    for line in written.splitlines():
        with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
            entry = json.loads(line)
            rows = [_row(each) for each in entry["rows"]]
            read = {str(path): str(value) for path, value in entry["read"].items()}
            found[str(entry["key"])] = rows, read
    return found


def _plain(row: Row) -> dict[str, Any]:
    """A row as JSON, which has no NaN and no infinity."""
    found = dict(vars(row))
    for name in _FLOATS:
        value = found[name]
        found[name] = value if math.isfinite(value) else str(value)
    return found


def _row(found: Mapping[str, Any]) -> Row:
    typed = {
        "backend": Label(found["backend"]),
        "quantity": Quantity.parse(found["quantity"]),
        "status": Status(found["status"]),
    }
    return Row(**{**found, **typed, **{name: float(found[name]) for name in _FLOATS}})

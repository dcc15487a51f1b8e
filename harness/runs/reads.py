"""What the code of a case reads besides the text that everybody sees: data, and modules that come
by `importlib`. The rows of a cell depend on it, so that a journal has to know it.

Python tells its audit hooks of every file that it opens. A file was opened for a case if the case's
own file is on the stack. A module is loaded once and serves whoever asks for it later: what it read
while it was loaded counts for every case of the process, and its code for those that import by
names which no import statement says. Not heard is what compiled code opens by itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib.util import source_from_cache
from pathlib import Path
from typing import Any

from harness.cases.case import Case
from harness.cases.helpers import helpers, is_installed

#: The files of cases -> what their code has opened in this process.
_watched: dict[str, set[str]] = {}
#: What has been opened to load modules.
_loaded: set[str] = set()
#: How Python imports what no statement names.
_DYNAMIC = re.compile(r"\b(importlib|__import__|runpy|exec|pkgutil)\b")
#: Folders whose files say nothing of a case: the system's, and what libraries keep there.
_elsewhere = ["/proc", "/sys", "/dev", *filter(None, [os.environ.get("JAX_COMPILATION_CACHE_DIR")])]


def watch(case: Case) -> None:
    """Note from now on what the code of a case opens."""
    if not _watched:
        sys.addaudithook(_heard)
    _watched.setdefault(case.code.file, set())


def ignore(folder: Path | str) -> None:
    """Take no notice of a folder: a cache, which changes no number."""
    _elsewhere.append(os.path.realpath(folder))


def found(case: Case) -> dict[str, str]:
    """Path -> digest of every file that the rows of a case may depend on, as it is now."""
    file = case.code.file
    dynamic = any(map(_imports_by_name, (case.code.text, *_beside(case))))
    shared = {path for path in _loaded if dynamic or not path.endswith((".py", ".pyc"))}
    opened = map(_source, shared | _watched.get(file, set()))
    return {path: digest(path) for path in sorted(set(opened) - {file}) if _counts(path)}


def _beside(case: Case) -> Iterator[str]:
    return (module.text for module in case.code.modules.values())


@lru_cache(64)
def _imports_by_name(text: str) -> bool:
    """Whether code, or what it imports, may ask for modules that no import statement names."""
    return any(_DYNAMIC.search(each) for each in (text, *helpers(text).values()))


def unchanged(read: Mapping[str, str]) -> bool:
    """Whether every one of these files is what it was."""
    return all(digest(path) == value for path, value in read.items())


def digest(path: str) -> str:
    """A hash of what is in a file; "" where there is none."""
    try:
        now = os.stat(path)
        return _digest(path, now.st_mtime_ns, now.st_size)
    except OSError:
        return ""


@lru_cache(4096)
def _digest(path: str, _modified: int, _size: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook. Whatever it raised would be raised where the file is opened."""
    if event == "open" and isinstance(arguments[0], str | bytes) and _reading(*arguments[1:3]):
        with suppress(Exception):
            _note(os.path.abspath(os.fsdecode(arguments[0])))


def _reading(mode: str | None, flags: int) -> bool:
    if mode is None:
        return not flags & (os.O_WRONLY | os.O_RDWR)
    return mode[:1] not in "wax"


def _note(path: str) -> None:
    loading, frame = False, sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        if code.co_filename in _watched:
            _watched[code.co_filename].add(path)
            if loading:
                _loaded.add(path)
            return
        loading |= code.co_name == "<module>" or code.co_filename.startswith("<frozen importlib")
        frame = frame.f_back  # type: ignore[assignment]


def _source(path: str) -> str:
    """Of compiled code the source, which is what people change."""
    with suppress(ValueError):
        return source_from_cache(path) if path.endswith(".pyc") else path
    return path


def _counts(path: str) -> bool:
    real = os.path.realpath(path)
    return not (_below(real, _elsewhere) or os.path.isdir(real) or is_installed(Path(real)))


def _below(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder + os.sep) for folder in folders)

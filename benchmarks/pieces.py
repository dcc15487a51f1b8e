"""A benchmark of an hour is not run if it cannot be stopped: it is done in pieces, by several
processes, and what is done is kept.

A kept piece is only good for the code that made it, so its file is named by a digest of the
sources and of the options. Progress goes to standard error, one line a piece.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[1]
#: Pieces after which a process is replaced: what frameworks compile they never forget.
FRESH = 60
#: One thread each, or the processes fight for the cores; read when a framework is loaded.
ALONE = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}

Result = TypeVar("Result")


@dataclass(frozen=True)
class Piece:
    """Work on one case: its faults, or these `draws` of its correct backward."""

    case: str
    draws: range = range(0)

    @property
    def name(self) -> str:
        what = f"draws-{self.draws.start}-{self.draws.stop}" if self.draws else "faults"
        return f"{self.case}.{what}"


def done(
    pieces: Sequence[Piece], work: Callable[[Piece], Result], jobs: int, keep: Path | None
) -> Iterator[Result]:
    """The result of every piece, in their order: kept ones from `keep`, the others by `jobs`
    processes. `work` can be pickled; what it raises is raised here, and what is done is kept."""
    folder = keep / digest(work) if keep else None
    found: dict[Piece, Result] = {}
    for piece in pieces:
        file = folder / piece.name if folder else None
        if file and file.is_file():
            found[piece] = pickle.loads(file.read_bytes())
    todo = [piece for piece in pieces if piece not in found]
    start, before = time.monotonic(), len(found)
    if before:
        print(f"{before} of {len(pieces)} pieces are done already", file=sys.stderr)
    for piece, result in _results(todo, work, jobs):
        found[piece] = result
        if folder:
            _write(folder / piece.name, result)
        spent = time.monotonic() - start
        left = spent / (len(found) - before) * (len(pieces) - len(found))
        print(
            f"{len(found)}/{len(pieces)} {piece.name}: {spent:.0f} s, {left:.0f} s to go or less",
            file=sys.stderr,
        )
    return (found[piece] for piece in pieces)


def digest(work: Callable[..., Any]) -> str:
    """What the results depend on: the sources, the cases, and the options that `work` holds."""
    found = hashlib.sha256(repr(_options(work)).encode())
    for folder in ("harness", "benchmarks", "cases"):
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in (".py", ".yaml"):
                found.update(file.read_bytes())
    return found.hexdigest()[:12]


def _options(work: Callable[..., Any]) -> list[tuple[str, Any]]:
    """Those that change a result; the pieces, the processes and the folder do not."""
    free = ("cases", "only", "jobs", "keep", "draws")
    options = getattr(work, "keywords", {}).get("options")
    return sorted(each for each in vars(options).items() if each[0] not in free) if options else []


def _results(
    todo: Sequence[Piece], work: Callable[[Piece], Result], jobs: int
) -> Iterator[tuple[Piece, Result]]:
    if jobs == 1:
        yield from ((piece, work(piece)) for piece in todo)
        return
    for name, value in ALONE.items():
        os.environ.setdefault(name, value)
    context = get_context("spawn")  # frameworks do not survive a fork
    with ProcessPoolExecutor(jobs, context, max_tasks_per_child=FRESH) as pool:
        waiting = {pool.submit(work, piece): piece for piece in todo}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _write(file: Path, result: object) -> None:
    """A file is whole or it is not there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}")
    part.write_bytes(pickle.dumps(result))
    part.replace(file)

"""How long `harness list` takes, beside the import of the libraries that the harness is built on.

`list` answers a question that people ask often, so it must not feel like starting a program. The
measure is the import of the schema, YAML and terminal libraries alone, in the same interpreter, in
turn; at most 1.5 times that is wanted.

    python benchmarks/startup.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "imports": [sys.executable, "-c", "import pydantic, yaml, rich"],
    "list": [sys.executable, "-m", "harness", "list"],
    "python": [sys.executable, "-c", "pass"],
}


def main(rounds: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - start)
    for name, each in times.items():
        best, median = min(each) * 1e3, statistics.median(each) * 1e3
        print(f"{name:8} {best:6.1f} ms best, {median:6.1f} ms median")
    for kind, measure in (("best", min), ("median", statistics.median)):
        print(f"ratio of the {kind}s: {measure(times['list']) / measure(times['imports']):.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)

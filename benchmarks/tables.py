"""10 000 rows as Markdown and as CSV, ours and pandas', side by side.

Each number is the least CPU time of a few rounds. Markdown should be at least 10 times faster than
`DataFrame.to_markdown` (which needs tabulate), CSV no slower than `DataFrame.to_csv`.

    python benchmarks/tables.py [ROWS]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from harness.model import Row
from harness.report import files, tables


def rows(number: int) -> list[Row]:
    """Rows as a run makes them: random digits, the occasional long detail."""
    rng = np.random.default_rng(0)
    found = []
    for index in range(number):
        error = float(rng.uniform(1e-17, 1e-15))
        got = repr(float(rng.normal()))
        found.append(
            Row(
                f"case{index // 60}",
                f"draw{index % 10}",
                "default",
                "float64",
                "torch",
                "vjp",
                f"d/dparams.W{index % 3}",
                "pass",
                error,
                2 * error,
                1.5,
                15.2,
                0.03,
                "[2, 1]",
                got,
                got,
                "certified",
                1e-4,
                "verified to 37 digits" if index % 5 == 0 else "",
            )
        )
    return found


def seconds(function: Callable[[], Any], rounds: int = 7) -> float:
    """The least CPU time of a few calls."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def main(number: int) -> None:
    made = rows(number)
    frame = tables.frame(made)
    ours, theirs = seconds(lambda: files.markdown_table(frame)), seconds(frame.to_markdown)
    print(
        f"markdown  {ours:7.3f} s, DataFrame.to_markdown {theirs:7.3f} s: {theirs / ours:.1f} times"
    )
    ours = seconds(lambda: files.csv_text(tables.frame(made)))
    theirs = seconds(lambda: tables.frame(made).to_csv(index=False))
    print(
        f"csv       {ours:7.3f} s, DataFrame.to_csv      {theirs:7.3f} s: {theirs / ours:.2f} times"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)

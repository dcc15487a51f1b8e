"""Cases of ten million parameters through `harness run`: how long, and how much memory in all.

    python benchmarks/big.py [parameters] [case ...]

The memory is the sum of the proportional set sizes of the run and all its workers, sampled ten
times a second: what they share counts once.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

#: Name -> Python, inputs in YAML; N is the number of parameters, M its square root.
CASES = {
    "elementwise": (
        "def forward(xp, x):\n    f = xp.sin(x) * x\n    return f\n\n\n"
        "def backward(xp, df, x):\n    return {'x': df * (xp.cos(x) * x + xp.sin(x))}\n",
        "  x: {shape: [N], draw: normal}\n",
    ),
    "reduction": (
        "def forward(xp, x):\n    q = xp.exp(-x * x)\n    f = xp.sum(q * xp.sin(x))\n    return f\n"
        "\n\ndef backward(xp, df, x, q):\n"
        "    return {'x': df * q * (xp.cos(x) - 2 * x * xp.sin(x))}\n",
        "  x: {shape: [N], draw: normal}\n",
    ),
    "layer": (
        "def forward(xp, w, x):\n    q = xp.matmul(w, x)\n    f = xp.tanh(q)\n    return f\n\n\n"
        "def backward(xp, df, f, x):\n    dq = df * (1 - f * f)\n"
        "    return {'w': xp.matmul(dq, xp.matrix_transpose(x))}\n",
        "  w: {shape: [M, M], domain: [-0.05, 0.05]}\n"
        "  x: {shape: [M, 1], draw: normal, differentiable: false}\n",
    ),
}


def memory(process: psutil.Process) -> int:
    """Bytes of a process and all below it."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            found = each.memory_full_info()
            total += getattr(found, "pss", found.rss)
        except psutil.NoSuchProcess:
            continue
    return total


def measure(name: str, count: int, folder: Path) -> None:
    python, inputs = CASES[name]
    side = round(count**0.5)
    (folder / f"{name}.py").write_text(python)
    inputs = inputs.replace("[N]", f"[{count}]").replace("M", str(side))
    (folder / f"{name}.yaml").write_text(f"summary: many parameters\ninputs:\n{inputs}")
    report = folder / f"report_{name}"
    words = [sys.executable, "-m", "harness", "run", name, "--cases", str(folder), "--draws", "1"]
    words += ["--mode", "value", "--mode", "vjp", "--report", str(report), "--no-progress"]
    start, peak = time.monotonic(), 0
    with (folder / "said").open("wb") as said:
        running = subprocess.Popen(words, stdout=said, stderr=said, env={**os.environ})
        process = psutil.Process(running.pid)
        while running.poll() is None:
            peak = max(peak, memory(process))
            time.sleep(0.1)
    seconds = time.monotonic() - start
    print(f"\n{name}, {count} parameters: {seconds:.0f} s, {peak / 2**30:.2f} GiB in all")
    if not (report / "results.csv").exists():
        print((folder / "said").read_text()[-2000:])
        return
    rows = list(csv.DictReader((report / "results.csv").open()))
    print(" ", dict(Counter(row["status"] for row in rows)), flush=True)
    for row in rows:
        if row["mode"] == "vjp":
            words = [row[key] for key in ("backend", "quantity", "status", "reference", "detail")]
            print("  " + " | ".join(words), flush=True)


def main() -> None:
    count = int(float(sys.argv[1])) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[2:] or CASES:
            measure(name, count, Path(folder))


if __name__ == "__main__":
    main()

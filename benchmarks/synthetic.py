"""Small cases by the thousand, where only their number matters."""

from __future__ import annotations

from pathlib import Path

PYTHON = """
def forward(xp, x):
    y = xp.exp(x) * {number}.
    return y


def backward(xp, dy, y):
    return {{"x": y * dy}}
"""
YAML = "summary: one of many\ninputs:\n  x: {shape: [3]}\n"


def write(folder: Path, cases: int) -> None:
    """Write so many cases to a folder, each another function, in the order of their names."""
    folder.mkdir(exist_ok=True)
    for number in range(1, cases + 1):
        (folder / f"case{number:05}.py").write_text(PYTHON.format(number=number))
        (folder / f"case{number:05}.yaml").write_text(YAML)

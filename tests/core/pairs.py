"""Pairs of case files that the tests of the command line, the plugin and the report share."""

from __future__ import annotations

from pathlib import Path

YAML = """\
summary: sum of squares
tags: [small]
inputs:
  x: {shape: [3]}
points:
  one: {inputs: {x: [1.0, 2.0, 3.0]}}
"""

FORWARD = """\
def forward(xp, x):
    q = x * x
    f = xp.sum(q)
    return f
"""

GOOD = (
    FORWARD
    + """

def backward(xp, df, x):
    dq = df * xp.ones_like(x)
    dx = 2.0 * dq * x
    return {"x": dx}
"""
)

#: The sign of the gradient, and its size, are wrong.
WRONG = GOOD.replace("2.0 * dq", "-2.5 * dq")

#: Raises on line 3 when it runs; nothing is wrong with it as text.
RAISES = FORWARD.replace("xp.sum(q)", "xp.sum(q[7])")


def pair(folder: Path, name: str, python: str = GOOD, yaml: str = YAML) -> Path:
    """Write `NAME.py` and `NAME.yaml` into `folder`, which is made; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(python)
    (folder / f"{name}.yaml").write_text(yaml)
    return folder


def dist_info(site: Path, group: str, name: str, target: str) -> None:
    """An installed distribution, as far as entry points go: a folder on `sys.path` with this in it
    declares `NAME = TARGET` in `group`."""
    folder = site / f"{name}_plugin-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")

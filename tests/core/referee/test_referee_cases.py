"""The certificate on every built-in case: forward along a direction against the hand's backward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import referee as r
from harness.cases.case import load
from harness.cases.registry import builtin_folder
from harness.cases.sampling import draw_sample
from harness.programs import trees
from harness.referee import xp

FILES = sorted(builtin_folder().glob("*.yaml"))


def certificate(file: Path, draw: str, scale: float = 1.0) -> tuple[Any, Any]:
    """<cotangent, derivative along v> and <gradient, v>; the gradient times
    `scale`, and a zero gradient moved by as much."""
    case = load(file)
    sample = draw_sample(case, draw, "default", "float64")
    rng = np.random.default_rng(3)
    leaves = trees.flatten(sample.inputs)
    directions = {
        path: r.dyadic_direction(rng, np.shape(leaves[path])) for path in sample.differentiable
    }

    def leaf(path: str, x: Any) -> Any:
        return r.lift_along(x, directions[path]) if path in directions else r.lift(x)

    plain = trees.map_with_path(lambda _path, x: r.lift(x), sample.inputs)
    cotangents = tuple(r.lift(each) for each in sample.cotangents)
    along = case.program.forward(xp, trees.map_with_path(leaf, sample.inputs))
    gradient, _ = case.program.backward(xp, cotangents, plain, case.program.forward(xp, plain))
    found = trees.flatten(gradient)
    left = sum(
        xp.sum(cotangent * r.coefficient(output, 1))
        for cotangent, output in zip(cotangents, along.outputs, strict=True)
    )
    right = sum(
        xp.sum(r.lift(v) * (found[path] * scale + (scale - 1))) for path, v in directions.items()
    )
    return left, right


@pytest.mark.parametrize("draw", ["draw0", "draw1"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_backward_is_verified_to_30_digits(file: Path, draw: str) -> None:
    left, right = r.with_precision_doubling(lambda: certificate(file, draw))
    assert r.overlap(left, right).all()
    assert r.relative_digits(left) > 30 and r.relative_digits(right) > 30


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_backward_off_by_one_ulp_is_disproved(file: Path) -> None:
    left, right = r.with_precision_doubling(lambda: certificate(file, "draw0", 1 + 2.0**-52))
    assert not r.overlap(left, right).any()

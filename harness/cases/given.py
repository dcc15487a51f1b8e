"""A sample of numbers that somebody gives, instead of declaring or drawing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.cases.numbers import locked, rounded
from harness.cases.sampling import perturbable, rng_for
from harness.dtypes import convert, is_floating
from harness.model import Sample
from harness.programs import trees
from harness.programs.namespace import of_numpy
from harness.programs.program import Program

#: What such a sample says of itself.
POINT, SIZE = "given", "default"


def given_sample(
    program: Program, name: str, inputs: Mapping[str, Any], dtype: str, seed: int = 0
) -> Sample:
    """`inputs` by parameter, pytrees of arrays: floating leaves rounded to `dtype` and
    differentiated, others data. The cotangents are random and depend on `name` and the seed alone.

    Raises Unsupported for numbers beyond the range of `dtype`, and what `forward` raises.
    """
    held = dict(trees.map_with_path(lambda _, leaf: locked(rounded(leaf, dtype)), dict(inputs)))
    leaves = trees.flatten(held)
    with np.errstate(all="ignore"):
        # In float64, since numpy lacks functions of the half dtypes; the shapes are the same.
        copies = trees.map_with_path(lambda _, leaf: trees.cast_leaf(leaf, "float64"), held)
        trace = program.forward(of_numpy(), dict(copies))
    rng = rng_for(seed, name, SIZE, POINT)
    cotangents = (rng.standard_normal(np.shape(output)) for output in trace.outputs)
    return Sample(
        name,
        POINT,
        SIZE,
        dtype,
        held,
        tuple(path for path, leaf in leaves.items() if is_floating(leaf.dtype)),
        tuple(locked(convert(np.asarray(each), dtype)) for each in cotangents),
        perturbable(program, trace.saved),
    )

"""The distributions that a leaf's `draw` names."""

from __future__ import annotations

import math

import numpy as np

from harness.cases.schema import Leaf
from harness.model import Array


def draw(leaf: Leaf, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Float64 numbers (int64 for `integers`) of `shape` inside the leaf's domain.

    Without `draw`: uniform over a finite domain, else normal. A domain with one end is filled with
    the distance of a normal number from it.
    """
    low, high = leaf.domain or (-np.inf, np.inf)
    finite = math.isfinite(low) and math.isfinite(high)
    kind = leaf.draw or ("uniform" if finite else "normal")
    if kind == "uniform":
        return rng.uniform(low, high, shape)
    if kind == "integers":
        return rng.integers(math.ceil(low), math.floor(high), shape, endpoint=True)
    if kind == "simplex":
        return rng.dirichlet(np.ones(shape[-1]), shape[:-1])
    if kind in ("spd", "orthogonal"):
        orthogonal = np.linalg.qr(rng.standard_normal(shape))[0]
        if kind == "orthogonal":
            return np.asarray(orthogonal)
        # Eigenvalues between 0.5 and 2: well conditioned, and none equal to another.
        values = np.sort(rng.uniform(0.5, 2.0, shape[:-1]), axis=-1)
        return np.asarray((orthogonal * values[..., None, :]) @ np.swapaxes(orthogonal, -1, -2))
    return _normal(low, high, shape, rng)


def _normal(low: float, high: float, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    values = np.asarray(rng.standard_normal(shape))
    if not math.isfinite(low) and not math.isfinite(high):
        return values
    if not math.isfinite(high):
        return np.asarray(low + np.abs(values))
    if not math.isfinite(low):
        return np.asarray(high - np.abs(values))
    for _ in range(100):
        outside = (values < low) | (values > high)
        if not np.any(outside):
            return values
        values = np.where(outside, rng.standard_normal(shape), values)
    # A domain that the normal distribution hardly reaches is filled evenly.
    outside = (values < low) | (values > high)
    return np.where(outside, rng.uniform(low, high, shape), values)

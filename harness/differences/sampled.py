"""What stands for an array that is too large to be moved element by element."""

from __future__ import annotations

import numpy as np

from harness.model import Array, Sample


def chosen(sample: Sample, name: str, scales: Array, full: int) -> Array:
    """All flat indices, or a seeded sample of `full` of them; of those with a scale below 1, which
    directions hardly see, as many as half of it holds."""
    size = scales.size
    if size <= full:
        return np.arange(size)
    rng = np.random.default_rng([size, *f"{sample.case}/{sample.point}/{name}".encode()])
    hidden = np.ravel(scales < 1)
    near, others = np.flatnonzero(hidden), np.flatnonzero(~hidden)
    if near.size > full // 2:
        near = rng.choice(near, full // 2, replace=False)
    rest = rng.choice(others, min(full - near.size, others.size), replace=False)
    return np.sort(np.concatenate([near, rest]))

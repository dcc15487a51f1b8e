"""What numpy does better than a composition of standard functions."""

from __future__ import annotations

from typing import Any

import numpy as np


def segment_sum(data: Any, segment_ids: Any, num_segments: int, /) -> Any:
    """The sums of rows by their ids, in the order of the rows."""
    known = (segment_ids >= 0) & (segment_ids < num_segments)
    result = np.zeros((num_segments, *data.shape[1:]), data.dtype)
    np.add.at(result, segment_ids[known], data[known])
    return result


def set_at(x: Any, key: Any, value: Any, /) -> Any:
    """A copy with `x[key] = value`."""
    result = np.array(x)
    result[key] = value
    return result


def add_at(x: Any, key: Any, value: Any, /) -> Any:
    """A copy with `value` added at `key`, once for each time that an element is named."""
    result = np.array(x)
    np.add.at(result, key, value)
    return result

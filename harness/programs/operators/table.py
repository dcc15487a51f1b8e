"""Which functions `xp` has beyond the standard, and where each backend has its own.

A composition of standard functions serves every array: those of frameworks, balls, lanes, arrays
that err. A framework's own function is preferred where it is more accurate, faster, or what its
users would call; one that takes other arguments than ours is adapted in the file of its backend.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from harness.programs.operators import contraction, exponentials, movement, stopping, writing


@dataclass(frozen=True)
class Operator:
    """`composed` takes `xp` first; None where the standard's functions cannot say it. `natives`
    maps the name of a backend to where its own function is, `module:attribute`."""

    composed: Callable[..., Any] | None = None
    natives: Mapping[str, str] = field(default_factory=dict)

    def of(self, backend: str, xp: Any) -> Callable[..., Any] | None:
        """The function for the namespace `xp` of a backend; None where there is none."""
        if backend in self.natives:
            module, _, name = self.natives[backend].partition(":")
            found: Callable[..., Any] = getattr(importlib.import_module(module), name)
            return found
        return partial(self.composed, xp) if self.composed is not None else None


def _special(name: str, torch: str, other: str = "") -> Operator:
    """A special function; `other` is its name in scipy if it differs."""
    return Operator(
        natives={
            "numpy": f"harness.programs.operators.special:{name}",
            "torch": f"torch:{torch}",
            "jax": f"jax.scipy.special:{other or name}",
            "tensorflow": f"tensorflow.math:{name}",
        }
    )


OPERATORS: dict[str, Operator] = {
    "erf": _special("erf", "erf"),
    "erfc": _special("erfc", "erfc"),
    "lgamma": _special("lgamma", "lgamma", "gammaln"),
    "digamma": _special("digamma", "digamma"),
    "logsumexp": Operator(
        exponentials.logsumexp,
        {"jax": "jax.scipy.special:logsumexp", "tensorflow": "tensorflow:reduce_logsumexp"},
    ),
    "softmax": Operator(
        exponentials.softmax,
        {"jax": "jax.nn:softmax", "tensorflow": "tensorflow.nn:softmax"},
    ),
    "log_softmax": Operator(
        exponentials.log_softmax,
        {"jax": "jax.nn:log_softmax", "tensorflow": "tensorflow.nn:log_softmax"},
    ),
    "einsum": Operator(
        contraction.einsum,
        {
            "numpy": "numpy:einsum",
            "torch": "torch:einsum",
            "jax": "jax.numpy:einsum",
            "tensorflow": "tensorflow:einsum",
        },
    ),
    "segment_sum": Operator(
        contraction.segment_sum,
        {
            "numpy": "harness.programs.operators.of_numpy:segment_sum",
            "jax": "jax.ops:segment_sum",
            "tensorflow": "tensorflow.math:unsorted_segment_sum",
        },
    ),
    "stop_gradient": Operator(
        stopping.stop_gradient,
        {
            "jax": "jax.lax:stop_gradient",
            "tensorflow": "tensorflow:stop_gradient",
            "referee": "harness.referee:value",
        },
    ),
    "one_hot": Operator(movement.one_hot),
    "pad": Operator(movement.pad),
    "set_at": Operator(writing.set_at, {"numpy": "harness.programs.operators.of_numpy:set_at"}),
    "add_at": Operator(writing.add_at, {"numpy": "harness.programs.operators.of_numpy:add_at"}),
}

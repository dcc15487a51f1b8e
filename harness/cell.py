"""A cell: one method on one sample, the unit of work."""

from __future__ import annotations

from dataclasses import dataclass

from harness.label import Label


@dataclass(frozen=True)
class Cell:
    """Where a row belongs. `training` follows a whole trajectory. `backend` may be given as
    text."""

    case: str
    point: str
    size: str
    dtype: str
    backend: Label
    training: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "backend", Label(self.backend))

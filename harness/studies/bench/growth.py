"""How a method's time grows with the size: what a single size cannot show."""

from __future__ import annotations

from collections.abc import Iterable

from harness.model import Growth, Timing
from harness.studies.bench.statistics import exponent


def growth(timings: Iterable[Timing]) -> list[Growth]:
    """The exponent of each method and quantity that was timed at enough sizes along one axis."""
    lines: dict[tuple[str, str, str, str, str], list[Timing]] = {}
    for each in timings:
        if each.timed and each.axis:
            key = (each.case, each.dtype, each.backend, each.quantity, each.axis)
            lines.setdefault(key, []).append(each)
    found = []
    for key, line in lines.items():
        fit = exponent([each.length for each in line], [each.median for each in line])
        if fit is not None:
            found.append(Growth(*key, *fit))
    return found

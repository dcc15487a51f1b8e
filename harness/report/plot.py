"""Time against size, both logarithmic: where one method overtakes another, and how each grows.

matplotlib is an extra: a table needs none of its 60 MB.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence

from harness.model import Timing

INSTALL = "python -m pip install 'gradient-harness[plot]'"
_QUANTITIES = ("value", "gradient")
_WIDE, _HIGH = 5.0, 4.0  # inches of a panel


def drawable(timings: Sequence[Timing]) -> list[Timing]:
    """The timings that have a place on an axis of sizes."""
    return [each for each in timings if each.timed and each.axis]


def installed() -> bool:
    """Whether there is a matplotlib; nothing is imported to find out."""
    return importlib.util.find_spec("matplotlib") is not None


def svg(timings: Sequence[Timing]) -> str:
    """An SVG file's text: a row of panels per case and dtype, value on the left, gradient on the
    right, a line per method with the interval of each median around it."""
    import matplotlib
    from matplotlib.figure import Figure

    timings = drawable(timings)
    rows = list(dict.fromkeys((each.case, each.dtype) for each in timings))
    methods = list(dict.fromkeys(each.backend for each in timings))
    # The same numbers give the same file: no date, and no random ids.
    with matplotlib.rc_context({"svg.hashsalt": "bench", "svg.fonttype": "none"}):
        figure = Figure((len(_QUANTITIES) * _WIDE, len(rows) * _HIGH), layout="constrained")
        panels = figure.subplots(len(rows), len(_QUANTITIES), squeeze=False, sharey="row")
        for (case, dtype), line in zip(rows, panels, strict=True):
            for quantity, panel in zip(_QUANTITIES, line, strict=True):
                panel.set(xscale="log", yscale="log", title=f"{case} {dtype}: {quantity}")
                shown = [
                    each
                    for each in timings
                    if (each.case, each.dtype, each.quantity) == (case, dtype, quantity)
                ]
                for number, method in enumerate(methods):
                    _line(panel, number, [each for each in shown if each.backend == method])
                panel.set_xlabel(shown[0].axis if shown else "")
                panel.grid(which="major", alpha=0.3)
            line[0].set_ylabel("milliseconds per call")
            line[0].legend(fontsize="small")
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def _line(panel: object, number: int, line: Sequence[Timing]) -> None:
    """One method: its medians, and bars where their intervals are known."""
    points = sorted(line, key=lambda each: each.length)
    if not points:
        return
    middle = [1e3 * each.median for each in points]
    known = [each.spread < float("inf") for each in points]
    below = [1e3 * (p.median - p.low) if k else 0.0 for p, k in zip(points, known, strict=True)]
    above = [1e3 * (p.high - p.median) if k else 0.0 for p, k in zip(points, known, strict=True)]
    panel.errorbar(  # type: ignore[attr-defined]
        [each.length for each in points],
        middle,
        yerr=(below, above),
        color=f"C{number % 10}",
        linestyle="-" if number < 10 else "--",
        marker="o",
        markersize=3,
        label=points[0].backend,
    )

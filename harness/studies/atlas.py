"""What each method says where a function has no derivative, and which convention that is.

At a kink no number is right, so a table of errors cannot show how the methods differ there. What
can be proved is the derivative from either side. Between the two lies every valid subgradient, and
which of them a framework returns is a convention that is worth knowing before a network depends on
it; outside them, or NaN, is a fault.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from harness.backends import class_of
from harness.cases.case import Case
from harness.cell import Cell
from harness.errors import Unsupported
from harness.model import Array, Gradients, Mark, Status
from harness.programs import trees
from harness.quantity import Quantity
from harness.runs.engine import Engine
from harness.runs.plan import Request, cells
from harness.truth.sides import Sides, along_axes

#: |got - convention| below this times the larger one-sided derivative counts as equal; the methods
#: round, and numeric differences are good to 8 digits where there is a kink. `harness run` is where
#: the last digits are judged.
SLACK = {"float64": 1e-6, "float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}


def classify(got: float, left: float, right: float, slack: float) -> tuple[str, bool]:
    """The label of a number, and whether it is valid, given both one-sided derivatives.

    `slack` is relative to the larger of them. With neither (both NaN) there is no derivative, and
    to say so (NaN) is valid.
    """
    sides = [side for side in (left, right) if not math.isnan(side)]
    if math.isnan(got):
        return "nan", not sides
    if not sides:
        return ("infinite" if math.isinf(got) else "outside"), False
    low, high = min(sides), max(sides)
    near = slack * max((abs(side) for side in sides if math.isfinite(side)), default=1.0)
    near = near or slack
    if math.isinf(got):
        return "infinite", got in sides
    if low - near <= got <= high + near and not (low == high and math.isinf(low)):
        return _convention(got, left, right, near), True
    return "outside", False


def _convention(got: float, left: float, right: float, near: float) -> str:
    """Which of the valid numbers it is; `left` and `right` count before `zero`, which they often
    are."""
    if abs(left - right) <= near:
        return "exact"
    choices = {"left": left, "right": right, "mid": (left + right) / 2, "zero": 0.0}
    return next((name for name, value in choices.items() if abs(got - value) <= near), "between")


def survey(cases: Sequence[Case], request: Request) -> Iterator[tuple[Cell, list[Mark]]]:
    """The marks of each cell, in turn; sides are computed once for all methods of a sample.

    `cells` of the same request lists what is to come. What a method or a case raises becomes the
    label of its marks.
    """
    engine = Engine(cases, request)
    programs = {case.name: case.program for case in cases}
    known: dict[tuple[str, str, str], dict[str, Sides | None]] = {}
    for cell in cells(cases, request):
        sample = trees.cast(engine.subject(cell).sample, "float64")
        key = (cell.case, cell.point, cell.dtype)
        if key not in known:
            with np.errstate(all="ignore"):
                known = {
                    key: {
                        path: along_axes(programs[cell.case], sample, path)
                        for path in sample.differentiable
                    }
                }
        shapes = {path: trees.flatten(sample.inputs)[path].shape for path in sample.differentiable}
        yield cell, _marks(cell, _gradients(engine, cell), known[key], shapes)


def _gradients(engine: Engine, cell: Cell) -> Gradients | tuple[str, str]:
    """What the method returns, or the status and the reason why it does not."""
    method = class_of(cell.backend)
    if not method.installed():
        return Status.MISSING, f"not installed: {method.install}"
    try:
        return engine.gradients(cell)
    except Exception as error:  # whatever a case or a framework raises
        status = Status.UNSUPPORTED if isinstance(error, Unsupported) else Status.ERROR
        return status, " ".join(str(error).split())


def _marks(
    cell: Cell,
    found: Gradients | tuple[str, str],
    sides: Mapping[str, Sides | None],
    shapes: Mapping[str, tuple[int, ...]],
) -> list[Mark]:
    marks = []
    for path, each in sides.items():
        array = _array(found, path, shapes[path])
        for index in np.ndindex(shapes[path]):
            left, right = (math.nan, math.nan)
            if each is not None:
                left, right = float(each.left[index]), float(each.right[index])
            got, valid = math.nan, False
            if isinstance(array, tuple):
                label, detail = array
            else:
                got, detail = float(array[index]), ""
                label, valid = classify(got, left, right, SLACK[cell.dtype])
                if label == "outside" and _unsure(found, path, index, (left, right)):
                    label = "unsure"
                if each is None:
                    label, valid, detail = _unjudged(got), False, "balls cannot follow this"
            place = "[" + ", ".join(map(str, index)) + "]" if index else ""
            marks.append(
                Mark(
                    cell.case,
                    cell.point,
                    cell.dtype,
                    Quantity("gradient", path),
                    place,
                    left,
                    right,
                    each is not None,
                    cell.backend,
                    got,
                    label,
                    valid,
                    detail,
                )
            )
    return marks


def _array(
    found: Gradients | tuple[str, str], path: str, shape: tuple[int, ...]
) -> Array | tuple[str, str]:
    """The gradient of a leaf, or the status and the reason why there is none."""
    if not isinstance(found, Gradients):
        return found
    array = found.gradients.get(path)
    if array is None or array.shape != shape:
        return Status.FAIL, f"no gradient of shape {list(shape)}"
    return array


def _unsure(
    found: Gradients | tuple[str, str],
    path: str,
    index: tuple[int, ...],
    sides: tuple[float, float],
) -> bool:
    """Whether the number is outside by no more than the method's own estimate of its error: a
    difference quotient over a jump grows with every smaller step. In a run such a number passes if
    the estimate is small (see `judging.doubt`), and is undecided if it is not."""
    if not isinstance(found, Gradients) or path not in found.uncertainty:
        return False
    error, got = float(found.uncertainty[path][index]), float(found.gradients[path][index])
    with np.errstate(invalid="ignore"):  # an infinite side, an infinite estimate: nothing is sure
        return bool(np.fmin(*sides) - error <= got <= np.fmax(*sides) + error)


def _unjudged(got: float) -> str:
    return "nan" if math.isnan(got) else "infinite" if math.isinf(got) else "unjudged"

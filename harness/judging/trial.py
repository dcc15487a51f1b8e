"""One quantity of a cell, compared with its truth by one tolerance after another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from harness import backends
from harness.cell import Cell
from harness.dtypes import dtype_digits
from harness.judging.compare import judge
from harness.judging.verdict import Allows, Truth, Verdict
from harness.model import Array, Gradients, Status
from harness.rounding.deviation import OwnRounding

WRONG = (Status.FAIL, Status.IMPRECISE)


def tried(
    cell: Cell,
    name: str,
    got: Array | None,
    truth: Truth,
    tolerances: Iterable[Allows],
    found: Gradients | None = None,
    allowance: Array | float = 0.0,
) -> tuple[Verdict, Allows]:
    """The verdict by the first tolerance that explains the numbers, else by the last of them, and
    that tolerance.

    What only the rounding of the method's own operations explains is `unstable`, unless a quarter
    of the digits are right all the same: 1 - tanh(x)**2 is what everybody writes.

    `found` is all that the method said of the quantity `name`. Only a method that approximates may
    say how uncertain it is, or leave elements out.
    """
    method = backends.class_of(cell.backend)
    honest = found if found and method.approximate else None
    before: Verdict | None = None
    for tolerance in tolerances:
        verdict = judge(
            got,
            truth,
            tolerance,
            cell.dtype,
            uncertainty=honest.uncertainty.get(name) if honest else None,
            sampled=honest.sampled.get(name) if honest else None,
            slopes=honest.slopes.get(name) if honest else None,
            allowance=allowance,
        )
        own = isinstance(tolerance, OwnRounding) and tolerance.zeros is None
        if verdict.status not in WRONG:
            if own and before is not None:
                verdict = _own(verdict, before, cell.dtype)
            break
        before = before if own else verdict
    return verdict, tolerance


def _own(verdict: Verdict, before: Verdict, dtype: str) -> Verdict:
    """The verdict on numbers that are right up to their own rounding, by `verdict`, though not by
    what was asked `before`."""
    if before.digits >= dtype_digits(dtype) / 4:
        return replace(verdict, status=Status.PASS, digits=before.digits)
    text = "right up to the rounding of its own operations, which the problem itself does not need"
    return replace(verdict, status=Status.UNSTABLE, digits=before.digits, detail=text)

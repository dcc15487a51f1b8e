"""One quantity of a cell, compared with its truth by one tolerance after another."""

from __future__ import annotations

from collections.abc import Iterable

from harness import backends
from harness.cell import Cell
from harness.judging.compare import judge
from harness.judging.verdict import Allows, Truth, Verdict
from harness.model import Array, Gradients, Status

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

    `found` is all that the method said of the quantity `name`. Only a method that approximates may
    say how uncertain it is, or leave elements out.
    """
    method = backends.class_of(cell.backend)
    honest = found if found and method.approximate else None
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
        if verdict.status not in WRONG:
            break
    return verdict, tolerance

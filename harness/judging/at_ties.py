"""Gradients where comparisons are of equal numbers: all leaves together.

Element by element, a number may lie between the derivatives of both sides and the whole be no
subgradient, as (1, 1) is none of the maximum of two equal numbers; and a framework may return with
reason what is none: the outcome of a choice for each operation, or at a jump the derivative of the
branch that was executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from harness.backends.base import Backend
from harness.dtypes import unit_roundoff
from harness.judging.evidence import Evidence
from harness.judging.trial import WRONG
from harness.judging.verdict import Truth, Verdict
from harness.model import Array, Gradients, Status
from harness.programs import trees

EXECUTED = "the derivative of the branch that is executed, at a jump"
LIMIT = "a jump, where no derivative exists; this is the limit of those beside it"
JUMP = "a jump, where no derivative exists"
CONVENTION = "a choice for each operation by itself leads to it, and it is no joint subgradient"
NEITHER = "between the sides in each element, and jointly no subgradient"
UNSEEN = "more pieces may meet at this kink than could be looked at"
#: Relative error from which on something else than rounding is the cause.
COARSE = 1e-3


def at_ties(
    verdicts: Mapping[str, Verdict],
    truths: Mapping[str, Truth],
    found: Gradients,
    evidence: Evidence,
    dtype: str,
    method: type[Backend],
) -> dict[str, Verdict]:
    """The verdicts on the gradients of all leaves that become others when these are seen together.
    Raises what the case's own code raises."""
    gradient = {path: found.gradients.get(path) for path in verdicts}
    if not _needed(verdicts, evidence):
        return {}
    whole: dict[str, Array] = {}
    for path, each in gradient.items():
        if each is None or each.shape != trees.shape_of(evidence.sample, path) or not _finite(each):
            return {}
        whole[path] = each.astype(np.float64)
    changed = dict(verdicts)
    rounding = 64 * unit_roundoff(dtype)
    if evidence.ties.jump:
        changed |= _at_a_jump(changed, whole, evidence, max(1e-9, rounding), method.approximate)
    if not method.approximate:  # it takes one element after the other
        changed |= _together(changed, whole, truths, evidence, rounding)
    return {path: each for path, each in changed.items() if each is not verdicts[path]}


def _needed(verdicts: Mapping[str, Verdict], evidence: Evidence) -> bool:
    statuses = {each.status for each in verdicts.values()}
    if statuses & {Status.KINK, Status.UNDECIDED, *WRONG}:
        return evidence.ties.present
    pieces = evidence.certificate.pieces
    return pieces is not None and pieces.jump


def _finite(array: Array) -> bool:
    return bool(np.all(np.isfinite(array.astype(np.float64))))


def _coarse(verdict: Verdict) -> bool:
    """Whether it is wrong by more than rounding makes it, and by its numbers."""
    return verdict.status in WRONG and verdict.max_rel_error > COARSE


def _at_a_jump(
    verdicts: Mapping[str, Verdict],
    gradient: Mapping[str, Array],
    evidence: Evidence,
    relative: float,
    approximate: bool,
) -> dict[str, Verdict]:
    changed = {}
    for path, verdict in verdicts.items():
        executed = evidence.ties.executed.get(path)
        if executed is None:
            continue
        same = executed.reach({path: gradient[path]}, relative)
        if same and (_coarse(verdict) or verdict.status == Status.UNDECIDED):
            changed[path] = replace(verdict, status=Status.JUMP, detail=EXECUTED)
        elif not same and verdict.status in (Status.PASS, Status.KINK):
            changed[path] = replace(verdict, status=Status.UNDECIDED, detail=LIMIT)
        elif approximate and verdict.status in WRONG:
            changed[path] = replace(verdict, status=Status.UNDECIDED, detail=JUMP)
    return changed


def _together(
    verdicts: Mapping[str, Verdict],
    gradient: Mapping[str, Array],
    truths: Mapping[str, Truth],
    evidence: Evidence,
    rounding: float,
) -> dict[str, Verdict]:
    changed: dict[str, Verdict] = {}
    kinked = [path for path, each in verdicts.items() if each.status == Status.KINK]
    doubtful = {
        path: _outside(gradient[path], truths[path])
        for path, each in verdicts.items()
        if _coarse(each)
    }
    surely = True
    if kinked and evidence.pieces is not None:
        beyond, surely = evidence.pieces.beyond(gradient)
        for path in kinked:
            if path in beyond and np.any(np.abs(beyond[path]) > max(1e-6, rounding)):
                changed[path] = replace(verdicts[path], status=Status.FAIL, detail=NEITHER)
                doubtful[path] = beyond[path]
    reached = evidence.ties.reach(gradient, doubtful, max(1e-9, rounding)) if doubtful else None
    for path in doubtful:
        if path in kinked and reached is not False and not surely:
            changed[path] = replace(verdicts[path], status=Status.UNDECIDED, detail=UNSEEN)
        elif reached:
            changed[path] = replace(verdicts[path], status=Status.CONVENTION, detail=CONVENTION)
    return changed


def _outside(numbers: Array, truth: Truth) -> Array:
    """How far numbers are outside of what is valid, relative to its size."""
    low, high = (truth.value, truth.value) if truth.sides is None else truth.sides
    low, high = np.fmin(low, high), np.fmax(low, high)
    off = numbers - np.clip(numbers, low, high)
    size = np.fmax(np.abs(low), np.abs(high))
    off = off / np.where((size > 0) & np.isfinite(size), size, 1.0)
    return np.where(np.abs(off) > COARSE, off, 0.0)

"""What is still right in a wrong backward: every cotangent by itself, even where the run broke off.

A certificate stops at a gradient of the wrong shape or at an exception, which is where its user
wants to know more, and it judges what is returned, not the local `dx` that a last line then spoils.
Here each named array that `backward` made is compared by itself with the derivative of `forward`
along one random direction: one pass each, and only once something is known to be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flint import arb

from harness import referee, trees
from harness.errors import Unsupported
from harness.model import Sample
from harness.referee import BallArray, Undecided
from harness.staging import Program, Recorder, fault_line

BITS = 192


@dataclass(frozen=True)
class Findings:
    """`wrong` and `right` name leaf paths and intermediates; `locals` says of a local `dx`, where
    `x` is an input, that it is right. `line` is where `backward` raised, if it did."""

    wrong: tuple[str, ...] = ()
    right: tuple[str, ...] = ()
    locals: Mapping[str, bool] = field(default_factory=dict)
    line: int | None = None


def inquire(program: Program, sample: Sample, file: str = "") -> Findings:
    """Judge every cotangent that `backward` names. Never raises for what the case's code does."""
    try:
        return referee.with_precision(lambda: _inquire(program, sample, file), BITS)
    except Exception:  # `forward` itself cannot be followed
        return Findings()


def _inquire(program: Program, sample: Sample, file: str) -> Findings:
    code = program.backward_code
    if code is None:
        return Findings()
    leaves = trees.flatten(sample.inputs)
    inputs = trees.assembler(sample, referee.lift)(
        [referee.lift(leaves[path]) for path in sample.differentiable]
    )
    found = {**inputs, **program.forward(referee.xp, inputs).saved}
    recorder, returned, line = Recorder(), None, None
    arguments = [found[name] for name in code.parameters[len(sample.cotangents) :]]
    try:
        cotangents = map(referee.lift, sample.cotangents)
        returned = program.functions["backward"](recorder, referee.xp, *cotangents, *arguments)
    except Exception as error:  # whatever a wrong backward raises
        line = fault_line(error, file)
    truths: dict[str, arb | None] = {}

    def right(name: str, claim: Any) -> bool | None:
        shape = sample.intermediates[name] if name in sample.intermediates else leaves[name].shape
        try:
            balls = claim if isinstance(claim, BallArray) else referee.lift(np.asarray(claim))
            if balls.shape != shape:
                return False
            direction = referee.dyadic_direction(np.random.default_rng([*name.encode()]), shape)
            if name not in truths:
                truths[name] = _slope(program, sample, name, direction)
            truth = truths[name]
            total = _total(balls * referee.lift(direction))
        except (Undecided, Unsupported, TypeError, ValueError):
            return None
        if truth is None or not truth.is_finite():
            return None
        return bool(total.is_finite() and total.overlaps(truth))

    verdicts = {
        name: right(name, recorder.values[f"d{name}"])
        for name in sample.intermediates
        if f"d{name}" in recorder.values
    }
    gradients = _gradients(returned, sample)
    verdicts |= {path: right(path, value) for path, value in gradients.items()}
    if line is None:
        verdicts |= {path: False for path in sample.differentiable if path not in gradients}
    # A local `dx` may be a part of the gradient only, so that it is not x's says nothing.
    own = {
        name: True
        for name, value in recorder.values.items()
        if (path := _leaf(name, sample)) and right(path, value)
    }
    return Findings(
        tuple(name for name, fine in verdicts.items() if fine is False),
        tuple(name for name, fine in verdicts.items() if fine),
        own,
        line,
    )


def _gradients(returned: Any, sample: Sample) -> dict[str, Any]:
    """What was returned, by leaf path."""
    names = list(dict.fromkeys(path.split(".")[0] for path in sample.differentiable))
    if returned is None:
        return {}
    if not isinstance(returned, Mapping):
        items = returned if isinstance(returned, tuple | list) else [returned]
        returned = dict(zip(names, items, strict=False))
    found = trees.flatten(dict(returned))
    return {path: found[path] for path in sample.differentiable if path in found}


def _leaf(local: str, sample: Sample) -> str:
    """The leaf that a local `dW` must be the gradient of, `params.W`; "" where that is not clear.

    An intermediate of that name comes first.
    """
    if not local.startswith("d") or local[1:] in sample.intermediates:
        return ""
    fits = [path for path in sample.differentiable if path.split(".")[-1] == local[1:]]
    return fits[0] if len(fits) == 1 else ""


def _slope(program: Program, sample: Sample, name: str, direction: Any) -> arb | None:
    """The derivative of <cotangents, outputs> with `name` moved along `direction`; None where it
    depends on the sign of the direction."""
    leaves = trees.flatten(sample.inputs)
    assemble = trees.assembler(sample, referee.lift)

    def side(sign: int) -> arb:
        variables = [
            referee.lift_along(leaves[path], sign * direction)
            if path == name
            else referee.lift(leaves[path])
            for path in sample.differentiable
        ]
        moved = {}
        if name in sample.intermediates:
            moved[name] = referee.lift_along(np.zeros(direction.shape), sign * direction)
        outputs = program.forward(referee.xp, assemble(variables), moved).outputs
        total = arb(0)
        for output, cotangent in zip(outputs, sample.cotangents, strict=True):
            balls = output if isinstance(output, BallArray) else referee.lift(np.asarray(output))
            total += sign * _total(referee.coefficient(balls, 1) * referee.lift(cotangent))
        return total

    ahead, behind = side(1), side(-1)
    return ahead if ahead.overlaps(behind) else None


def _total(array: BallArray) -> arb:
    return sum(array.series.parts[0].ravel(), start=arb(0))

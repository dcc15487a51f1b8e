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

from flint import arb

from harness import referee
from harness.errors import Unsupported
from harness.model import Sample
from harness.programs import trees
from harness.programs.staging import Recorder, StagedProgram, fault_line
from harness.referee import Undecided
from harness.truth.lifted import Lifted, as_balls, inner

BITS = 192


@dataclass(frozen=True)
class Findings:
    """`wrong` and `right` name leaf paths and intermediates; `locals` says of a local `dx`, where
    `x` is an input, that it is right. `line` is where `backward` raised, if it did."""

    wrong: tuple[str, ...] = ()
    right: tuple[str, ...] = ()
    locals: Mapping[str, bool] = field(default_factory=dict)
    line: int | None = None


def inquire(program: StagedProgram, sample: Sample, file: str = "") -> Findings:
    """Judge every cotangent that `backward` names. Never raises for what the case's code does."""
    try:
        return referee.with_precision(lambda: _inquire(program, sample, file), BITS)
    except Exception:  # `forward` itself cannot be followed
        return Findings()


def _inquire(program: StagedProgram, sample: Sample, file: str) -> Findings:
    code = program.backward_code
    if code is None:
        return Findings()
    lifted = Lifted(program, sample)
    found = {**lifted.inputs, **lifted.moved({}).trace.saved}
    recorder, returned, line = Recorder(), {}, None
    arguments = [found[name] for name in code.parameters[len(sample.cotangents) :]]
    try:
        cotangents = lifted.cotangents
        returned = program.call("backward", recorder, referee.xp, *cotangents, *arguments)
    except Exception as error:  # whatever a wrong backward raises
        line = fault_line(error, file)
    truths: dict[str, arb | None] = {}

    def right(name: str, claim: Any) -> bool | None:
        try:
            balls = as_balls(claim)
            if balls.shape != lifted.shape(name):
                return False
            direction = lifted.directions([name])
            if name not in truths:
                truths[name] = lifted.derivative(direction)
            truth, claimed = truths[name], inner(balls, direction[name])
        except (Undecided, Unsupported, TypeError, ValueError):
            return None
        if truth is None:
            return None
        return bool(claimed.is_finite() and claimed.overlaps(truth))

    verdicts = {
        name: right(name, recorder.values[f"d{name}"])
        for name in sample.intermediates
        if f"d{name}" in recorder.values
    }
    gradients = trees.by_path(returned, sample)
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


def _leaf(local: str, sample: Sample) -> str:
    """The leaf that a local `dW` must be the gradient of, `params.W`; "" where that is not clear.

    An intermediate of that name comes first.
    """
    if not local.startswith("d") or local[1:] in sample.intermediates:
        return ""
    fits = [path for path in sample.differentiable if path.split(".")[-1] == local[1:]]
    return fits[0] if len(fits) == 1 else ""

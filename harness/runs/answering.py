"""What a method says about a subject, before anybody judges it.

An answer is plain data, so that the method may run in a process of its own, and an exception is
part of it: the traceback that tells the line of the case does not travel, the line does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.backends.base import Backend
from harness.judging import rows
from harness.judging.subject import Subject
from harness.model import Answer, Failure, Gradients, Mode, Status

#: The order in which a method is asked, the value after the VJP that brings it along.
_ORDER: tuple[Mode, ...] = ("train", "vjp", "value", "jvp", "hvp")


@np.errstate(all="ignore")  # A NaN is judged; numpy's warning about it would only be noise.
def answer(subject: Subject, backend: Backend, modes: Sequence[Mode]) -> Answer:
    """What a method says in each mode; never raises.

    Value and VJP are one computation, so that the value is computed alone only where there is no
    VJP. Of training it answers with the final parameters as its `values`, by leaf path.
    """
    if not backend.installed():
        absent = Failure(Status.MISSING, f"not installed: {backend.install}")
        return dict.fromkeys(modes, absent)
    found: Answer = {}
    for mode in sorted(modes, key=_ORDER.index):
        vjp = found.get("vjp")
        if mode == "value" and isinstance(vjp, Gradients):
            found[mode] = vjp
            continue
        try:
            found[mode] = (
                _trained(subject, backend)
                if mode == "train"
                else backend.differentiate(subject.program, subject.sample, subject.task(mode))
            )
        except Exception as error:  # whatever a case or a framework raises
            found[mode] = rows.failure(error, subject.code)
    return found


def _trained(subject: Subject, backend: Backend) -> Gradients:
    """The parameters at the end of a training run."""
    trajectories = subject.trajectories
    end = trajectories.end(backend)
    return Gradients(dict(zip(trajectories.sample.differentiable, end, strict=True)))

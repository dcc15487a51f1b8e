"""What a method says about a cell, before anybody judges it.

An answer is plain data, so that the method may run in a process of its own, and an exception is
part of it: the traceback that tells the line of the case does not travel, the line does.
"""

from __future__ import annotations

import numpy as np

from harness import backends, training
from harness.backends.numeric import NumericBackend
from harness.errors import Unsupported
from harness.judging import rows
from harness.model import Answer, Failure, Gradients, Mode, Status, Task, TaskMode
from harness.plan import Cell
from harness.workbench import Workbench

#: The order in which a method is asked, the value after the VJP that brings it along.
_ORDER: tuple[Mode, ...] = ("train", "vjp", "value", "jvp", "hvp")


@np.errstate(all="ignore")  # A NaN is judged; numpy's warning about it would only be noise.
def answer(cell: Cell, bench: Workbench) -> Answer:
    """What the method of a cell says in each mode that the run asks for; never raises.

    Value and VJP are one computation, so that the value is computed alone only where there is no
    VJP. A training cell answers with the final parameters as its `values`, by leaf path.
    """
    method = backends.class_of(cell.backend)
    modes = bench.request.modes_of(cell)
    if not method.installed():
        absent = Failure(Status.MISSING, f"not installed: {method.install}")
        return dict.fromkeys(modes, absent)
    found: Answer = {}
    for mode in sorted(modes, key=_ORDER.index):
        vjp = found.get("vjp")
        if mode == "value" and isinstance(vjp, Gradients):
            found[mode] = vjp
            continue
        try:
            if mode == "train":
                found[mode] = _trained(cell, bench)
            else:
                found[mode] = compute(cell, bench, mode)
        except Exception as error:  # whatever a case or a framework raises
            found[mode] = failure(error, cell, bench)
    return found


def failure(error: BaseException, cell: Cell, bench: Workbench) -> Failure:
    """An exception as data: `unsupported` if it says so, `error` if it does not."""
    status = Status.UNSUPPORTED if isinstance(error, Unsupported) else Status.ERROR
    return Failure(status, rows.describe(error, bench.cases[cell.case]))


def compute(
    cell: Cell, bench: Workbench, mode: TaskMode = "vjp", *, step: float | None = None
) -> Gradients:
    """Run a method on the sample, whose arrays cannot be written to.

    `step` runs the numeric method with that fixed step instead. Raises what the case or the
    method raises, and Unsupported for a native function that the case does not have.
    """
    case, subject = bench.cases[cell.case], bench.subject(cell)
    label = cell.backend
    if label.native and label.method not in case.code.natives:
        raise Unsupported(f"the case has no `native_{label.method}`")
    backend = bench.backend(label, cell.dtype) if step is None else NumericBackend(step=step)
    task = Task(mode, () if label.native else subject.wanted)
    return backend.differentiate(case.program, subject.sample, task)


def _trained(cell: Cell, bench: Workbench) -> Gradients:
    """The parameters at the end of a training run."""
    sample = training.sample_for(bench.cases[cell.case], bench.subject(cell).sample)
    end = bench.trajectory(cell, cell.backend)
    return Gradients(dict(zip(sample.differentiable, end, strict=True)))

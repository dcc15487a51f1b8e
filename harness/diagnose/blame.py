"""From the names of wrong cotangents to the line that made them wrong."""

from __future__ import annotations

from collections.abc import Collection

from harness.diagnose import dataflow
from harness.diagnose.dataflow import Step, Suspect
from harness.diagnose.inquest import Findings
from harness.programs.source import Code


def suspects(code: Code, findings: Findings) -> list[Suspect]:
    """The steps of `backward` that explain what is wrong, most suspicious first.

    Where it raised and all that it had computed is right, that is the line where it raised, then
    those that it is computed from.
    """
    if code.backward is None:
        return []
    flow = dataflow.steps(code.text, code.backward.line)
    wrong, right = findings.wrong, findings.right
    inputs = [name for name in code.forward.parameters if _verdict(name, wrong, right) is not None]
    # A local may be assigned twice; what is judged is its last value.
    last = {step.name: position for position, step in enumerate(flow)}
    verdicts = {}
    for position, step in enumerate(flow):
        name = _subject(step, inputs)
        if step.name.startswith("return ") or code.forward.stage(name):
            fine = _verdict(name, wrong, right)
        else:
            fine = findings.locals.get(step.name)
        if fine is not None and last[step.name] == position:
            verdicts[position] = fine
    found = dataflow.suspects(flow, verdicts)
    if findings.line is not None:
        before = [step for step in flow if step.line <= findings.line]
        found += [Suspect(step, False) for step in dataflow.ancestry(flow, before[-1:])]
    return found


def _subject(step: Step, inputs: list[str]) -> str:
    """What the value of a step is the gradient of: `dq` of `q`, `return W` of `W`; a tuple is
    returned in the order of the differentiable inputs."""
    if not step.name.startswith("return "):
        return step.name[1:] if step.name.startswith("d") else ""
    first, dot, rest = step.name.removeprefix("return ").partition(".")
    if first in inputs:
        return first + dot + rest
    if first == "" and len(inputs) == 1:
        return inputs[0]
    if first.isdigit() and int(first) < len(inputs):
        return inputs[int(first)] + dot + rest
    return ""


def _verdict(name: str, wrong: Collection[str], right: Collection[str]) -> bool | None:
    """Whether the gradient of `name`, or of every leaf below it, is right; None if unknown."""

    def below(path: str) -> bool:
        return path == name or path.startswith(f"{name}.")

    if not name or not any(below(path) for path in (*wrong, *right)):
        return None
    return not any(below(path) for path in wrong)

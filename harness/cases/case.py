"""A case: its YAML, its parsed Python, and the checks that need both.

Loading is static. A case's Python is parsed but not run, so that `harness list` and bad input cost
nothing and a broken case is refused before anything is computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.cases import schema
from harness.cases.document import Document, Path_, read, text_of
from harness.cases.helpers import beside
from harness.cases.names import fault
from harness.cases.schema import CaseFile, Leaf, Point
from harness.errors import CaseError, did_you_mean, visible
from harness.programs.source import Code, parse
from harness.programs.staging import StagedProgram


@dataclass(frozen=True)
class Case:
    """One declared function. Plain data but for `program`, which a copy in another process
    compiles again from `code`."""

    name: str
    document: Document
    declared: CaseFile
    code: Code

    @cached_property
    def program(self) -> StagedProgram:
        """The case's functions; the first use runs the Python file."""
        return StagedProgram.of(self.code)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "program"}

    @cached_property
    def leaves(self) -> dict[str, Leaf]:
        """Path -> leaf of every input that the YAML declares."""
        return dict(_walk(self.declared.inputs))

    @property
    def supplies_inputs(self) -> bool:
        """Whether the Python file has an `inputs(rng, **sizes)`."""
        return "inputs" in self.code.functions

    def training_steps(self, size: str) -> int:
        """The number of training steps, which may be the name of a size; 0 without training."""
        training = self.declared.training
        steps = training.steps if training else 0
        return steps if isinstance(steps, int) else self.declared.sizes.get(size, {}).get(steps, 0)


def load(yaml_file: Path) -> Case:
    """Read the two files of a case. Raises CaseError at the line that breaks the contract."""
    python_file = yaml_file.with_suffix(".py")
    if not python_file.is_file():
        raise CaseError(
            f"there is no `{python_file.name}` beside it",
            file=yaml_file,
            remedy=f"put `forward` and `backward` into `{python_file.name}`",
        )
    document = read(yaml_file)
    declared = schema.validate(document)
    text = text_of(python_file, "utf-8-sig")
    case = Case(
        yaml_file.stem, document, declared, parse(text, python_file, beside(text, python_file))
    )
    _check_names(case)
    _check_inputs(case)
    _check_sizes(case)
    _check_points(case)
    _check_training(case)
    return case


def _check_names(case: Case) -> None:
    """A case has been named by `registry.find`, unless pytest found it."""
    if why := fault(case.name):
        raise CaseError(
            f"`{visible(case.name)}` is no name of a case: {why}",
            file=case.document.file,
            remedy="rename its two files",
        )
    for key in ("points", "sizes"):
        for name in getattr(case.declared, key):
            if why := fault(name):
                raise case.document.error(
                    (key, name), f"`{name}` is no name: {why}", "give it another one"
                )


def _walk(tree: Mapping[str, Any]) -> Iterator[tuple[str, Leaf]]:
    stack: list[tuple[str, Any]] = [(name, node) for name, node in reversed(list(tree.items()))]
    while stack:
        path, node = stack.pop()
        if isinstance(node, Leaf):
            yield path, node
        if node is None or isinstance(node, Leaf):
            continue
        items = list(node.items() if isinstance(node, Mapping) else enumerate(node))
        stack.extend((f"{path}.{key}", child) for key, child in reversed(items))


def _location(path: str) -> Path_:
    return tuple(int(part) if part.isdigit() else part for part in path.split("."))


def _check_inputs(case: Case) -> None:
    parameters = case.code.forward.parameters
    for name in case.declared.inputs:
        if name not in parameters:
            raise case.document.error(
                ("inputs", name),
                f"`{name}` is no parameter of `forward`; {did_you_mean(name, parameters)}",
                f"`forward` takes {', '.join(parameters)}",
            )
    if case.supplies_inputs:
        return
    for name in parameters:
        if name not in case.declared.inputs:
            raise CaseError(
                f"`forward` takes `{name}`, which `inputs` does not declare; "
                + did_you_mean(name, case.declared.inputs),
                file=case.code.file,
                line=case.code.forward.line,
                remedy=f"declare `{name}` under `inputs`, or write `inputs(rng, **sizes)`",
            )
    for path, leaf in case.leaves.items():
        if leaf.shape is None and leaf.value is None:
            raise case.document.error(
                ("inputs", *_location(path)),
                f"`{path}` has neither `shape` nor `value`",
                "give it one, or write `inputs(rng, **sizes)` in the Python file",
            )


def _check_sizes(case: Case) -> None:
    declared = case.declared
    names = {
        dimension
        for leaf in case.leaves.values()
        for dimension in leaf.shape or ()
        if isinstance(dimension, str)
    }
    if names and "default" not in declared.sizes:
        raise case.document.error(
            ("sizes",), "`sizes` has no `default`", "write `sizes: {default: {m: 2, n: 3}}`"
        )
    for path, leaf in case.leaves.items():
        for dimension in leaf.shape or ():
            for size, values in declared.sizes.items():
                if isinstance(dimension, str) and dimension not in values:
                    raise case.document.error(
                        ("inputs", *_location(path), "shape"),
                        f"`{path}` has a dimension `{dimension}` that size `{size}` does not "
                        f"define; {did_you_mean(dimension, values)}",
                        f"add `{dimension}` to `sizes.{size}`",
                    )


def _check_points(case: Case) -> None:
    parameters = case.code.forward.parameters
    for name, point in case.declared.points.items():
        where: Path_ = ("points", name)
        for given in point.inputs:
            if given not in parameters:
                raise case.document.error(
                    (*where, "inputs", given),
                    f"`{given}` is no input; {did_you_mean(given, parameters)}",
                )
        if point.size is not None and point.size not in case.declared.sizes:
            raise case.document.error(
                (*where, "size"),
                f"there is no size `{point.size}`; "
                + did_you_mean(point.size, case.declared.sizes),
            )
        _check_cotangent(case, point, where)
        _check_expectations(case, point, where)


def _check_cotangent(case: Case, point: Point, where: Path_) -> None:
    outputs = case.code.forward.returns
    by_name = isinstance(point.cotangent, Mapping)
    for name, numbers in point.cotangent.items() if by_name else [("", point.cotangent)]:
        at: Path_ = (*where, "cotangent", name) if by_name else (*where, "cotangent")
        if by_name and name not in outputs:
            raise case.document.error(at, f"`{name}` is no output; {did_you_mean(name, outputs)}")
        if not (numbers is None or schema.is_numeric(numbers)):
            raise case.document.error(
                at, f"`{numbers}` is no array of numbers", "give nested lists of equal length"
            )


def _check_expectations(case: Case, point: Point, where: Path_) -> None:
    outputs = case.code.forward.returns
    stages = set(case.code.intermediates)
    inputs = set(case.code.forward.parameters)
    for index, expectation in enumerate(point.expect):
        at: Path_ = (*where, "expect", index)
        if at not in case.document.lines:
            at = (*where, "expect")
        for name in expectation.intermediates:
            if name not in stages:
                raise case.document.error(
                    (*at, "intermediates", name),
                    f"`{name}` is no intermediate of `forward`; {did_you_mean(name, stages)}",
                    "name a variable that `forward` assigns once, in no loop, and does not return",
                )
        for name in expectation.gradient:
            valid = inputs | set(case.code.intermediates)
            if name.split(".")[0] not in valid:
                raise case.document.error(
                    (*at, "gradient", name),
                    f"`{name}` is neither an input nor an intermediate; "
                    + did_you_mean(name, valid),
                )
        if isinstance(expectation.value, Mapping):
            for name in expectation.value:
                if name not in outputs:
                    raise case.document.error(
                        (*at, "value", name),
                        f"`{name}` is no output; {did_you_mean(name, outputs)}",
                    )
        for key in ("value", "gradient"):
            _check_printed(case, getattr(expectation, key), (*at, key))


def _check_printed(case: Case, node: Any, at: Path_) -> None:
    """Every leaf is a number in quotes."""
    if node is None:
        return
    if isinstance(node, Mapping | list):
        items = node.items() if isinstance(node, Mapping) else enumerate(node)
        for key, child in items:
            _check_printed(case, child, (*at, key))
    elif not schema.is_printed(node):
        quoted = "in quotes, with the digits that the source prints"
        raise case.document.error(
            at, f"`{node}` is no printed number", f'write the number {quoted}: "0.26"'
        )


def _check_training(case: Case) -> None:
    training = case.declared.training
    if training is None:
        return
    if training.of not in case.code.forward.parameters:
        raise case.document.error(
            ("training", "of"),
            f"`{training.of}` is no input; "
            + did_you_mean(training.of, case.code.forward.parameters),
        )
    trained = [
        leaf
        for path, leaf in case.leaves.items()
        if path == training.of or path.startswith(f"{training.of}.")
    ]
    if trained and not any(leaf.differentiable for leaf in trained):
        raise case.document.error(
            ("training", "of"), f"`{training.of}` is not differentiable", "train another input"
        )
    if isinstance(training.steps, str):
        for size, values in ({"default": dict[str, int]()} | case.declared.sizes).items():
            if training.steps not in values:
                raise case.document.error(
                    ("training", "steps"),
                    f"size `{size}` does not define `{training.steps}`; "
                    + did_you_mean(training.steps, values),
                    f"write a number, or add `{training.steps}` to `sizes.{size}`",
                )

"""Writes `forward` and, from the VJPs of its steps in reverse, `backward`.

A step is Python over placeholders (see `maps`); here they become names. The cotangent of a value
that is used more than once is the sum over its uses; that of a value that was broadcast is summed
over the axes along which it was.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Value:
    """A name of `forward`, its shape, whether it is known to be positive, and whether a gradient
    is wanted for it or for what it was made from."""

    name: str
    shape: Shape
    positive: bool = False
    active: bool = True


@dataclass(frozen=True)
class Use:
    """One use of a value by a step: `vjp` ends in its cotangent, which is of shape `reached` and
    may have to be summed to that of the value."""

    value: Value
    vjp: str
    reached: Shape


@dataclass(frozen=True)
class Step:
    """A result, the uses of values that it was made from, and what the placeholders stand for."""

    result: Value
    uses: tuple[Use, ...]
    names: dict[str, str]


@dataclass
class Writer:
    """A program that grows step by step. `style` says how a cotangent is called."""

    rng: np.random.Generator
    style: str = "d{}"
    inputs: list[Value] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    count: int = 0

    def input(self, name: str, shape: Shape, *, active: bool = True) -> Value:
        """A new parameter of `forward`."""
        value = Value(name, shape, active=active)
        self.inputs.append(value)
        return value

    def new(self, name: str) -> str:
        """A name that nothing has."""
        self.count += 1
        return f"{name}{self.count}"

    def step(
        self,
        forward: str,
        operands: Mapping[str, Value],
        vjps: Mapping[str, str],
        shape: Shape,
        *,
        positive: bool = False,
        elementwise: bool = False,
    ) -> Value:
        """Append `forward`; `vjps` has the cotangent of each active operand by its placeholder.

        The operands of an elementwise step are broadcast to `shape`; of what else changes shapes,
        the VJP has to know.
        """
        active = any(each.active for each in operands.values())
        result = Value(self.new("v"), shape, positive, active)
        names = {letter: value.name for letter, value in operands.items()} | {"f": result.name}
        self.lines += self._written(forward, names)
        uses = tuple(
            Use(value, vjps[letter], shape if elementwise else value.shape)
            for letter, value in operands.items()
            if value.active
        )
        self.steps.append(Step(result, uses, names))
        return result

    def backward(self, outputs: Sequence[Value]) -> list[str]:
        """The lines of `backward`, the last of which returns the gradients."""
        lines: list[str] = []
        have = {each.name: self.cotangent(each) for each in outputs}
        shared = set(have.values())
        for step in reversed(self.steps):
            if step.result.name not in have:
                continue
            for use in step.uses:
                names = {**step.names, "g": have[step.result.name]}
                *first, last = self._written(use.vjp, names)
                lines += first
                text = _summed(last, use.reached, use.value.shape)
                self._add(lines, have, shared, use.value, text)
        pairs = [
            f'"{each.name}": {have.get(each.name, f"xp.zeros_like({each.name})")}'
            for each in self.inputs
            if each.active
        ]
        return [*lines, f"return {{{', '.join(pairs)}}}"]

    def text(self, outputs: Sequence[Value]) -> str:
        """The Python file of the case. `backward` asks for those names of `forward` that it
        uses."""
        body = self.backward(outputs)
        known = {each.name for each in self.inputs}
        known |= {match for line in self.lines for match in re.findall(r"^(\w+) = ", line)}
        used = dict.fromkeys(re.findall(r"(?<![\w.\"])[a-z]\w*", " ".join(body)))
        parameters = ["xp", *(each.name for each in self.inputs)]
        asked = ["xp", *map(self.cotangent, outputs), *(name for name in used if name in known)]
        lines = [
            f"def forward({', '.join(parameters)}):",
            *(f"    {line}" for line in self.lines),
            f"    return {', '.join(each.name for each in outputs)}",
            "",
            "",
            f"def backward({', '.join(asked)}):",
            *(f"    {line}" for line in body),
            "",
        ]
        return "\n".join(lines)

    def cotangent(self, value: Value) -> str:
        """What the cotangent of a value is called."""
        return self.style.format(value.name)

    def _written(self, text: str, names: dict[str, str]) -> list[str]:
        """The statements of a spelling with names for its placeholders; what it assigns besides is
        added to `names`."""
        for word, like in (("ZERO", "zeros"), ("ONE", "ones")):
            text = text.replace(word, f"xp.{like}_like(x)")
        tree = ast.parse(text.replace("TWO", "xp.full_like(x, 2.0)"))
        own = {
            node.id: self.new(node.id)
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id != "f"
        }
        names.update(own)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                node.id = names.get(node.id, node.id)
        return [ast.unparse(each) for each in tree.body]

    def _add(
        self, lines: list[str], have: dict[str, str], shared: set[str], value: Value, text: str
    ) -> None:
        """One more term of a cotangent, in one of the ways that people write. What is `shared`
        with the caller or under another name is not added to in place."""
        name = self.cotangent(value)
        before = have.get(value.name)
        if before is None:
            lines.append(f"{name} = {text}")
            if not isinstance(ast.parse(text, mode="eval").body, ast.BinOp):
                shared.add(name)  # perhaps a view of what it was made from
        elif before == name and name not in shared and self.rng.random() < 0.5:
            lines.append(f"{name} += {text}")
        else:
            lines.append(f"{name} = {before} + {text}")
            shared.discard(name)
        have[value.name] = name


def _summed(text: str, reached: Shape, shape: Shape) -> str:
    """The cotangent of what was broadcast from `shape` to `reached`."""
    if reached == shape:
        return text
    extra = len(reached) - len(shape)
    axes = [*range(extra)]
    axes += [at for at in range(extra, len(reached)) if shape[at - extra] == 1 != reached[at]]
    if not axes:
        return f"xp.reshape({text}, {shape})"
    names = str(axes[0]) if len(axes) == 1 else str(tuple(axes))
    if not extra:
        return f"xp.sum({text}, axis={names}, keepdims=True)"
    if len(axes) == extra:
        return f"xp.sum({text}, axis={names})"
    return f"xp.reshape(xp.sum({text}, axis={names}), {shape})"

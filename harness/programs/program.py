"""What can be judged: a function that runs in stages, perhaps with a backward pass by hand.

It may be written over an array namespace `xp`, as a case file or as two Python functions, or be
recorded from a framework. Certificates, one-sided derivatives, rounding and the methods ask for
nothing but this, so that none of them has to know which it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Stage:
    """One name that an assignment binds, the line that does, and its text. `single`: bound once
    and in no loop, so that it can be perturbed."""

    name: str
    file: str
    line: int
    source: str
    single: bool


@dataclass(frozen=True)
class Trace:
    """One run of `forward`: its outputs in order, and every named intermediate."""

    outputs: tuple[Any, ...]
    saved: Mapping[str, Any]


class Program(Protocol):
    """A function of named pytrees of arrays, over any array namespace."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of its inputs, in order."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what it returns, in order."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The assignments of `forward`, in the order in which they are written."""

    @property
    def backward_stages(self) -> tuple[Stage, ...] | None:
        """Those of `backward`; None where there is no backward pass by hand."""

    @property
    def text(self) -> str:
        """All that it says, forward and backward: another program has another text."""

    def forward(
        self, xp: Any, inputs: Mapping[str, Any], leaves: Mapping[str, Any] | None = None
    ) -> Trace:
        """Run it on `inputs`, with each of `leaves` added to the intermediate that it names.
        Raises what the code raises."""

    def backward(
        self, xp: Any, cotangents: tuple[Any, ...], inputs: Mapping[str, Any], trace: Trace
    ) -> tuple[Any, Mapping[str, Any]]:
        """The gradients by parameter (a dict, or a sequence in their order) for one cotangent per
        output, and every local that was assigned on the way. Raises what the code raises."""

    def native(self, framework: str) -> Callable[..., Any] | None:
        """The same function in a framework's own API, called by the names of its inputs; None
        where there is none."""


@dataclass(frozen=True)
class ForwardOnly:
    """A program whose backward is not to be used."""

    whole: Program

    @property
    def backward_stages(self) -> tuple[Stage, ...] | None:
        """None: there is no backward."""
        return None

    @property
    def parameters(self) -> tuple[str, ...]:
        """As in `Program`."""
        return self.whole.parameters

    @property
    def outputs(self) -> tuple[str, ...]:
        """As in `Program`."""
        return self.whole.outputs

    @property
    def stages(self) -> tuple[Stage, ...]:
        """As in `Program`."""
        return self.whole.stages

    @property
    def text(self) -> str:
        """As in `Program`."""
        return self.whole.text

    def forward(
        self, xp: Any, inputs: Mapping[str, Any], leaves: Mapping[str, Any] | None = None
    ) -> Trace:
        """As in `Program`."""
        return self.whole.forward(xp, inputs, leaves)

    def backward(
        self, xp: Any, cotangents: tuple[Any, ...], inputs: Mapping[str, Any], trace: Trace
    ) -> tuple[Any, Mapping[str, Any]]:
        """Never called: there are no `backward_stages`."""
        raise AssertionError("no backward")

    def native(self, framework: str) -> Callable[..., Any] | None:
        """As in `Program`."""
        return self.whole.native(framework)

"""A program whose backward is derived from its `forward`, whatever else was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.derived.tape import Planted, Tape, Tracked, plain
from harness.model import Sample
from harness.programs import trees
from harness.programs.program import ForwardOnly, Stage, Trace


@dataclass(frozen=True)
class Derived(ForwardOnly):
    """`whole` with another backward, at the leaves and intermediates of `sample`.

    `exact` and `errors` are those of a `Tape`. Raises Unsupported, when it runs, for a function
    without a rule.
    """

    sample: Sample
    exact: bool = False
    errors: Planted | None = None

    @property
    def backward_stages(self) -> tuple[Stage, ...]:
        """The cotangent of each intermediate, on the line of the intermediate."""
        return tuple(
            Stage(f"d{each.name}", each.file, each.line, each.source, each.single)
            for each in self.whole.stages
        )

    def backward(
        self, xp: Any, cotangents: tuple[Any, ...], inputs: Mapping[str, Any], trace: Trace
    ) -> tuple[Any, Mapping[str, Any]]:
        """As in `Program`; `forward` runs again, on arrays that know where they come from."""
        tape = Tape(xp, self.exact, self.errors)
        leaves: dict[str, Tracked] = {}

        def track(path: str, leaf: Any) -> Any:
            if path in self.sample.differentiable:
                leaves[path] = tape.leaf(leaf)
                return leaves[path]
            return Tracked(leaf, tape) if hasattr(leaf, "shape") else leaf

        tracked = dict(trees.map_with_path(track, dict(inputs)))
        again = self.whole.forward(tape.xp, tracked)
        names = [name for name in self.sample.intermediates if name in again.saved]
        wanted = [*leaves.values(), *(again.saved[name] for name in names)]
        found = tape.pulled(again.outputs, cotangents, wanted)
        whole = [
            xp.zeros_like(plain(each)) if g is None else g
            for each, g in zip(wanted, found, strict=True)
        ]
        by_path = dict(zip(leaves, whole, strict=False))

        def gradients(name: str) -> Any:
            def gradient(path: str, leaf: Any) -> Any:
                return by_path.get(f"{name}.{path}" if path else name, plain(leaf))

            return trees.map_with_path(gradient, tracked[name])

        returned = {name: gradients(name) for name in trees.input_names(self.sample)}
        recorded = {f"d{name}": g for name, g in zip(names, whole[len(leaves) :], strict=True)}
        return returned, recorded

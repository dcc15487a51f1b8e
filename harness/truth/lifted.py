"""A program at one sample, in balls: what `forward` does along a direction, what `backward` says.

Whoever asks for the truth (a certificate, a reference from `forward` alone, the search for the
faulty line) moves inputs and intermediates along directions and compares with the claims of
`backward`. What differs between them is what they conclude, not how they ask.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from flint import arb

from harness import referee
from harness.dtypes import numpy_dtype
from harness.errors import HarnessError, Unsupported
from harness.model import Array, Sample
from harness.programs import trees
from harness.programs.program import Program, Trace
from harness.referee import BallArray, Undecided

#: Bits to start with, and beyond which nothing is tried.
BITS, MOST_BITS = 128, 4096
#: Numbers in the inputs beyond which balls are not tried: each takes 1.6 kB at the peak, so that
#: these are 3 GB.
MOST = 2_000_000

T = TypeVar("T")


@dataclass(frozen=True)
class Moved:
    """`forward` along a direction, and the inputs there; `limit` says that a limit was taken, so
    that the other side and the values at the point itself may differ from what `trace` holds;
    `narrow`, that something was cast to a narrower format, which in balls rounds nothing."""

    inputs: dict[str, Any]
    trace: Trace
    limit: bool
    narrow: bool


_unused: ContextVar[bool] = ContextVar("unused", default=False)


@contextmanager
def without_balls() -> Iterator[None]:
    """Ball arithmetic follows no program within the block: the backward and numeric differences are
    all that there is to judge by."""
    token = _unused.set(True)
    try:
        yield
    finally:
        _unused.reset(token)


class Lifted:
    """`forward` and `backward` of a program at one sample. Every lift is exact, so that one
    instance serves at any precision.

    Raises Unsupported for numbers that balls cannot hold, or too many. The exceptions of the case's
    own code pass through every method that runs it, and so does Undecided.
    """

    def __init__(self, program: Program, sample: Sample) -> None:
        if _unused.get():
            raise Unsupported("ball arithmetic is not used")
        self.program, self.sample = program, sample
        leaves = trees.flatten(sample.inputs)
        count = sum(np.size(leaf) for leaf in leaves.values())
        if count > MOST:
            raise Unsupported(f"{count} numbers are too many for balls")
        self.leaves = {path: referee.lift(leaves[path]) for path in sample.differentiable}
        self.cotangents = tuple(referee.lift(each) for each in sample.cotangents)
        self._assemble = trees.assembler(sample, referee.lift)
        self.inputs = self._assemble(list(self.leaves.values()))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a differentiable leaf or an intermediate; an intermediate comes first."""
        if name in self.sample.intermediates:
            return self.sample.intermediates[name]
        shape: tuple[int, ...] = self.leaves[name].shape
        return shape

    def names(self) -> list[str]:
        """The intermediates whose cotangents `backward` assigns, in its order, then the leaves.

        Raises Unsupported for a case without `backward`.
        """
        stages = self.program.backward_stages
        if stages is None:
            raise Unsupported("the case has no `backward`")
        locals_ = dict.fromkeys(stage.name for stage in stages)
        named = [name[1:] for name in locals_ if name[:1] == "d"]
        found = [name for name in named if name in self.sample.intermediates]
        return [*found, *self.sample.differentiable]

    def generator(self, *about: str) -> np.random.Generator:
        """Random numbers about something, the same in every run. Nobody can have known them who
        wrote the program or chose the numbers of the sample, since they depend on both."""
        digest = self._digest.copy()
        digest.update("/".join(about).encode())
        return np.random.default_rng(np.frombuffer(digest.digest(), np.uint64))

    @cached_property
    def _digest(self) -> Any:
        digest = hashlib.sha256()
        digest.update(self.program.text.encode())
        for leaf in [*trees.flatten(self.sample.inputs).values(), *self.sample.cotangents]:
            array = np.ascontiguousarray(leaf)
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())
        return digest

    def directions(self, names: Sequence[str]) -> dict[str, Array]:
        """Random directions of some names together."""
        rng = self.generator("directions", *names)
        return referee.dyadic_directions(rng, {name: self.shape(name) for name in names})

    def moved(
        self,
        directions: Mapping[str, Array | BallArray],
        sign: int = 1,
        order: int = 1,
        step: float = 0.0,
        bend: Mapping[str, Array | BallArray] | None = None,
    ) -> Moved:
        """`forward` with each of the named leaves and intermediates moved along `sign` times its
        direction, by `step` + t, and by t**2 times its `bend`, which decides where the directions
        leave open which of two numbers is larger."""
        bend = bend or {}

        def move(x: BallArray, name: str) -> BallArray:
            v = directions.get(name)
            v = np.zeros(x.shape) if v is None else v if sign > 0 else -v
            moved = referee.lift_along(x, v, order, bend.get(name))
            if not step:
                return moved
            found: BallArray = referee.xp.astype(moved + as_balls(v * step), x.dtype)
            return found

        variables = [
            move(leaf, path) if path in directions or path in bend else leaf
            for path, leaf in self.leaves.items()
        ]
        zero = numpy_dtype(self.sample.dtype)  # another one would be promoted to, and seen
        intermediates = {
            name: move(referee.lift(np.zeros(shape, zero)), name)
            for name, shape in self.sample.intermediates.items()
            if name in directions or name in bend
        }
        inputs = self._assemble(variables)
        with referee.recorded() as record:
            trace = self.program.forward(referee.xp, inputs, intermediates)
        return Moved(inputs, trace, record.limit, record.narrow)

    def slope(self, trace: Trace, order: int = 1) -> arb:
        """Coefficient `order` of <cotangents, outputs>."""
        slopes = (referee.coefficient(as_balls(output), order) for output in trace.outputs)
        pairs = zip(slopes, self.cotangents, strict=True)
        return total(slope * cotangent for slope, cotangent in pairs)

    def along(
        self, directions: Mapping[str, Array | BallArray], sign: int = 1, order: int = 1
    ) -> arb:
        """The derivative of <cotangents, outputs> along `sign` times the directions, by series
        known to t**order: the norm at zero is sqrt(t**2). Raises OrderExhausted."""
        return self.slope(self.moved(directions, sign, order).trace)

    def behind(
        self, directions: Mapping[str, Array | BallArray], ahead: Moved, order: int = 1
    ) -> arb:
        """Minus the derivative along minus the directions: the derivative `ahead` again, but where
        a limit was taken or something is not finite. Raises OrderExhausted."""
        slope = self.slope(ahead.trace)
        if slope.is_finite() and not ahead.limit:
            return slope
        return -self.along(directions, -1, order)

    def two_sided(self, directions: Mapping[str, Array | BallArray]) -> tuple[arb, arb, bool]:
        """The derivative of <cotangents, outputs> along the directions, and minus that along their
        opposites: two numbers where there is a kink. And whether a limit was taken, without which
        there is none. Raises OrderExhausted."""

        def both(order: int) -> tuple[arb, arb, bool]:
            ahead = self.moved(directions, 1, order)
            return self.slope(ahead.trace), self.behind(directions, ahead, order), ahead.limit

        return referee.with_order_raising(both)

    def derivative(self, directions: Mapping[str, Array | BallArray]) -> arb | None:
        """The derivative along the directions; None where it is not finite or depends on their
        sign."""
        above, below, _ = self.two_sided(directions)
        same = above.is_finite() and below.is_finite() and above.overlaps(below)
        return above if same else None

    def sides(
        self, directions: Mapping[str, Array], bend: Mapping[str, Array] | None = None
    ) -> tuple[arb, arb]:
        """The derivatives from below and from above, to as many orders of t as they take. Infinite
        where the derivative is, NaN where `forward` has no real value on that side."""
        above, limit = self._one_sided(directions, 1, bend)
        if above.is_finite() and not limit:
            return above, above
        return -self._one_sided(directions, -1, bend)[0], above

    def _one_sided(
        self, directions: Mapping[str, Array], sign: int, bend: Mapping[str, Array] | None
    ) -> tuple[arb, bool]:
        def side(order: int) -> tuple[arb, bool]:
            moved = self.moved(directions, sign, order, bend=bend)
            return self.slope(moved.trace), moved.limit

        found, limit = referee.with_order_raising(side)
        if found.is_nan():
            if not referee.numbering():
                raise Undecided("not a number, or the ball of zero by another name")
            at = near(lambda step: self.slope(self.moved(directions, sign, 1, step).trace))
            return limit_of(at), True
        if not found.is_finite() and not found.rad().is_zero():
            raise Undecided("an unbounded ball; raise the precision")
        return found, limit

    def at_rest(self) -> Trace:
        """`forward` at the point itself, where the sign of 0 is 0, and not that of t."""
        return self.moved({}).trace

    def values(self, wanted: Sequence[str], trace: Trace) -> dict[str, BallArray]:
        """Outputs and wanted intermediates of a trace `at_rest`."""
        outputs = zip(self.program.outputs, trace.outputs, strict=True)
        every = [*outputs, *((name, trace.saved[name]) for name in wanted)]
        return {name: referee.value(as_balls(each)) for name, each in every}

    def claims(self, trace: Trace) -> dict[str, BallArray]:
        """What `backward` says of a trace `at_rest`, by `names`. Raises Unsupported where it says
        less, or calls what cannot compute with balls: a framework, or numpy itself."""
        saved = {
            name: referee.value(value) if isinstance(value, BallArray) else value
            for name, value in trace.saved.items()
        }
        return self._claimed(self.inputs, Trace(trace.outputs, saved))

    def limits(self, moved: Moved) -> dict[str, BallArray]:
        """What `backward` says beside the point, for t -> 0+: at a kink, of the smooth piece that
        the direction enters, whichever way it treats ties. Raises as `claims` does."""
        claims = self._claimed(moved.inputs, moved.trace)
        return {name: referee.value(each) for name, each in claims.items()}

    def _claimed(self, inputs: Mapping[str, Any], trace: Trace) -> dict[str, BallArray]:
        try:
            returned, recorded = self.program.backward(referee.xp, self.cotangents, inputs, trace)
        except HarnessError:
            raise
        except Exception as error:  # whatever foreign code says of balls
            raise Unsupported(
                "balls cannot follow `backward`, whose numbers are judged all the same "
                f"({type(error).__name__}: {error})"
            ) from error
        gradients = trees.by_path(returned, self.sample)
        for path in self.sample.differentiable:
            if path not in gradients:
                raise Unsupported(f"`backward` returned no gradient for `{path}`")
        claims = {
            name: as_balls(recorded[f"d{name}"] if name not in gradients else gradients[name])
            for name in self.names()
        }
        for name, claim in claims.items():
            if claim.shape != self.shape(name):
                raise Unsupported(f"the gradient of `{name}` has shape {list(claim.shape)}")
        return claims

    def undefined(self, trace: Trace) -> set[str]:
        """Names of claims that have no finite value by the formula of `backward`, whatever the
        precision: it divides by an exact zero, say. Empty where a wide ball may be the reason, or
        where floats, for which 1 / (1 / 0) is 0, may come back from infinity."""
        if not all(_finite(value) for value in trace.saved.values()):
            return set()
        found: list[set[str]] = []
        for sign in (1, -1):
            with referee.recorded(scrutiny=sign) as record:
                claims = self.claims(trace)
            if record.doubt:
                return set()
            found.append({name for name, claim in claims.items() if not _finite(claim)})
        return found[0] & found[1]


def near(derivative: Callable[[float], T]) -> list[T]:
    """`derivative(h)` at tiny steps h beside a singularity, ever closer to it."""
    steps = [2.0**-exponent for exponent in (64, 256, 1024)]
    # x + h takes 1024 bits more than x.
    return referee.with_precision(lambda: [derivative(step) for step in steps], MOST_BITS)


def limit_of(at: Sequence[arb]) -> arb:
    """The limit of a derivative, from its values `near` a singularity: NaN where `forward` is not
    real, infinite where it grows without an end in sight, as 1/h and log h do. Raises Unsupported
    where it does neither."""
    sizes = [abs(float(each)) for each in at]
    if any(each.is_nan() for each in at):
        return arb("nan")
    if all(later > 2 * earlier for earlier, later in pairwise(sizes)):
        return arb("inf") if at[-1] > 0 else arb("-inf")
    raise Unsupported("a singularity that balls do not resolve")


def as_balls(value: Any) -> BallArray:
    """`value`, which may have come out as a plain number, as balls."""
    return value if isinstance(value, BallArray) else referee.lift(np.asarray(value))


def inner(balls: BallArray, direction: Array | BallArray) -> arb:
    """<balls, direction>; the two have one shape."""
    if not isinstance(direction, BallArray):
        direction = referee.lift_direction(direction)
    pairs = balls.series.parts[0].ravel(), direction.series.parts[0].ravel()
    # Without an array of products it takes two thirds of the time.
    found: arb = arb(0) + np.dot(*pairs)
    return found


def total(arrays: Iterable[BallArray]) -> arb:
    """The sum of all elements."""
    return sum((referee.xp.sum(array).series.parts[0][()] for array in arrays), start=arb(0))


def _finite(value: Any) -> bool:
    if not isinstance(value, BallArray):
        return True
    return all(each.is_finite() for each in value.series.parts[0].ravel())

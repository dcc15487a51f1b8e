"""The nouns that travel through the harness, as plain data.

A backend may run in another process, so whatever goes to it and comes back is built from numpy
arrays, strings and numbers only. `Row` is one line of every table; its field order is the column
order of the CSV file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeAlias

import numpy.typing as npt

from harness.directions import Slopes
from harness.label import Label
from harness.quantity import Quantity

Array: TypeAlias = npt.NDArray[Any]
#: What a method can be asked about a sample; training is a run of many gradients.
TaskMode = Literal["value", "vjp", "jvp", "hvp"]
Mode = Literal["value", "vjp", "jvp", "hvp", "train"]
#: The modes of a run that names none: reverse mode is what people write by hand.
MODES: tuple[Mode, ...] = ("value", "vjp", "train")
#: The modes that move the inputs along tangents.
DIRECTIONAL: tuple[TaskMode, ...] = ("jvp", "hvp")
ALL_MODES: tuple[Mode, ...] = (*MODES, *DIRECTIONAL)


class Status(StrEnum):
    """The verdicts, from best to worst. Strings, because a row is data that outlives this program.

    `unstable`, `convention` and `jump` are numbers that a framework returns with reason: its
    formula is right but loses its digits in rounding; an operation-by-operation choice at a kink
    leads to no joint subgradient; the derivative is that of the branch that was executed. From a
    hand-written backward they are faults.
    """

    PASS = "pass"
    KINK = "kink"
    UNSTABLE = "unstable"
    CONVENTION = "convention"
    JUMP = "jump"
    UNDECIDED = "undecided"
    KNOWN = "known"
    MISSING = "missing"
    UNSUPPORTED = "unsupported"
    IMPRECISE = "imprecise"
    FIXED = "fixed"
    TIMEOUT = "timeout"
    CRASH = "crash"
    ERROR = "error"
    FAIL = "fail"

    @property
    def rank(self) -> int:
        """0 for the best; a group of rows has the status of highest rank among them."""
        return _RANKS[self]


_RANKS = {status: rank for rank, status in enumerate(Status)}

#: The statuses that a framework may have with reason, and a hand-written backward may not.
EXCUSED = frozenset({Status.UNSTABLE, Status.CONVENTION, Status.JUMP})
#: The statuses that leave a run good, each row of them being what its author expects.
GOOD = EXCUSED | {Status.PASS, Status.KINK, Status.UNDECIDED, Status.KNOWN, Status.MISSING}


#: References that are no approximation: ball arithmetic, what a source printed, and the end of a
#: training run as the author's Python has it.
CERTIFIED, PRINTED, CLOSED_FORM = "certified", "printed", "closed form"
PROOFS = frozenset({CERTIFIED, PRINTED, CLOSED_FORM})


@dataclass(frozen=True)
class Sample:
    """A case at one point, size and dtype.

    `inputs` maps each parameter of `forward` to a pytree of numpy arrays; floating leaves have
    dtype `dtype`. `differentiable` lists the paths (`params.w`) of the leaves that a gradient is
    wanted for. `cotangents` holds one array per output, of that output's shape and of dtype
    `dtype`. `intermediates` gives the shape of every intermediate that can be perturbed, in the
    order of `forward`; `domains` the closed interval of each leaf that has one. `tangents` holds
    the direction of JVP and HVP: one array per differentiable path, of the leaf's shape and dtype.
    Every method sees these very numbers.
    """

    case: str
    point: str
    size: str
    dtype: str
    inputs: dict[str, Any]
    differentiable: tuple[str, ...]
    cotangents: tuple[Array, ...]
    intermediates: dict[str, tuple[int, ...]] = field(default_factory=dict)
    domains: dict[str, tuple[float, float]] = field(default_factory=dict)
    tangents: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """What a method is asked about a sample: its value, and in a mode other than `value` one
    derivative besides. The values of the named intermediates are wanted in every mode, their
    gradients in `vjp`. A method that chooses steps is asked for the same with each of the fixed
    `steps`, too."""

    mode: TaskMode = "vjp"
    intermediates: tuple[str, ...] = ()
    steps: tuple[float, ...] = ()


@dataclass
class Gradients:
    """What one backend says about one sample.

    values:        output name (and, on request, intermediate name) -> value of that shape.
    gradients:     leaf path -> VJP with the sample's cotangents, of the leaf's shape.
    intermediates: intermediate name -> VJP, of the intermediate's shape.
    jvps:          output name -> JVP with the sample's tangents, of the output's shape; an output
                   of integers or booleans has none.
    hvps:          leaf path -> the Hessian of <cotangents, outputs> times the tangents, of the
                   leaf's shape.
    seconds:       wall time of the gradient call, conversions left out.
    uncertainty:   quantity key (leaf path, intermediate or, in JVP, output) -> the method's own
                   estimate of its absolute error, elementwise; only approximate methods fill it.
    sampled:       quantity key -> flat indices of the elements that were computed, where not all
                   were; the others are NaN.
    slopes:        leaf path -> derivatives along random directions, where not every element was
                   computed.
    at_steps:      fixed step -> the same by that step, for those that the task names.
    """

    values: dict[str, Array]
    gradients: dict[str, Array] = field(default_factory=dict)
    intermediates: dict[str, Array] = field(default_factory=dict)
    jvps: dict[str, Array] = field(default_factory=dict)
    hvps: dict[str, Array] = field(default_factory=dict)
    seconds: float = float("nan")
    uncertainty: dict[str, Array] = field(default_factory=dict)
    sampled: dict[str, Array] = field(default_factory=dict)
    slopes: dict[str, Slopes] = field(default_factory=dict)
    at_steps: dict[float, Gradients] = field(default_factory=dict)
    detail: str = ""


@dataclass(frozen=True)
class Failure:
    """Why a method gave no numbers, in the words of a row; `raised` is the name of the exception
    that was raised, "" where there was none."""

    status: Status
    detail: str
    raised: str = ""


#: What one method says about one cell, by mode.
Answer: TypeAlias = dict[str, Gradients | Failure]


@dataclass(frozen=True)
class Row:
    """One verdict. `got` and `expected` are the numbers at `worst_index`, as text. `written` says
    that the derivative is a hand-written one, which is held to more than a framework's own;
    `raised` is the name of the exception that a method raised instead of returning numbers."""

    case: str
    point: str
    size: str
    dtype: str
    backend: Label
    mode: str
    quantity: Quantity
    status: Status
    max_abs_error: float = float("nan")
    max_rel_error: float = float("nan")
    max_ulp_error: float = float("nan")
    digits: float = float("nan")
    error_over_tolerance: float = float("nan")
    worst_index: str = ""
    got: str = ""
    expected: str = ""
    reference: str = ""
    seconds: float = float("nan")
    written: bool = False
    raised: str = ""
    detail: str = ""

    @property
    def good(self) -> bool:
        """Whether the row is what its author expects; an exit status of 0 needs all of them."""
        return self.status in GOOD and not (self.written and self.status in EXCUSED)

    @property
    def proved(self) -> bool:
        """Whether it is good by more than the agreement of two approximations: by a certified
        number, one that its source printed, or a closed form. A declared gap and a method that is
        not installed claim nothing, so there is nothing to prove."""
        if self.status in (Status.KNOWN, Status.MISSING):
            return True
        return self.good and self.status != Status.UNDECIDED and self.reference in PROOFS


def failing(rows: Iterable[Row], *, strict: bool = False) -> list[Row]:
    """The rows that fail a run: those that are not good and, where it is `strict`, those besides
    that are not proved."""
    return [row for row in rows if not row.good or (strict and not row.proved)]


@dataclass(frozen=True)
class Mark:
    """One element of one gradient by one method; field order is column order.

    `left` and `right` are the certified one-sided derivatives: infinite ones as such, NaN where
    the function has no real value on that side, both NaN also where balls cannot follow
    (`judged` is then false). `got` is NaN where the method returned nothing.

    `label` is `exact` (the derivative), `left`, `right`, `mid`, `zero` or `between` (a convention),
    `infinite`, `nan`, `outside`, `unsure` (outside by less than the method's own estimate of its
    error), `unjudged`, or the status of a method that returned nothing. `valid` says whether the
    number is the derivative or lies between the one-sided ones.
    """

    case: str
    point: str
    dtype: str
    quantity: str
    index: str
    left: float
    right: float
    judged: bool
    backend: str
    got: float
    label: str
    valid: bool
    detail: str = ""

    @property
    def wrong(self) -> bool:
        """Whether it is a number (or NaN) that no convention allows."""
        return self.judged and not self.valid and self.label in ("infinite", "nan", "outside")


#: The status of a `Timing` that has a time.
TIMED = "timed"


@dataclass(frozen=True)
class Timing:
    """How long one method takes on one sample; field order is column order.

    `quantity` is `value` (forward alone) or `gradient` (value and gradient). `axis` is the
    dimension that tells the sizes of the run apart, `length` what it is here; "" and NaN where
    there is no one such dimension.

    `median`, `low` and `high` are seconds per call: the median over `visits` and its interval, in
    which the true median is with a probability of 95 %; from 0 to infinity where the visits are too
    few to say. `calls` were timed in all. `compile` is by how many seconds the first call was
    longer than the median.

    `to_fastest` is the ratio of the median to that of the fastest method of the same sample and
    quantity, `to_value` that of a gradient to its own value; NaN where the intervals overlap, so
    that the two are not told apart.

    `status` is `timed`, or that of a method without a time, and `detail` says why.
    """

    case: str
    size: str
    dtype: str
    backend: str
    quantity: str
    status: str
    axis: str = ""
    length: float = float("nan")
    median: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    visits: int = 0
    calls: int = 0
    compile: float = float("nan")
    to_fastest: float = float("nan")
    to_value: float = float("nan")
    detail: str = ""

    @property
    def timed(self) -> bool:
        """Whether there is a time."""
        return self.status == TIMED

    @property
    def spread(self) -> float:
        """Half the interval relative to the median; infinite where nothing is known of it."""
        return (self.high - self.low) / 2 / self.median


@dataclass(frozen=True)
class Growth:
    """How time grows with a dimension: `seconds ~ length**exponent`, with the standard error of the
    exponent, for one method over the larger sizes of a case."""

    case: str
    dtype: str
    backend: str
    quantity: str
    axis: str
    exponent: float
    error: float

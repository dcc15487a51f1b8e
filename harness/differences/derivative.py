"""A derivative from values alone, and how far it may be off.

A number is only worth something together with its error; `stencils` has the schemes and
their estimates. Here is what they leave open: the step, which balances truncation and rounding for
an argument of a certain magnitude (Press et al., Numerical Recipes, section 5.7). Where the
estimate is not good, it says of what it is made: of rounding, and a longer step is tried, or of
what the step passes over, and shorter ones are. What has the smallest estimate is kept. No
evaluation leaves a declared domain: at its edge the quotient is one-sided.

The function has one argument, along an axis or along any other line. There may be many lanes of it,
one for each axis, and its values may be arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.differences.stencils import ROUNDING, SCHEMES, Line, Rule
from harness.errors import Unsupported
from harness.model import Array

#: The domain of an argument that has none.
EVERYWHERE = (-math.inf, math.inf)
#: An error estimate of so many times the rounding in it is a reason for a longer step, more than
#: that is one for a shorter step.
ROUNDED = 4.0
#: How much longer a step then is, and how much smaller the scales are on which a function may
#: change.
LONGER, SHORTER = 4.0, (2.0**6, 2.0**12, 2.0**18)
#: The longest distance of a first attempt, in scales of the argument.
FARTHEST = 0.25
#: An element is near an edge if it has less room than this part of what others have: a step that
#: fits in it costs them few digits.
NEAR = 2.0**-7
EPS = float(np.finfo(np.float64).eps)
#: The shortest distance over which a quotient tells something, in rounding errors of the function
#: over its slope, and in spacings of the argument.
CLOSE = 16.0
_NAMES = list(SCHEMES)
#: Runs that tell what rounding the arguments does to a function.
SHAKES = 2


@dataclass(frozen=True)
class Plan:
    """Which schemes to try, and with which steps.

    numeric: `central`, `fourth`, `richardson`, `complex` or `auto`: the complex step, and where it
             cannot be the fourth order, and where that is poor central differences.
    step:    a fixed step, None to choose it. `auto` then means central differences.
    """

    numeric: str = "auto"
    step: float | None = None

    def attempts(
        self, scales: Sequence[Array], eps: float, quality: float = 1.0, analytic: bool = True
    ) -> Iterator[Attempt]:
        """What to try in turn. `scales` are magnitudes of the argument, the likeliest first; the
        function is good to eps**quality. Raises Unsupported for a complex step that is asked for
        by name where the function takes no complex numbers, that is not `analytic`."""
        if self.numeric == "complex" and not analytic:
            raise Unsupported("a complex step is taken along axes only")
        first, *others = scales
        if self.step is not None:
            name = "central" if self.numeric == "auto" else self.numeric
            yield Attempt(name, 0.0, [first], step=self.step)
            return
        noise = eps**quality
        ladder = [first, LONGER * first, *others, *(first / ratio for ratio in SHORTER)]
        # To a complex step all steps are the same, and where there is a choice, the scales that are
        # not the likeliest are left to the scheme that looks least far.
        ladders = {"complex": [first], "fourth": [first], "central": ladder}
        if self.numeric != "auto":
            ladders = {self.numeric: [first] if self.numeric == "complex" else ladder}
        elif not analytic:
            del ladders["complex"]
        for name, each in ladders.items():
            yield Attempt(name, noise ** SCHEMES[name].good, each, noise)


class Attempt(NamedTuple):
    """A scheme, and the magnitudes of the argument, one per lane, that its steps suit in turn, or a
    fixed `step`. Nothing else is tried after a relative error estimate of `good`; the function is
    good to `noise`."""

    name: str
    good: float
    scales: list[Array]
    noise: float = 0.0
    step: float | None = None

    def steps(self, rule: Rule, scales: Array) -> Array:
        """Powers of two, so that `x + h` is mostly exact."""
        if self.step is not None:
            return np.full_like(scales, self.step)
        length = min(self.noise**rule.root, FARTHEST / rule.reach)
        return _power_of_two(length * scales)


def _power_of_two(steps: Array, rounded: Callable[[Array], Array] = np.rint) -> Array:
    tiny = float(np.finfo(np.float64).tiny)
    found: Array = 2.0 ** rounded(np.log2(np.maximum(steps, tiny)))
    return found


@dataclass
class Found:
    """Derivatives and their error estimates, of shape (lanes, m), NaN and infinity where no step
    stays inside, and which schemes they come from."""

    best: Array
    error: Array
    scheme: Array
    step: Array

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Found:
        """Nothing yet."""
        whole = np.full(shape, np.inf)
        return cls(np.full(shape, np.nan), whole, np.full(shape, -1), whole.copy())

    def take(self, lanes: Array, best: Array, error: Array, step: Array, scheme: str) -> None:
        """Take over what is better: it has the smaller estimate. Of two that contradict each other,
        the longer step has skipped something, be its estimate as small as chance made it."""
        old, doubt = self.best[lanes], self.error[lanes]
        # An infinite error estimate beside a finite number would let anything agree with it.
        known = np.isfinite(best) & np.isfinite(error)
        step = np.broadcast_to(step[:, None], best.shape)
        contradiction = np.abs(best - old) > error + doubt
        closer = np.where(contradiction, step < self.step[lanes], ~(error >= doubt))
        better = known & closer
        self.best[lanes] = np.where(better, best, old)
        self.error[lanes] = np.where(better, error, doubt)
        self.step[lanes] = np.where(better, step, self.step[lanes])
        self.scheme[lanes] = np.where(better, _NAMES.index(scheme), self.scheme[lanes])

    def titles(self) -> list[str]:
        """The schemes in words, the most frequent first."""
        counts = np.bincount(self.scheme[self.scheme >= 0], minlength=len(_NAMES))
        order = np.argsort(-counts, kind="stable")
        return [SCHEMES[_NAMES[index]].title for index in order if counts[index]]


def derivative(
    line: Line,
    middle: Array,
    attempts: Iterable[Attempt],
    *,
    center: Array,
    domain: tuple[Array | float, Array | float],
    named: bool = False,
) -> Found:
    """The derivative at `center`, of shape (lanes,), inside the interval `domain`; none where the
    center is NaN.

    `middle` are the values at the centers. Where a quotient is zero, so is the derivative if the
    step was one for arguments of magnitude 1: exp(1e-12 + 6e-18) is 1 too. A scheme that raises
    Unsupported is passed over, unless it is `named`.
    """
    count = len(center)
    found = Found.none((count, middle.shape[-1]))
    done, sharp = np.zeros((2, count), bool)
    # Steps that short lose the derivative in rounding, steps that long pass over something.
    short, long = np.zeros(count), np.full(count, np.inf)
    for attempt in attempts:
        for scales in attempt.scales:
            for rule, lanes, steps in _fitting(attempt, scales, center, domain):
                size = np.abs(steps)
                worth = ~done[lanes]
                worth &= (short[lanes] < size) & (size < long[lanes])
                lanes, steps, size = lanes[worth], steps[worth], size[worth]
                if not lanes.size:
                    continue
                try:
                    best, error, noise = rule.apply(line, middle, lanes, steps)
                except Unsupported:
                    if named:
                        raise
                    break
                # Where nothing moves at all, something on the way may have swallowed the step.
                flat = (best == 0) & (error == 0)
                error = np.where(flat, ROUNDING * EPS / size[:, None], error)
                found.take(lanes, best, error, size, attempt.name)
                sharp[lanes] |= scales[lanes] >= 1
                zero = (found.best[lanes] == 0) & sharp[lanes, None]
                small = found.error[lanes] <= attempt.good * np.abs(found.best[lanes])
                done[lanes] = np.all(zero | small, axis=1)
                lost = np.all(error <= ROUNDED * noise, axis=1)
                far = np.any(error > ROUNDED * noise, axis=1)
                short[lanes] = np.where(lost, size, short[lanes])
                long[lanes] = np.where(far, size, long[lanes])
            if np.all(done):
                break
    _look_closely(found, line, middle, center, domain)
    return found


def _look_closely(
    found: Found,
    line: Line,
    middle: Array,
    center: Array,
    domain: tuple[Array | float, Array | float],
) -> None:
    """Widen the error of what a quotient over the shortest distance contradicts.

    A step may pass over many jumps so evenly that nothing shows: of x floor(x), a secant at 1000
    has the slope 2000. The shortest distance is that over which the function changes by a few times
    its rounding errors.
    """
    analytic = found.scheme == _NAMES.index("complex")
    lanes = np.flatnonzero(np.all(np.isfinite(found.error) & ~analytic, axis=1))
    if not lanes.size or not found.best.size:
        return
    places, _, errors = line(lanes, np.zeros(len(lanes)))
    noise = np.max(np.abs(errors), axis=1)
    size = np.maximum(np.abs(found.best[lanes]), found.error[lanes]).max(axis=1)
    with np.errstate(all="ignore"):
        steps = np.maximum(CLOSE * noise / size, CLOSE * EPS * np.abs(places[:, 0]))
    steps = _power_of_two(steps, np.ceil)
    shorter = np.isfinite(steps) & (steps < np.min(found.step[lanes], axis=1))
    lanes, steps = lanes[shorter], steps[shorter]
    low, high = domain
    for sign in (1.0, -1.0):
        offsets = sign * steps
        inside = (low <= center[lanes] + offsets) & (center[lanes] + offsets <= high)
        some = lanes[inside]
        if not some.size:
            continue
        places, values, errors = line(some, offsets[inside])
        apart = places - center[some, None]
        with np.errstate(all="ignore"):
            quotient = (values - middle) / apart
            off = np.abs(quotient - found.best[some])
            allowed = found.error[some] + 2 * np.abs(errors / apart)
            contradicted = np.where(np.isfinite(off), off + allowed, np.inf)
        found.error[some] = np.where(off <= allowed, found.error[some], contradicted)


def _fitting(
    attempt: Attempt, scales: Array, center: Array, domain: tuple[Array | float, Array | float]
) -> Iterator[tuple[Rule, Array, Array]]:
    """The rules that stay inside the domain, with the lanes in which they do, and their steps: to
    both sides if there is as much room as to one, with shorter steps if need be."""
    low, high = domain
    rule, edge = SCHEMES[attempt.name].rule, SCHEMES[attempt.name].edge
    steps, outer = attempt.steps(rule, scales), attempt.steps(edge, scales)
    below, above = center - low, high - center
    room = np.minimum(below, above)
    if attempt.step is None:
        fitting = _power_of_two(np.minimum(room, 1e300) / rule.reach, np.floor)
        steps = np.where(room >= edge.reach * outer, np.minimum(steps, fitting), steps)
    reach = rule.reach * steps
    inside = (low <= center - reach) & (center + reach <= high)
    yield rule, *_of(np.flatnonzero(inside), steps)
    reach = edge.reach * outer
    up = ~inside & (center + reach <= high)
    down = ~inside & ~up & (low <= center - reach)
    yield edge, *_of(np.flatnonzero(up), outer)
    yield edge, *_of(np.flatnonzero(down), -outer)


def _of(lanes: Array, steps: Array) -> tuple[Array, Array]:
    return lanes, steps[lanes]


def along(
    function: Callable[[list[Array]], tuple[Array, Array]],
    variables: Sequence[Array],
    tangents: Sequence[Array],
    domains: Sequence[tuple[float, float]],
    plan: Plan,
    eps: float,
    quality: float = 1.0,
    middle: tuple[Array, Array] | None = None,
) -> Found:
    """The derivative of `function` at `variables` along `tangents`, in one lane.

    `function` gives a 1-d array of values and bounds of their rounding errors, which are good to
    eps**quality; `middle` is what `middle_of` says, where that is known. Steps are real, since no
    line is worth the price of whole arrays of complex numbers.
    """
    here, slip = middle or middle_of(function, variables, eps)

    def line(_lanes: Array, offsets: Array) -> tuple[Array, Array, Array]:
        values, errors = [], []
        for t in offsets:
            moved = [
                _moved(x, t, v, domain)
                for x, v, domain in zip(variables, tangents, domains, strict=True)
            ]
            value, error = function(moved)
            values.append(value)
            errors.append(error + slip)
        return offsets[:, None], np.array(values), np.array(errors)

    inside = [_room(*each) for each in zip(variables, tangents, domains, strict=True)]
    largest, smallest = _scales(variables, tangents)
    scales = dict.fromkeys((largest, 1.0, smallest))
    return derivative(
        line,
        here[None],
        plan.attempts([np.array([each]) for each in scales], eps, quality, False),
        center=np.zeros(1),
        domain=(
            max((low for low, _ in inside), default=-math.inf),
            min((high for _, high in inside), default=math.inf),
        ),
        named=plan.numeric != "auto",
    )


def _moved(x: Array, t: float, v: Array, domain: tuple[float, float]) -> Array:
    """`x + t v`, clipped, since rounding may lead out of the domain."""
    found: Array = np.asarray(x + t * v, x.dtype)
    return found if domain == EVERYWHERE else np.clip(found, *domain)


def middle_of(
    function: Callable[[list[Array]], tuple[Array, Array]], variables: Sequence[Array], eps: float
) -> tuple[Array, Array]:
    """The values at `variables`, and what rounding each element of `x + t v` does to them: what a
    unit in the last place of the arguments does, in random directions."""
    here, _ = function(list(variables))
    rng = np.random.default_rng(here.size)
    slip = np.zeros(here.shape)
    for _ in range(SHAKES):
        shaken = []
        for x in variables:
            factors = 1 + eps * (2.0 * rng.integers(0, 2, x.shape, dtype=np.int8) - 1)
            shaken.append(np.asarray(x * factors, x.dtype))
        slip = np.fmax(slip, np.abs(function(shaken)[0] - here))
    return here, np.where(np.isfinite(slip), slip, 0.0)


def _scales(variables: Sequence[Array], tangents: Sequence[Array]) -> tuple[float, float]:
    """Of t: with which the largest element doubles, and with which the fastest one does."""
    largest, fastest, smallest = 0.0, 0.0, math.inf
    for x, v in zip(variables, tangents, strict=True):
        size, speed = np.abs(x), np.abs(v)
        telling = np.isfinite(size) & (size > 0) & (speed > 0)
        size, speed = size[telling].astype(np.float64), speed[telling].astype(np.float64)
        largest = max(largest, float(np.max(size, initial=0.0)))
        fastest = max(fastest, float(np.max(speed, initial=0.0)))
        smallest = min(smallest, float(np.min(size / speed, initial=math.inf)))
    if not fastest:
        return 1.0, 1.0
    return largest / fastest, min(smallest, largest / fastest)


def _room(x: Array, v: Array, domain: tuple[float, float]) -> tuple[float, float]:
    """The interval of t in which every element of `x + t v` stays inside the domain."""
    low, high = domain
    if (low, high) == EVERYWHERE:
        return EVERYWHERE
    moving = (v != 0) & np.isfinite(x)
    ends = np.stack([low - x[moving], high - x[moving]]) / v[moving]
    return (
        float(np.max(np.min(ends, axis=0), initial=-math.inf)),
        float(np.min(np.max(ends, axis=0), initial=math.inf)),
    )


def scales_in(domain: tuple[float, float], values: Array) -> Array:
    """By how much less than the others each element may move inside the interval `domain`. Elements
    at the edge itself have no room to either side, and no scale helps."""
    room = np.minimum(values - np.float64(domain[0]), np.float64(domain[1]) - values)
    # No step is longer than the largest element, or than the largest room.
    sizes = (each[np.isfinite(each)] for each in (np.abs(values), room))
    unit = min(float(np.max(each, initial=0.0)) for each in sizes)
    near = (room > 0) & (room < NEAR * unit)
    if not np.any(near):
        return np.broadcast_to(1.0, values.shape)
    found = np.ones(values.shape)
    found[near] = 2.0 ** np.floor(np.log2(room[near] / unit))
    return found


def joined(arrays: Iterable[Array]) -> Array:
    """All elements, one after the other, as float64."""
    return np.concatenate([np.zeros(0), *(np.ravel(each) for each in arrays)])

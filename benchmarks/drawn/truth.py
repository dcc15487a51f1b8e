"""The true gradients of a drawn program, by mpmath alone, and what differs from them.

`backward` is run with many bits; that it is right is no assumption, but checked against differences
of `forward` at a step of 2^-200, along a direction in which every element weighs the same, however
small it is. At a kink there is no gradient, but those of the pieces around: they are run at points
so near that nothing else changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from mpmath import mp, mpf

from drawn.drawing import Drawn
from drawn.exact import Beyond, Numbers, exact, lifted
from harness.dtypes import FORMATS

#: Bits of the evaluation, of a second one that tells what the first has lost, and of the step.
BITS, MORE, STEP = 300, 800, 250
#: Points around a kink, whose gradients are those of the pieces.
AROUND = 24
#: Relative difference from which two numbers are called different, and how well others agree.
DIFFERENT, SAME = 1e-6, 1e-30


@dataclass
class Truth:
    """The gradients of a program at its point: between `low` and `high` of each element, which are
    the same where there is no kink."""

    drawn: Drawn
    low: Numbers
    high: Numbers

    @cached_property
    def smooth(self) -> bool:
        """Whether no element is at a kink."""
        return all(
            _apart(a, b) <= SAME
            for name in self.low
            for a, b in zip(self.low[name].ravel(), self.high[name].ravel(), strict=True)
        )

    @cached_property
    def jumps(self) -> bool:
        """Whether an output changes by more than the step explains, on the way to a point beside
        this one."""
        cotangents, step = lifted(self.drawn.cotangents), _step(self.drawn)
        program = exact(self.drawn.text)
        rng = np.random.default_rng(0)
        here = program.value(lifted(self.drawn.inputs), cotangents)
        for _ in range(8):
            offsets = {name: _signs(rng, each) for name, each in self.low.items()}
            there = program.value(_moved(self.drawn, offsets), cotangents)
            if abs(there - here) > step * mpf(2) ** (STEP // 2):
                return True
        return False

    def number(self, name: str, index: tuple[int, ...] = ()) -> float:
        """An element in float64, rounded."""
        return float(self.low[name][index])

    def wrong(self, text: str, least: float = DIFFERENT) -> dict[str, list[tuple[int, ...]]]:
        """Leaf -> the elements in which the backward of `text` is off by more than `least`,
        relative to the larger of the two numbers, and, at a kink, beyond all pieces by as much as
        these are apart. What the dtype rounds to zero is not wrong. Raises Beyond where it cannot
        be evaluated."""
        found = {}
        smallest = FORMATS[self.drawn.dtype].subnormal
        claims = _settled(text, self.drawn)
        for name, claim in claims.items():
            low, high = self.low[name], self.high[name]
            if claim.shape != low.shape:
                found[name] = [()]
                continue
            off = [
                index
                for index in np.ndindex(low.shape)
                if _outside(claim[index], low[index], high[index], least)
                and max(abs(claim[index]), abs(low[index]), abs(high[index])) > smallest
            ]
            if off:
                found[name] = off
        return found


def truth_of(drawn: Drawn) -> Truth:
    """The gradients of a program. Raises Beyond where there are none, AssertionError where the
    drawn `backward` is wrong, which is a fault of the generator."""
    here = _settled(drawn.text, drawn)
    names = [name for name in drawn.inputs if name not in drawn.fixed]
    with mp.workprec(MORE):
        rng = np.random.default_rng(len(drawn.text))
        kinked = any(word in drawn.text for word in KINKED)
        numbers = [each for name in names for each in drawn.inputs[name].ravel()]
        tied = len(set(numbers)) < len(numbers)
        pieces = [here]
        for _ in range(0 if not kinked else AROUND if tied else 3):
            nudged = _moved(drawn, {name: _signs(rng, drawn.inputs[name]) for name in names})
            pieces.append(_beside(_at(drawn.text, nudged, drawn), here))
        low = {name: np.minimum.reduce([each[name] for each in pieces]) for name in names}
        high = {name: np.maximum.reduce([each[name] for each in pieces]) for name in names}
        truth = Truth(drawn, low, high)
        if truth.smooth and not (kinked and truth.jumps):
            _check(drawn, here, rng)
    return truth


def _settled(text: str, drawn: Drawn) -> Numbers:
    """The gradients of a text, evaluated twice: what only the number of bits makes differ from zero
    is zero. Raises Beyond where that cannot be told."""
    rough, fine = (_gradient(text, drawn, bits) for bits in (BITS, MORE))
    for name, each in fine.items():
        if rough[name].shape != each.shape:
            raise Beyond("the shape depends on the numbers")
        for index in np.ndindex(each.shape):
            size = max(abs(rough[name][index]), abs(each[index]))
            if abs(rough[name][index] - each[index]) > 1e-12 * size:
                if abs(each[index]) > size * mpf(2) ** (-BITS // 2):
                    raise Beyond("cancels too much for the bits that there are")
                fine[name] = each = each.copy()  # it may be a view
                each[index] = mpf(0)
    return fine


def _beside(piece: Numbers, here: Numbers) -> Numbers:
    """The gradients of a piece: what cancels at the point, and beside it to the last bits, is
    zero."""
    largest = max(abs(each) for array in piece.values() for each in array.ravel())
    for name, array in piece.items():
        array = piece[name] = array.copy()  # it may be a view
        for index in np.ndindex(array.shape):
            if not here[name][index] and abs(array[index]) < largest * mpf(2) ** -BITS:
                array[index] = mpf(0)
    return piece


#: Literals that are rounded: with them a right backward is right to as many digits.
ROUNDED = ("0.6931471805599453",)
KINKED = "where maximum minimum abs sign clip max( min( sort floor norm argmax".split()


def _check(drawn: Drawn, gradient: Numbers, rng: np.random.Generator) -> None:
    """The backward against differences of `forward`, in a direction that weighs elements alike."""
    direction = {}
    for name, each in gradient.items():
        weights = np.frompyfunc(lambda g: 1 / abs(g) if g else mpf(1), 1, 1)(each)
        direction[name] = np.asarray(_signs(rng, each) * weights, dtype=object).reshape(each.shape)
    largest = max(max(abs(v) for v in each.ravel()) for each in direction.values())
    direction = {name: np.asarray(each / largest) for name, each in direction.items()}
    cotangents = lifted(drawn.cotangents)
    program, step = exact(drawn.text), _step(drawn)
    ahead, behind = (
        program.value(_moved(drawn, {n: side * each for n, each in direction.items()}), cotangents)
        for side in (1, -1)
    )
    terms = [
        g * v for n in gradient for g, v in zip(*_flat(gradient[n], direction[n]), strict=True)
    ]
    size, off = sum(map(abs, terms)), abs((ahead - behind) / (2 * step) - sum(terms))
    noise = (abs(ahead) + abs(behind)) * mpf(2) ** (20 - mp.prec) / step
    if noise > size * mpf(2) ** -60 and size > mpf(2) ** (-MORE // 2):
        raise Beyond("cancels too much for the bits that there are")
    rounded = any(word in drawn.text for word in ROUNDED)
    assert off <= (1e-14 if rounded else mpf(2) ** -60) * size + noise + mpf(2) ** (-MORE // 3), (
        f"the generator wrote a wrong backward: {drawn.name}: off by {mp.nstr(off, 5)}\n"
        f"{drawn.text}"
    )


def _flat(*arrays: Any) -> list[Any]:
    return [np.asarray(each).ravel() for each in arrays]


def _step(drawn: Drawn) -> Any:
    """So near that nothing else changes, whatever the inputs are."""
    sizes = [abs(each) for name in drawn.inputs for each in drawn.inputs[name].ravel() if each]
    return mpf(2) ** -STEP * mpf(min([1.0, *sizes]))


def _signs(rng: np.random.Generator, like: Any) -> Any:
    values = rng.choice([-1, 1], np.shape(like)) * rng.integers(2**20, 2**21, np.shape(like))
    return np.frompyfunc(lambda each: mpf(int(each)) / 2**21, 1, 1)(values)


def _moved(drawn: Drawn, offsets: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs, moved by so many steps."""
    inputs, step = lifted(drawn.inputs), _step(drawn)
    for name, each in offsets.items():
        inputs[name] = np.asarray(inputs[name] + each * step, dtype=object)
    return inputs


def _gradient(text: str, drawn: Drawn, bits: int) -> Numbers:
    with mp.workprec(bits):
        return _at(text, lifted(drawn.inputs), drawn)


def _at(text: str, inputs: dict[str, Any], drawn: Drawn) -> Numbers:
    return exact(text).gradient(inputs, lifted(drawn.cotangents))


def _apart(a: Any, b: Any) -> float:
    size = max(abs(a), abs(b))
    return float(abs(a - b) / size) if size else 0.0


def _outside(claim: Any, low: Any, high: Any, least: float) -> bool:
    """Whether a number is none of those from low to high, nor near."""
    spread = high - low
    if low - spread <= claim <= high + spread:
        return False
    return min(_apart(claim, low), _apart(claim, high)) > least

"""A difference quotient, and how far it may be off.

A quotient is only worth something together with its error, so each comes with one: the truncation
error from a second quotient with a larger step, a kink from the second difference, the rounding
error from that of the function. The step balances truncation and rounding, eps**(1/3) times the
magnitude of the argument (Press et al., Numerical Recipes, section 5.7); where that turns out poor,
steps for other magnitudes are tried and the quotient with the smallest error estimate is kept. No
evaluation leaves a declared domain: at its edge the quotient is one-sided, of the same order.

The function has one argument, along an axis or along any other line; its values are numbers or
arrays of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from harness.model import Array

#: The function on its line: offset -> the place that the offset really led to, the values there,
#: and bounds of their rounding errors.
Line: TypeAlias = Callable[[float], tuple[float, Any, Any]]

#: The domain of an argument that has none.
EVERYWHERE = (-math.inf, math.inf)
#: Rounding error of one evaluation of a function, in units of eps times its magnitude.
ROUNDING = 16.0
#: The second step, in units of the first. Not a power of two: a function with such a period (a
#: quantizer, say) would look constant to both.
COARSE = 1.75
#: A quotient whose relative error estimate exceeds eps to this power is tried with other steps:
#: 5e-7 in float64, 2e-3 in float32, some thousand times what a well chosen step leaves.
POOR = 0.4
#: Runs that tell what rounding the arguments does to a function.
SHAKES = 2


def steps(scales: Iterable[float], root: float) -> Iterator[float]:
    """Steps to try in turn: `root` times each scale, as powers of two, so that `x + h` is mostly
    exact."""
    for scale in dict.fromkeys(scales):
        yield 2.0 ** round(math.log2(max(root * scale, float(np.finfo(np.float64).tiny))))


def quotient(
    line: Line,
    middle: Any,
    tried: Iterable[float],
    *,
    center: float,
    domain: tuple[float, float],
    eps: float,
    sharp: bool,
) -> tuple[Any, Any]:
    """The derivative at `center`, an element of the interval `domain`, and its error estimate:
    NaN and infinity where no step stays inside.

    `middle` is the value at the center, `tried` are the steps in turn. Where the first quotient is
    zero, so is the derivative if the step was large enough to tell, that is `sharp`:
    exp(1e-12 + 6e-18) is 1 too.
    """
    best, error = np.full(np.shape(middle), np.nan), np.full(np.shape(middle), np.inf)
    for step in tried:
        for direction in _stencils(center, step, domain):
            found, uncertain = _difference(line, middle, step, direction)
            # An infinite error estimate beside a finite number would let anything agree with it.
            known = np.isfinite(found) & np.isfinite(uncertain)
            better = known & ~(uncertain >= error)
            best, error = np.where(better, found, best), np.where(better, uncertain, error)
            if np.all(((best == 0) & sharp) | (error <= eps**POOR * np.abs(best))):
                return best, error
        sharp = True
    return best, error


def _stencils(center: float, step: float, domain: tuple[float, float]) -> list[int]:
    """0 for a central quotient, +1 or -1 for a one-sided one: what stays inside the domain."""
    low, high = domain
    if low <= center - 2 * step and center + 2 * step <= high:
        return [0]
    sides = []
    if center + 4 * step <= high:
        sides.append(1)
    if low <= center - 4 * step:
        sides.append(-1)
    return sides


def _difference(line: Line, middle: Any, step: float, direction: int) -> tuple[Any, Any]:
    """Quotient with `step`, and its error from the one with a larger step.

    `middle` is the function at the center. Exactly at relu's kink both central quotients are 0.5,
    as if that were certain. The second difference over the step tells: it halves with the step
    where the function is smooth, and stays, being the jump of the derivative, where it is not.
    """
    jump: Any = 0.0
    if direction == 0:
        (x1, f1, e1), (x0, f0, e0) = line(step), line(-step)
        (x3, f3, _), (x2, f2, _) = line(COARSE * step), line(-COARSE * step)
        if x1 == x0:  # the step is below the spacing of the floats here
            return np.nan, np.inf
        fine, coarse = (f1 - f0) / (x1 - x0), (f3 - f2) / (x3 - x2)
        rounding = (e1 + e0) / (x1 - x0)
        second = 2 * (f1 - 2 * middle + f0) / (x1 - x0)
        jump = 2 * second - 2 * (f3 - 2 * middle + f2) / (x3 - x2)
    else:
        side = direction * step
        (x0, f0, e0), (x1, f1, e1) = line(0.0), line(side)
        (x2, f2, _), (x4, f4, _) = line(2 * side), line(4 * side)
        if x2 == x0:
            return np.nan, np.inf
        fine = (-3 * f0 + 4 * f1 - f2) / (x2 - x0)
        coarse = (-3 * f0 + 4 * f2 - f4) / (x4 - x0)
        rounding = 4 * (e1 + e0) / abs(x2 - x0)
    # The factor 5 covers functions for which two steps are not yet enough for asymptotics.
    return fine, 5 * np.abs(fine - coarse) + np.abs(jump) / 2 + rounding


def along(
    function: Callable[[list[Array]], tuple[Array, Array]],
    variables: Sequence[Array],
    tangents: Sequence[Array],
    domains: Sequence[tuple[float, float]],
    tried: Callable[[Sequence[float]], Iterable[float]],
    eps: float,
) -> tuple[Array, Array]:
    """The derivative of `function` at `variables` along `tangents`, with its error estimate.

    `function` gives a 1-d array of values and bounds of their rounding errors; `tried` makes the
    steps to try out of the scales that the variables have.
    """
    here, _ = function(list(variables))
    # Each element of `x + t v` is rounded. What that does is what a unit in the last place of the
    # arguments does, in random directions.
    rng = np.random.default_rng(here.size)
    slip = np.zeros(here.shape)
    for _ in range(SHAKES):
        signs = [rng.choice([-1.0, 1.0], x.shape) for x in variables]
        shaken = [
            np.asarray(x * (1 + eps * sign), x.dtype)
            for x, sign in zip(variables, signs, strict=True)
        ]
        slip = np.fmax(slip, np.abs(function(shaken)[0] - here))
    slip = np.where(np.isfinite(slip), slip, 0.0)

    def line(t: float) -> tuple[float, Array, Array]:
        moved = [
            np.clip(np.asarray(x + t * v, x.dtype), *domain)  # rounding may lead out of it
            for x, v, domain in zip(variables, tangents, domains, strict=True)
        ]
        values, errors = function(moved)
        return t, values, errors + slip

    inside = [_room(*each) for each in zip(variables, tangents, domains, strict=True)]
    size, speed = (np.abs(joined(each)) for each in (variables, tangents))
    telling = np.isfinite(size) & (size > 0) & (speed > 0)
    size, speed = size[telling], speed[telling]
    largest = float(np.max(size) / np.max(speed)) if telling.any() else 1.0
    smallest = float(np.min(size / speed, initial=largest))
    return quotient(
        line,
        here,
        tried((largest, 1.0, smallest, largest / 64, largest / 4096)),
        center=0.0,
        domain=(
            max((low for low, _ in inside), default=-math.inf),
            min((high for _, high in inside), default=math.inf),
        ),
        eps=eps,
        sharp=largest >= 1,
    )


def _room(x: Array, v: Array, domain: tuple[float, float]) -> tuple[float, float]:
    """The interval of t in which every element of `x + t v` stays inside the domain."""
    low, high = domain
    moving = (v != 0) & np.isfinite(x)
    ends = np.stack([low - x[moving], high - x[moving]]) / v[moving]
    return (
        float(np.max(np.min(ends, axis=0), initial=-math.inf)),
        float(np.min(np.max(ends, axis=0), initial=math.inf)),
    )


def joined(arrays: Iterable[Array]) -> Array:
    """All elements, one after the other, as float64."""
    return np.concatenate([np.zeros(0), *(np.ravel(each) for each in arrays)])

"""<cotangents, outputs> with one element moved, for many elements at once.

Everything at once is what makes it fast (`batched`), and what could make it wrong: so two
inputs of each call, drawn at random, are evaluated by themselves as well, and where the numbers
differ by more than rounding, or `forward` does what cannot be batched, one after the other it is.
Complex steps go through the batched functions alone, since they know what is analytic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from harness.differences.batched import xp as batched_xp
from harness.differences.lanes import MOST, Batched, Wide
from harness.differences.stencils import ROUNDING, Line
from harness.errors import Unsupported
from harness.model import Array, Sample
from harness.programs import trees
from harness.programs.program import Program

#: Lanes in one call, as long as they need not be written out.
LANES = 2**14
#: Evaluations by themselves in each call, and lanes of the fewest that are worth a batch.
PROBES, FEWEST = 2, 4
#: Places, relative to each argument, at which the rounding of the function is measured; what the
#: worst of them is off by, any place may be off by so many times.
NEARBY, SPREAD = (0.0, 2.0**-40, -(2.0**-28), 2.0**-16, -(2.0**-10)), 4.0


class Perturbed:
    """A program at one sample whose elements are to be moved. `names` are the leaves and then the
    intermediates, `variables` the arrays that they are in, in C order."""

    def __init__(
        self,
        program: Program,
        sample: Sample,
        intermediates: Sequence[str],
        xp: Any,
        carrier: type[np.floating[Any]] = np.float64,
    ) -> None:
        self.program, self.sample, self.xp, self.carrier = program, sample, xp, carrier
        self.intermediates = tuple(intermediates)
        self.names = (*sample.differentiable, *intermediates)
        self.variables = [
            np.array(array, order="C") for array in trees.variables(sample, intermediates)
        ]
        self.eps = float(np.finfo(sample.dtype).eps)
        self.batches = True
        self._assemble = trees.assembler(sample, lambda array: array)
        shapes = [each.shape for each in (*self.variables, *sample.cotangents)]
        shapes += sample.intermediates.values()
        largest = max(int(np.prod(shape)) for shape in shapes)
        self._block, self._narrow = LANES, max(min(MOST // max(largest, 1), LANES), 1)
        self._rng = np.random.default_rng(0)

    def contracted(self, variables: Sequence[Any], xp: Any = None) -> tuple[Any, Any]:
        """<cotangents, outputs> and the sum of the magnitudes of its terms; one of each per lane
        where there are lanes."""
        count = len(self.sample.differentiable)
        leaves = dict(zip(self.intermediates, variables[count:], strict=True))
        inputs = self._assemble(variables[:count])
        trace = self.program.forward(xp or self.xp, inputs, leaves)
        total: Any = 0.0
        magnitude: Any = 0.0
        for cotangent, output in zip(self.sample.cotangents, trace.outputs, strict=True):
            one, size = _contract(cotangent, output, self.carrier)
            total, magnitude = total + one, magnitude + size
        return total, magnitude

    def domain(self, name: str) -> tuple[float, float]:
        """The interval that a variable has to stay in."""
        return self.sample.domains.get(name, (-math.inf, math.inf))

    def middle(self) -> float:
        """The contraction where nothing is moved."""
        return float(self.contracted(self.variables)[0])

    def line(self, position: int) -> Line:
        """The contraction with one element of variable `position` moved; lanes are flat indices."""
        flat = self.variables[position].reshape(-1)

        def line(lanes: Array, offsets: Array) -> tuple[Array, Array, Array]:
            if offsets.dtype.kind == "c":
                found = self._complex(position, lanes, flat[lanes].astype(np.float64) + offsets)
            else:
                found = self.at(position, lanes, (flat[lanes] + offsets).astype(flat.dtype))
            places, values, magnitudes = (np.asarray(each)[:, None] for each in found)
            return places, values, self.rounding(magnitudes)

        return line

    def rounding(self, magnitudes: Any) -> Any:
        """Bounds of the rounding errors of contractions whose terms have these magnitudes."""
        return ROUNDING * self.eps * magnitudes + self.noise

    @cached_property
    def noise(self) -> float:
        """How far a contraction is off here because of rounding on the way to it, which its terms
        do not show: log(1 + x) of a small x loses all of x. What wider arithmetic makes of the same
        numbers tells; 0 where there is none."""
        domains = [self.domain(name) for name in self.names]
        places = list(nearby(self.variables, domains))
        for carrier in wider(self.sample.dtype):
            wide, worst, known = self._in(carrier), 0.0, False
            for moved in places:
                try:
                    with np.errstate(all="ignore"):
                        here, _ = self.contracted(moved)
                        there, _ = wide.contracted([each.astype(carrier) for each in moved])
                except Exception:  # a library that knows no such numbers, or there is no value
                    continue
                off = abs(float(here - there))
                worst, known = (max(worst, off) if math.isfinite(off) else worst), True
            if known:
                return SPREAD * worst
        return 0.0

    def _in(self, carrier: type[np.floating[Any]]) -> Perturbed:
        """The same in other arithmetic."""

        def convert(_path: str, leaf: Any) -> Any:
            return leaf.astype(carrier) if leaf.dtype.kind == "f" else leaf

        sample = replace(
            self.sample,
            inputs=dict(trees.map_with_path(convert, self.sample.inputs)),
            cotangents=tuple(each.astype(carrier) for each in self.sample.cotangents),
        )
        return Perturbed(self.program, sample, self.intermediates, self.xp, carrier)

    def _complex(self, position: int, lanes: Array, own: Array) -> tuple[Array, Array, Array]:
        """In float64 whatever the dtype of the sample: a float32 has no room for the step."""
        wide = self
        if self.sample.dtype != "float64":
            wide = Perturbed(
                self.program, trees.cast(self.sample, "float64"), self.intermediates, self.xp
            )
        try:
            values, magnitudes = wide._batched(position, lanes, own)
        except Unsupported:
            raise
        except Exception as error:  # what the case does with what is not quite an array
            raise Unsupported(f"{type(error).__name__}: {error}") from error
        return own, values, magnitudes

    def at(self, position: int, lanes: Array, own: Array) -> tuple[Array, Array, Array]:
        """Places, contractions and magnitudes, with the numbers `own` at the flat indices `lanes`,
        one at a time."""
        places = own.astype(np.float64)
        if self.batches and self._narrow >= FEWEST and len(lanes) >= FEWEST:
            try:
                values, magnitudes = self._batched(position, lanes, own)
            except Exception:  # what the case does with what is not quite an array
                self.batches = False
            else:
                if self._confirmed(position, lanes, own, values, magnitudes):
                    return places, values, magnitudes
                self.batches = False
        return places, *self._single(position, lanes, own)

    def slopes(self, position: int, step: float | None) -> Array:
        """Plain central quotients of each element of one variable, by two evaluations each, NaN
        where the step is lost; at the edge of a domain one-sided."""
        variable = self.variables[position]
        low, high = self.domain(self.names[position])
        center = variable.reshape(-1)
        away = step or self.eps ** (1 / 3) * np.maximum(np.abs(center), 1.0)
        # Training may carry a parameter out of its domain; then there is none to keep.
        inside = (low <= center) & (center <= high)
        above = np.minimum(center + away, np.where(inside, high, np.inf))
        below = np.maximum(center - away, np.where(inside, low, -np.inf))
        own = np.stack([above, below]).astype(variable.dtype)
        lanes = np.tile(np.arange(variable.size), 2)
        places, values, _ = (
            each.reshape(2, *variable.shape) for each in self.at(position, lanes, own.ravel())
        )
        apart = places[0] - places[1]
        return np.asarray((values[0] - values[1]) / np.where(apart > 0, apart, np.nan))

    def _single(self, position: int, lanes: Array, own: Array) -> tuple[Array, Array]:
        """One after the other."""
        flat = self.variables[position].reshape(-1)
        found = np.empty((2, len(lanes)))
        for place, (lane, number) in enumerate(zip(lanes, own, strict=True)):
            kept = flat[lane]
            flat[lane] = number
            try:
                found[:, place] = self.contracted(self.variables)
            except (np.linalg.LinAlgError, ArithmeticError):  # there is no value there
                found[:, place] = np.nan
            finally:
                flat[lane] = kept
        return found[0], found[1]

    def _batched(self, position: int, lanes: Array, own: Array) -> tuple[Array, Array]:
        """A block of lanes at a time. Raises Unsupported, and whatever else."""
        values = np.empty(len(lanes), own.dtype if own.dtype.kind == "c" else np.float64)
        magnitudes = np.empty_like(values)
        variables: list[Any] = list(self.variables)
        start = 0
        while start < len(lanes):
            block = slice(start, start + self._block)
            variables[position] = Batched.moved(self.variables[position], lanes[block], own[block])
            try:
                values[block], magnitudes[block] = self.contracted(variables, batched_xp)
            except Wide:
                if self._block == self._narrow:
                    raise
                self._block = self._narrow
            else:
                start = block.stop
        return values, magnitudes

    def _confirmed(
        self, position: int, lanes: Array, own: Array, values: Array, magnitudes: Array
    ) -> bool:
        """Whether some lanes are what they are by themselves."""
        some = self._rng.choice(len(lanes), min(PROBES, len(lanes)), replace=False)
        alone, _ = self._single(position, lanes[some], own[some])
        allowed = self.rounding(magnitudes[some])
        same = np.abs(alone - values[some]) <= allowed
        return bool(np.all(same | (np.isnan(alone) & np.isnan(values[some]))))


def wider(dtype: str) -> list[type[np.floating[Any]]]:
    """Dtypes with more digits than a float dtype, the widest first; numpy's linear algebra knows
    float64 at most."""
    eps = np.finfo(dtype).eps
    return [each for each in (np.longdouble, np.float64) if np.finfo(each).eps < eps]


def nearby(
    variables: Sequence[Array], domains: Sequence[tuple[float, float]]
) -> Iterator[list[Array]]:
    """The variables, and some places beside them, at which rounding is another."""
    rng = np.random.default_rng(0)
    for distance in NEARBY:
        moved = []
        for each, domain in zip(variables, domains, strict=True):
            factors = 1 + distance * rng.uniform(0.5, 1, each.shape)
            inside = np.clip(each * factors, *domain) if distance else each
            moved.append(np.asarray(inside, each.dtype))
        yield moved


def _contract(cotangent: Array, output: Any, carrier: type[np.floating[Any]]) -> tuple[Any, Any]:
    """The sum of the products, in float64 or wider, and of their magnitudes (of either part). Lanes
    that differ in one element are told from that one."""
    if not isinstance(output, Batched):
        return _sums(np.multiply(cotangent, output, dtype=carrier), None)
    wide = np.complex128 if output.complex else np.float64
    if output.common is None or output.spots is None or output.own is None:
        stacked = output.stacked
        terms = np.multiply(cotangent, stacked, dtype=wide)
        return _sums(terms, tuple(range(1, terms.ndim)))
    whole = np.multiply(cotangent, output.common, dtype=wide)
    there = whole.reshape(-1)[output.spots]
    moved = np.multiply(cotangent.reshape(-1)[output.spots], output.own, dtype=wide)
    total, magnitude = _sums(whole, None)
    if not np.isfinite(total):
        raise Unsupported("batched: a sum that is not finite")
    return total + (moved - there), magnitude + (_size(moved) - _size(there))


def _sums(terms: Array, axes: Any) -> tuple[Any, Any]:
    return terms.sum(axis=axes), _size(terms).sum(axis=axes)


def _size(terms: Array) -> Array:
    """The magnitude of the real and of the imaginary part."""
    if terms.dtype.kind != "c":
        return np.asarray(np.abs(terms))
    return np.asarray(np.abs(terms.real) + 1j * np.abs(terms.imag))

"""What running `backward` tells of each of its lines, apart from all names.

A line is acquitted where no value of it would make all gradients right. Of the others, one is the
more suspect the more plainly the correction that it needs is a function of what it reads.
"""

from __future__ import annotations

import ast
import contextlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness.diagnose import span
from harness.diagnose.points import Point, elsewhere
from harness.diagnose.required import (
    Answer,
    Record,
    Required,
    Runs,
    asked,
    is_mask,
    is_number,
    same_values,
)
from harness.diagnose.span import Level
from harness.diagnose.watched import Site, Watched, functions
from harness.model import Sample
from harness.programs.source import Code
from harness.programs.staging import StagedProgram

#: Points that are tried until there is one at which `forward` has derivatives.
POINTS = 3


@dataclass(frozen=True)
class Possible:
    """A site whose value may be the fault: `level` says how plausible that is. `reshaped`: its
    value would need another shape; `lost`: it holds no cotangent and would have to."""

    site: Site
    level: Level
    reshaped: bool = False
    lost: bool = False

    @property
    def rank(self) -> float:
        """The smaller the more suspect."""
        found = float(self.level)
        if self.lost:
            found = 1.0 if self.level <= Level.SUMS else float(Level.NONE)
        return found + 0.5 * self.reshaped


class Evidence:
    """Of one backward at one sample, or beside it where `forward` has no derivative there.

    `point` holds the true gradients; it is None where they are not known. `records` holds what each
    site gave, for each cotangent of the point, or for that of the sample.

    Raises LookupError where the source is not known, and what `forward` raises.
    """

    def __init__(self, code: Code, program: StagedProgram, sample: Sample) -> None:
        self.code, self.program = code, program
        self.watched = Watched(code, program, "backward")
        self.point = _point(program, sample)
        self.sample = self.point.sample if self.point else sample
        runs = self._runs = Runs(self.watched, self.point or Point(program, sample))
        trace = runs.point.trace
        self.known: Mapping[str, Any] = {**runs.point.inputs, **trace.saved}
        given = self.point.cotangents if self.point else [sample.cotangents]
        self.records: list[Record] = [runs.record(each) for each in given]

    @cached_property
    def answers(self) -> dict[int, Answer]:
        """By number of the site: whether a value of it would make all gradients right, for what is
        assigned or returned; not in functions that `forward` calls, which are right by definition.
        Empty without a point."""
        if self.point is None:
            return {}
        shared = functions(self.code, self.program, "forward")
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return {
                site.key: asked(self._runs, site, self.records)
                for site in self.watched.sites
                if site.target and site.function not in shared
            }

    @cached_property
    def required(self) -> dict[int, Required]:
        """What a site would have to give, by the number (`id`) of its node."""
        return {
            id(self.watched.sites[key].node): answer.required
            for key, answer in self.answers.items()
            if answer.required is not None
        }

    @cached_property
    def possible(self) -> list[Possible]:
        """The sites that are not acquitted, most suspect first. Where a line only takes shapes, it
        is none of them."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = [
                self._possible(self.watched.sites[key], answer)
                for key, answer in self.answers.items()
                if not answer.acquitted and (answer.required or self._is_real(key))
            ]
        return sorted(found, key=lambda each: (each.rank, each.site.line))

    @property
    def acquitted(self) -> set[tuple[str, int]]:
        """Function and line where no value would make all gradients right."""
        sites = self.watched.sites
        asked_ = {(sites[key].function, sites[key].line) for key in self.answers}
        return asked_ - {(each.site.function, each.site.line) for each in self.possible}

    def unknown(self, node: ast.expr | None) -> bool:
        """Whether it could not be told what a value should be."""
        keys = [site.key for site in self.watched.sites if site.node is node]
        return any(np.isnan(self.answers[key].misfit) for key in keys if key in self.answers)

    def without_cotangent(self, node: ast.expr) -> bool:
        """Whether a value is the same for every cotangent, and may be."""
        required = self.required.get(id(node))
        if len(self.records) < 2 or (required is not None and required.lost):
            return False
        keys = [site.key for site in self.watched.sites if site.node is node]
        values = [[each.get(key, ()) for each in self.records] for key in keys]
        return bool(values) and all(
            each[0] and all(same_values(each[0], other) for other in each[1:]) for each in values
        )

    def _is_real(self, key: int) -> bool:
        values = self.records[0].get(key, ())
        # It broke off before it came here.
        return not values or any(
            is_mask(each) or (is_number(each) and type(each) is not int) for each in values
        )

    def _possible(self, site: Site, answer: Answer) -> Possible:
        required = answer.required
        if required is None:
            return Possible(site, Level.UNKNOWN)
        found = span.level(self._runs, self.watched.sites, required, self._bends)
        return Possible(site, found, required.shape is not None, required.lost)

    @cached_property
    def _bends(self) -> Sequence[span.Bend]:
        return span.bends(self._runs)


def _point(program: StagedProgram, sample: Sample) -> Point | None:
    """The sample, or a point beside it, with the derivatives of `forward`."""
    for each in (sample, *(elsewhere(sample, seed) for seed in range(POINTS - 1))):
        with contextlib.suppress(Exception):  # balls cannot follow, or not here
            point = Point(program, each)
            if np.all(np.isfinite(point.jacobian)):
                return point
    return None

"""Design section 6: where the frameworks disagree, number by number, out of the atlas.

Each line is one of that table. The numbers come from the frameworks, the labels from certified
one-sided derivatives. The row on complex numbers is out of the referee's reach, whose balls are
real.
"""

from __future__ import annotations

import math
from collections import defaultdict

import pytest

from harness.backends import BUILTIN
from harness.cases.case import Case, load
from harness.cases.registry import builtin_folder
from harness.cases.schema import Gap
from harness.dtypes import is_half
from harness.model import DIRECTIONAL, Mark, Row, Status
from harness.runs.engine import Engine
from harness.runs.plan import Request, cells
from harness.studies.atlas import survey
from harness.truth.balanced import DIGITS

FILES = sorted(builtin_folder().glob("kink_*.yaml"))
NAN = math.nan

#: (case, point, quantity, backends) -> the numbers of autograd, torch, tensorflow and jax, one per
#: element; `native` takes each framework's own op where it has one.
SECTION_6: dict[tuple[str, str, str], list[list[float] | None]] = {
    ("relu", "zero", "d/dx"): [[0.5], [0.5], [1], [0.5]],
    ("relu:native", "zero", "d/dx"): [None, [0], [0], [0]],
    ("clip", "upper", "d/dx"): [[0], [1], [1], [0.5]],
    ("abs", "zero", "d/dx"): [[0], [0], [0], [1]],
    ("norm_2", "zero", "d/dx"): [[NAN] * 2, [0] * 2, [NAN] * 2, [NAN] * 2],
    ("std", "constant", "d/dx"): [[NAN] * 3, [0] * 3, [NAN] * 3, [NAN] * 3],
    ("atan2", "origin", "d/dy"): [[NAN], [0], [NAN], [NAN]],
    ("atan2", "origin", "d/dx"): [[NAN], [0], [NAN], [NAN]],
    ("max_axis", "tie", "d/dx"): [[0, 0.5, 0.5], None, [0, 0.5, 0.5], [0, 0.5, 0.5]],
    ("max_axis:native", "tie", "d/dx"): [None, [0, 1, 0], None, None],
    ("pow_zero", "zero", "d/dx"): [[0], [0], [NAN], [NAN]],
    ("pow_exponent", "negative_base", "d/dx"): [[NAN], [NAN], [0], [NAN]],
    ("sinc:native", "zero", "d/dx"): [[NAN], [0], [NAN], [0]],
    ("prod", "one_zero", "d/dx"): [[NAN, 0, 0], [6, 0, 0], [6, 0, 0], [6, 0, 0]],
}
FRAMEWORKS = ("autograd", "torch", "tensorflow", "jax")

#: The labels of some elements, by certified sides.
LABELS = {
    ("relu", "autograd"): ["mid"],
    ("relu", "tensorflow"): ["right"],
    ("relu", "torch:native"): ["left"],
    ("relu_where", "torch"): ["left"],
    ("abs", "jax"): ["right"],
    ("abs", "torch"): ["mid"],
    ("sqrt", "torch"): ["infinite"],
    ("norm_2", "jax"): ["nan", "nan", "exact", "exact"],
    ("norm_inf", "jax"): ["between", "between", "exact", "mid", "mid"],
    ("pow_exponent", "tensorflow"): ["outside"],
    ("prod", "torch"): ["exact"] * 6,
    ("xlogx_where", "tensorflow:native"): ["left"],
    ("sign", "numeric"): ["unsure"],
}


@pytest.fixture(scope="module")
def loaded() -> list[Case]:
    return [load(file) for file in FILES]


@pytest.fixture(scope="module", params=["float64", "float32"])
def marks(request: pytest.FixtureRequest, loaded: list[Case]) -> dict[tuple[str, str], list[Mark]]:
    asked = Request(dtypes=(request.param,), modes=("vjp",), draws=0)
    found = defaultdict(list)
    for cell, each in survey(loaded, asked):
        found[cell.case.removeprefix("kink_"), cell.backend] += each
    return found


def test_every_number_of_section_6_comes_out(marks: dict[tuple[str, str], list[Mark]]) -> None:
    wrong = []
    for (name, point, quantity), numbers in SECTION_6.items():
        case, _, variant = name.partition(":")
        for framework, expected in zip(FRAMEWORKS, numbers, strict=True):
            if expected is None:
                continue
            label = f"{framework}:{variant}" if variant else framework
            got = [
                mark.got
                for mark in marks[case, label]
                if (mark.point, mark.quantity) == (point, quantity)
            ]
            if got != pytest.approx(expected, nan_ok=True):
                wrong.append((name, label, got, expected))
    assert wrong == []


@pytest.mark.parametrize("place", LABELS, ids="-".join)
def test_the_convention_is_named(
    marks: dict[tuple[str, str], list[Mark]], place: tuple[str, str]
) -> None:
    assert [mark.label for mark in marks[place]] == LABELS[place]


def test_balls_judge_every_point(marks: dict[tuple[str, str], list[Mark]]) -> None:
    every = [mark for each in marks.values() for mark in each]
    assert len(every) > 400
    assert [mark for mark in every if not mark.judged] == []
    raised = {Status.ERROR, Status.UNSUPPORTED, Status.MISSING, Status.FAIL}
    assert [mark for mark in every if mark.label in raised] == []


def test_the_hand_written_backwards_are_valid(marks: dict[tuple[str, str], list[Mark]]) -> None:
    found = [mark for (_, backend), each in marks.items() if backend == "manual" for mark in each]
    assert len(found) > 50
    assert [mark for mark in found if not mark.valid] == []


@pytest.fixture(scope="module")
def rows(loaded: list[Case]) -> list[Row]:
    request = Request(dtypes=("float64", "float32"), modes=("value", "vjp"), draws=1)
    return [row for _, each in Engine(loaded, request).run(cells(loaded, request)) for row in each]


def test_every_gap_is_declared_and_met(rows: list[Row], loaded: list[Case]) -> None:
    assert [row for row in rows if not row.good] == []
    met = {(row.case, row.point, row.backend) for row in rows if row.status == Status.KNOWN}
    declared = {
        (case.name, gap.point, gap.backend)
        for case in loaded
        for gap in case.declared.known
        if gap.mode not in DIRECTIONAL and not is_half(gap.dtype or "float64")
    }
    assert met == declared
    assert {row.backend.partition(":")[0] for row in rows} == set(BUILTIN)


#: (case, gap) of every gap of a JVP or HVP.
DIRECTED = [
    pytest.param(case, gap, id=f"{case.name}-{gap.point}-{gap.backend}-{gap.mode}")
    for case in map(load, FILES)
    for gap in case.declared.known
    if gap.mode in DIRECTIONAL
]


@pytest.mark.parametrize(("case", "gap"), DIRECTED)
def test_a_directional_gap_is_met(case: Case, gap: Gap) -> None:
    asked = Request(
        backends=(gap.backend,),
        dtypes=(gap.dtype or "float64",),
        modes=(gap.mode,),
        points=(gap.point,) if gap.point else tuple(case.declared.points),
        draws=0,
    )
    found = [row for _, each in Engine([case], asked).run(cells([case], asked)) for row in each]
    assert found
    assert {row.status for row in found} == {Status.KNOWN}


def test_away_from_the_kinks_every_method_passes(rows: list[Row]) -> None:
    drawn = [row for row in rows if row.point == "draw0"]
    assert {row.case for row in drawn} == {file.stem for file in FILES}
    assert {row.status for row in drawn} == {Status.PASS}


def test_every_certificate_is_a_verdict(rows: list[Row]) -> None:
    drawn = [row for row in rows if row.quantity == "certificate" and row.point == "draw0"]
    assert len(drawn) == 2 * len(FILES)
    assert min(row.digits for row in drawn) >= DIGITS


def test_a_gap_that_is_gone_fails(loaded: list[Case]) -> None:
    case = next(case for case in loaded if case.name == "kink_prod")
    (gap, *_) = case.declared.known
    assert gap.backend == "autograd"
    wider = gap.model_copy(update={"backend": "torch"})
    case.declared.known.append(wider)
    try:
        request = Request(backends=("torch",), modes=("vjp",), draws=0)
        found = [
            row for _, each in Engine([case], request).run(cells([case], request)) for row in each
        ]
    finally:
        case.declared.known.remove(wider)
    assert {row.status for row in found if row.point == gap.point} == {Status.FIXED}

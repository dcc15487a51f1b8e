"""Which verdicts fail a run, and which of several a cell of the summary shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.model import Row, Status, failing


def row(status: Status, *, written: bool = False) -> Row:
    return Row("c", "p", "default", "float64", "m", "vjp", "d/dx", status, written=written)


@pytest.mark.parametrize("status", ["unstable", "convention", "jump"])
def test_what_a_framework_does_with_reason_is_a_fault_of_a_hand_written_backward(
    status: str,
) -> None:
    assert row(Status(status)).good
    assert not row(Status(status), written=True).good


@pytest.mark.parametrize("written", [False, True])
def test_a_wrong_number_is_never_good_and_a_right_one_always(written: bool) -> None:
    assert not row(Status.FAIL, written=written).good
    assert not row(Status.IMPRECISE, written=written).good
    assert row(Status.PASS, written=written).good


def test_the_worst_status_is_the_one_of_highest_rank() -> None:
    assert Status.PASS.rank < Status.UNDECIDED.rank < Status.IMPRECISE.rank < Status.FAIL.rank
    assert max(Status, key=lambda status: status.rank) is Status.FAIL


@pytest.mark.parametrize(
    ("status", "reference", "proved"),
    [
        (Status.PASS, "certified", True),
        (Status.PASS, "printed", True),
        (Status.PASS, "numeric", False),
        (Status.PASS, "manual", False),
        (Status.UNDECIDED, "certified", False),
        (Status.KINK, "certified", True),
        (Status.KNOWN, "", True),
        (Status.MISSING, "", True),
    ],
)
def test_what_is_not_proved_fails_a_strict_run_alone(
    status: Status, reference: str, proved: bool
) -> None:
    rows = [replace(row(status), reference=reference)]
    assert failing(rows) == []
    assert failing(rows, strict=True) == ([] if proved else rows)

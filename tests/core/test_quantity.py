"""What a row is about: text in every table, and two parts that nobody has to parse."""

from __future__ import annotations

import pickle
from typing import get_args

import pytest

from harness.quantity import ALL, CERTIFICATE, Kind, Quantity

EVERY = [
    *(Quantity(kind, "params.w", expected=expected)
      for kind in get_args(Kind) if kind not in ("certificate", "all", "trained")
      for expected in (False, True)),
    Quantity("trained", "w after 40 steps"),
    CERTIFICATE,
    ALL,
]  # fmt: skip


@pytest.mark.parametrize("quantity", EVERY)
def test_a_quantity_is_read_back_from_its_text_and_travels(quantity: Quantity) -> None:
    for again in (Quantity.parse(str(quantity)), pickle.loads(pickle.dumps(quantity))):
        assert again == quantity
        assert vars(again) == vars(quantity)


def test_its_text_is_what_people_write() -> None:
    assert Quantity("gradient", "x") == "d/dx"
    assert Quantity("intermediate", "q", expected=True) == "expect d/dq (intermediate)"
    assert Quantity("value", "f") == "f"

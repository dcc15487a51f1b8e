"""What a fault looks like: one example of every label, and none where there is nothing to say."""

from __future__ import annotations

import numpy as np
import pytest

from harness.diagnose.signature import signature

G = np.array([[1.5, -2.0, 0.25], [4.0, 3.0, -1.25]])
SQUARE = np.array([[1.5, -2.0, 0.25], [4.0, 3.0, -1.25], [7.0, 0.5, 2.0]])
MASKED = np.array([1.5, 0.0, -2.0, 0.0, 3.0])


@pytest.mark.parametrize(
    ("got", "expected", "label"),
    [
        (G, G, ""),
        (0 * G, G, "zero"),
        (-G, G, "wrong sign"),
        (2 * G, G, "wrong by a constant factor of 2"),
        (G / 3, G, "wrong by a constant factor of 1/3"),
        (-G / 2, G, "wrong by a constant factor of -1/2"),
        (1.2345 * G, G, "wrong by a constant factor of 1.2345"),
        (SQUARE.T, SQUARE, "transposed"),
        (-SQUARE.T, SQUARE, "transposed, with the wrong sign"),
        (G.T, G, "transposed"),
        (np.array([1.5, 9.0, -2.0, 8.0, 3.0]), MASKED, "a mask is missing: right where"),
        (np.array([0.0, 9.0, 0.0, 8.0, 0.0]), MASKED, "the mask is inverted: zero exactly"),
        (np.where(G > 0, G, 0), G, "a mask too many: zero in some"),
        (np.broadcast_to(G.sum(0), G.shape), G, "an extra sum over axis 0"),
        (np.broadcast_to(G.mean(1, keepdims=True), G.shape), G, "an extra mean over axis 1"),
        (G, G.sum(0), "a sum over axis 0 is missing"),
        (G.sum(1), G, "an extra sum over axis 1"),
        (G, np.asarray(G.sum()), "a sum over all axes is missing"),
        (G.ravel(), G, "the right numbers in the wrong shape"),
        (np.flip(G, 1), G, "flipped along axis 1"),
        (np.roll(SQUARE, 1, 0), SQUARE, "rolled by 1 along axis 0 (an index is off)"),
        (
            SQUARE.ravel()[[4, 1, 2, 7, 0, 5, 3, 6, 8]],
            SQUARE.ravel(),
            "the right elements in another",
        ),
        (G + 0.5, G, "off by the constant 0.5"),
        (G + np.eye(2, 3)[::-1] * 0.3 * (np.arange(6).reshape(2, 3) == 3), G, "wrong in 1 of 6"),
        (np.full_like(G, np.nan), G, "not finite"),
        (np.where(G > 3, np.inf, G), G, "not finite in some elements"),
        (np.array(0.7312), np.array(0.9), ""),
    ],
)
def test_label(got: np.ndarray, expected: np.ndarray, label: str) -> None:
    found = signature(got, expected)
    assert found.startswith(label) if label else found == ""

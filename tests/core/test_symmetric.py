"""A Cholesky decomposition is differentiated as a function of symmetric matrices, by everybody."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import harness
from harness import GradientMismatch, referee
from harness.programs.namespace import of_numpy

A = np.array([[2.0, 0.5, -0.25], [0.5, 3.0, 1.0], [-0.25, 1.0, 1.5]])


def log_det(xp: Any, A: Any) -> Any:
    L = xp.linalg.cholesky(A)
    f = 2 * xp.sum(xp.log(xp.linalg.diagonal(L)))
    return f


def test_the_usual_backward_of_a_log_determinant_is_right() -> None:
    def backward(xp: Any, df: Any, A: Any) -> Any:
        return {"A": df * xp.linalg.inv(A)}

    report = harness.check(log_det, backward, A=A, backends=("numeric", "manual"))
    assert {row.status for row in report.rows} == {"pass"}


def test_of_an_intermediate_too() -> None:
    def forward(xp: Any, X: Any) -> Any:
        S = xp.matmul(X, xp.matrix_transpose(X)) + xp.eye(2)
        L = xp.linalg.cholesky(S)
        f = 2 * xp.sum(xp.log(xp.linalg.diagonal(L)))
        return f

    def backward(xp: Any, df: Any, X: Any, S: Any) -> Any:
        dS = df * xp.linalg.inv(S)
        dX = xp.matmul(dS + xp.matrix_transpose(dS), X)
        return {"X": dX}

    report = harness.check(forward, backward, X=A[:2] + 1, backends=("numeric", "manual"))
    assert {row.status for row in report.rows} == {"pass"}


def test_a_wrong_one_is_wrong() -> None:
    def backward(xp: Any, df: Any, A: Any) -> Any:
        return {"A": df * xp.linalg.inv(A) * (1 + 0.1 * xp.eye(3))}

    with pytest.raises(GradientMismatch, match="proved wrong"):
        harness.check(log_det, backward, A=A, backends="manual")


@pytest.mark.parametrize("xp", [of_numpy(), referee.xp], ids=["numpy", "balls"])
def test_of_a_matrix_that_is_not_symmetric_the_lower_triangle_is_read(xp: Any) -> None:
    lower = np.tril(A) + np.triu(np.full((3, 3), 7.0), 1)
    held = referee.lift(lower) if xp is referee.xp else lower
    found = xp.linalg.cholesky(held)
    values = referee.midpoints(found) if xp is referee.xp else found
    np.testing.assert_allclose(values, np.linalg.cholesky(A), rtol=1e-14, atol=1e-16)


def test_balls_that_are_not_symmetric_move_by_the_lower_triangle() -> None:
    lower, direction = np.tril(A), np.triu(np.ones((3, 3)), 1)
    found = referee.xp.linalg.cholesky(referee.lift_along(lower, direction))
    assert (referee.midpoints(referee.coefficient(found, 1)) == 0).all()
    moved = referee.xp.linalg.cholesky(referee.lift_along(A, direction))
    halved = referee.xp.linalg.cholesky(referee.lift_along(A, (direction + direction.T) / 2))
    assert referee.overlap(referee.coefficient(moved, 1), referee.coefficient(halved, 1)).all()
    assert (referee.midpoints(referee.coefficient(moved, 1)) != 0).any()

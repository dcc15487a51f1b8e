RIDGE = 0.5


def forward(xp, X, y):
    A = xp.matmul(xp.matrix_transpose(X), X) + RIDGE * xp.eye(X.shape[1], dtype=X.dtype)
    L = xp.linalg.cholesky(A)
    b = xp.matmul(xp.matrix_transpose(X), y[:, None])
    z = xp.linalg.solve(L, b)
    w = xp.linalg.solve(xp.matrix_transpose(L), z)
    return w


def backward(xp, w_bar, X, y, L, w):
    z_bar = xp.linalg.solve(L, w_bar)
    b_bar = xp.linalg.solve(xp.matrix_transpose(L), z_bar)
    A_bar = -xp.matmul(b_bar, xp.matrix_transpose(w))
    symmetric = A_bar + xp.matrix_transpose(A_bar)
    X_bar = xp.matmul(X, symmetric) + y[:, None] * xp.matrix_transpose(b_bar)
    y_bar = xp.matmul(X, b_bar)[:, 0]
    return {"X": X_bar, "y": y_bar}

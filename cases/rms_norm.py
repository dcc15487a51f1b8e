def forward(xp, X, W):
    ms = xp.mean(X * X, axis=-1, keepdims=True)
    rstd = 1.0 / xp.sqrt(ms + 1e-6)
    Y = X * rstd * W
    return Y


def backward(xp, dY, X, W, rstd):
    n_cols = X.shape[-1]
    m = dY * W
    dX_row = rstd * m
    row_sum = xp.sum(m * X, axis=-1, keepdims=True)
    dX_row += rstd * (-(1 / n_cols) * rstd * rstd * row_sum * X)
    dW = xp.sum(dY * (X * rstd), axis=0)
    return {"X": dX_row, "W": dW}

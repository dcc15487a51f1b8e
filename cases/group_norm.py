GROUPS = 2


def forward(xp, X, W, B):
    x = xp.reshape(X, (X.shape[0], GROUPS, -1))
    mean = xp.mean(x, axis=-1, keepdims=True)
    variance = xp.mean((x - mean) ** 2, axis=-1, keepdims=True)
    rstd = 1.0 / xp.sqrt(variance + 1e-5)
    x_hat = xp.reshape((x - mean) * rstd, X.shape)
    Y = x_hat * W + B
    return Y


def backward(xp, UPSTREAM_grad, X, W, x_hat, rstd):
    groups = (X.shape[0], GROUPS, -1)
    N = X.shape[1] // GROUPS * X.shape[2]
    dW = xp.sum(UPSTREAM_grad * x_hat, axis=(0, 2))
    dB = xp.sum(UPSTREAM_grad, axis=(0, 2))
    wdy = xp.reshape(W * UPSTREAM_grad, groups)
    x_hat = xp.reshape(x_hat, groups)
    c1 = xp.sum(x_hat * wdy, axis=-1, keepdims=True) / N
    c2 = xp.sum(wdy, axis=-1, keepdims=True) / N
    dx = (wdy - (x_hat * c1 + c2)) * rstd
    return {
        "X": xp.reshape(dx, X.shape),
        "W": xp.reshape(dW, W.shape),
        "B": xp.reshape(dB, W.shape),
    }

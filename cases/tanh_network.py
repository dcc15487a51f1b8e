import numpy as np


def inputs(rng, N, **_):
    x = np.linspace(-5, 5, N)[:, None]
    return {"x": x, "t": x**3 - 20 * x + 10 + rng.normal(0, 4, (N, 1))}


def forward(xp, params, x, t):
    a1 = xp.matmul(x, params["W1"]) + params["b1"]
    h1 = xp.tanh(a1)
    a2 = xp.matmul(h1, params["W2"]) + params["b2"]
    h2 = xp.tanh(a2)
    y = xp.matmul(h2, params["W3"]) + params["b3"]
    loss = xp.mean(0.5 * (y - t) ** 2)
    return loss


def backward(xp, dloss, params, x, t, a1, h1, a2, h2, y):
    dy = dloss * (y - t) / t.shape[0]
    dh2 = xp.matmul(dy, xp.matrix_transpose(params["W3"]))
    da2 = dh2 / xp.cosh(a2) ** 2  # where h2 is nearly 1, 1 - h2**2 has no digits left
    dh1 = xp.matmul(da2, xp.matrix_transpose(params["W2"]))
    da1 = dh1 / xp.cosh(a1) ** 2
    return {
        "params": {
            "W1": xp.matmul(xp.matrix_transpose(x), da1),
            "b1": xp.sum(da1, axis=0),
            "W2": xp.matmul(xp.matrix_transpose(h1), da2),
            "b2": xp.sum(da2, axis=0),
            "W3": xp.matmul(xp.matrix_transpose(h2), dy),
            "b3": xp.sum(dy, axis=0),
        }
    }

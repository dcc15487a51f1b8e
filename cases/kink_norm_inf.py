def forward(xp, x):
    f = xp.linalg.vector_norm(x, ord=xp.inf)
    return f


def backward(xp, df, x, f):
    largest = xp.abs(x) == f
    share = xp.sum(xp.where(largest, xp.ones_like(x), xp.zeros_like(x)))
    dx = df * xp.where(largest, xp.sign(x), xp.zeros_like(x)) / share
    return {"x": dx}

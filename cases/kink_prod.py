def forward(xp, x):
    f = xp.prod(x)
    return f


def backward(xp, df, x):
    n = x.shape[0]
    others = xp.where(xp.eye(n, dtype=x.dtype) > 0, xp.ones_like(x), x)
    return {"x": df * xp.prod(others, axis=1)}

def forward(xp, x):
    f = xp.linalg.vector_norm(x, ord=xp.inf)
    return f


def backward(xp, df, x, f):
    hit = xp.where(xp.abs(x) == f, xp.sign(x), xp.zeros_like(x))
    return {"x": df * hit}

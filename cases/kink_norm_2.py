def forward(xp, x):
    f = xp.linalg.vector_norm(x, ord=2)
    return f


def backward(xp, df, x, f):
    return {"x": df * x / xp.where(f > 0, f, xp.ones_like(f))}

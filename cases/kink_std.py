def forward(xp, x):
    f = xp.std(x)
    return f


def backward(xp, df, x, f):
    deviation = x - xp.mean(x)
    return {"x": df * deviation / (x.shape[0] * xp.where(f > 0, f, xp.ones_like(f)))}

def inputs(rng, n=3, **_):
    return {"x": rng.uniform(0.5, 2.0, n)}


def forward(xp, x):
    f = xp.where(x > 0, xp.sqrt(x), xp.zeros_like(x))
    return f


def backward(xp, df, x):
    safe = xp.where(x > 0, x, xp.ones_like(x))
    return {"x": xp.where(x > 0, df / (2 * xp.sqrt(safe)), xp.zeros_like(df))}

def inputs(rng, n=3, **_):
    return {"x": rng.integers(-3, 3, n) + rng.uniform(0.2, 0.8, n)}


def forward(xp, x):
    f = xp.remainder(x, xp.ones_like(x))
    return f


def backward(xp, df):
    return {"x": df}

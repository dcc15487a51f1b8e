def inputs(rng, n=3, **_):
    return {"x": rng.integers(-3, 3, n) + rng.uniform(-0.3, 0.3, n)}


def forward(xp, x):
    f = x * xp.round(x)
    return f


def backward(xp, df, x):
    return {"x": df * xp.round(x)}

def inputs(rng, n=3, **_):
    return {"x": rng.choice([-1.0, 1.0], n) * rng.uniform(2, 4, n)}


def forward(xp, x):
    f = x * xp.sign(x - 1)
    return f


def backward(xp, df, x):
    return {"x": df * xp.sign(x - 1)}

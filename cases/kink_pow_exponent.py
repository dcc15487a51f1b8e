def inputs(rng, n=3, **_):
    return {"base": rng.uniform(0.5, 2.0, n), "x": rng.uniform(1.0, 3.0, n)}


def forward(xp, base, x):
    f = xp.pow(base, x)
    return f


def backward(xp, df, base, f):
    return {"x": df * f * xp.log(base)}

def forward(xp, x):
    f = xp.where(xp.abs(x) <= 1, x * x / 2, xp.abs(x) - 0.5)
    return f


def backward(xp, df, x):
    return {"x": df * xp.clip(x, -1.0, 1.0)}

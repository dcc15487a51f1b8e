def forward(xp, x, y):
    f = xp.hypot(x, y)
    return f


def backward(xp, df, x, y, f):
    safe = xp.where(f > 0, f, xp.ones_like(f))
    return {"x": df * x / safe, "y": df * y / safe}

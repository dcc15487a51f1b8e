def forward(xp, x):
    f = xp.sqrt(x)
    return f


def backward(xp, df, f):
    return {"x": df / (2 * f)}

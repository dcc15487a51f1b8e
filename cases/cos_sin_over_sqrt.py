def forward(xp, x):
    c = xp.cos(x)
    s = xp.sin(x)
    r = xp.sqrt(x)
    f = c * s / r
    return f


def backward(xp, df, c, s, r, f):
    dc = df * s / r
    ds = df * c / r
    dr = -df * f / r
    dx = ds * c - dc * s + dr / (2 * r)
    return {"x": dx}

def forward(xp, x, y):
    c = xp.cos(x)
    s = xp.sin(y)
    r = x / y
    f = c * s + r
    return f


def backward(xp, df, x, y, c, s, r):
    dc = df * s
    ds = df * c
    dr = df
    dx = dr / y - dc * xp.sin(x)
    dy = ds * xp.cos(y) - dr * r / y
    return {"x": dx, "y": dy}

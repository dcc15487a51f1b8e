def forward(xp, x):
    m = xp.max(x)
    e = xp.exp(x - m)
    s = xp.sum(e)
    f = m + xp.log(s)
    return f


def backward(xp, df, e, s):
    """The softmax of x. Through m nothing flows: f does not depend on it."""
    dx = df * e / s
    return {"x": dx}

def forward(xp, a, b):
    f = xp.minimum(a, b)
    return f


def backward(xp, df, a, b):
    zero = xp.zeros_like(df)
    return {"a": xp.where(a < b, df, zero), "b": xp.where(a < b, zero, df)}

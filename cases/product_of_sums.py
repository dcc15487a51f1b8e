def forward(xp, a, b):
    c = a + b
    d = b + 1
    f = c * d
    return f


def backward(xp, df, c, d):
    dc = df * d
    dd = df * c
    da = dc
    db = dc + dd
    return {"a": da, "b": db}

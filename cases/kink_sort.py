def forward(xp, x):
    f = xp.sort(x)
    return f


def backward(xp, df, x):
    return {"x": xp.take(df, xp.argsort(xp.argsort(x)))}

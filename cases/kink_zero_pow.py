def forward(xp, y):
    f = xp.pow(xp.zeros_like(y), y)
    return f


def backward(xp, df):
    return {"y": xp.zeros_like(df)}

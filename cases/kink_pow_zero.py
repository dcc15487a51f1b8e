def forward(xp, x):
    f = x**0.0
    return f


def backward(xp, df):
    return {"x": xp.zeros_like(df)}

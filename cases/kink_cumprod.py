def forward(xp, x):
    f = xp.cumulative_prod(x)
    return f


def backward(xp, df, x):
    """Factor i is in every product k >= i, together with the other factors up to k."""
    n = x.shape[0]
    dx = []
    for i in range(n):
        before = xp.prod(x[:i])
        after = xp.concat([xp.ones_like(x[:1]), xp.cumulative_prod(x[i + 1 :])])
        dx.append(before * xp.sum(df[i:] * after))
    return {"x": xp.stack(dx)}

def forward(xp, x):
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    y = e / xp.sum(e, axis=-1, keepdims=True)
    return y


def backward(xp, gy, y):
    gx = y * gy
    sumdx = xp.sum(gx, axis=-1, keepdims=True)
    gx -= y * sumdx
    return {"x": gx}

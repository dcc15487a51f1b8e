DELTA = 1.0


def forward(xp, x, t):
    diff = x - t
    linear = DELTA * (xp.abs(diff) - DELTA / 2)
    each = xp.where(xp.abs(diff) > DELTA, linear, diff * diff / 2)
    y = xp.sum(each, axis=1)
    return y


def backward(xp, gy, diff):
    slope = xp.where(xp.abs(diff) <= DELTA, diff, DELTA * xp.sign(diff))
    gx = gy[:, None] * slope
    return {"x": gx, "t": -gx}

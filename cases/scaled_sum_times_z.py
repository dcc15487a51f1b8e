def forward(xp, x, y, z):
    q = 2 * x + y
    f = q * z
    return f


def backward(xp, df, z, q):
    dq = df * z
    dz = df * q
    dx = 2 * dq
    dy = dq
    return {"x": dx, "y": dy, "z": dz}

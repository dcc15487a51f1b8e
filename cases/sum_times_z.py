def forward(xp, x, y, z):
    q = x + y
    f = q * z
    return f


def backward(xp, df, z, q):
    dq = df * z
    dz = df * q
    dx = dq
    dy = dq
    return {"x": dx, "y": dy, "z": dz}

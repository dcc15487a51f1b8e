def forward(xp, x, u, v):
    H, W = x.shape
    x_pad = xp.pad(x, 1)
    u_pixel = (u + 1) * (W - 1) / 2 + 1
    v_pixel = (v + 1) * (H - 1) / 2 + 1
    u_floor = xp.floor(u_pixel)
    v_floor = xp.floor(v_pixel)
    corner = xp.astype(v_floor, xp.int64) * (W + 2) + xp.astype(u_floor, xp.int64)
    flat = xp.reshape(x_pad, (-1,))
    x1 = xp.take(flat, corner, axis=0)
    x2 = xp.take(flat, corner + 1, axis=0)
    x3 = xp.take(flat, corner + W + 2, axis=0)
    x4 = xp.take(flat, corner + W + 3, axis=0)
    wu0 = u_pixel - u_floor
    wu1 = 1 - wu0
    wv0 = v_pixel - v_floor
    wv1 = 1 - wv0
    y = wu1 * wv1 * x1 + wu0 * wv1 * x2 + wu1 * wv0 * x3 + wu0 * wv0 * x4
    return y


def backward(xp, gy, x, x_pad, corner, x1, x2, x3, x4, wu0, wu1, wv0, wv1):
    H, W = x.shape
    gu = -wv1 * x1
    gu += wv1 * x2
    gu -= wv0 * x3
    gu += wv0 * x4
    gv = -wu1 * x1
    gv -= wu0 * x2
    gv += wu1 * x3
    gv += wu0 * x4
    gu = gu * gy / 2.0 * (W - 1)
    gv = gv * gy / 2.0 * (H - 1)
    gx = xp.zeros_like(xp.reshape(x_pad, (-1,)))
    gx = xp.add_at(gx, corner, gy * wu1 * wv1)
    gx = xp.add_at(gx, corner + 1, gy * wu0 * wv1)
    gx = xp.add_at(gx, corner + W + 2, gy * wu1 * wv0)
    gx = xp.add_at(gx, corner + W + 3, gy * wu0 * wv0)
    gx = xp.reshape(gx, x_pad.shape)[1:-1, 1:-1]
    return {"x": gx, "u": gu, "v": gv}

RATIO = 0.25


def forward(xp, x, W, flag):
    scale = 1.0 / (1 - RATIO)
    mask = xp.astype(flag, x.dtype) * scale
    kept = x * mask
    y = xp.matmul(kept, xp.matrix_transpose(W))
    return y


def backward(xp, gy, W, mask, kept):
    gW = xp.matmul(xp.matrix_transpose(gy), kept)
    gkept = xp.matmul(gy, W)
    gx = gkept * mask
    return {"x": gx, "W": gW}

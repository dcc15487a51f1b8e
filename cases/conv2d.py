PAD = 1


def forward(xp, x, w, b):
    F, _, HH, WW = w.shape
    N, _, H, W = x.shape
    H_out, W_out = H + 2 * PAD - HH + 1, W + 2 * PAD - WW + 1
    x_pad = xp.pad(x, ((0, 0), (0, 0), (PAD, PAD), (PAD, PAD)))
    out = b[:, None, None] + xp.zeros((N, F, H_out, W_out), dtype=x.dtype)
    for p in range(HH):
        for q in range(WW):
            window = x_pad[:, :, p : p + H_out, q : q + W_out]
            out = out + xp.einsum("fc,ncij->nfij", w[:, :, p, q], window)
    return out


def backward(xp, dout, w, x_pad):
    HH, WW = w.shape[2:]
    N, _, H_out, W_out = dout.shape
    dx_pad = xp.zeros_like(x_pad)
    dw = xp.zeros_like(w)
    db = xp.sum(dout, axis=(0, 2, 3))
    for n in range(N):
        for i in range(H_out):
            for j in range(W_out):
                grad = dout[n, :, i, j]
                window = x_pad[n, :, i : i + HH, j : j + WW]
                dw += grad[:, None, None, None] * window
                dx_pad[n, :, i : i + HH, j : j + WW] += xp.einsum("f,fcpq->cpq", grad, w)
    dx = dx_pad[:, :, PAD:-PAD, PAD:-PAD]
    return {"x": dx, "w": dw, "b": db}

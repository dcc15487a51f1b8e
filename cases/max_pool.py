SIZE, STRIDE = 2, 1


def forward(xp, x):
    count = (x.shape[1] - SIZE) // STRIDE + 1
    rows = []
    for i in range(count):
        row = []
        for j in range(count):
            top, left = i * STRIDE, j * STRIDE
            window = x[:, top : top + SIZE, left : left + SIZE]
            row.append(xp.max(window, axis=(1, 2)))
        rows.append(xp.stack(row, axis=1))
    out = xp.stack(rows, axis=1)
    return out


def backward(xp, dout, x, out):
    dx = xp.zeros_like(x)
    for i in range(dout.shape[1]):
        for j in range(dout.shape[2]):
            top, left = i * STRIDE, j * STRIDE
            x_pool = x[:, top : top + SIZE, left : left + SIZE]
            mask = x_pool == out[:, i, j][:, None, None]
            routed = xp.where(mask, dout[:, i, j][:, None, None], xp.zeros_like(x_pool))
            dx[:, top : top + SIZE, left : left + SIZE] += routed
    return {"x": dx}

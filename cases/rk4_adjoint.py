STEP, STEPS = 0.25, 2


def field(xp, y, W, V):
    return xp.matmul(xp.tanh(xp.matmul(y, W)), V)


def forward(xp, y0, W, V):
    y = y0
    stages = []
    for _ in range(STEPS):
        k1 = field(xp, y, W, V)
        y2 = y + STEP / 2 * k1
        k2 = field(xp, y2, W, V)
        y3 = y + STEP / 2 * k2
        k3 = field(xp, y3, W, V)
        y4 = y + STEP * k3
        k4 = field(xp, y4, W, V)
        stages.append((y, y2, y3, y4))
        y = y + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y


def field_vjp(xp, lam, y, W, V):
    t = xp.tanh(xp.matmul(y, W))
    ga = xp.matmul(lam, xp.matrix_transpose(V)) * (1 - t**2)
    gy = xp.matmul(ga, xp.matrix_transpose(W))
    gW = xp.matmul(xp.matrix_transpose(y), ga)
    gV = xp.matmul(xp.matrix_transpose(t), lam)
    return gy, gW, gV


def backward(xp, lam, W, V, stages):
    grad_W = xp.zeros_like(W)
    grad_V = xp.zeros_like(V)
    for y1, y2, y3, y4 in stages[::-1]:
        l4 = STEP / 6 * lam
        gy4, gW4, gV4 = field_vjp(xp, l4, y4, W, V)
        l3 = STEP / 3 * lam + STEP * gy4
        gy3, gW3, gV3 = field_vjp(xp, l3, y3, W, V)
        l2 = STEP / 3 * lam + STEP / 2 * gy3
        gy2, gW2, gV2 = field_vjp(xp, l2, y2, W, V)
        l1 = STEP / 6 * lam + STEP / 2 * gy2
        gy1, gW1, gV1 = field_vjp(xp, l1, y1, W, V)
        grad_W = grad_W + gW1 + gW2 + gW3 + gW4
        grad_V = grad_V + gV1 + gV2 + gV3 + gV4
        lam = lam + gy1 + gy2 + gy3 + gy4
    return {"y0": lam, "W": grad_W, "V": grad_V}

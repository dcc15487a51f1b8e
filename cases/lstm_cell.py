def sigmoid(xp, x):
    return 1 / (1 + xp.exp(-x))


def forward(xp, x, prev_h, prev_c, Wx, Wh, b):
    H = prev_h.shape[1]
    a = xp.matmul(x, Wx) + xp.matmul(prev_h, Wh) + b
    i = sigmoid(xp, a[:, :H])
    f = sigmoid(xp, a[:, H : 2 * H])
    o = sigmoid(xp, a[:, 2 * H : 3 * H])
    g = xp.tanh(a[:, 3 * H :])
    next_c = f * prev_c + i * g
    next_h = o * xp.tanh(next_c)
    return next_h, next_c


def backward(xp, dnext_h, dnext_c, x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c):
    tanh_c = xp.tanh(next_c)
    do = dnext_h * tanh_c
    dc = dnext_c + dnext_h * o * (1 - tanh_c**2)
    df = dc * prev_c
    dprev_c = dc * f
    di = dc * g
    dg = dc * i
    dai = i * (1 - i) * di
    daf = f * (1 - f) * df
    dao = o * (1 - o) * do
    dag = (1 - g**2) * dg
    da = xp.concat([dai, daf, dao, dag], axis=1)
    dx = xp.matmul(da, xp.matrix_transpose(Wx))
    dprev_h = xp.matmul(da, xp.matrix_transpose(Wh))
    dWx = xp.matmul(xp.matrix_transpose(x), da)
    dWh = xp.matmul(xp.matrix_transpose(prev_h), da)
    db = xp.sum(da, axis=0)
    return {"x": dx, "prev_h": dprev_h, "prev_c": dprev_c, "Wx": dWx, "Wh": dWh, "b": db}

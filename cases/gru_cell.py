def forward(xp, x, hx, w_ih, w_hh):
    H = hx.shape[1]
    gates_i = xp.matmul(x, w_ih)
    gates_h = xp.matmul(hx, w_hh)
    rg = 1 / (1 + xp.exp(-(gates_i[:, :H] + gates_h[:, :H])))
    ig = 1 / (1 + xp.exp(-(gates_i[:, H : 2 * H] + gates_h[:, H : 2 * H])))
    hn = gates_h[:, 2 * H :]
    ng = xp.tanh(gates_i[:, 2 * H :] + rg * hn)
    hy = ng + ig * (hx - ng)
    return hy


def backward(xp, go, x, hx, w_ih, w_hh, rg, ig, ng, hn):
    gig = go * (hx - ng) * (1 - ig) * ig
    ghx = go * ig
    gin = go * (1 - ig) * (1 - ng * ng)
    ghn = gin * rg
    grg = gin * hn * (1 - rg) * rg
    grad_input_gates = xp.concat([grg, gig, gin], axis=1)
    grad_hidden_gates = xp.concat([grg, gig, ghn], axis=1)
    grad_hx = ghx + xp.matmul(grad_hidden_gates, xp.matrix_transpose(w_hh))
    return {
        "x": xp.matmul(grad_input_gates, xp.matrix_transpose(w_ih)),
        "hx": grad_hx,
        "w_ih": xp.matmul(xp.matrix_transpose(x), grad_input_gates),
        "w_hh": xp.matmul(xp.matrix_transpose(hx), grad_hidden_gates),
    }

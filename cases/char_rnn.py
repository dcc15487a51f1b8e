def forward(xp, Wxh, Whh, Why, bh, by, chars, targets):
    h = xp.zeros_like(bh)
    loss = 0.0
    hs, ps = [h], []
    for t in range(chars.shape[0]):
        h = xp.tanh(Wxh[:, int(chars[t])] + xp.matmul(Whh, h) + bh)
        p = xp.softmax(xp.matmul(Why, h) + by)
        loss = loss - xp.log(p[int(targets[t])])
        hs.append(h)
        ps.append(p)
    return loss


def backward(xp, scale, Wxh, Whh, Why, bh, by, chars, targets, hs, ps):
    dWxh, dWhh, dWhy = xp.zeros_like(Wxh), xp.zeros_like(Whh), xp.zeros_like(Why)
    dbh, dby = xp.zeros_like(bh), xp.zeros_like(by)
    dhnext = xp.zeros_like(bh)
    for t in range(chars.shape[0] - 1, -1, -1):
        dy = scale * ps[t]
        dy[int(targets[t])] -= scale
        dWhy += dy[:, None] * hs[t + 1][None, :]
        dby += dy
        dh = xp.matmul(xp.matrix_transpose(Why), dy) + dhnext
        dhraw = (1 - hs[t + 1] * hs[t + 1]) * dh
        dbh += dhraw
        dWxh[:, int(chars[t])] += dhraw
        dWhh += dhraw[:, None] * hs[t][None, :]
        dhnext = xp.matmul(xp.matrix_transpose(Whh), dhraw)
    return {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby}

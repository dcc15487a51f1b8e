def forward(xp, w, u, k, v):
    ew = xp.exp(-w)
    a, b = xp.zeros_like(w), xp.zeros_like(w)
    before, averages = [], []
    for t in range(k.shape[0]):
        euk = xp.exp(u + k[t])
        before.append((a, b))
        averages.append((a + euk * v[t]) / (b + euk))
        ek = xp.exp(k[t])
        a = ew * a + ek * v[t]
        b = ew * b + ek
    y = xp.stack(averages)
    return y


def backward(xp, gy, w, u, k, v, ew, before, y):
    gw, gu = xp.zeros_like(w), xp.zeros_like(u)
    gk, gv = xp.zeros_like(k), xp.zeros_like(v)
    ga, gb = xp.zeros_like(w), xp.zeros_like(w)
    for t in range(k.shape[0] - 1, -1, -1):
        a, b = before[t]
        ek = xp.exp(k[t])
        euk = xp.exp(u + k[t])
        q = gy[t] / (b + euk)
        guk = q * euk * (v[t] - y[t])
        gu += guk
        gk[t] = guk + ek * (ga * v[t] + gb)
        gv[t] = q * euk + ek * ga
        gw -= ew * (ga * a + gb * b)
        ga = ew * ga + q
        gb = ew * gb - q * y[t]
    return {"w": gw, "u": gu, "k": gk, "v": gv}

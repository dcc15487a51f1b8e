def forward(xp, x, gamma, beta):
    N = x.shape[0]
    mu = 1 / N * xp.sum(x, axis=0)
    xmu = x - mu
    sq = xmu**2
    var = 1 / N * xp.sum(sq, axis=0)
    sqrtvar = xp.sqrt(var + 1e-5)
    ivar = 1 / sqrtvar
    xhat = xmu * ivar
    gammax = gamma * xhat
    out = gammax + beta
    return out


def backward(xp, dout, x, gamma, xhat, xmu, ivar, sqrtvar):
    N = x.shape[0]
    dbeta = xp.sum(dout, axis=0)
    dgammax = dout
    dgamma = xp.sum(dgammax * xhat, axis=0)
    dxhat = dgammax * gamma
    divar = xp.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -1 / sqrtvar**2 * divar
    dvar = 0.5 * ivar * dsqrtvar
    dsq = 1 / N * xp.ones_like(x) * dvar
    dxmu2 = 2 * xmu * dsq
    dx1 = dxmu1 + dxmu2
    dmu = -1 * xp.sum(dxmu1 + dxmu2, axis=0)
    dx2 = 1 / N * xp.ones_like(x) * dmu
    dx = dx1 + dx2
    return {"x": dx, "gamma": dgamma, "beta": dbeta}

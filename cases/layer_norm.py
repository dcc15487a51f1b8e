def forward(xp, inp, weight, bias):
    mean = xp.mean(inp, axis=-1, keepdims=True)
    xshift = inp - mean
    v = xp.mean(xshift**2, axis=-1, keepdims=True)
    rstd = 1.0 / xp.sqrt(v + 1e-5)
    norm = xshift * rstd
    out = norm * weight + bias
    return out


def backward(xp, dout, weight, norm, rstd):
    dnorm = weight * dout
    dnorm_mean = xp.mean(dnorm, axis=-1, keepdims=True)
    dnorm_norm_mean = xp.mean(dnorm * norm, axis=-1, keepdims=True)
    dbias = xp.sum(dout, axis=0)
    dweight = xp.sum(norm * dout, axis=0)
    dval = dnorm
    dval -= dnorm_mean
    dval -= norm * dnorm_norm_mean
    dval *= rstd
    return {"inp": dval, "weight": dweight, "bias": dbias}

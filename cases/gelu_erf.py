import math

M_SQRT1_2 = math.sqrt(0.5)


def forward(xp, x):
    y = 0.5 * x * (1 + xp.erf(x * M_SQRT1_2))
    return y


def backward(xp, dy, x):
    kBeta = M_SQRT1_2 / xp.pi**0.5
    cdf = 0.5 * (1 + xp.erf(x * M_SQRT1_2))
    pdf = xp.exp(-((x * M_SQRT1_2) ** 2)) * kBeta
    dx = dy * (cdf + x * pdf)
    return {"x": dx}

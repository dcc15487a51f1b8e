import math


def forward(xp, variance, lengthscale, noise, X, Y):
    n = X.shape[0]
    dist = xp.abs(X[:, None] - X[None, :])
    r = dist / lengthscale
    shape_of_K = xp.exp(-0.5 * r**2)
    Ky = variance * shape_of_K + noise * xp.eye(n, dtype=X.dtype)
    alpha = xp.linalg.solve(Ky, Y[:, None])[:, 0]
    W_logdet = xp.linalg.slogdet(Ky)[1]
    loss = 0.5 * (-n * math.log(2 * math.pi) - W_logdet - xp.sum(alpha * Y))
    return loss


def backward(xp, grad, variance, lengthscale, r, dist, shape_of_K, Ky, alpha):
    Wi = xp.linalg.inv(Ky)
    dL_dK = grad * 0.5 * (alpha[:, None] * alpha[None, :] - Wi)
    dL_dvariance = xp.sum(shape_of_K * dL_dK)
    dL_dr = dL_dK * (-r * variance * shape_of_K)
    dL_dlengthscale = -xp.sum(dL_dr * dist) / lengthscale**2
    dL_dnoise = xp.linalg.trace(dL_dK)
    dL_dY = -grad * alpha
    return {
        "variance": dL_dvariance,
        "lengthscale": dL_dlengthscale,
        "noise": dL_dnoise,
        "Y": dL_dY,
    }

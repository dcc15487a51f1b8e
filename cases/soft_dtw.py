GAMMA = 0.5


def softmin(xp, values):
    a = xp.stack(values) / -GAMMA
    max_val = xp.max(a)
    return -GAMMA * (xp.log(xp.sum(xp.exp(a - max_val))) + max_val)


def forward(xp, X, Y):
    D = xp.sum((X[:, None, :] - Y[None, :, :]) ** 2, axis=2)
    R = {}
    for i in range(X.shape[0]):
        for j in range(Y.shape[0]):
            before = [(i - 1, j), (i - 1, j - 1), (i, j - 1)]
            reached = [R[each] for each in before if each in R]
            R[i, j] = D[i, j] + (softmin(xp, reached) if reached else 0.0)
    value = R[X.shape[0] - 1, Y.shape[0] - 1]
    return value


def backward(xp, grad, X, Y, D, R):
    m, n = D.shape
    E = xp.zeros_like(D)
    E[m - 1, n - 1] = 1.0
    for i in range(m - 1, -1, -1):
        for j in range(n - 1, -1, -1):
            if i + 1 < m:
                a = xp.exp((R[i + 1, j] - R[i, j] - D[i + 1, j]) / GAMMA)
                E[i, j] += E[i + 1, j] * a
            if j + 1 < n:
                b = xp.exp((R[i, j + 1] - R[i, j] - D[i, j + 1]) / GAMMA)
                E[i, j] += E[i, j + 1] * b
            if i + 1 < m and j + 1 < n:
                c = xp.exp((R[i + 1, j + 1] - R[i, j] - D[i + 1, j + 1]) / GAMMA)
                E[i, j] += E[i + 1, j + 1] * c
    G = grad * E[:, :, None] * 2 * (X[:, None, :] - Y[None, :, :])
    return {"X": xp.sum(G, axis=1), "Y": -xp.sum(G, axis=0)}

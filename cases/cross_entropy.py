IGNORE_INDEX, LABEL_SMOOTHING = -100, 0.125


def inputs(rng, **_):
    target = rng.integers(0, 4, 4)
    target[1] = IGNORE_INDEX
    return {"target": target}


def forward(xp, X, target):
    eps = LABEL_SMOOTHING / X.shape[1]
    valid = target != IGNORE_INDEX
    n_non_ignore = xp.astype(xp.sum(xp.astype(valid, xp.int64)), X.dtype)
    m = xp.max(X, axis=1, keepdims=True)
    d = xp.sum(xp.exp(X - m), axis=1, keepdims=True)
    lse = (m + xp.log(d))[:, 0]
    label = xp.where(valid, target, xp.zeros_like(target))
    ori_X_y = xp.take_along_axis(X, label[:, None], axis=1)[:, 0]
    smooth_loss = LABEL_SMOOTHING * lse - eps * xp.sum(X, axis=1)
    loss_1d = (1 - LABEL_SMOOTHING) * (lse - ori_X_y) + smooth_loss
    loss = xp.sum(xp.where(valid, loss_1d, xp.zeros_like(loss_1d))) / n_non_ignore
    return loss


def backward(xp, grad_output, X, target, m, d, n_non_ignore):
    n_cols = X.shape[1]
    eps = LABEL_SMOOTHING / n_cols
    X_block = xp.exp(X - m) / d - eps
    X_block = X_block / n_non_ignore
    for row in range(X.shape[0]):
        y = int(target[row])
        if y == IGNORE_INDEX:
            X_block[row] = 0.0
            continue
        X_block[row, y] -= (1 - LABEL_SMOOTHING) / n_non_ignore
    return {"X": X_block * grad_output}

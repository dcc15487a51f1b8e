CLIPRANGE, ENT_COEF = 0.2, 0.01


def forward(xp, logits, oldlogp, adv, action):
    m = xp.max(logits, axis=1, keepdims=True)
    logp_all = logits - m - xp.log(xp.sum(xp.exp(logits - m), axis=1, keepdims=True))
    logp = xp.take_along_axis(logp_all, action[:, None], axis=1)[:, 0]
    ratio = xp.exp(logp - oldlogp)
    pg_losses = -adv * ratio
    pg_losses2 = -adv * xp.clip(ratio, 1.0 - CLIPRANGE, 1.0 + CLIPRANGE)
    pg_loss = xp.mean(xp.maximum(pg_losses, pg_losses2))
    entropy = xp.mean(-xp.sum(xp.exp(logp_all) * logp_all, axis=1))
    loss = pg_loss - ENT_COEF * entropy
    return loss


def backward(xp, grad, logits, adv, action, logp_all, ratio):
    nbatch, ncat = logits.shape
    p = xp.exp(logp_all)
    above = xp.logical_and(adv > 0, ratio > 1.0 + CLIPRANGE)
    below = xp.logical_and(adv < 0, ratio < 1.0 - CLIPRANGE)
    clipped = xp.logical_or(above, below)
    g_ratio = xp.where(clipped, xp.zeros_like(adv), -adv) / nbatch
    g_logp = grad * g_ratio * ratio
    onehot = xp.astype(action[:, None] == xp.arange(ncat)[None, :], logits.dtype)
    g_policy = g_logp[:, None] * (onehot - p)
    H = -xp.sum(p * logp_all, axis=1, keepdims=True)
    g_entropy = -p * (logp_all + H) / nbatch
    glogits = g_policy - grad * ENT_COEF * g_entropy
    return {"logits": glogits}

def forward(xp, state, trans, labels):
    log_alpha = state[0]
    alphas = [log_alpha]
    score = state[0, int(labels[0])]
    for t in range(1, state.shape[0]):
        log_alpha = state[t] + xp.logsumexp(log_alpha[:, None] + trans, axis=0)
        alphas.append(log_alpha)
        i, j = int(labels[t - 1]), int(labels[t])
        score = score + state[t, j] + trans[i, j]
    log_norm = xp.logsumexp(log_alpha)
    loglik = score - log_norm
    return loglik


def backward(xp, g, state, trans, labels, alphas, log_norm):
    T = state.shape[0]
    mexp_state = xp.zeros_like(state)
    mexp_trans = xp.zeros_like(trans)
    log_beta = xp.zeros_like(state[0])
    for t in range(T - 1, -1, -1):
        mexp_state[t] = xp.exp(alphas[t] + log_beta - log_norm)
        if t > 0:
            edge = trans + (state[t] + log_beta)[None, :]
            mexp_trans += xp.exp(alphas[t - 1][:, None] + edge - log_norm)
            log_beta = xp.logsumexp(edge, axis=1)
    g_state = -g * mexp_state
    g_trans = -g * mexp_trans
    for t in range(T):
        g_state[t, int(labels[t])] += g
        if t > 0:
            g_trans[int(labels[t - 1]), int(labels[t])] += g
    return {"state": g_state, "trans": g_trans}

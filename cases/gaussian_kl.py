def forward(xp, t_mean, t_log_var):
    kl = -0.5 * xp.sum(1 + t_log_var - t_mean**2 - xp.exp(t_log_var), axis=-1)
    loss = xp.mean(kl)
    return loss


def backward(xp, dloss, t_mean, t_log_var):
    n = t_mean.shape[0]
    dt_mean = dloss * t_mean / n
    dt_log_var = dloss * 0.5 * (xp.exp(t_log_var) - 1) / n
    return {"t_mean": dt_mean, "t_log_var": dt_log_var}

T = 2.0


def forward(xp, z, p):
    scaled = z / T
    shifted = scaled - xp.max(scaled, axis=1, keepdims=True)
    log_q = shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))
    loss = T * T * xp.sum(p * (xp.log(p) - log_q)) / z.shape[0]
    return loss


def backward(xp, grad_output, z, p, log_q):
    scale = grad_output * T * T / z.shape[0]
    grad_log_q = -p * scale
    total = xp.sum(grad_log_q, axis=1, keepdims=True)
    grad_z = (grad_log_q - xp.exp(log_q) * total) / T
    grad_p = scale * (xp.log(p) + 1 - log_q)
    return {"z": grad_z, "p": grad_p}

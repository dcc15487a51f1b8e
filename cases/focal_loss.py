ALPHA, GAMMA = 0.25, 2.0


def forward(xp, logits, label):
    positive = label == 1
    probs = 1 / (1 + xp.exp(-logits))
    log_probs = -xp.log1p(xp.exp(-logits))
    log_1_probs = -xp.log1p(xp.exp(logits))
    probs_gamma = probs**GAMMA
    probs_1_gamma = (1 - probs) ** GAMMA
    of_ones = -ALPHA * probs_1_gamma * log_probs
    of_zeros = -(1 - ALPHA) * probs_gamma * log_1_probs
    loss = xp.sum(xp.where(positive, of_ones, of_zeros))
    return loss


def backward(xp, grad_output, positive, probs, log_probs, log_1_probs, probs_gamma, probs_1_gamma):
    term1 = 1.0 - probs - GAMMA * probs * log_probs
    term2 = probs - GAMMA * (1.0 - probs) * log_1_probs
    grads_ones = -ALPHA * probs_1_gamma * term1
    grads_zeros = (1 - ALPHA) * probs_gamma * term2
    grads = xp.where(positive, grads_ones, grads_zeros) * grad_output
    return {"logits": grads}

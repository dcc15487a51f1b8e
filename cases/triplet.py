MARGIN = 0.2


def forward(xp, anchor, positive, negative):
    dist = xp.sum((anchor - positive) ** 2 - (anchor - negative) ** 2, axis=1) + MARGIN
    dist_hinge = xp.maximum(dist, xp.zeros_like(dist))
    loss = xp.sum(dist_hinge) / anchor.shape[0]
    return loss


def backward(xp, gy, anchor, positive, negative, dist_hinge):
    g = gy / anchor.shape[0]
    mask = xp.astype(dist_hinge > 0, anchor.dtype)
    tmp = 2 * g * mask[:, None]
    ganchor = tmp * (negative - positive)
    gpositive = tmp * (positive - anchor)
    gnegative = tmp * (anchor - negative)
    return {"anchor": ganchor, "positive": gpositive, "negative": gnegative}

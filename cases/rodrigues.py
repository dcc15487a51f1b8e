def skew(xp, r):
    zero = xp.zeros_like(r[0])
    return xp.stack(
        [
            xp.stack([zero, -r[2], r[1]]),
            xp.stack([r[2], zero, -r[0]]),
            xp.stack([-r[1], r[0], zero]),
        ]
    )


def forward(xp, rotation):
    theta = xp.sqrt(xp.sum(rotation**2))
    c = xp.cos(theta)
    s = xp.sin(theta)
    r = rotation / theta
    rrt = r[:, None] * r[None, :]
    r_x = skew(xp, r)
    R = c * xp.eye(3, dtype=rotation.dtype) + (1 - c) * rrt + s * r_x
    return R


def backward(xp, grad_R, theta, c, s, r, rrt, r_x):
    grad_c = xp.sum(grad_R * (xp.eye(3, dtype=r.dtype) - rrt))
    grad_s = xp.sum(grad_R * r_x)
    grad_rrt = (1 - c) * grad_R
    grad_r_x = s * grad_R
    grad_theta = c * grad_s - s * grad_c
    through_rrt = xp.matmul(grad_rrt + xp.matrix_transpose(grad_rrt), r)
    odd = grad_r_x - xp.matrix_transpose(grad_r_x)
    grad_r = through_rrt + xp.stack([odd[2, 1], odd[0, 2], odd[1, 0]])
    along = xp.sum(grad_r * r)
    grad_rotation = (grad_r - along * r) / theta + grad_theta * r
    return {"rotation": grad_rotation}

def angles(xp, q):
    n, d = q.shape
    position = xp.astype(xp.arange(n), q.dtype)[:, None]
    frequency = 1.0 / 100.0 ** (xp.astype(xp.arange(d // 2), q.dtype) / (d // 2))
    return xp.cos(position * frequency), xp.sin(position * frequency)


def forward(xp, q, k):
    half = q.shape[1] // 2
    cos, sin = angles(xp, q)
    q1 = q[:, :half]
    q2 = q[:, half:]
    k1 = k[:, :half]
    k2 = k[:, half:]
    new_q = xp.concat([q1 * cos - q2 * sin, q2 * cos + q1 * sin], axis=1)
    new_k = xp.concat([k1 * cos - k2 * sin, k2 * cos + k1 * sin], axis=1)
    return new_q, new_k


def backward(xp, dq, dk, cos, sin):
    half = dq.shape[1] // 2
    dq_tile_1, dq_tile_2 = dq[:, :half], dq[:, half:]
    dk_tile_1, dk_tile_2 = dk[:, :half], dk[:, half:]
    new_dq_tile_1 = dq_tile_1 * cos + dq_tile_2 * sin
    new_dq_tile_2 = dq_tile_2 * cos - dq_tile_1 * sin
    new_dk_tile_1 = dk_tile_1 * cos + dk_tile_2 * sin
    new_dk_tile_2 = dk_tile_2 * cos - dk_tile_1 * sin
    return {
        "q": xp.concat([new_dq_tile_1, new_dq_tile_2], axis=1),
        "k": xp.concat([new_dk_tile_1, new_dk_tile_2], axis=1),
    }

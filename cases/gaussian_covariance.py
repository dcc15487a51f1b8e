def forward(xp, scale, rot):
    r, x, y, z = rot[0], rot[1], rot[2], rot[3]
    R = xp.stack(
        [
            xp.stack([1 - 2 * (y * y + z * z), 2 * (x * y - r * z), 2 * (x * z + r * y)]),
            xp.stack([2 * (x * y + r * z), 1 - 2 * (x * x + z * z), 2 * (y * z - r * x)]),
            xp.stack([2 * (x * z - r * y), 2 * (y * z + r * x), 1 - 2 * (x * x + y * y)]),
        ]
    )
    M = scale[:, None] * R
    Sigma = xp.matmul(xp.matrix_transpose(M), M)
    return Sigma


def backward(xp, dL_dSigma, scale, r, x, y, z, R, M):
    dL_dM = xp.matmul(M, dL_dSigma + xp.matrix_transpose(dL_dSigma))
    dL_dscale = xp.sum(R * dL_dM, axis=1)
    dL_dR = scale[:, None] * dL_dM
    odd = dL_dR - xp.matrix_transpose(dL_dR)
    even = dL_dR + xp.matrix_transpose(dL_dR)
    dL_dr = 2 * z * odd[1, 0] + 2 * y * odd[0, 2] + 2 * x * odd[2, 1]
    dL_dx = 2 * y * even[1, 0] + 2 * z * even[2, 0] + 2 * r * odd[2, 1]
    dL_dx -= 4 * x * (dL_dR[2, 2] + dL_dR[1, 1])
    dL_dy = 2 * x * even[1, 0] + 2 * r * odd[0, 2] + 2 * z * even[1, 2]
    dL_dy -= 4 * y * (dL_dR[2, 2] + dL_dR[0, 0])
    dL_dz = 2 * r * odd[1, 0] + 2 * x * even[2, 0] + 2 * y * even[1, 2]
    dL_dz -= 4 * z * (dL_dR[1, 1] + dL_dR[0, 0])
    return {"scale": dL_dscale, "rot": xp.stack([dL_dr, dL_dx, dL_dy, dL_dz])}

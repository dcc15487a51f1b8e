def forward(xp, params):
    (a, b), (c, d), (p, q, r) = params
    f = a * b + c * d + p * q * r
    return f


def backward(xp, df, params):
    (a, b), (c, d), (p, q, r) = params
    return {
        "params": [
            (df * b, df * a),
            (df * d, df * c),
            (df * q * r, df * p * r, df * p * q),
        ]
    }

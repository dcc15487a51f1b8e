def forward(xp, a, b):
    c = a * (1 / (1 + xp.exp(-a))) * b
    return c


def backward(xp, dc, a, b):
    sig_a = 1 / (1 + xp.exp(-a))
    silu_a = a * sig_a
    db_row = dc * silu_a
    da_row = dc * (silu_a * (1 - sig_a) + sig_a) * b
    return {"a": da_row, "b": db_row}

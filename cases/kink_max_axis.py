def forward(xp, x):
    f = xp.max(x, axis=-1)
    return f


def backward(xp, df, x, f):
    hit = xp.astype(x == xp.expand_dims(f, axis=-1), x.dtype)
    share = hit / xp.sum(hit, axis=-1, keepdims=True)
    return {"x": xp.expand_dims(df, axis=-1) * share}


def native_torch(x):
    import torch

    return torch.max(x, dim=-1).values

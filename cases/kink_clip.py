def forward(xp, x):
    f = xp.clip(x, -1.0, 1.0)
    return f


def backward(xp, df, x):
    return {"x": xp.where(xp.abs(x) < 1, df, xp.zeros_like(df))}


def native_torch(x):
    import torch

    return torch.nn.functional.hardtanh(x)


def native_tensorflow(x):
    import tensorflow as tf

    return tf.clip_by_value(x, -1.0, 1.0)


def native_jax(x):
    import jax

    return jax.nn.hard_tanh(x)

def forward(xp, x):
    f = xp.minimum(xp.maximum(x, xp.zeros_like(x)), xp.full_like(x, 6.0))
    return f


def backward(xp, df, x):
    return {"x": xp.where((x > 0) & (x < 6), df, xp.zeros_like(df))}


def native_torch(x):
    import torch

    return torch.nn.functional.relu6(x)


def native_tensorflow(x):
    import tensorflow as tf

    return tf.nn.relu6(x)


def native_jax(x):
    import jax

    return jax.nn.relu6(x)

def inputs(rng, n=3, **_):
    return {"x": rng.choice([-1.0, 1.0], n) * rng.uniform(0.5, 2, n)}


def forward(xp, x):
    f = xp.sign(x) * xp.abs(x) ** (1 / 3)
    return f


def backward(xp, df, x, f):
    at_zero = x == 0
    slope = (1 / 3) * f / xp.where(at_zero, xp.ones_like(x), x)
    return {"x": df * xp.where(at_zero, xp.full_like(x, xp.inf), slope)}


def native_jax(x):
    import jax.numpy as jnp

    return jnp.cbrt(x)

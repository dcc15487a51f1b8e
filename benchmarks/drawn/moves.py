"""Steps that know shapes: pieces, reorderings, broadcasting, masks, products, and the endings.

Each takes the writer and a value and returns what it made; it raises Unfit where the shape of the
value does not allow it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from drawn.writer import Value, Writer

Move = Callable[[Writer, Value], Value]


class Unfit(Exception):
    """A value has no shape for this step."""


def need(fits: object) -> None:
    """Raises Unfit unless the value fits."""
    if not fits:
        raise Unfit


def pick(w: Writer, *spellings: str) -> str:
    """One of several spellings."""
    return spellings[int(w.rng.integers(len(spellings)))]


def unary(w: Writer, x: Value, forward: str, vjp: str, shape: tuple[int, ...]) -> Value:
    """A step of one operand."""
    return w.step(forward, {"x": x}, {"x": vjp}, shape)


def vector(w: Writer, x: Value) -> Value:
    """`x` as a vector."""
    if len(x.shape) == 1:
        return x
    size = int(np.prod(x.shape))
    text = pick(w, f"f = xp.reshape(x, ({size},))", "f = xp.reshape(x, (-1,))")
    return unary(w, x, text, f"xp.reshape(g, {x.shape})", (size,))


def matrix(w: Writer, x: Value) -> Value:
    """`x` as a matrix, a vector as a column or a row."""
    if len(x.shape) == 2:
        return x
    axis = int(w.rng.integers(2))
    shape = (1, *x.shape) if axis == 0 else (*x.shape, 1)
    return unary(w, x, f"f = xp.expand_dims(x, axis={axis})", f"xp.reshape(g, {x.shape})", shape)


def square(w: Writer, x: Value) -> Value:
    """A square matrix made of `x`."""
    x = matrix(w, x)
    if x.shape[0] == x.shape[1]:
        return x
    n = x.shape[0]
    W = parameter(w, (x.shape[1], n))
    return product(w, x, W)


def parameter(w: Writer, shape: tuple[int, ...]) -> Value:
    """An input that is there already, or a new one."""
    for each in w.inputs:
        if each.shape == shape and each.active and w.rng.random() < 0.5:
            return each
    return w.input(f"w{len(w.inputs)}", shape)


def product(w: Writer, x: Value, y: Value) -> Value:
    """The matrix product."""
    return w.step(
        pick(w, "f = xp.matmul(x, y)", "f = x @ y"),
        {"x": x, "y": y},
        {"x": "xp.matmul(g, xp.matrix_transpose(y))", "y": "xp.matmul(xp.matrix_transpose(x), g)"},
        (x.shape[0], y.shape[1]),
    )


# --- from one shape to another ---------------------------------------------------------------


def transpose(w: Writer, x: Value) -> Value:
    need(len(x.shape) == 2)
    return unary(
        w,
        x,
        pick(w, "f = xp.matrix_transpose(x)", "f = xp.permute_dims(x, (1, 0))"),
        "xp.matrix_transpose(g)",
        x.shape[::-1],
    )


def flip(w: Writer, x: Value) -> Value:
    return unary(w, x, "f = xp.flip(x, axis=0)", "xp.flip(g, axis=0)", x.shape)


def roll(w: Writer, x: Value) -> Value:
    return unary(w, x, "f = xp.roll(x, 1, axis=-1)", "xp.roll(g, -1, axis=-1)", x.shape)


def piece(w: Writer, x: Value) -> Value:
    """All but the first along the first axis."""
    n = x.shape[0]
    need(n > 1)
    return unary(
        w,
        x,
        "f = x[1:]",
        pick(
            w,
            "xp.concat([xp.zeros_like(x[:1]), g], axis=0)",
            "z = xp.zeros_like(x); xp.concat([z[:1], g])",
        ),
        (n - 1, *x.shape[1:]),
    )


def stride(w: Writer, x: Value) -> Value:
    """Every other element along the last axis."""
    need(len(x.shape) == 1 and x.shape[0] in (3, 5))
    n = (x.shape[0] + 1) // 2
    parts = [f"g[{i // 2}:{i // 2 + 1}]" if i % 2 == 0 else "x[:1] * 0" for i in range(x.shape[0])]
    zeros = [part.replace("x[:1] * 0", "xp.zeros_like(x[:1])") for part in parts]
    return unary(w, x, "f = x[::2]", f"xp.concat([{', '.join(zeros)}])", (n,))


def take(w: Writer, x: Value) -> Value:
    """Rows by index, some of them twice."""
    n = x.shape[0]
    picked = [int(each) for each in w.rng.integers(0, n, int(w.rng.integers(1, 4)))]
    hot = [[1.0 if i == row else 0.0 for row in picked] for i in range(n)]
    like = "g" if len(x.shape) == 2 else "xp.expand_dims(g, axis=1)"
    vjp = f"h = xp.asarray({hot}, dtype=x.dtype); xp.reshape(xp.matmul(h, {like}), {x.shape})"
    return unary(
        w, x, f"f = xp.take(x, xp.asarray({picked}), axis=0)", vjp, (len(picked), *x.shape[1:])
    )


def doubled(w: Writer, x: Value) -> Value:
    """`x` beside a multiple of itself."""
    n = x.shape[0]
    need(n <= 3)
    text = pick(w, "f = xp.concat([x, 2 * x], axis=0)", "f = xp.concat([x, x + x])")
    return unary(w, x, text, f"g[:{n}] + 2 * g[{n}:]", (2 * n, *x.shape[1:]))


def stacked(w: Writer, x: Value) -> Value:
    need(len(x.shape) == 1 and x.shape[0] <= 4)
    return unary(w, x, "f = xp.stack([x, x * x])", "g[0] + 2 * x * g[1]", (2, *x.shape))


def biased(w: Writer, x: Value) -> Value:
    """A parameter that is broadcast is added, or multiplies."""
    shapes = [(1,), x.shape[-1:], (*x.shape[:-1], 1), (1,) * len(x.shape)]
    b = parameter(w, shapes[int(w.rng.integers(len(shapes)))])
    if w.rng.random() < 0.5:
        text, one, other = "f = x + y", "g", "g"
    else:
        text, one, other = "f = x * y", "g * y", "g * x"
    if b.name == x.name:
        raise Unfit
    return w.step(text, {"x": x, "y": b}, {"x": one, "y": other}, x.shape, elementwise=True)


def outer_sum(w: Writer, x: Value) -> Value:
    """A vector against itself, broadcast: every difference of two elements."""
    need(len(x.shape) == 1 and x.shape[0] <= 4)
    n = x.shape[0]
    return unary(
        w,
        x,
        "f = xp.expand_dims(x, axis=1) - xp.expand_dims(x, axis=0)",
        "xp.sum(g, axis=1) - xp.sum(g, axis=0)",
        (n, n),
    )


def masked(w: Writer, x: Value) -> Value:
    """A fixed pattern of holes, filled with a number."""
    mask = np.asarray(w.rng.random(x.shape) < 0.7).tolist()
    return unary(
        w,
        x,
        f"m = xp.asarray({mask}); f = xp.where(m, x, xp.full_like(x, -2.0))",
        "xp.where(m, g, xp.zeros_like(g))",
        x.shape,
    )


def weighted(w: Writer, x: Value) -> Value:
    """A mask of numbers, which is an input without a gradient."""
    m = w.input(f"m{len(w.inputs)}", x.shape, active=False)
    return w.step("f = x * y", {"x": x, "y": m}, {"x": "g * y"}, x.shape)


def chain(w: Writer, x: Value) -> Value:
    """A layer."""
    x = matrix(w, x)
    return product(w, x, parameter(w, (x.shape[1], int(w.rng.integers(1, 4)))))


def centred(w: Writer, x: Value) -> Value:
    return unary(
        w,
        x,
        pick(
            w,
            "f = x - xp.mean(x, axis=-1, keepdims=True)",
            f"m = xp.sum(x, axis=-1, keepdims=True) / {x.shape[-1]}; f = x - m",
        ),
        "g - xp.mean(g, axis=-1, keepdims=True)",
        x.shape,
    )


def softmax(w: Writer, x: Value) -> Value:
    return unary(
        w,
        x,
        pick(
            w,
            "e = xp.exp(x - xp.max(x, axis=-1, keepdims=True)); "
            "f = e / xp.sum(e, axis=-1, keepdims=True)",
            "m = xp.max(x, axis=-1, keepdims=True); e = xp.exp(x - m); s = xp.sum(e, axis=-1, "
            "keepdims=True); f = e / s",
            "e = xp.exp(x); f = e / xp.sum(e, axis=-1, keepdims=True)",
        ),
        pick(
            w,
            "f * (g - xp.sum(g * f, axis=-1, keepdims=True))",
            "p = f * g; p - f * xp.sum(p, axis=-1, keepdims=True)",
        ),
        x.shape,
    )


def log_softmax(w: Writer, x: Value) -> Value:
    return unary(
        w,
        x,
        pick(
            w,
            "m = xp.max(x, axis=-1, keepdims=True); "
            "f = x - m - xp.log(xp.sum(xp.exp(x - m), axis=-1, keepdims=True))",
            "f = x - xp.log(xp.sum(xp.exp(x), axis=-1, keepdims=True))",
        ),
        "g - xp.exp(f) * xp.sum(g, axis=-1, keepdims=True)",
        x.shape,
    )


def layer_norm(w: Writer, x: Value) -> Value:
    need(x.shape[-1] > 1)
    return unary(
        w,
        x,
        "c = x - xp.mean(x, axis=-1, keepdims=True); "
        "r = 1 / xp.sqrt(xp.mean(c * c, axis=-1, keepdims=True) + 0.0009765625); f = c * r",
        "r * (g - xp.mean(g, axis=-1, keepdims=True) - f * xp.mean(g * f, axis=-1, keepdims=True))",
        x.shape,
    )


def rms_norm(w: Writer, x: Value) -> Value:
    return unary(
        w,
        x,
        "r = 1 / xp.sqrt(xp.mean(x**2, axis=-1, keepdims=True) + 1e-5); f = x * r",
        pick(
            w,
            "r * (g - f * xp.mean(g * f, axis=-1, keepdims=True))",
            "g * r - x * r**3 * xp.mean(g * x, axis=-1, keepdims=True)",
        ),
        x.shape,
    )


def running_sum(w: Writer, x: Value) -> Value:
    return unary(
        w,
        x,
        "f = xp.cumulative_sum(x, axis=-1)",
        pick(
            w,
            "xp.flip(xp.cumulative_sum(xp.flip(g, axis=-1), axis=-1), axis=-1)",
            "xp.sum(g, axis=-1, keepdims=True) - xp.cumulative_sum(g, axis=-1) + g",
        ),
        x.shape,
    )


def sorted_(w: Writer, x: Value) -> Value:
    need(len(x.shape) == 1)
    n = x.shape[0]
    return unary(
        w,
        x,
        "f = xp.sort(x)",
        f"o = xp.argsort(x); h = xp.astype(xp.expand_dims(o, axis=0) == "
        f"xp.expand_dims(xp.arange({n}), axis=1), x.dtype); xp.sum(h * g, axis=1)",
        x.shape,
    )


def peaks(w: Writer, x: Value) -> Value:
    """The maximum over an axis."""
    need(len(x.shape) == 2)
    m = x.shape[0]
    return unary(
        w,
        x,
        "f = xp.max(x, axis=1)",
        pick(
            w,
            "m = xp.astype(x == xp.expand_dims(f, axis=1), x.dtype); "
            "xp.expand_dims(g, axis=1) * m / xp.sum(m, axis=1, keepdims=True)",
            f"i = xp.argmax(x, axis=1); xp.where(xp.expand_dims(i, axis=1) == "
            f"xp.expand_dims(xp.arange({x.shape[1]}), axis=0), xp.expand_dims(g, axis=1), "
            f"xp.zeros_like(x))",
        ),
        (m,),
    )


def row_sums(w: Writer, x: Value) -> Value:
    need(len(x.shape) == 2)
    return unary(w, x, "f = xp.sum(x, axis=0)", "xp.broadcast_to(g, x.shape)", x.shape[1:])


MOVES: tuple[Move, ...] = (
    transpose,
    flip,
    roll,
    piece,
    stride,
    take,
    doubled,
    stacked,
    biased,
    biased,
    outer_sum,
    masked,
    weighted,
    chain,
    chain,
    centred,
    softmax,
    log_softmax,
    layer_norm,
    rms_norm,
    running_sum,
    sorted_,
    peaks,
    row_sums,
)

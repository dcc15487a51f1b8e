"""What a program ends in: reductions and linear algebra.

Each takes the writer and a value of any shape and returns what it made, mostly a scalar.
"""

from __future__ import annotations

from drawn.moves import Move, need, parameter, pick, square, unary, vector
from drawn.writer import Value, Writer


def total(w: Writer, x: Value) -> Value:
    return unary(
        w,
        x,
        "f = xp.sum(x)",
        pick(w, "g * ONE", "xp.broadcast_to(g, x.shape)", "xp.zeros_like(x) + g"),
        (),
    )


def mean(w: Writer, x: Value) -> Value:
    n = _size(x)
    return unary(w, x, pick(w, "f = xp.mean(x)", f"f = xp.sum(x) / {n}"), f"g * ONE / {n}", ())


def product(w: Writer, x: Value) -> Value:
    x = vector(w, x)
    n = x.shape[0]
    if w.rng.random() < 0.5:
        return unary(w, x, "f = xp.prod(x)", "g * f / x", ())
    need(n <= 4)
    others = [
        " * ".join([f"x[{j}]" for j in range(n) if j != i] or ["x[0] / x[0]"]) for i in range(n)
    ]
    return unary(w, x, "f = xp.prod(x)", f"g * xp.stack([{', '.join(others)}])", ())


def largest(w: Writer, x: Value) -> Value:
    return unary(
        w,
        x,
        "f = xp.max(x)",
        pick(
            w,
            "m = xp.astype(x == f, x.dtype); g * m / xp.sum(m)",
            f"i = xp.argmax(x); m = xp.reshape(xp.arange({_size(x)}) == i, x.shape); "
            "g * xp.astype(m, x.dtype)",
        ),
        (),
    )


def smallest(w: Writer, x: Value) -> Value:
    return unary(w, x, "f = xp.min(x)", "m = xp.astype(x == f, x.dtype); g * m / xp.sum(m)", ())


def variance(w: Writer, x: Value) -> Value:
    n = _size(x)
    return unary(
        w,
        x,
        pick(
            w,
            "f = xp.var(x)",
            "f = xp.mean((x - xp.mean(x)) ** 2)",
            "f = xp.mean(x * x) - xp.mean(x) ** 2",
        ),
        pick(w, f"2 * g * (x - xp.mean(x)) / {n}", f"2 * g * x / {n} - 2 * g * xp.mean(x) / {n}"),
        (),
    )


def deviation(w: Writer, x: Value) -> Value:
    n = _size(x)
    need(n > 1)
    return unary(
        w,
        x,
        pick(w, "f = xp.std(x)", "c = x - xp.mean(x); f = xp.sqrt(xp.mean(c * c))"),
        f"g * (x - xp.mean(x)) / ({n} * f)",
        (),
    )


def norm(w: Writer, x: Value) -> Value:
    x = vector(w, x)
    return unary(
        w,
        x,
        pick(
            w,
            "f = xp.sqrt(xp.sum(x**2))",
            "f = xp.linalg.vector_norm(x)",
            "f = xp.sqrt(xp.vecdot(x, x))",
        ),
        pick(w, "g * x / f", "g * x / xp.sqrt(xp.sum(x * x))"),
        (),
    )


def norm_one(w: Writer, x: Value) -> Value:
    x = vector(w, x)
    return unary(
        w,
        x,
        pick(w, "f = xp.sum(xp.abs(x))", "f = xp.linalg.vector_norm(x, ord=1)"),
        "g * xp.sign(x)",
        (),
    )


def half_square(w: Writer, x: Value) -> Value:
    return unary(w, x, "f = 0.5 * xp.sum(x * x)", "g * x", ())


def logsumexp(w: Writer, x: Value) -> Value:
    return unary(
        w,
        x,
        pick(
            w,
            "m = xp.max(x); f = m + xp.log(xp.sum(xp.exp(x - m)))",
            "f = xp.log(xp.sum(xp.exp(x)))",
        ),
        pick(w, "g * xp.exp(x - f)", "e = xp.exp(x - xp.max(x)); g * e / xp.sum(e)"),
        (),
    )


def cross_entropy(w: Writer, x: Value) -> Value:
    """Softmax and its logarithm, at one class."""
    x = vector(w, x)
    k = int(w.rng.integers(x.shape[0]))
    n = x.shape[0]
    return unary(
        w,
        x,
        f"m = xp.max(x); l = m + xp.log(xp.sum(xp.exp(x - m))); f = l - x[{k}]",
        pick(
            w,
            f"p = xp.exp(x - l); h = xp.astype(xp.arange({n}) == {k}, x.dtype); g * (p - h)",
            f"p = xp.exp(x - l); g * xp.where(xp.arange({n}) == {k}, p - 1, p)",
        ),
        (),
    )


def weighted_sum(w: Writer, x: Value) -> Value:
    x = vector(w, x)
    y = parameter(w, x.shape)
    text = pick(w, "f = xp.sum(x * y)", "f = xp.vecdot(x, y)", "f = xp.tensordot(x, y, axes=1)")
    return w.step(text, {"x": x, "y": y}, {"x": "g * y", "y": "g * x"}, ())


def cosine(w: Writer, x: Value) -> Value:
    """The cosine of two vectors."""
    x = vector(w, x)
    y = parameter(w, x.shape)
    return w.step(
        "a = xp.sqrt(xp.sum(x * x)); b = xp.sqrt(xp.sum(y * y)); f = xp.sum(x * y) / (a * b)",
        {"x": x, "y": y},
        {"x": "g * (y / (a * b) - f * x / a**2)", "y": "g * (x / (a * b) - f * y / b**2)"},
        (),
    )


def running_product(w: Writer, x: Value) -> Value:
    x = vector(w, x)
    need(x.shape[0] <= 4)
    return unary(
        w,
        x,
        "f = xp.cumulative_prod(x)",
        "s = g * f; xp.flip(xp.cumulative_sum(xp.flip(s))) / x",
        x.shape,
    )


def normalised(w: Writer, x: Value) -> Value:
    x = vector(w, x)
    return unary(
        w,
        x,
        "r = xp.sqrt(xp.sum(x * x)); f = x / r",
        pick(w, "(g - f * xp.sum(g * f)) / r", "g / r - x * xp.sum(g * x) / r**3"),
        x.shape,
    )


def shares(w: Writer, x: Value) -> Value:
    """Each over the sum of all."""
    x = vector(w, x)
    return unary(w, x, "s = xp.sum(x); f = x / s", "(g - xp.sum(g * f)) / s", x.shape)


def quadratic(w: Writer, x: Value) -> Value:
    """x' A x."""
    x = vector(w, x)
    need(x.shape[0] <= 4)
    y = parameter(w, (x.shape[0], x.shape[0]))
    return w.step(
        "f = xp.sum(x * xp.matmul(y, x))",
        {"x": x, "y": y},
        {
            "x": "g * (xp.matmul(y, x) + xp.matmul(xp.matrix_transpose(y), x))",
            "y": pick(w, "g * xp.linalg.outer(x, x)", "g * x * xp.expand_dims(x, axis=1)"),
        },
        (),
    )


def trace_of_product(w: Writer, x: Value) -> Value:
    x = square(w, x)
    need(x.shape[0] <= 4)
    text = "f = xp.linalg.trace(xp.matmul(x, x))"
    return unary(w, x, text, "2 * g * xp.matrix_transpose(x)", ())


def gram(w: Writer, x: Value) -> Value:
    """log det(X X' + I)."""
    x = square(w, x)
    n = x.shape[0]
    need(n <= 3)
    S = unary(
        w,
        x,
        f"f = xp.matmul(x, xp.matrix_transpose(x)) + xp.eye({n}, dtype=x.dtype)",
        pick(
            w,
            "xp.matmul(g, x) + xp.matmul(xp.matrix_transpose(g), x)",
            "xp.matmul(g + xp.matrix_transpose(g), x)",
        ),
        (n, n),
    )
    if w.rng.random() < 0.5:
        text = pick(w, "f = xp.linalg.slogdet(x)[1]", "f = xp.log(xp.linalg.det(x))")
        return unary(w, S, text, "g * xp.matrix_transpose(xp.linalg.inv(x))", ())
    return unary(
        w,
        S,
        "l = xp.linalg.cholesky(x); f = 2 * xp.sum(xp.log(xp.linalg.diagonal(l)))",
        "g * xp.linalg.inv(x)",
        (),
    )


def determinant(w: Writer, x: Value) -> Value:
    x = square(w, x)
    need(x.shape[0] <= 3)
    vjp = "g * f * xp.matrix_transpose(xp.linalg.inv(x))"
    return unary(w, x, "f = xp.linalg.det(x)", vjp, ())


def inverse(w: Writer, x: Value) -> Value:
    x = square(w, x)
    need(x.shape[0] <= 3)
    t = "xp.matrix_transpose(f)"
    return unary(w, x, "f = xp.linalg.inv(x)", f"-xp.matmul({t}, xp.matmul(g, {t}))", x.shape)


def solution(w: Writer, x: Value) -> Value:
    """A^-1 b."""
    x = square(w, x)
    n = x.shape[0]
    need(n <= 3)
    y = parameter(w, (n, int(w.rng.integers(1, 3))))
    return w.step(
        "f = xp.linalg.solve(x, y)",
        {"x": x, "y": y},
        {
            "x": "b = xp.linalg.solve(xp.matrix_transpose(x), g); "
            "-xp.matmul(b, xp.matrix_transpose(f))",
            "y": "xp.linalg.solve(xp.matrix_transpose(x), g)",
        },
        y.shape,
    )


def itself(w: Writer, x: Value) -> Value:
    """No reduction: the cotangent is an array."""
    need(w.steps and w.steps[-1].result.name == x.name)
    return x


ENDINGS: tuple[Move, ...] = (
    total,
    mean,
    product,
    largest,
    smallest,
    variance,
    deviation,
    norm,
    norm_one,
    half_square,
    logsumexp,
    cross_entropy,
    weighted_sum,
    cosine,
    running_product,
    normalised,
    shares,
    quadratic,
    trace_of_product,
    gram,
    determinant,
    inverse,
    solution,
    itself,
)


def _size(x: Value) -> int:
    size = 1
    for each in x.shape:
        size *= each
    return size

"""What the one constant K of the rounding-aware tolerance has to be, measured.

A tolerance is K (u |g| + deviation). For every built-in case and for functions known to be
delicate, at many points, in every framework: the true error divided by (u |g| + deviation). The
truth is the forward and hand-written backward in 80-bit arithmetic, on the same inputs. K must be
larger than the worst ratio of correct code, with a margin for the points that were not drawn; the
last column says what that costs, the median tolerance in units of u |g|. Cases of kinks are left
out: what a framework returns there is a convention.

    python benchmarks/calibration.py [--draws 6] [--only PATTERN] [--methods manual,torch]
                                     [--dtypes float16,bfloat16]
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from harness.backends import make
from harness.cases.case import load
from harness.cases.registry import builtin_folder
from harness.cases.sampling import NUMPY, draw_sample, rng_for
from harness.derived.program import Derived
from harness.dtypes import convert, unit_roundoff
from harness.errors import Unsupported
from harness.model import Array, Gradients, Sample
from harness.programs.program import Program
from harness.programs.staging import program_of
from harness.rounding.conditioning import conditioning
from harness.rounding.deviation import Deviation, K, deviation, evaluate, tolerance
from harness.rounding.emulated import EMULATED, EmulatedBackend
from harness.rounding.rounded import Rounding

METHODS = ("manual", "autograd", "tensorflow", "torch", "jax")
DTYPES = ("float32", "float64")
#: Built-in cases with long sums, drawn twice at this size besides.
LARGE = "large"

Inputs = Callable[[np.random.Generator], dict[str, Array]]


class Softmax:
    def inputs(rng):
        return {"x": rng.normal(0, 4, (3, 7))}

    def forward(xp, x):
        e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
        f = e / xp.sum(e, axis=-1, keepdims=True)
        return f

    def backward(xp, df, f):
        return {"x": f * (df - xp.sum(df * f, axis=-1, keepdims=True))}


class Attention:
    def inputs(rng):
        return {name: rng.normal(0, 1, (6, 8)) for name in "QKV"}

    def forward(xp, Q, K, V):
        s = xp.matmul(Q, xp.matrix_transpose(K)) / 8**0.5
        e = xp.exp(s - xp.max(s, axis=-1, keepdims=True))
        p = e / xp.sum(e, axis=-1, keepdims=True)
        f = xp.matmul(p, V)
        return f

    def backward(xp, df, Q, K, V, p):
        dp = xp.matmul(df, xp.matrix_transpose(V))
        ds = p * (dp - xp.sum(dp * p, axis=-1, keepdims=True)) / 8**0.5
        return {
            "Q": xp.matmul(ds, K),
            "K": xp.matmul(xp.matrix_transpose(ds), Q),
            "V": xp.matmul(xp.matrix_transpose(p), df),
        }


class LayerNorm:
    def inputs(rng):
        return {
            "x": rng.normal(1, 1, (5, 16)),
            "g": rng.normal(1, 0.1, 16),
            "b": rng.normal(size=16),
        }

    def forward(xp, x, g, b):
        c = x - xp.mean(x, axis=-1, keepdims=True)
        r = 1 / xp.sqrt(xp.mean(c**2, axis=-1, keepdims=True) + 1e-5)
        n = c * r
        f = n * g + b
        return f

    def backward(xp, df, g, r, n):
        dn = df * g
        m = xp.mean(dn, axis=-1, keepdims=True)
        k = xp.mean(dn * n, axis=-1, keepdims=True)
        return {"x": r * (dn - m - n * k), "g": xp.sum(df * n, axis=0), "b": xp.sum(df, axis=0)}


class BatchStatistics:
    """The mean is a thousand times the spread: three digits cancel."""

    def inputs(rng):
        return {"x": rng.normal(1000, 1, (64, 3))}

    def forward(xp, x):
        c = x - xp.mean(x, axis=0)
        v = xp.mean(c**2, axis=0)
        f = c / xp.sqrt(v + 1e-5)
        return f

    def backward(xp, df, c, v):
        r = 1 / xp.sqrt(v + 1e-5)
        n = c * r
        return {"x": r * (df - xp.mean(df, axis=0) - n * xp.mean(df * n, axis=0))}


class Variance:
    def inputs(rng):
        return {"x": rng.normal(100, 1, 50)}

    def forward(xp, x):
        f = xp.var(x)
        return f

    def backward(xp, df, x):
        return {"x": 2 * df * (x - xp.mean(x)) / x.shape[0]}


class NaiveVariance:
    """E[x^2] - E[x]^2, as one should not."""

    def inputs(rng):
        return {"x": rng.normal(30, 1, 50)}

    def forward(xp, x):
        a = xp.mean(x**2)
        b = xp.mean(x)
        f = a - b**2
        return f

    def backward(xp, df, x, b):
        n = x.shape[0]
        return {"x": 2 * df * x / n - 2 * b * df / n}


class CrossEntropy:
    def inputs(rng):
        return {"z": rng.normal(0, 3, (8, 10)), "t": rng.dirichlet(np.ones(10), 8)}

    def forward(xp, z, t):
        m = xp.max(z, axis=-1, keepdims=True)
        l = m + xp.log(xp.sum(xp.exp(z - m), axis=-1, keepdims=True))  # noqa: E741
        f = -xp.mean(xp.sum(t * (z - l), axis=-1))
        return f

    def backward(xp, df, z, t, l):  # noqa: E741
        p = xp.exp(z - l)
        n = z.shape[0]
        return {"z": df * (p * xp.sum(t, axis=-1, keepdims=True) - t) / n, "t": -df * (z - l) / n}


class LSTMCell:
    def inputs(rng):
        shapes = {"x": (4, 6), "h": (4, 5), "c": (4, 5), "W": (6, 20), "U": (5, 20), "b": (20,)}
        return {name: rng.normal(0, 1, shape) for name, shape in shapes.items()}

    def forward(xp, x, h, c, W, U, b):
        a = xp.matmul(x, W) + xp.matmul(h, U) + b
        i = 1 / (1 + xp.exp(-a[:, 0:5]))
        o = 1 / (1 + xp.exp(-a[:, 5:10]))
        k = 1 / (1 + xp.exp(-a[:, 10:15]))
        g = xp.tanh(a[:, 15:20])
        n = k * c + i * g
        t = xp.tanh(n)
        f = o * t
        return f

    def backward(xp, df, x, h, c, W, U, i, o, k, g, t):
        dn = df * o * (1 - t**2)
        da = xp.concat(
            [
                dn * g * i * (1 - i),
                df * t * o * (1 - o),
                dn * c * k * (1 - k),
                dn * i * (1 - g**2),
            ],
            axis=1,
        )
        return {
            "x": xp.matmul(da, xp.matrix_transpose(W)),
            "h": xp.matmul(da, xp.matrix_transpose(U)),
            "c": dn * k,
            "W": xp.matmul(xp.matrix_transpose(x), da),
            "U": xp.matmul(xp.matrix_transpose(h), da),
            "b": xp.sum(da, axis=0),
        }


class Determinant:
    def inputs(rng):
        return {"A": rng.normal(0, 1, (5, 5))}

    def forward(xp, A):
        f = xp.linalg.det(A)
        return f

    def backward(xp, df, A, f):
        return {"A": df * f * xp.matrix_transpose(xp.linalg.inv(A))}


class LogDeterminant:
    def inputs(rng):
        return {"A": rng.normal(0, 1, (6, 6))}

    def forward(xp, A):
        f = xp.linalg.slogdet(A)[1]
        return f

    def backward(xp, df, A):
        return {"A": df * xp.matrix_transpose(xp.linalg.inv(A))}


class Solve:
    def inputs(rng):
        return {"A": rng.normal(0, 1, (6, 6)), "b": rng.normal(0, 1, (6, 2))}

    def forward(xp, A, b):
        f = xp.linalg.solve(A, b)
        return f

    def backward(xp, df, A, f):
        db = xp.linalg.solve(xp.matrix_transpose(A), df)
        return {"A": -xp.matmul(db, xp.matrix_transpose(f)), "b": db}


class BadlyScaledSolve:
    """Rows and columns of sizes from 1e-3 to 1e3."""

    def inputs(rng):
        scale = 10.0 ** rng.integers(-3, 4, (2, 5))
        A = rng.normal(0, 1, (5, 5)) * scale[0][:, None] * scale[1]
        return {"A": A, "b": rng.normal(0, 1, (5, 1))}

    forward = Solve.forward
    backward = Solve.backward


class CumulativeProduct:
    def inputs(rng):
        return {"x": rng.uniform(0.5, 1.5, 30) * rng.choice([-1, 1], 30)}

    def forward(xp, x):
        f = xp.cumulative_prod(x)
        return f

    def backward(xp, df, x, f):
        return {"x": xp.flip(xp.cumulative_sum(xp.flip(df * f))) / x}


class CumulativeSum:
    def inputs(rng):
        return {"x": rng.normal(0, 1, 500)}

    def forward(xp, x):
        s = xp.cumulative_sum(x)
        f = xp.sin(s)
        return f

    def backward(xp, df, s):
        return {"x": xp.flip(xp.cumulative_sum(xp.flip(df * xp.cos(s))))}


class Product:
    def inputs(rng):
        return {"x": rng.uniform(0.5, 1.5, 20)}

    def forward(xp, x):
        f = xp.prod(x)
        return f

    def backward(xp, df, x, f):
        return {"x": df * f / x}


class LongSums:
    """Positive terms, by columns: numpy and torch add them one by one."""

    def inputs(rng):
        return {"x": rng.uniform(0, 1, (20000, 2)), "w": rng.uniform(0, 1, (20000, 2))}

    def forward(xp, x, w):
        s = xp.sum(x * w, axis=0)
        f = s**2 / x.shape[0]
        return f

    def backward(xp, df, x, w, s):
        ds = 2 * df * s / x.shape[0]
        return {"x": ds * w, "w": ds * x}


class LongCancellingSum:
    def inputs(rng):
        return {"x": rng.normal(0, 1, 20000)}

    def forward(xp, x):
        s = xp.sum(x)
        f = s**2
        return f

    def backward(xp, df, x, s):
        return {"x": 2 * df * s * xp.ones_like(x)}


class LongDot:
    def inputs(rng):
        return {"A": rng.uniform(0, 1, (4, 5000)), "x": rng.uniform(0, 1, (5000, 3))}

    def forward(xp, A, x):
        s = xp.matmul(A, x)
        f = xp.log(s)
        return f

    def backward(xp, df, A, x, s):
        ds = df / s
        return {
            "A": xp.matmul(ds, xp.matrix_transpose(x)),
            "x": xp.matmul(xp.matrix_transpose(A), ds),
        }


class Power:
    def inputs(rng):
        return {"x": rng.uniform(0.1, 20, 20), "p": rng.normal(0, 5, 20)}

    def forward(xp, x, p):
        f = x**p
        return f

    def backward(xp, df, x, p, f):
        return {"x": df * p * x ** (p - 1), "p": df * f * xp.log(x)}


class Softplus:
    def inputs(rng):
        return {"x": rng.normal(0, 10, 30)}

    def forward(xp, x):
        f = xp.logaddexp(x, xp.zeros_like(x))
        return f

    def backward(xp, df, x):
        return {"x": df / (1 + xp.exp(-x))}


class Gelu:
    def inputs(rng):
        return {"x": rng.normal(0, 2, 30)}

    def forward(xp, x):
        t = xp.tanh(0.7978845608 * (x + 0.044715 * x**3))
        f = 0.5 * x * (1 + t)
        return f

    def backward(xp, df, x, t):
        slope = 0.7978845608 * (1 + 3 * 0.044715 * x**2)
        return {"x": df * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * slope)}


class CosineSimilarity:
    def inputs(rng):
        x = rng.normal(0, 1, 12)
        return {"x": x, "y": x + rng.normal(0, 0.1, 12)}

    def forward(xp, x, y):
        a = xp.sqrt(xp.sum(x**2))
        b = xp.sqrt(xp.sum(y**2))
        f = xp.sum(x * y) / (a * b)
        return f

    def backward(xp, df, x, y, a, b, f):
        return {"x": df * (y / b - f * x / a) / a, "y": df * (x / a - f * y / b) / b}


class Waves:
    """Arguments of many periods."""

    def inputs(rng):
        return {"x": rng.uniform(-300, 300, 30)}

    def forward(xp, x):
        s = xp.sin(x)
        c = xp.cos(x)
        f = s * c + s
        return f

    def backward(xp, df, s, c):
        return {"x": df * (c * c - s * s + c)}


class Inverses:
    """Without `log1p` and `atanh`: in float64, jax is off by 237 u and 144 u (see `Log1p`)."""

    def inputs(rng):
        return {"x": rng.uniform(-0.99, 0.99, 30), "y": rng.uniform(0.1, 3, 30)}

    def forward(xp, x, y):
        f = xp.asin(x) + xp.acosh(1 + y) + xp.atan2(x, y) + xp.sinh(x) * xp.expm1(y)
        return f

    def backward(xp, df, x, y):
        r = x**2 + y**2
        dx = 1 / xp.sqrt(1 - x**2) + y / r + xp.cosh(x) * xp.expm1(y)
        dy = 1 / xp.sqrt((1 + y) ** 2 - 1) - x / r + xp.sinh(x) * xp.exp(y)
        return {"x": df * dx, "y": df * dy}


class Log1p:
    """Kept out of the recommendation: a framework that errs by 237 u is to be reported."""

    def inputs(rng):
        return {"x": rng.uniform(-0.9, 0.9, 200)}

    def forward(xp, x):
        f = xp.log1p(x)
        return f

    def backward(xp, df, x):
        return {"x": df / (1 + x)}


EXTRA: list[Any] = [
    *(Softmax, Attention, LayerNorm, BatchStatistics, Variance, NaiveVariance, CrossEntropy),
    *(LSTMCell, Determinant, LogDeterminant, Solve, BadlyScaledSolve, CumulativeProduct),
    *(CumulativeSum, Product, LongSums, LongCancellingSum, LongDot, Power, Softplus, Gelu),
    *(CosineSimilarity, Waves, Inverses, Log1p),
]


def extra_sample(name: str, program: Program, inputs: Inputs, dtype: str, draw: int) -> Sample:
    """A point of one of the functions above, with a random cotangent."""
    rng = rng_for(0, name, str(draw))
    arrays = {key: convert(np.asarray(each), dtype) for key, each in inputs(rng).items()}
    trace = program.forward(NUMPY, arrays)
    cotangents = tuple(
        convert(np.asarray(rng.normal(size=np.shape(each))), dtype) for each in trace.outputs
    )
    arrays = {key: arrays[key] for key in program.forward_code.parameters}
    return Sample(name, f"draw{draw}", "default", dtype, arrays, tuple(arrays), cotangents)


def programs(draws: int) -> Iterator[tuple[str, Program, Callable[[str], Iterator[Sample]]]]:
    """Name, program, and dtype -> its samples."""
    for file in sorted(builtin_folder().glob("*.yaml")):
        case = load(file)
        if "kink" in case.declared.tags:
            continue  # what a framework returns there is a convention, not an error

        def samples(dtype: str, case: Any = case) -> Iterator[Sample]:
            for point in (*case.declared.points, *(f"draw{index}" for index in range(draws))):
                yield draw_sample(case, point, "default", dtype)
            if LARGE in case.declared.sizes:
                for index in range(2):
                    yield draw_sample(case, f"draw{index}", LARGE, dtype)

        yield case.name, case.program, samples
    for each in EXTRA:
        program, _, _ = program_of(each.forward, each.backward)
        name = each.__name__

        def more(dtype: str, of: Any = (name, program, each.inputs)) -> Iterator[Sample]:
            return (extra_sample(*of, dtype, index) for index in range(draws))

        yield name, program, more


def explained(program: Program, sample: Sample) -> Deviation:
    """What a pass may rest on: the conditioning of the problem, the rounding of the backward by
    hand, and that of the textbook rules, whichever is the largest."""
    found = deviation(program, sample)
    with contextlib.suppress(Unsupported):
        for other in (conditioning(program, sample), deviation(Derived(program, sample), sample)):
            for name, moved in other.gradients.items():
                found.gradients[name] = np.fmax(found.gradients[name], moved)
    return found


def truth(program: Program, sample: Sample) -> Gradients:
    """Value and gradient in 80-bit arithmetic."""
    rounding = Rounding(sample.dtype, 0.0, carrier=np.longdouble)
    linalg = rounding.xp.linalg
    linalg.solve = rounding.lift(solve)
    linalg.inv = rounding.lift(lambda a: solve(a, np.eye(len(a), dtype=a.dtype)))
    linalg.det = rounding.lift(lambda a: math.prod(eliminate(a, a[:, :0])[1]))
    linalg.slogdet = rounding.lift(
        lambda a: (None, np.sum(np.log(np.abs(eliminate(a, a[:, :0])[1]))))
    )
    return evaluate(program, sample, rounding)


def eliminate(a: Array, b: Array) -> tuple[Array, list[Any]]:
    """[U | L^-1 b] and the pivots, with the sign of the row exchanges in the last."""
    rows, pivots, sign = np.concatenate([a, b], axis=1), [], 1
    for k in range(len(a)):
        best = k + int(np.argmax(np.abs(rows[k:, k])))
        if best != k:
            rows[[k, best]] = rows[[best, k]]
            sign = -sign
        rows[k + 1 :] -= rows[k + 1 :, k : k + 1] / rows[k, k] * rows[k]
        pivots.append(rows[k, k])
    return rows, [*pivots[:-1], sign * pivots[-1]]


def solve(a: Array, b: Array) -> Array:
    """Gaussian elimination: LAPACK knows no 80-bit numbers."""
    rows, _ = eliminate(a, b)
    n = len(a)
    x = rows[:, n:].copy()
    for k in reversed(range(n)):
        x[k] = (x[k] - rows[k, k + 1 : n] @ x[k + 1 :]) / rows[k, k]
    return x


def ratios(got: dict[str, Array], want: dict[str, Array], moved: dict[str, Array]) -> float:
    """The largest |got - want| / (u |want| + deviation)."""
    worst = 0.0
    for name, expected in want.items():
        error = np.abs(got[name].astype(np.longdouble) - expected)
        unit = tolerance(expected, moved[name], got[name].dtype.name, k=1.0)
        with np.errstate(all="ignore"):
            ratio = np.where(error == 0, 0, error / unit)
        worst = max(worst, float(np.max(ratio, initial=0)))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--only", default="*", help="glob of names")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--dtypes", default=",".join(DTYPES))
    options = parser.parse_args()
    backends = {label: make(label) for label in options.methods.split(",")}
    start = time.perf_counter()
    worst: dict[str, float] = defaultdict(float)
    cost: list[float] = []
    print(f"{'':24}{'':9}" + "".join(f"{label:>11}" for label in backends) + "   tolerance")
    for name, program, samples in programs(options.draws):
        if not fnmatch.fnmatch(name.lower(), options.only.lower()):
            continue
        for dtype in options.dtypes.split(","):
            row: dict[str, float] = {}
            widths: list[float] = []
            for sample in samples(dtype):
                expected = truth(program, sample)
                began = time.perf_counter()
                moved = explained(program, sample)
                spent = time.perf_counter() - began
                for label, backend in backends.items():
                    if label == "manual" and dtype in EMULATED:
                        backend = EmulatedBackend()
                    try:
                        with np.errstate(all="ignore"):
                            got = backend.differentiate(program, sample)
                    except (Unsupported, NotImplementedError):
                        continue
                    if label == "manual":
                        cost.append(spent / got.seconds)
                    row[label] = max(
                        row.get(label, 0.0),
                        ratios(got.values, expected.values, moved.values),
                        ratios(got.gradients, expected.gradients, moved.gradients),
                    )
                for key, gradient in expected.gradients.items() if sample.size != LARGE else ():
                    size = unit_roundoff(dtype) * np.abs(gradient[gradient != 0])
                    widths += list(K * (1 + moved.gradients[key][gradient != 0] / size).ravel())
            cells = "".join(
                f"{row[label]:11.2f}" if label in row else f"{'-':>11}" for label in backends
            )
            print(f"{name:24}{dtype:9}{cells}{np.median(widths):12.0f}", flush=True)
            for label, ratio in row.items() if name != Log1p.__name__ else ():
                worst[label] = max(worst[label], ratio)
    print(f"{'worst':33}" + "".join(f"{worst[label]:11.2f}" for label in backends))
    largest = max(worst.values())
    print(f"\nK is {K:g}; the worst ratio is {largest:.2f}, a margin of {K / largest:.1f}")
    print(
        f"recommended: {2 ** math.ceil(math.log2(2 * largest)):g}, a power of 2, twice it or more"
    )
    if cost:
        print(f"a deviation costs {np.median(cost):.0f} manual backwards (median)")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()

"""What ball arithmetic costs: the referee is only used if it is cheaper than finite differences.

Prints the best of five timings of elementwise operations, of a matrix product, of the 1-4-4-1 tanh
network of `cases/` on 1000 points and of logsumexp on 1e5 inputs, at 128 bits.

    python benchmarks/balls.py [BITS]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness import referee as r
from harness.cases.case import load
from harness.cases.registry import builtin_folder
from harness.programs import trees
from harness.programs.program import Program
from harness.referee import xp


def best(function: Callable[[], Any], rounds: int = 5) -> float:
    """The least wall time of a few runs, in seconds."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return min(found)


def report(name: str, seconds: float, count: int = 1) -> None:
    if count > 1:
        print(f"{name:52s} {seconds / count * 1e6:9.3f} us per element")
    else:
        print(f"{name:52s} {seconds * 1e3:9.1f} ms")


def elementwise(rng: np.random.Generator, count: int = 100_000) -> None:
    data, direction = rng.normal(size=count), r.dyadic_direction(rng, (count,))
    report("lift", best(lambda: r.lift(data)), count)
    exact = r.lift(data)
    x, y = xp.exp(exact), xp.cos(exact)
    along = r.lift_along(data, direction)
    s = xp.exp(along)
    for name, function in {
        "balls: x * y": lambda: x * y,
        "balls: x + y": lambda: x + y,
        "balls: x / y": lambda: x / y,
        "balls: x > y": lambda: x > y,
        "balls: exp": lambda: xp.exp(exact),
        "balls: tanh": lambda: xp.tanh(exact),
        "balls: sum": lambda: xp.sum(x),
        "balls: max": lambda: xp.max(x),
        "balls: sort": lambda: xp.sort(x),
        "order 1: x * y": lambda: s * s,
        "order 1: x / y": lambda: s / s,
        "order 1: exp": lambda: xp.exp(along),
        "order 1: tanh": lambda: xp.tanh(along),
        "order 1: max": lambda: xp.max(along),
    }.items():
        report(name, best(function, 3), count)


def product(rng: np.random.Generator, n: int = 256) -> None:
    a = xp.exp(r.lift(rng.normal(size=(n, n))))
    report(f"balls: matmul {n} x {n} x {n}", best(lambda: a @ a, 2))


def network(rng: np.random.Generator, count: int = 1000) -> None:
    case = load(builtin_folder() / "tanh_network.yaml")
    shapes = {"W1": (1, 4), "b1": (4,), "W2": (4, 4), "b2": (4,), "W3": (4, 1), "b3": (1,)}
    x = np.linspace(-5, 5, count)[:, None]
    inputs = {
        "params": {name: rng.normal(size=shape) for name, shape in shapes.items()},
        "x": x,
        "t": x**3 - 20 * x + 10,
    }
    pair(
        case.program,
        inputs,
        ["params." + name for name in shapes],
        rng,
        "tanh network, 1000 points",
    )


def logsumexp(rng: np.random.Generator, count: int = 100_000) -> None:
    case = load(builtin_folder() / "logsumexp.yaml")
    pair(case.program, {"x": rng.normal(size=count)}, ["x"], rng, "logsumexp, 1e5 inputs")


def pair(
    program: Program, inputs: dict[str, Any], moving: list[str], rng: np.random.Generator, name: str
) -> None:
    """Forward along a direction, forward and backward in balls, and whether the two agree."""
    leaves = trees.flatten(inputs)
    directions = {path: r.dyadic_direction(rng, leaves[path].shape) for path in moving}

    def along() -> Any:
        lifted = trees.map_with_path(
            lambda path, leaf: (
                r.lift_along(leaf, directions[path]) if path in directions else r.lift(leaf)
            ),
            inputs,
        )
        return program.forward(xp, lifted)

    plain = trees.map_with_path(lambda _path, leaf: r.lift(leaf), inputs)
    trace = program.forward(xp, plain)
    one = (r.lift(np.float64(1)),)
    report(f"{name}: lift, forward of order 1", best(along, 3))
    report(f"{name}: forward in balls", best(lambda: program.forward(xp, plain), 3))
    report(f"{name}: backward in balls", best(lambda: program.backward(xp, one, plain, trace), 3))
    gradient = trees.flatten(program.backward(xp, one, plain, trace)[0])
    start = time.perf_counter()
    left = r.coefficient(along().outputs[0], 1)
    right = sum(xp.sum(r.lift(directions[path]) * gradient[path]) for path in moving)
    assert r.overlap(left, right).all()
    digits = min(float(r.relative_digits(left)), float(r.relative_digits(right)))
    report(f"{name}: certificate ({digits:.0f} digits)", time.perf_counter() - start)


def main() -> None:
    bits = int(sys.argv[1]) if len(sys.argv) > 1 else 128
    print(f"{bits} bits, {Path(sys.executable).resolve().name}")
    rng = np.random.default_rng(0)
    for part in (elementwise, product, network, logsumexp):
        r.with_precision(lambda part=part: part(rng), bits)


if __name__ == "__main__":
    main()

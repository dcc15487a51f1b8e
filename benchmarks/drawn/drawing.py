"""Draws a program, and the numbers at which it is asked.

Everything follows from the seed; a drawn program is two texts, as somebody would write them, and
arrays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from drawn.endings import ENDINGS
from drawn.maps import BINARY, GUARDS, UNARY, Map
from drawn.moves import MOVES, Unfit, pick
from drawn.writer import Shape, Value, Writer
from harness.dtypes import convert

REGIMES = ("ordinary", "large", "tiny", "one far off", "ties")
DTYPES = ("float64", "float32", "float16", "bfloat16")
STYLES = ("d{}", "g_{}", "grad_{}", "{}_bar", "dL_d{}")
#: Powers of ten by which regimes scale; the far number of each dtype.
LARGE = {"float64": 3.0, "float32": 3.0, "float16": 2.0, "bfloat16": 3.0}
TINY = {"float64": 100.0, "float32": 20.0, "float16": 4.0, "bfloat16": 20.0}
FAR = {"float64": 1e20, "float32": 1e20, "float16": 3e4, "bfloat16": 1e20}
DEPTH = 4


@dataclass(frozen=True)
class Drawn:
    """A program at a point: the text of its Python file, inputs and cotangents as float64 arrays
    that hold numbers of `dtype`. `fixed` are the inputs without a gradient."""

    name: str
    dtype: str
    text: str
    inputs: dict[str, np.ndarray]
    cotangents: dict[str, np.ndarray]
    fixed: tuple[str, ...] = ()
    parts: tuple[str, ...] = field(default=(), compare=False)

    def write(self, folder: Path, name: str = "", text: str = "") -> Path:
        """Write the two files of the case; `text` takes the place of the program's own."""
        name = name or self.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(text or self.text, encoding="utf-8")
        (folder / f"{name}.yaml").write_text(self._yaml(), encoding="utf-8")
        return folder / f"{name}.yaml"

    def _yaml(self) -> str:
        lines = ["summary: drawn at random", "inputs:"]
        for name, value in self.inputs.items():
            fixed = ", differentiable: false" if name in self.fixed else ""
            lines.append(f"  {name}: {{shape: {list(value.shape)}{fixed}}}")
        lines += ["points:", "  here:", "    inputs:"]
        lines += [f"      {name}: {_numbers(value)}" for name, value in self.inputs.items()]
        lines += ["    cotangent:"]
        lines += [f"      {name}: {_numbers(value)}" for name, value in self.cotangents.items()]
        return "\n".join(lines) + "\n"


def draw(seed: tuple[int, ...], dtype: str, regime: str, name: str) -> Drawn:
    """The program of a seed."""
    rng = np.random.default_rng(seed)
    while True:
        w = Writer(rng, STYLES[int(rng.choice(5, p=[0.4, 0.15, 0.15, 0.15, 0.15]))])
        try:
            outputs, parts = _grow(w)
        except Unfit:
            continue
        active = [each for each in w.inputs if each.active]
        used = " ".join(w.lines)
        if "xp.linalg." in used and dtype in ("float16", "bfloat16"):
            continue  # no framework has it
        if all(re.search(rf"\b{each.name}\b", used) for each in active) and active:
            break
    inputs = {
        each.name: (
            _numbers_of(rng, each.shape, regime, dtype)
            if each.active
            else np.asarray(rng.integers(0, 2, each.shape), dtype=float)
        )
        for each in w.inputs
    }
    cotangents = {each.name: _round(_cotangent(rng, each.shape), dtype) for each in outputs}
    fixed = tuple(each.name for each in w.inputs if not each.active)
    return Drawn(name, dtype, w.text(outputs), inputs, cotangents, fixed, tuple(parts))


def _grow(w: Writer) -> tuple[list[Value], list[str]]:
    rng = w.rng
    shapes: list[Shape] = [(3,), (4,), (2, 3), (3, 2), (2, 2), (3, 3), (1, 3), (1,), (5,), ()]
    value = w.input("x", shapes[int(rng.choice(10, p=[*[0.12] * 7, 0.06, 0.06, 0.04]))])
    scalar = value.shape == ()
    pool, parts = [value], []
    for _ in range(int(rng.integers(1, DEPTH + 1))):
        kind = rng.random()
        if kind < 0.55:
            value = _map(w, value, parts)
        elif kind < 0.75:
            value = _two(w, value, pool, parts)
        elif not scalar:
            move = MOVES[int(rng.integers(len(MOVES)))]
            value = move(w, value)
            parts.append(move.__name__)
        if int(np.prod(value.shape)) > 24:
            raise Unfit
        pool.append(value)
        if rng.random() < 0.15:
            # What was made before is used again.
            value = pool[int(rng.integers(len(pool)))]
    if not w.steps:
        raise Unfit
    if not scalar:
        ending = ENDINGS[int(rng.integers(len(ENDINGS)))]
        parts.append(ending.__name__)
        value = ending(w, value)
    if rng.random() < 0.15:
        value = _map(w, value, parts)
    if not w.steps or w.steps[-1].result.name != value.name or not value.active:
        raise Unfit
    outputs = [value]
    if rng.random() < 0.1:
        others = [each for each in pool[1:] if each.name != value.name and each.active]
        outputs += others[-1:]
    return outputs, parts


def _map(w: Writer, x: Value, parts: list[str]) -> Value:
    which = UNARY[int(w.rng.integers(len(UNARY)))]
    if which.domain == "positive" and not x.positive:
        x = _apply(w, GUARDS[int(w.rng.integers(len(GUARDS)))], {"x": x}, x.shape)
    parts.append(which.name)
    return _apply(w, which, {"x": x}, x.shape)


def _two(w: Writer, x: Value, pool: list[Value], parts: list[str]) -> Value:
    """A function of `x` and of something that is there, or of a new input, perhaps broadcast."""
    rng = w.rng
    which = BINARY[int(rng.integers(len(BINARY)))]
    if which.domain == "positive" and not x.positive:
        x = _apply(w, GUARDS[int(rng.integers(len(GUARDS)))], {"x": x}, x.shape)
    same = [each for each in pool if _broadcasts(each.shape, x.shape)]
    if same and rng.random() < 0.6:
        y = same[int(rng.integers(len(same)))]
    else:
        shapes = [x.shape, x.shape, x.shape[-1:], (1,) * len(x.shape)]
        y = w.input(f"y{len(w.inputs)}", shapes[int(rng.integers(4))])
    parts.append(which.name)
    return _apply(w, which, {"x": x, "y": y}, x.shape)


def _broadcasts(one: Shape, other: Shape) -> bool:
    try:
        return np.broadcast_shapes(one, other) == other
    except ValueError:
        return False


def _apply(w: Writer, which: Map, operands: dict[str, Value], shape: Shape) -> Value:
    vjps = {
        letter: pick(w, *spellings) for letter, spellings in zip(operands, which.vjps, strict=True)
    }
    forward = pick(w, *which.forwards)
    return w.step(forward, operands, vjps, shape, positive=which.positive, elementwise=True)


def _numbers_of(rng: np.random.Generator, shape: Shape, regime: str, dtype: str) -> np.ndarray:
    values = np.asarray(rng.normal(size=shape))
    if regime == "large":
        values = values * 10 ** rng.uniform(1, LARGE[dtype])
    elif regime == "tiny":
        values = values * 10 ** -rng.uniform(2, TINY[dtype] if rng.random() < 0.3 else 8)
        values = values if dtype != "float16" else np.sign(values) * np.maximum(abs(values), 1e-6)
    elif regime == "ties":
        values = np.asarray(rng.choice([-1.0, 0.0, 0.5, 1.0], size=shape))
        values = values * float(rng.choice([1.0, 1.0, 3.0]))
    elif regime == "one far off" and values.size:
        flat = values.ravel().copy()
        flat[int(rng.integers(flat.size))] = FAR[dtype] * float(rng.choice([-1.0, 1.0]))
        values = flat.reshape(shape)
    return _round(values, dtype)


def _cotangent(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    kind = rng.random()
    if kind < 0.2:
        return np.ones(shape)
    values = np.asarray(rng.normal(size=shape))
    if kind < 0.3:
        values = values * 10.0 ** rng.integers(-4, 5)
    return values


def _round(values: np.ndarray, dtype: str) -> np.ndarray:
    return np.asarray(convert(np.asarray(values, dtype=np.float64), dtype)).astype(np.float64)


def _numbers(values: np.ndarray) -> str:
    """Nested lists as YAML reads them: `1e20` without a point would be a text."""
    return re.sub(r"(?<![.\d])(\d+)e", r"\1.0e", repr(values.tolist()))

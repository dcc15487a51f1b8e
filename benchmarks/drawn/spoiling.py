"""Wrong backwards of a drawn program: ones that truly differ, by mpmath's account of it.

Two are of the kinds that people make (`mutants`); one is off in a single element, the smallest as
often as any, by as little as a millionth of itself.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
from mpmath import mp
from mutants import LOCAL, Scope, expressions, replaced

from drawn.drawing import Drawn
from drawn.exact import Beyond, exact, lifted
from drawn.truth import BITS, DIFFERENT, Truth

#: Edits that are tried before a program is given up, for each fault that is wanted.
TRIES = 8


@dataclass(frozen=True)
class Fault:
    """The text of a wrong program, how it came about, and the leaves whose gradients are wrong:
    beyond doubt (by a millionth), at all, or by more than a quarter."""

    kind: str
    text: str
    wrong: frozenset[str]
    touched: frozenset[str]
    gross: frozenset[str]


def faults(drawn: Drawn, truth: Truth, rng: np.random.Generator) -> list[Fault]:
    """Three faults of a program; fewer where no edit makes a difference."""
    found = list(_some(truth, _edited(drawn, rng), 2))
    return found + list(_some(truth, _spoilt(drawn, truth, rng), 3 - len(found)))


def _some(truth: Truth, texts: Iterator[tuple[str, str]], wanted: int) -> Iterator[Fault]:
    for tries, (kind, text) in enumerate(texts):
        if not wanted or tries >= TRIES * 3:
            return
        try:
            wrong, touched, gross = (
                frozenset(truth.wrong(text, least)) for least in (DIFFERENT, 1e-25, 0.25)
            )
        except (Beyond, ValueError, IndexError, TypeError, AttributeError, AssertionError):
            continue  # the edit raises, as it would for whoever made it
        if wrong:
            wanted -= 1
            yield Fault(kind, text, wrong, touched, gross)


def _edited(drawn: Drawn, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """What a tired author writes, at random places of `backward`."""
    functions = {each.name: each for each in ast.walk(ast.parse(drawn.text)) if _defines(each)}
    backward = functions["backward"]
    scope = _scope(drawn, backward)
    nodes = list(expressions(backward))
    places = [(operator, node) for operator in LOCAL for node in nodes]
    for index in rng.permutation(len(places)):
        operator, node = places[index]
        edits = list(LOCAL[operator](node, scope))
        if edits:
            text = replaced(drawn.text, node, edits[int(rng.integers(len(edits)))])
            if text is not None and text != drawn.text:
                yield operator, text


def _defines(node: ast.AST) -> TypeGuard[ast.FunctionDef]:
    return isinstance(node, ast.FunctionDef)


def _scope(drawn: Drawn, backward: ast.FunctionDef) -> Scope:
    """The shapes of what `backward` is given and assigns, by a run of it."""
    with mp.workprec(BITS):
        names = exact(drawn.text).names(lifted(drawn.inputs), lifted(drawn.cotangents))
    shapes = {
        name: value.shape
        for name, value in names.items()
        if isinstance(value, np.ndarray) and value.dtype == object
    }
    lines: dict[str, int] = {}
    for node in ast.walk(backward):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            lines[node.id] = min(node.lineno, lines.get(node.id, node.lineno))
    saved = tuple(argument.arg for argument in backward.args.args)
    return Scope(shapes, saved, lines)


def _spoilt(drawn: Drawn, truth: Truth, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """One element of one gradient is scaled, erased, or something where there is nothing."""
    names = list(truth.low)
    while True:
        name = names[int(rng.integers(len(names)))]
        sizes = np.abs(np.asarray(truth.low[name].astype(float))).ravel()
        at = int(rng.integers(sizes.size))
        if rng.random() < 0.5 and np.any(sizes):
            at = int(np.argmin(np.where(sizes > 0, sizes, np.inf)))
        kind = str(rng.choice(["scaled", "scaled", "scaled", "erased"]))
        d = -1.0 if kind == "erased" else float(10 ** rng.uniform(-5.9, -0.5))
        hot = [d if index == at else 0.0 for index in range(sizes.size)]
        shape = drawn.inputs[name].shape
        spot = f"xp.reshape(xp.asarray({hot}, dtype={name}.dtype), {shape})"
        match = re.search(rf'"{name}": ([^,}}]+)', drawn.text)
        assert match is not None
        value = match[1]
        added = f"{value} * {spot}" if sizes[at] else spot
        text = drawn.text.replace(match[0], f'"{name}": {value} + {added}')
        head = re.search(r"def backward\(([^)]*)\):", text)
        assert head is not None
        if name not in head[1].split(", "):
            text = text.replace(head[0], f"def backward({head[1]}, {name}):")
        yield kind if sizes[at] else "invented", text

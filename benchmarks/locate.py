"""How often the line that is named is the faulty one, whatever the locals are called.

Three sets of faults, each fault in one line of a backward that is right without it:

    mutants   of every built-in case (`mutants.py`), as it is written: locals called `d<name>`
    renamed   the same cases with all locals and cotangents of `backward` called `t1`, `grad_2`, ...
    people    faults that people make, in backwards of public libraries (`faults/tuning.yaml`)

`--held-out` takes the third of the people's faults that nobody has looked at, once at the end.
For each set are printed: how often the faulty line came first (or is one of two or three of which
the text says that it is either of them), was among the first three, and in how many cases it was
said that "the fault is in" a line, with how many of these statements were false: none may be.

    python benchmarks/locate.py [SET ...] [--cases GLOB ...] [--per N] [--jobs N] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import ast
import fnmatch
import io
import statistics
import time
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from detection import chosen, kind, small
from faults import HELD_OUT, TUNING, read
from mutants import mutants
from pieces import Piece, done

from harness.cases import registry
from harness.cases.case import Case, load
from harness.cases.sampling import draw_sample
from harness.diagnose.accusation import Accusation
from harness.diagnose.charge import NAMED, Certainty, Charge
from harness.model import Sample
from harness.programs.source import Code, parse
from harness.programs.staging import StagedProgram
from harness.truth.certificate import certify

SETS = ("mutants", "renamed", "people")
POINTS = ("draw0", "draw1", "draw2")
#: What locals are called in code that has not heard of `d<name>`.
PATTERNS = ("t{}", "grad_{}", "g{}", "p_{}")


@dataclass
class Score:
    """What has been counted of each set."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def add(self, other: Score) -> None:
        """Count what another piece of the work has counted."""
        self.counts.update(other.counts)
        self.lines += other.lines
        for name, spent in other.seconds.items():
            self.seconds.setdefault(name, []).extend(spent)

    def fault(self, name: str, about: str, code: Code, sample: Sample, line: int) -> None:
        """Accuse a faulty backward, and count how near that comes to `line`."""
        start = time.perf_counter()
        accusation = Accusation(code, StagedProgram.of(code), sample)
        charge, text = accusation.charge, accusation.text
        self.seconds.setdefault(name, []).append(time.perf_counter() - start)
        named = [each.number for each in charge.lines][:NAMED]
        either = charge.certainty is Certainty.EITHER and line in named
        promised = charge.certainty in (Certainty.PROVED, Certainty.REPAIRED)
        false = promised and named != [line]
        hit = "first" if named[:1] == [line] else "either" if either else "later"
        if hit == "later" or false:
            self.lines.append(f"{about}\n    {told(charge)}{'  FALSE' if false else ''}")
        self.counts[name, "faults"] += 1
        self.counts[name, "first"] += hit != "later"
        self.counts[name, "three"] += line in named
        self.counts[name, "promised"] += promised
        self.counts[name, "false"] += false
        self.counts[name, charge.certainty.value] += 1
        self.counts[name, "nothing said"] += not text


def told(charge: Charge) -> str:
    """A charge in short."""
    lines = [
        f"{each.number}{' as `' + each.repair.text + '`' if each.repair else ''}"
        for each in charge.lines[:5]
    ]
    return f"{charge.certainty.value}: {', '.join(lines)}"


def renamed(case: Case) -> Case:
    """The case with every local and cotangent of its backward under another name, line by line."""
    tree = ast.parse(case.code.text)
    function = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "backward")
    count = len(case.code.forward.returns)
    given = [each.arg for each in function.args.args]
    stored = [
        each.id
        for each in ast.walk(function)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    ]
    kept = {"xp", *given[1 + count :]}
    names = [each for each in dict.fromkeys([*given[1 : 1 + count], *stored]) if each not in kept]
    pattern = PATTERNS[sum(map(ord, case.name)) % len(PATTERNS)]
    known = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)} | {*given}
    assert not known & {pattern.format(index + 1) for index in range(len(names))}
    table = {name: pattern.format(index + 1) for index, name in enumerate(names)}
    lines = case.code.text.split("\n")
    body = "\n".join(lines[function.lineno - 1 : function.end_lineno])
    rest = lines[function.end_lineno :]
    text = "\n".join([*lines[: function.lineno - 1], _replaced(body, table), *rest])
    return replace(case, code=parse(text, case.code.file))


def _replaced(body: str, table: dict[str, str]) -> str:
    """A function with names replaced; attributes and keywords are none of its names."""
    tokens = list(tokenize.generate_tokens(io.StringIO(body).readline))
    lines = body.split("\n")
    depth, places = 0, []
    for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.string, 0)
        keyword = after.string == "=" and depth > 0
        if token.string in table and before.string != "." and not keyword:
            places.append(token)
    for token in reversed(places):
        row, column = token.start
        line = lines[row - 1]
        lines[row - 1] = line[:column] + table[token.string] + line[column + len(token.string) :]
    return "\n".join(lines)


def work(piece: Piece, options: argparse.Namespace) -> Score:
    """The score of the faults of one case."""
    score = Score()
    (entry,) = (each for each in registry.find() if each.name == piece.case)
    case = small(load(entry.file))
    if case.code.backward is None:
        return score
    samples = [draw_sample(case, point, "default", "float64") for point in POINTS]
    if certify(case.program, samples[0]).state not in ("verified", "close"):
        return score
    for name in options.sets:
        if name == "people":
            people(score, case, samples, options)
        else:
            planted(score, name, renamed(case) if name == "renamed" else case, samples, options)
    return score


def planted(
    score: Score, name: str, case: Case, samples: Sequence[Sample], options: argparse.Namespace
) -> None:
    """Mutants, `--per` of each operator, at the first point where they show."""
    every = mutants(case, samples[0], (1e-1,))
    for mutant in chosen(every, options.per, np.random.default_rng(options.seed)):
        what, sample = kind(case, mutant, [*samples])
        if what in ("live", "crashes"):
            about = f"{name}: {case.name}:{mutant.line}: {mutant.source}  ({mutant.operator})"
            score.fault(name, about, mutant.code(case), sample, mutant.line)


def people(
    score: Score, case: Case, samples: Sequence[Sample], options: argparse.Namespace
) -> None:
    """The faults of the files, at the first point."""
    for fault in read(HELD_OUT if options.held_out else TUNING):
        if fault.case == case.name:
            line = fault.line(case.code.text)
            about = f"people: {case.name}:{line}: {fault.wrong}  ({fault.what})"
            score.fault("people", about, fault.code(case), samples[0], line)


def report(score: Score) -> None:
    """Print what has been counted."""
    kinds = [each.value for each in Certainty]
    heads = ["faults", "first", "three", "promised", "false", *kinds, "median s", "longest s"]
    print(f"{'':10}" + "".join(f"{head:>11}" for head in heads))
    for name, spent in score.seconds.items():
        count = score.counts[name, "faults"]
        shares = [f"{score.counts[name, each] / count:.1%}" for each in ("first", "three")]
        numbers = [str(score.counts[name, each]) for each in ("promised", "false", *kinds)]
        times = [f"{statistics.median(spent):.2f}", f"{max(spent):.1f}"]
        print(f"{name:10}" + "".join(f"{x:>11}" for x in [str(count), *shares, *numbers, *times]))
    print(f'\nthe faulty line neither first nor one of "either": {len(score.lines)}')
    print("\n".join(score.lines))


def pieces(options: argparse.Namespace) -> Iterator[Piece]:
    """A piece for each case that has a fault."""
    faulty = {fault.case for fault in read(HELD_OUT if options.held_out else TUNING)}
    for entry in registry.find():
        wanted = any(fnmatch.fnmatchcase(entry.name, glob) for glob in options.cases)
        if wanted and (set(options.sets) != {"people"} or entry.name in faulty):
            yield Piece(entry.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)} (all)")
    parser.add_argument("--cases", nargs="+", default=["*"], metavar="GLOB")
    parser.add_argument("--per", type=int, default=1, help="mutants of each operator in a case (1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", action="store_true", help="the people's faults set aside")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--keep", type=Path, help="folder for what is done, to go on from there")
    options = parser.parse_args()
    options.sets = options.sets or list(SETS)
    if unknown := set(options.sets) - set(SETS):
        parser.error(f"no set `{sorted(unknown)[0]}`; choose from {', '.join(SETS)}")
    score = Score()
    every = list(pieces(options))
    for found in done(every, partial(work, options=options), options.jobs, options.keep):
        score.add(found)
    report(score)


if __name__ == "__main__":
    main()

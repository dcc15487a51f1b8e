"""Do verdicts hold for programs that nobody chose? They are drawn at random, and so are faults.

A program is a composition of elementwise functions, shapes, reductions and linear algebra, with a
`backward` that is composed of known VJPs in the spellings that people use (`drawn/`). mpmath says
what is true (`drawn/truth`), not the harness. Asked is what a user gets: `harness.run`.

Right code: no row may accuse it. Numbers that are not finite where the truth is are no accusation,
since they are wrong; they are counted apart. Wrong code (three faults in every third program): no
certificate may verify it, none may name a gradient that is right, no framework may fail for it, and
a repair has to be right at another point too.

    python benchmarks/soundness.py [--draws N] [--few N] [--seed N] [--jobs N] [--only right|wrong]
        [--dtype NAME ...] [--regime NAME ...] [--show ID] [--keep FOLDER]

`--draws` is the number in all, over dtypes and regimes. An offence is printed with its id;
`--show ID` writes the case files of that program and its faults, to run and to shrink.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from drawn.drawing import DTYPES, REGIMES, Drawn, draw
from drawn.exact import Beyond
from drawn.spoiling import Fault, faults
from drawn.truth import Truth, truth_of
from pieces import Piece, done

import harness
from harness.errors import HarnessError
from harness.model import Row

METHODS = ("manual", "numeric", "torch")
#: Frameworks that take long to compile.
SLOW = ("jax", "tensorflow")
#: Draws in one piece of work; of how many programs one is also spoilt; of those, repaired.
CHUNK, SPOILT, REPAIRED = 20, 3, 10
BAD = ("fail", "imprecise", "error", "unsupported", "crash", "timeout")
#: Without this line a wrong backward is not only judged but repaired, which takes ten times longer.
UNREPAIRED = "    while False:\n        pass\n"


@dataclass
class Tally:
    """What was counted, by dtype, regime and name; offences with their ids; reasons."""

    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    offences: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Count what another piece of the work has counted."""
        self.counts.update(other.counts)
        self.offences += other.offences
        self.reasons.update(other.reasons)


class Judge:
    """One dtype and regime. `accused` are the methods that a program fails without any fault."""

    methods: tuple[str, ...] = METHODS

    def __init__(self, dtype: str, regime: str, options: argparse.Namespace, folder: Path) -> None:
        self.dtype, self.regime, self.options, self.folder = dtype, regime, options, folder
        self.tally = Tally()
        self.accused: set[str] = set()

    def count(self, what: str, number: int = 1) -> None:
        self.tally.counts[self.dtype, self.regime, what] += number

    def offence(self, kind: str, name: str, text: str) -> None:
        """The first of a kind that a program commits."""
        if not any(each.startswith(f"{kind}: {name}: ") for each in self.tally.offences):
            self.count(kind)
            self.tally.offences.append(f"{kind}: {name}: {text}")
            print(self.tally.offences[-1][:300], file=sys.stderr)

    def program(self, index: int) -> Drawn:
        """The program of that number."""
        place = (DTYPES.index(self.dtype), REGIMES.index(self.regime))
        name = f"{self.dtype}-{self.regime.replace(' ', '-')}-{index}"
        return draw((self.options.seed, *place, index), self.dtype, self.regime, name)

    def run(self, index: int) -> None:
        """Judge one program, and its faults."""
        drawn = self.program(index)
        try:
            truth = truth_of(drawn)
        except Beyond:
            self.count("left out")
            return
        self.accused.clear()
        if self.options.only != "wrong":
            self.right(drawn, truth, index)
        elif index % SPOILT == 0:
            self.accused |= {
                row.backend
                for row in self.rows(drawn, drawn.name, drawn.text, ("torch",))
                if row.status in BAD
            }
        if self.options.only != "right" and index % SPOILT == 0:
            rng = np.random.default_rng([self.options.seed, index])
            for number, fault in enumerate(faults(drawn, truth, rng)):
                self.wrong(drawn, truth, fault, number, index % (SPOILT * REPAIRED) == 0)

    def rows(self, drawn: Drawn, name: str, text: str, methods: Sequence[str]) -> tuple[Row, ...]:
        """What the harness says about `text` at the point of a program."""
        drawn.write(self.folder, name, text)
        return harness.run(
            name,
            cases=self.folder,
            jobs=0,
            backends=tuple(methods),
            dtypes=(self.dtype,),
            points=("here",),
            draws=0,
        ).rows

    def right(self, drawn: Drawn, truth: Truth, index: int) -> None:
        """The program as it was drawn."""
        few = index < self.options.few / (len(DTYPES) * len(REGIMES))
        methods = (*self.methods, *SLOW) if few else self.methods
        rows = self.rows(drawn, drawn.name, drawn.text, methods)
        self.count("draws")
        undecided = False
        defined = all(np.isfinite(float(r.got or 0)) for r in rows if r.mode == "value")
        for row in rows:
            where = f"{row.backend} {row.mode} {row.quantity}"
            said = f"{where}: {row.status}: got {row.got}, expected {row.expected} ({row.detail})"
            if row.status in BAD:
                self.accused.add(row.backend)
            if row.status in BAD and not _broken(row, defined):
                self.offence(f"accused {row.backend}", drawn.name, said)
            elif row.status in BAD:
                self.count("not finite")
            elif row.status == "undecided":
                undecided = True
                self.tally.reasons[f"{row.backend}: {_plain(row.detail)}"] += 1
            elif row.status not in ("pass", "kink"):
                self.count(row.status)
            if truth.smooth and row.reference == "certified" and row.status != "undecided":
                self.reference(row, drawn, truth, said)
        self.count("undecided", undecided)

    def reference(self, row: Row, drawn: Drawn, truth: Truth, said: str) -> None:
        """A certified number is the true one."""
        name, at = str(row.quantity).removeprefix("d/d"), row.worst_index
        if row.mode != "vjp" or name not in truth.low or not row.expected or not at:
            return
        index = tuple(int(each) for each in re.findall(r"\d+", at))
        expected, true = float(row.expected), truth.number(name, index)
        self.count("references")
        # A sum that cancels to zero is known to a radius only.
        slack = 1e-30 * float(max(map(abs, truth.low[name].ravel()))) + 5e-324
        if abs(true) < 1e308 and not np.isclose(expected, true, rtol=1e-13, atol=slack):
            self.offence("certified wrongly", drawn.name, f"{said}; the truth is {true!r}")

    def wrong(self, drawn: Drawn, truth: Truth, fault: Fault, number: int, repair: bool) -> None:
        """A program with a fault in its backward."""
        name, text = f"{drawn.name}-{number}", fault.text
        if not repair:
            text = text.replace("    return {", f"{UNREPAIRED}    return {{")
        methods = ("manual", "torch") if number == 0 else ("manual",)
        try:
            rows = self.rows(drawn, name, text, methods)
        except HarnessError:
            self.count("refused")
            return
        self.count("faults")
        manual = [row for row in rows if row.backend == "manual"]
        (certificate,) = [row for row in manual if str(row.quantity) == "certificate"] or [None]
        derivatives = [row for row in manual if row.mode == "vjp"]
        said = f"{fault.kind}: wrong {', '.join(sorted(fault.wrong))}: " + "; ".join(
            f"{row.quantity} {row.status} {row.detail}" for row in derivatives
        )
        shapeless = any("wrong shape" in row.detail or row.status == "error" for row in manual)
        if certificate is None or shapeless or certificate.status == "fail":
            self.count("proved")
        elif certificate.status == "pass":
            self.offence("verified", name, said)
        elif certificate.status != "undecided" and all(row.good for row in manual):
            self.offence(f"called a {certificate.status}", name, said)
        else:
            self.count("not proved")
            self.tally.reasons[f"fault {certificate.status}: {_plain(certificate.detail)}"] += 1
        for row in derivatives:
            leaf = str(row.quantity).removeprefix("d/d")
            if leaf in fault.gross and row.status in ("pass", "kink"):
                self.offence("passed by a quarter", name, f"{leaf}: {row.status}: {said}")
        if certificate is not None and certificate.status == "fail":
            blamed = certificate.detail.split(";")[0].removeprefix("proved wrong: ")
            for leaf in re.findall(r"d/d([\w.]+)", blamed):
                if leaf in truth.low and leaf not in fault.touched:
                    self.offence("named the right", name, f"{leaf}: {said}")
        for row in rows:
            # Without the fault it passed.
            if row.backend == "torch" and row.status in BAD and "torch" not in self.accused:
                self.offence("failed torch", name, f"{row.quantity} {row.status} {row.detail}")
        if repair:
            self.repairs(drawn, name, text, certificate)

    def repairs(self, drawn: Drawn, name: str, text: str, certificate: Row | None) -> None:
        """What is said to be right is right at other points too."""
        said = certificate.detail if certificate is not None else ""
        for line, new in re.findall(r":(\d+): `[^`]*`, which is right as `([^`]*)`", said):
            lines = text.split("\n")
            old = lines[int(line) - 1]
            lines[int(line) - 1] = old[: len(old) - len(old.lstrip())] + new
            self.count("repairs")
            for other in self.others(drawn):
                with contextlib.suppress(Beyond):
                    if other.wrong("\n".join(lines)):
                        self.offence("repaired wrongly", name, f"line {line}: {new}")
                        break

    def others(self, drawn: Drawn) -> Iterator[Truth]:
        """The right program at other points: ordinary ones."""
        rng = np.random.default_rng(self.options.seed)
        for _ in range(2):
            inputs = {
                key: each if key in drawn.fixed else np.asarray(rng.normal(size=each.shape))
                for key, each in drawn.inputs.items()
            }
            cotangents = {
                key: np.asarray(rng.normal(size=each.shape))
                for key, each in drawn.cotangents.items()
            }
            try:
                yield truth_of(
                    Drawn("elsewhere", "float64", drawn.text, inputs, cotangents, drawn.fixed)
                )
            except Beyond:
                continue


def _broken(row: Row, defined: bool = True) -> bool:
    """Whether a method returned no finite number where there is one, or met a matrix that rounding
    has made singular: that is its own fault. From the numeric one, which is ours, it is taken only
    where `forward` is no better."""
    if "LinAlgError" in row.detail:
        return row.backend != "numeric"
    return row.got in ("nan", "inf", "-inf") and not (row.backend == "numeric" and defined)


def _plain(detail: str) -> str:
    """A reason without the numbers and names of the program."""
    return re.sub(r"\(?\d[\d., )]*", "# ", re.sub(r"`d?[a-z]+\d+`", "`#`", detail))[:110]


def work(piece: Piece, options: argparse.Namespace) -> Tally:
    """The tally of some draws of one dtype and regime."""
    warnings.simplefilter("ignore")
    dtype, _, regime = piece.case.partition(" ")
    with tempfile.TemporaryDirectory() as folder, np.errstate(all="ignore"):
        judge = Judge(dtype, regime, options, Path(folder))
        for index in piece.draws:
            try:
                judge.run(index)
            except Exception:
                text = traceback.format_exc().strip().split("\n")
                judge.offence("raised", judge.program(index).name, " | ".join(text[-3:]))
    return judge.tally


def pieces(options: argparse.Namespace) -> list[Piece]:
    """The whole work, in turns, so that an interrupted run has something of everything."""
    kinds = [f"{dtype} {regime}" for dtype in options.dtype for regime in options.regime]
    each = max(1, options.draws // len(kinds))
    starts = range(0, each, CHUNK)
    return [Piece(kind, range(at, min(at + CHUNK, each))) for at in starts for kind in kinds]


RIGHT = ("draws", "undecided", "not finite", "left out")
WRONG = ("faults", "proved", "not proved")


def report(tally: Tally, options: argparse.Namespace) -> None:
    """The table, the reasons, and every offence."""
    found = {what for _, _, what in tally.counts}
    heads = [head for head in (*RIGHT, *WRONG) if head in found]
    heads += sorted(found - {*RIGHT, *WRONG})
    width = max(len(head) for head in heads) + 2
    print(f"{'':24}" + "".join(f"{head:>{width}}" for head in heads))
    for dtype in (*options.dtype, "all"):
        for regime in (*options.regime, "all"):
            total = [
                sum(
                    number
                    for (one, other, what), number in tally.counts.items()
                    if what == head and dtype in (one, "all") and regime in (other, "all")
                )
                for head in heads
            ]
            print(f"{dtype + ' ' + regime:24}" + "".join(f"{each:>{width}}" for each in total))
    print(f"\nreasons: {sum(tally.reasons.values())}")
    for reason, number in tally.reasons.most_common():
        print(f"  {number:5} {reason}")
    print(f"\noffences: {len(tally.offences)}")
    for offence in tally.offences:
        print(f"  {offence}")


def show(name: str, options: argparse.Namespace) -> None:
    """Write the files of a program and of its faults, and say how to run them."""
    dtype, *words, index = name.split("-")
    folder = Path("drawn-cases")
    judge = Judge(dtype, " ".join(words), options, folder)
    drawn = judge.program(int(index))
    drawn.write(folder)
    rng = np.random.default_rng([options.seed, int(index)])
    for number, fault in enumerate(faults(drawn, truth_of(drawn), rng)):
        drawn.write(folder, f"{name}-{number}", fault.text)
        print(f"{name}-{number}: {fault.kind}, wrong {', '.join(sorted(fault.wrong))}")
    print(f"harness run '{name}*' --cases {folder} --dtype {dtype} --point here --draws 0")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--draws", type=int, default=400, help="programs in all (400)")
    parser.add_argument("--few", type=int, default=300, help="those that jax and TensorFlow get")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--only", choices=("right", "wrong"), help="one half of the work")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--regime", nargs="+", choices=REGIMES, default=list(REGIMES))
    parser.add_argument("--keep", type=Path, help="folder for what is done, to go on from there")
    parser.add_argument("--show", metavar="ID", help="write the case files of an offence")
    options = parser.parse_args()
    if options.show:
        show(options.show, options)
        return
    tally = Tally()
    for found in done(pieces(options), partial(work, options=options), options.jobs, options.keep):
        tally.add(found)
    report(tally, options)


if __name__ == "__main__":
    main()

"""What each checker catches, when the faults are known: ours, and the ones that people use today.

Faults are planted in every built-in backward (`mutants.py`), one line each. Those that change
nothing are removed: the certificate verifies them at three random draws, and, lest it judge itself,
their float64 gradients are those of the correct backward too. The rest is shown to every checker at
one random draw; a checker that complains about the correct backward there is not counted for that
case. Printed are the share caught by fault, the share caught of faults scaled down to d, the false
alarms on the correct backward, and how often the line that is blamed first is the mutated one.

    python benchmarks/detection.py [--cases GLOB ...] [--draws N] [--per N] [--seed N] [--full]
        [--ours] [--only alarms|faults] [--jobs N] [--keep FOLDER]

No dimension of a case is larger than 8, since the frameworks' checks take a column each. With
`--keep` the pieces that are done survive an interruption: the same command goes on with the rest.
"""

from __future__ import annotations

import argparse
import fnmatch
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
from mutants import COARSE, OPERATORS, SIZES, Mutant, mutants
from peers import PEERS, Peer
from pieces import Piece, done

from harness.backends.manual import ManualBackend
from harness.cases import registry
from harness.cases.case import Case, load
from harness.cases.sampling import draw_sample
from harness.diagnose.accusation import Accusation
from harness.diagnose.charge import Certainty
from harness.model import GOOD, Gradients, Row, Sample, Status
from harness.programs.program import Program
from harness.runs.engine import Engine
from harness.runs.plan import Cell, Request
from harness.truth.certificate import certify

LARGEST = 8
EQUIVALENCE = ("draw0", "draw1", "draw2")
#: Any row that is not good; a certificate that proves a difference; the other rows.
OURS, PROOF, TOLERANCE = "ours", "proof", "tolerance"
CHECKERS = (OURS, PROOF, TOLERANCE, *(peer.name for peer in PEERS))
#: Draws of the correct backward that the slow peers get at most.
SLOW = {"torch slow": 100, "jax": 20, "tensorflow": 20}
#: Draws of the correct backward in one piece of work.
CHUNK = 100


@dataclass
class Score:
    """What has been counted so far."""

    caught: Counter[tuple[str, str]] = field(default_factory=Counter)
    shown: Counter[tuple[str, str]] = field(default_factory=Counter)
    seen: Counter[tuple[float, str]] = field(default_factory=Counter)
    scaled: Counter[tuple[float, str]] = field(default_factory=Counter)
    alarms: Counter[str] = field(default_factory=Counter)
    draws: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    alarmed: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    seconds: Counter[str] = field(default_factory=Counter)

    def add(self, other: Score) -> None:
        """Count what another piece of the work has counted."""
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            else:
                mine.extend(line for line in theirs if line not in mine)


def small(case: Case) -> Case:
    """The case with no dimension above LARGEST."""
    sizes = {
        name: min(number, LARGEST)
        for name, number in case.declared.sizes.get("default", {}).items()
    }
    return replace(case, declared=case.declared.model_copy(update={"sizes": {"default": sizes}}))


def gradients(program: Program, sample: Sample) -> Gradients | None:
    """What a backward returns on numpy; None where it raises."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return ManualBackend().differentiate(program, sample)
    except Exception:
        return None


def same(one: Gradients, other: Gradients, paths: Iterable[str]) -> bool:
    """Whether the gradients of the leaves agree to 9 digits of the largest element."""
    for path in paths:
        a, b = one.gradients.get(path), other.gradients.get(path)
        if a is None or b is None or a.shape != b.shape:
            return False
        if not np.all(np.abs(a - b) <= 1e-9 * np.max(np.abs(b), initial=0.0)):
            return False
    return True


def kind(case: Case, mutant: Mutant, samples: list[Sample]) -> tuple[str, Sample]:
    """`live`, with the first sample at which it shows, or why the mutant is no fault to find:
    `equivalent`, `crashes`, `harmless` (only a cotangent that nothing depends on is wrong)."""
    if mutant.d:
        # The same line with a tenth: whether it changes anything does not depend on the size.
        mutant = replace(mutant, text=mutant.coarse)
    program = mutant.program(case)
    for sample in samples:
        found, truth = gradients(program, sample), gradients(case.program, sample)
        if found is None or truth is None:
            return "crashes", sample
        if not same(found, truth, sample.differentiable):
            return "live", sample
    states = {certify(program, sample).state for sample in samples}
    return "equivalent" if states == {"verified"} else "harmless", samples[0]


def rows(case: Case, point: str, dtype: str) -> list[Row]:
    """The rows of the manual method, as a user of the harness gets them."""
    engine = Engine([case], Request(backends=("manual",), dtypes=(dtype,)))
    return engine.rows(Cell(case.name, point, "default", dtype, "manual"))


def verdicts(found: list[Row]) -> dict[str, bool]:
    """Which of our two checks complain. A wrong shape or an exception needs neither of them."""
    plain = any(
        row.status in (Status.ERROR, Status.UNSUPPORTED)
        or "wrong shape" in row.detail
        or row.detail.startswith("missing")
        for row in found
    )
    proofs = [row for row in found if row.quantity == "certificate"]
    rest = [row for row in found if row.quantity != "certificate"]
    proof = plain or any(
        row.status == Status.FAIL or "proved different" in row.detail for row in proofs
    )
    tolerance = plain or any(row.status not in GOOD for row in rest)
    return {OURS: proof or tolerance, PROOF: proof, TOLERANCE: tolerance}


def chosen(all_of_them: list[Mutant], per: int, rng: np.random.Generator) -> list[Mutant]:
    """At most `per` of each operator, and all sizes of each scaled fault among them."""
    groups: dict[str, dict[str, list[Mutant]]] = defaultdict(lambda: defaultdict(list))
    for mutant in all_of_them:
        groups[mutant.operator][mutant.site or mutant.text].append(mutant)
    found: list[Mutant] = []
    for sites in groups.values():
        order = rng.permutation(len(sites))[:per]
        keys = list(sites)
        found += [mutant for index in order for mutant in sites[keys[index]]]
    return found


class Bench:
    """One run over the cases."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.score = options, Score()
        self.peers = () if options.ours else PEERS
        self.sizes = SIZES if options.full else (1e-1, 1e-3, 1e-4, 1e-6, 1e-8, 1e-13, 1e-25)

    def faults(self, case: Case) -> None:
        """Show every fault of a case to everybody."""
        samples = [draw_sample(case, point, "default", "float64") for point in EQUIVALENCE]
        state = certify(case.program, samples[0])
        if state.state != "verified":
            reason = state.reason or state.state
            self.score.left_out.append(f"{case.name}: its backward is not verified ({reason})")
            return
        rng = np.random.default_rng(self.options.seed)
        every = mutants(case, samples[0], self.sizes)
        picked = chosen(every, self.options.per, rng)
        self.score.kinds["not drawn"] += len(every) - len(picked)
        kinds: dict[str, tuple[str, Sample]] = {}
        fit: dict[str, list[Peer]] = {}
        blind: set[tuple[str, str]] = set()
        for mutant in picked:
            twin = mutant.coarse if mutant.d else mutant.text
            kinds[twin] = kinds.get(twin) or kind(case, mutant, samples)
            what, sample = kinds[twin]
            self.score.kinds[what] += 1
            if what == "live":
                if sample.point not in fit:
                    fit[sample.point] = self.fit(case, sample)
                self.show(case, mutant, sample, fit[sample.point], blind)
            if what in ("live", "crashes") and mutant.d in (0.0, COARSE):
                self.place(case, mutant, sample, what)

    def fit(self, case: Case, sample: Sample) -> list[Peer]:
        """The peers that do not complain about the correct backward."""
        found = []
        for peer in self.peers:
            if self.asked(peer, case.program, sample):
                self.score.left_out.append(
                    f"{case.name}: {peer.name} complains about the correct backward at "
                    f"{sample.point}"
                )
            else:
                found.append(peer)
        return found

    def asked(self, peer: Peer, program: Program, sample: Sample) -> bool:
        start = time.perf_counter()
        complains = peer.complains(program, sample)
        self.score.seconds[peer.name] += time.perf_counter() - start
        return complains

    def show(
        self,
        case: Case,
        mutant: Mutant,
        sample: Sample,
        fit: list[Peer],
        blind: set[tuple[str, str]],
    ) -> None:
        """Ask every checker; `blind` holds those who missed a larger fault at the same place."""
        start = time.perf_counter()
        found = verdicts(rows(replace(case, code=mutant.code(case)), sample.point, "float64"))
        self.score.seconds["ours"] += time.perf_counter() - start
        for peer in fit:
            place = (mutant.operator + mutant.site, peer.name)
            known = bool(mutant.d) and place in blind
            found[peer.name] = not known and self.asked(peer, mutant.program(case), sample)
            if mutant.d and not found[peer.name]:
                blind.add(place)
        for name, caught in found.items():
            if mutant.d in (0.0, COARSE):
                self.score.shown[mutant.operator, name] += 1
                self.score.caught[mutant.operator, name] += caught
            if mutant.d:
                self.score.scaled[mutant.d, name] += 1
                self.score.seen[mutant.d, name] += caught
        if not found[PROOF]:
            how = "seen by the tolerance alone" if found[OURS] else "NOT SEEN"
            self.score.missed.append(f"{case.name}:{mutant.line}: {mutant.source}  ({how})")

    def place(self, case: Case, mutant: Mutant, sample: Sample, kind: str) -> None:
        """Whether the line that is blamed is the mutated one."""
        code = mutant.code(case)
        program = mutant.program(case)
        accusation = Accusation(code, program, sample)
        charge, findings = accusation.charge, accusation.findings
        lines = [each.number for each in charge.lines]
        mended = [each.number for each in charge.lines if each.repair is not None]
        promised = charge.certainty in (Certainty.PROVED, Certainty.REPAIRED)
        places = self.score.places
        places[f"{kind}"] += 1
        if not lines:
            places[f"{kind} nothing"] += 1
        places[f"{kind} first"] += lines[:1] == [mutant.line]
        places[f"{kind} three"] += mutant.line in lines[:3]
        places[f"{kind} mended"] += bool(mended)
        places[f"{kind} amiss"] += bool(mended) and mutant.line not in mended
        places[f"{kind} promised"] += promised
        places[f"{kind} false"] += promised and lines[:1] != [mutant.line]
        if kind == "live" and lines[:1] != [mutant.line]:
            self.score.misplaced.append(
                f"{case.name}:{mutant.line}: {mutant.source}  ({mutant.operator}; blamed "
                f"{lines[:3]}, wrong {', '.join(findings.wrong)}, right "
                f"{', '.join([*findings.right, *findings.locals])})"
            )

    def alarms(self, case: Case, draws: range) -> None:
        """Show the correct backward to everybody: to us in both dtypes, by the verdict that a user
        gets, and every complaint is one too many."""
        score = self.score
        for index in draws:
            point = f"draw{index}"
            for dtype in ("float64", "float32"):
                start = time.perf_counter()
                found = rows(case, point, dtype)
                score.seconds["ours"] += time.perf_counter() - start
                for name, alarm in verdicts(found).items():
                    score.alarms[name] += alarm
                    score.draws[name] += 1
                for row in found:
                    line = f"{case.name}: {point}, {dtype}: {row.quantity}: {row.status} "
                    if not row.good:
                        score.alarmed.append(line + row.detail)
                    elif row.status == Status.UNDECIDED:
                        score.undecided.append(line + row.detail)
            sample = draw_sample(case, point, "default", "float64")
            for peer in self.peers:
                if index < min(SLOW.get(peer.name, 1000), self.options.peer_draws):
                    score.alarms[peer.name] += self.asked(peer, case.program, sample)
                    score.draws[peer.name] += 1


def work(piece: Piece, options: argparse.Namespace) -> Score:
    """The score of one piece: the faults of a case, or some draws of its correct backward."""
    bench = Bench(options)
    (entry,) = (each for each in registry.find() if each.name == piece.case)
    case = small(load(entry.file))
    if case.code.backward is None:
        bench.score.left_out.append(f"{case.name}: it has no backward")
    elif piece.draws:
        bench.alarms(case, piece.draws)
    else:
        bench.faults(case)
    return bench.score


def pieces(options: argparse.Namespace) -> list[Piece]:
    """The whole work, that of the longest cases first, so that nobody waits for one of them."""
    names = [
        entry.name
        for entry in sorted(registry.find(), key=lambda each: -each.file.stat().st_size)
        if any(fnmatch.fnmatchcase(entry.name, glob) for glob in options.cases)
    ]
    found = [Piece(name) for name in names if options.only != "alarms"]
    if options.only != "faults":
        starts = range(0, options.draws, CHUNK)
        chunks = [range(at, min(at + CHUNK, options.draws)) for at in starts]
        found += [Piece(name, chunk) for chunk in chunks for name in names]
    return found


def table(title: str, heads: Iterable[str], body: Iterable[tuple[str, list[str]]]) -> None:
    print(f"\n{title:26}" + "".join(f"{head:>11}" for head in heads))
    for name, cells in body:
        print(f"{name:26}" + "".join(f"{each:>11}" for each in cells))


def share(part: int, whole: int) -> str:
    return f"{part}/{whole}" if whole else "-"


def report(score: Score, sizes: Iterable[float]) -> None:
    def caught(operators: Iterable[str]) -> list[str]:
        chosen_ones = list(operators)
        return [
            share(
                sum(score.caught[each, name] for each in chosen_ones),
                sum(score.shown[each, name] for each in chosen_ones),
            )
            for name in CHECKERS
        ]

    body = [(operator, caught([operator])) for operator in OPERATORS]
    table("faults caught", CHECKERS, [*body, ("all", caught(OPERATORS))])
    table("caught of size d", CHECKERS, _by_size(score, sizes))
    false = [share(score.alarms[name], score.draws[name]) for name in CHECKERS]
    table("false alarms", CHECKERS, [("correct backward, draws", false)])
    places = score.places
    print()
    for name, what in {"live": "run", "crashes": "raise"}.items():
        count = places[name]
        print(
            f"faulty line, of {count} faults that {what}: first {places[f'{name} first']} "
            f"({places[f'{name} first'] / max(count, 1):.1%}), among three "
            f"{places[f'{name} three']} ({places[f'{name} three'] / max(count, 1):.1%}), "
            f"nothing named {places[f'{name} nothing']}, a repair told {places[f'{name} mended']} "
            f'(of other lines only: {places[f"{name} amiss"]}), "the fault is in" said '
            f"{places[f'{name} promised']} times (falsely: {places[f'{name} false']})"
        )
    print("mutants: " + ", ".join(f"{count} {name}" for name, count in score.kinds.items()))
    print("seconds: " + ", ".join(f"{name} {each:.0f}" for name, each in score.seconds.items()))
    for title, lines in {
        "not proved wrong": score.missed,
        "another line blamed first": score.misplaced,
        "false alarms of ours": score.alarmed,
        "correct, and not decided": score.undecided,
        "left out": score.left_out,
    }.items():
        print(f"\n{title}: {len(lines)}")
        print("\n".join(f"  {line}" for line in lines))


def _by_size(score: Score, sizes: Iterable[float]) -> Iterator[tuple[str, list[str]]]:
    for d in sizes:
        yield f"{d:g}", [share(score.seen[d, name], score.scaled[d, name]) for name in CHECKERS]
    smallest = []
    for name in CHECKERS:
        always = [d for d in sizes if score.seen[d, name] == score.scaled[d, name] > 0]
        smallest.append(f"{min(always):g}" if always else "none")
    yield "smallest d always seen", smallest


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cases", nargs="+", default=["*"], metavar="GLOB")
    parser.add_argument("--draws", type=int, help="draws of the correct backward (5; full: 1000)")
    parser.add_argument("--per", type=int, help="mutants of each operator in a case (1; full: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--ours", action="store_true", help="leave the other checkers out")
    parser.add_argument("--only", choices=("alarms", "faults"), help="one half of the work")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--keep", type=Path, help="folder for what is done, to go on from there")
    options = parser.parse_args()
    options.draws = options.draws or (1000 if options.full else 5)
    options.per = options.per or (10**9 if options.full else 1)
    options.peer_draws = options.draws if options.full else 2
    score = Score()
    for found in done(pieces(options), partial(work, options=options), options.jobs, options.keep):
        score.add(found)
    bench = Bench(options)
    for peer in bench.peers:
        print(f"{peer.name:12} {peer.threshold}")
    report(score, bench.sizes)


if __name__ == "__main__":
    main()

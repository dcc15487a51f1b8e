"""A certificate against torch's gradcheck, side by side: a proof must not cost more than a guess.

Gradcheck in slow mode evaluates the function twice per input, the certificate a handful of times
whatever the number of inputs. Both check the same hand-written backward of `cases/` at the same
random numbers in float64: logsumexp of n inputs, and the tanh network with its width raised until
it has about n parameters (10 data points). At n = 1e5 gradcheck is extrapolated: n times the
time of a column of its numerical Jacobian, measured over 200 columns at that n by its own code; the
backward passes that it makes besides are left out, in its favour. One thread each, CPU time.

Reached on two shared cores, where gradcheck's own time varies by half: 55 (logsumexp) and 35 times
faster (the network) at 1e3 inputs, 125 and 130 at 1e4, 350 to 600 and 250 to 450 at 1e5. What is
left is 1.7 us per input of logsumexp, a third of it FLINT's exponential and most of the rest one
Python object per ball and operation, and 1.9 us per parameter of the network, a third each for the
matrix products and for putting balls into matrices and back.

    python benchmarks/certificate.py [--sizes N ...] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import math
import pstats
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from peers import TorchSlow

from harness.cases.case import Case, load
from harness.cases.registry import builtin_folder
from harness.cases.sampling import NUMPY, draw_sample
from harness.model import Sample
from harness.programs import trees
from harness.truth.certificate import certify

#: Columns timed where the whole of gradcheck would take too long, and the n from which that is so.
COLUMNS, LONG = 200, 100_000
#: What the certificate has to be faster by, at n inputs.
WANTED = {1_000: 5.0, 10_000: 30.0, 100_000: 300.0}


def logsumexp(n: int) -> tuple[Case, Sample]:
    case = load(builtin_folder() / "logsumexp.yaml")
    case = _sized(case, {"n": n})
    return case, draw_sample(case, "draw0", "default", "float64")


def tanh_network(n: int) -> tuple[Case, Sample]:
    """A network with width h has h**2 + 4h + 1 parameters."""
    case = _sized(load(builtin_folder() / "tanh_network.yaml"), {"N": 10})
    width = max(1, round(math.sqrt(n + 3) - 2))
    rng = np.random.default_rng(0)
    shapes = {"W1": (1, width), "b1": (width,), "W2": (width, width), "b2": (width,)}
    shapes |= {"W3": (width, 1), "b3": (1,)}
    sample = draw_sample(case, "draw0", "default", "float64")
    params = {name: rng.normal(size=shape) / math.sqrt(width) for name, shape in shapes.items()}
    inputs = {**sample.inputs, "params": params}
    trace = case.program.forward(NUMPY, inputs)
    known = {name: np.shape(trace.saved[name]) for name in sample.intermediates}
    return case, replace(sample, inputs=inputs, intermediates=known)


def _sized(case: Case, sizes: dict[str, int]) -> Case:
    declared = case.declared.model_copy(update={"sizes": {"default": sizes}, "training": None})
    return replace(case, declared=declared)


def seconds(function: Callable[[], Any], rounds: int) -> float:
    """The least CPU time of a few calls: what one thread takes, whoever else is on the machine."""
    found = []
    for _ in range(rounds):
        start = time.process_time()
        function()
        found.append(time.process_time() - start)
    return min(found)


def column(case: Case, sample: Sample) -> float:
    """Seconds of one column of gradcheck's numerical Jacobian, by torch's own code for it, with
    respect to the first COLUMNS elements of the longest input (a view that shares its memory)."""
    import sys

    import torch

    operation = TorchSlow().operation(case.program, sample)
    custom, leaves = TorchSlow().custom(operation)
    longest = max(range(len(leaves)), key=lambda each: leaves[each].numel())
    part = leaves[longest].detach().view(-1)[:COLUMNS].requires_grad_(True)

    def function(few: Any) -> Any:
        return custom(*leaves)

    with torch.no_grad():
        outputs = (function(part),)
    check = sys.modules["torch.autograd.gradcheck"].get_numerical_jacobian_wrt_specific_input
    return seconds(lambda: check(function, 0, (part,), outputs, 1e-6), 5) / part.numel()


def gradcheck(case: Case, sample: Sample) -> float:
    """Seconds of a whole gradcheck. Raises AssertionError if it does not pass."""
    checker = TorchSlow()
    assert checker.passes(case.program, sample)
    return seconds(lambda: checker.passes(case.program, sample), 1)


def profile(case: Case, sample: Sample) -> None:
    profiler = cProfile.Profile()
    profiler.runcall(certify, case.program, sample)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(14)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", nargs="+", type=float, default=[1e2, 1e3, 1e4, 1e5])
    parser.add_argument("--profile", action="store_true", help="where certify spends its time")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch

    # As the certificate: on a busy machine, threads for such small arrays only cost.
    torch.set_num_threads(1)
    print(
        f"{'':14}{'inputs':>8}{'certify s':>11}{'digits':>8}{'gradcheck s':>13}{'ratio':>8}  wanted"
    )
    for make in (logsumexp, tanh_network):
        for n in map(int, options.sizes):
            case, sample = make(n)
            leaves = trees.flatten(sample.inputs)
            count = sum(leaves[path].size for path in sample.differentiable)
            ours = seconds(lambda case=case, sample=sample: certify(case.program, sample), 5)
            found = certify(case.program, sample)
            assert found.state == "verified", found
            if n < LONG:
                theirs, how = gradcheck(case, sample), "whole"
            else:
                theirs, how = column(case, sample) * count, f"from {COLUMNS} columns"
            wanted = f">= {WANTED[n]:g}" if n in WANTED else ""
            print(
                f"{make.__name__:14}{count:8}{ours:11.3f}{found.digits:8.1f}{theirs:13.2f}"
                f"{theirs / ours:8.1f}  {wanted:7} gradcheck {how}",
                flush=True,
            )
            if options.profile and n == max(options.sizes):
                profile(case, sample)


if __name__ == "__main__":
    main()

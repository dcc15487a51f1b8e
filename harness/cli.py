"""The command line. Each command is imported when it is called: `harness list` and `--help` must
not pay for numpy, and no framework is imported by anything but `run` and `show`."""

from __future__ import annotations

import argparse
import errno
import io
import math
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from harness import __version__
from harness.errors import CaseErrors, HarnessError, UsageError, did_you_mean, visible

#: Exit statuses: all good; something failed; bad usage, a bad case, or nothing compared.
OK, FAILED, USAGE = 0, 1, 2
INTERRUPTED = 130
#: Bytes that every worker needs on top of its libraries; jax wants 1 GiB for its threads.
LEAST_MEMORY = 2**27
#: How a system says that there is no room for what is written.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Bad usage of an option raises SystemExit(2)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # A formula or a name may hold what the terminal's encoding cannot say; that is no reason
        # to fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        elif stream is None:  # closed by whoever started us
            _replace_closed()
    options, rest = parser().parse_known_args(given)
    options.arguments = given
    try:
        if rest:
            raise _unknown(rest[0], options)
        command = import_module(f"harness.commands.{options.command}")
        status: int = command.execute(options)
        sys.stdout.flush()
        return status
    except HarnessError as error:
        _complain(error)
        return USAGE
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        unread()
        return OK
    except OSError as error:
        if error.errno not in _FULL:
            raise
        unread()
        where = f"`{error.filename}`" if error.filename else "standard output"
        _say(f"error: {where} cannot be written to: {error.strerror}; write elsewhere")
        return USAGE


def unread() -> None:
    """The reader of our output has gone (`harness list | head`); that is no fault of ours. What is
    still buffered must not raise again when the interpreter exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(error: HarnessError) -> None:
    """Each culprit on a line of its own, as compilers do; then how many there were."""
    if isinstance(error, CaseErrors):
        for each in error.errors:
            _say(f"error: {each}")
        if len(error.errors) > 1:
            _say(f"{len(error.errors)} errors; nothing was run")
    else:
        _say(f"error: {error}")


def _say(text: str) -> None:
    """A line on standard error. Where that is full too, nobody is left to be told."""
    with suppress(OSError):
        print(visible(text), file=sys.stderr)


def _replace_closed() -> None:
    """Let what was closed be written to, and lost."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _unknown(word: str, options: argparse.Namespace) -> UsageError:
    """What no command takes: an option that is misspelt, or a word too many."""
    command = f"harness {options.command}"
    if not word.startswith("-"):
        return UsageError(f"`{word}` is one word too many; see `{command} --help`")
    near = did_you_mean(word.partition("=")[0], options.parser._option_string_actions)
    return UsageError(f"`{command}` has no option `{word}`; {near}")


def parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    top = argparse.ArgumentParser(
        prog="harness", description="Check gradients: every case, every method, one table."
    )
    top.add_argument("--version", action="version", version=f"gradient-harness {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _list(commands.add_parser("list", help="the cases that there are"))
    _run(commands.add_parser("run", help="compare every method on every case"))
    _atlas(commands.add_parser("atlas", help="what each method returns at the kinks"))
    _bench(commands.add_parser("bench", help="how long each method takes"))
    _show(commands.add_parser("show", help="one case, step by step, with every number"))
    commands.add_parser("schema", help="the JSON Schema of a case's YAML file, for editors")
    for command in commands.choices.values():
        command.set_defaults(parser=command)
    return top


def split(values: Sequence[str] | None) -> tuple[str, ...]:
    """List options repeat and take commas: `--backend torch,jax --backend numeric`."""
    parts = (part for value in values or () for part in value.split(",") if part)
    return tuple(dict.fromkeys(parts))


def _several(command: argparse.ArgumentParser, name: str, metavar: str, text: str) -> None:
    command.add_argument(name, action="append", metavar=metavar, help=text)


def _sources(command: argparse.ArgumentParser) -> None:
    _several(
        command,
        "--cases",
        "DIR",
        "a folder of cases (repeatable); without names, its cases alone",
    )


def _list(command: argparse.ArgumentParser) -> None:
    command.add_argument("case", nargs="*", metavar="CASE", help="name or glob")
    _several(command, "--tag", "TAG", "only cases with this tag")
    _sources(command)


def _numbers(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--seed", type=natural, metavar="N", default=0, help="of the random draws (default 0)"
    )
    command.add_argument(
        "--step", type=_positive, metavar="H", help="a fixed step for the numeric method (say 1e-4)"
    )


def _methods(command: argparse.ArgumentParser) -> None:
    _several(command, "--backend", "NAME", "numeric, manual, torch, jax:jit, ... (default: all)")
    _several(command, "--dtype", "DTYPE", "float64, float32, float16, bfloat16 (default: float64)")


def _reports(command: argparse.ArgumentParser, files: str) -> None:
    command.add_argument(
        "--report",
        default="reports",
        metavar="DIR",
        help=f"where {files} go (default: reports; '' for nowhere)",
    )
    command.add_argument("--no-progress", action="store_true", help="no progress bar")


def _run(command: argparse.ArgumentParser) -> None:
    _list(command)
    _methods(command)
    _several(command, "--mode", "MODE", "value, vjp, train (default: these); jvp, hvp")
    _several(command, "--point", "POINT", "declared points, draw0, draw1, ... (default: all)")
    _several(command, "--size", "SIZE", "named sizes (default: default)")
    _numbers(command)
    command.add_argument(
        "--numeric",
        choices=("auto", "central", "fourth", "richardson", "complex"),
        default="auto",
        help="the scheme of the numeric method (default: the first that gives a good number of "
        "complex step, fourth order and central differences)",
    )
    command.add_argument(
        "--draws", type=natural, default=3, metavar="N", help="random points (default 3)"
    )
    command.add_argument(
        "--intermediates",
        action="store_true",
        help="also the gradient of every named intermediate, by every method",
    )
    _several(command, "--require", "NAME", "fail if this backend is not installed ('all': any)")
    command.add_argument(
        "--strict",
        action="store_true",
        help="fail if anything is not proved: `undecided`, or judged by approximations alone",
    )
    _reports(command, "results.csv and report.md")
    _workers(command)


def _workers(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--jobs",
        type=natural,
        metavar="N",
        help="worker processes at a time (default: the cores; 0 for none, as a debugger needs)",
    )
    command.add_argument(
        "--executor",
        metavar="dask://HOST:PORT",
        help="a running Dask cluster instead of worker processes of this machine",
    )
    command.add_argument(
        "--timeout",
        type=_positive,
        metavar="SECONDS",
        help="what a task may take, which is some cells of a case by one method, or their judging; "
        "beyond it each is tried alone (default 600)",
    )
    command.add_argument(
        "--memory-limit",
        type=_bytes,
        metavar="SIZE",
        help="what a worker may allocate on top of its libraries, say 4GiB (default: no limit)",
    )
    command.add_argument(
        "--no-cache",
        dest="cache",
        action="store_false",
        help="let jax compile anew instead of keeping what it compiles in your cache folder",
    )
    command.add_argument(
        "--resume", action="store_true", help="go on with the run whose journal is in --report"
    )


def _atlas(command: argparse.ArgumentParser) -> None:
    command.add_argument("case", nargs="*", metavar="CASE", help="name or glob (default: tag kink)")
    _sources(command)
    _methods(command)
    _reports(command, "atlas.csv and atlas.md")


def _bench(command: argparse.ArgumentParser) -> None:
    _list(command)
    _methods(command)
    _several(command, "--size", "SIZE", "named sizes (default: default)")
    _several(command, "--sizes", "DIM=N,N,...", "one dimension swept, say n=100,1000,10000")
    command.add_argument(
        "--budget",
        type=_positive,
        default=2.0,
        metavar="SECONDS",
        help="of measuring, for each value and each gradient (default 2)",
    )
    command.add_argument(
        "--threads", type=_count, default=1, metavar="N", help="of every method (default 1)"
    )
    command.add_argument(
        "--timeout",
        type=_positive,
        default=120.0,
        metavar="SECONDS",
        help="what one visit may take, the first one with compiling and warm-up (default 120)",
    )
    _reports(command, "bench.csv, bench.md and bench.svg")


def _show(command: argparse.ArgumentParser) -> None:
    command.add_argument("case", nargs="?", metavar="CASE", help="name or glob of one case")
    _sources(command)
    _several(command, "--backend", "NAME", "methods to show (default: all that are installed)")
    command.add_argument("--point", help="a declared point or draw0, ... (default: the first)")
    command.add_argument("--dtype", help="(default: the first that the case is for)")
    command.add_argument("--size", default="default")
    _numbers(command)
    command.add_argument("--no-run", action="store_true", help="the code alone; run nothing")


def natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"`{text}` is no natural number; give 0, 1, 2, ...")
    return int(text)


def _count(text: str) -> int:
    value = natural(text)
    if not value:
        raise argparse.ArgumentTypeError("0 is too few; give 1, 2, ...")
    return value


def _bytes(text: str) -> int:
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        size = int(TypeAdapter(ByteSize).validate_python(text))
    except (ValidationError, OverflowError):
        size = 0
    if not size:
        raise argparse.ArgumentTypeError(f"`{text}` is no size; give one such as 4GiB or 500MB")
    if size < LEAST_MEMORY:
        raise argparse.ArgumentTypeError(
            f"`{text}` is {size} bytes, and no worker works with less than "
            f"{LEAST_MEMORY // 2**20}MiB on top of its libraries; give one such as 4GiB"
        )
    return size


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"`{text}` is no positive number; give one such as 1e-4")
    return value

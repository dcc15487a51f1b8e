"""What can go wrong, said so that the reader can mend it.

Every message names the culprit in backticks, the file and the line where there is one, and the
remedy. Nothing heavy is imported here: the pytest plugin and the command line load this first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

#: Characters that a terminal obeys instead of showing them (all controls but for those that end a
#: line or a page or align it, and those that turn the direction of writing), and the halves of
#: characters that stand for bytes of a file's name that are no UTF-8.
UNSEEN = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """Text with those characters written as escapes, `\\x1b`."""
    return UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


class HarnessError(Exception):
    """Base class of every error that the harness raises on purpose."""


class UsageError(HarnessError):
    """The request cannot be carried out as asked: an unknown name, an unusable folder."""


class CaseError(HarnessError):
    """A case file that breaks the contract.

    `file` and `line` (counted from 1; None for the file as a whole) say where, `remedy` what to do.
    """

    def __init__(
        self, message: str, *, file: Path | str, line: int | None = None, remedy: str = ""
    ) -> None:
        self.message = message
        self.file = Path(file)
        self.line = line
        self.remedy = remedy
        super().__init__(message, file, line, remedy)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line is not None else str(self.file)
        return f"{place}: {self.message}" + (f"\n  remedy: {self.remedy}" if self.remedy else "")

    def __reduce__(self) -> tuple[object, ...]:
        return _restore_case_error, (self.message, self.file, self.line, self.remedy)


def _restore_case_error(message: str, file: Path, line: int | None, remedy: str) -> CaseError:
    return CaseError(message, file=file, line=line, remedy=remedy)


class CaseErrors(HarnessError):
    """Several case files that break the contract, so that one run names all of them."""

    def __init__(self, errors: list[CaseError]) -> None:
        self.errors = errors
        super().__init__(errors)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


class Unsupported(HarnessError):
    """A backend cannot do what a case asks for; the row says `unsupported` and this reason."""


class GradientMismatch(AssertionError):
    """A gradient differs from its reference; the message is the report of every failing row."""


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """A clause that offers the nearest valid name, or lists a handful when nothing is near."""
    import difflib  # only a message that is about to be printed pays for it

    names = sorted(set(valid) - {name})
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"did you mean `{near[0]}`?"
    if not names:
        return "there is none to choose from"
    shown = ", ".join(f"`{each}`" for each in names[:12])
    return f"choose from {shown}" + (", ..." if len(names) > 12 else "")

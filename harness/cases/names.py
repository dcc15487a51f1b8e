"""The names of cases, points and sizes: what people type on command lines, and what begins the
fields of a CSV file."""

from __future__ import annotations

from harness import printed
from harness.errors import UNSEEN


def fault(name: str) -> str:
    """Why a text is no name; "" where it is one."""
    if not name or name != " ".join(name.split()):
        return "it is empty, or has blanks where nobody sees them"
    if UNSEEN.search(name):
        return "it holds a control character, or is not UTF-8"
    if "," in name:
        return "commas separate names on the command line"
    if name[0] in "=@+-" and not printed.is_number(name):
        return f"a spreadsheet takes `{name[0]}` for the beginning of a formula"
    return ""

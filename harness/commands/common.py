"""What several commands begin with."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from harness import backends
from harness.cases.case import Case, load
from harness.cases.points import check_points
from harness.cases.registry import Entry
from harness.errors import CaseError, CaseErrors


def load_all(entries: Sequence[Entry]) -> list[Case]:
    """Every case, or a CaseErrors that names everything wrong with any of them."""
    found: list[Case] = []
    errors: list[CaseError] = []
    for entry in entries:
        try:
            case = load(entry.file)
            check_points(case)
            found.append(case)
        except CaseError as error:
            errors.append(error)
    if errors:
        raise CaseErrors(errors)
    return found


def environment() -> dict[str, str]:
    """Name -> version of everything that may change a number."""
    machine = f"{platform.system()} {platform.machine()}"
    found = {"python": platform.python_version(), "platform": machine}
    for name in backends.names():
        found |= backends.backend_class(name).versions()
    return found

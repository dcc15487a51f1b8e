"""`harness list`: names, tags and summaries, without validating or importing anything heavy.

It reads the YAML and nothing else, since people (and shell completion) run it often; `run` and
`show` are where a case is checked.
"""

from __future__ import annotations

import argparse

from harness.cases.document import read
from harness.cases.registry import find, select
from harness.cli import split
from harness.errors import CaseError, CaseErrors


def execute(options: argparse.Namespace) -> int:
    """Print one line per case. Raises CaseErrors, after the others, for the files that are no
    YAML."""
    entries = find(split(options.cases))
    errors: list[CaseError] = []
    if options.case or options.tag or options.cases:
        entries = select(entries, split(options.case), split(options.tag))
    lines = []
    for entry in entries:
        try:
            data = read(entry.file).data
        except CaseError as error:
            errors.append(error)
            continue
        tags = data.get("tags")
        tags = map(str, tags) if isinstance(tags, list) else ()
        summary = " ".join(str(data.get("summary", "")).split())
        lines.append((entry.name, ",".join(tags), summary))
    widths = [max((len(line[column]) for line in lines), default=0) for column in (0, 1)]
    for name, tags_, summary in lines:
        print(f"{name:{widths[0]}}  {tags_:{widths[1]}}  {summary}".rstrip())
    if errors:
        raise CaseErrors(errors)
    return 0

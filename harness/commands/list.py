"""`harness list`: names, tags and summaries, without validating or importing anything heavy.

It reads the YAML and nothing else, since people (and shell completion) run it often; `run` and
`show` are where a case is checked.
"""

from __future__ import annotations

import argparse

from harness.cases.document import read
from harness.cases.registry import find, select
from harness.cli import split


def execute(options: argparse.Namespace) -> int:
    """Print one line per case."""
    entries = find(split(options.cases))
    if options.case or options.tag:
        entries = select(entries, split(options.case), split(options.tag))
    lines = []
    for entry in entries:
        data = read(entry.file).data
        tags = data.get("tags") or []
        lines.append((entry.name, ",".join(map(str, tags)), str(data.get("summary", ""))))
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    for name, tags_, summary in lines:
        print(f"{name:{widths[0]}}  {tags_:{widths[1]}}  {summary}".rstrip())
    return 0

"""`harness atlas`: what each method returns at the kinks, and which convention that is."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from harness import cli
from harness.cases.registry import find, select
from harness.commands.common import environment, load_all
from harness.model import Mark, Status
from harness.report import atlas, files, terminal
from harness.runs.plan import Request, cells
from harness.studies.atlas import survey

#: The tag of the cases that are surveyed where neither they nor their folder is named.
TAG = "kink"


def execute(options: argparse.Namespace) -> int:
    """Exit status 0, whatever the methods say; 1 if one raised, 2 if nothing was compared."""
    names = cli.split(options.case)
    tags = () if names or options.cases else (TAG,)
    entries = select(find(cli.split(options.cases)), names, tags)
    loaded = load_all(entries)
    request = Request(
        backends=cli.split(options.backend),
        dtypes=cli.split(options.dtype),
        modes=("vjp",),
        draws=0,
    )
    plan = cells(loaded, request)
    folder = Path(options.report) if options.report else None
    if folder is not None:
        files.prepare(folder, (atlas.CSV, atlas.MARKDOWN))
    marks: list[Mark] = []
    work = survey(loaded, request)
    for _, found in terminal.progress(work, plan, enabled=not options.no_progress):
        marks += found
    pages = atlas.pages(marks, {case.name: case.declared.summary for case in loaded})
    atlas.show(pages)
    if folder is not None:
        command = shlex.join(["harness", *options.arguments])
        atlas.write(folder, marks, pages, command=command, versions=environment())
        print(f"see {folder / atlas.MARKDOWN}")
    return _status(marks)


def _status(marks: list[Mark]) -> int:
    if all(mark.label == Status.MISSING for mark in marks):
        print("error: nothing was compared; no method asked for is installed", file=sys.stderr)
        return cli.USAGE
    raised = dict.fromkeys(
        f"{mark.case} [{mark.point}, {mark.dtype}] {mark.backend}: {mark.detail}"
        for mark in marks
        if mark.label == Status.ERROR
    )
    for line in raised:
        print(f"error: {line}", file=sys.stderr)
    return cli.FAILED if raised else cli.OK

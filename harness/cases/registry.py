"""Where cases come from, and which of them a request means.

Four sources: the built-in folder, `--cases DIR`, `[tool.harness] cases` in the nearest
pyproject.toml, and installed packages (entry-point group `harness.cases`, each entry naming a
package or module whose folder holds the files). Finding is cheap: names and paths only.
"""

from __future__ import annotations

import fnmatch
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.cases.names import fault
from harness.errors import CaseError, CaseErrors, UsageError, did_you_mean, visible

ENTRY_POINTS = "harness.cases"
#: Of the files that a folder of cases is looked through for.
SUFFIXES = (".yaml", ".yml", ".py")


class Entry(NamedTuple):
    """A case that was found. `own`: it is in a folder that the user named."""

    name: str
    file: Path
    own: bool = False


def builtin_folder() -> Path:
    """The built-in cases: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "builtin"
    return installed if installed.is_dir() else package.parent / "cases"


def find(folders: Iterable[Path | str] = ()) -> list[Entry]:
    """Every case in `folders` and in the other three sources, in the order of their names.

    Raises UsageError for a folder that cannot be read, or that was named and holds no case;
    CaseErrors for a YAML file without its Python file, for the reverse, and for two cases with one
    name; but a case of the user's hides a built-in or installed one.
    """
    own = [Path(folder) for folder in folders]
    users = [*own, *_configured_folders()]
    entries: dict[str, Entry] = {}
    seen: set[Path] = set()
    errors: list[CaseError] = []
    for folder in (*users, builtin_folder(), *_installed_folders()):
        mine, foreign = folder in own, folder not in users
        resolved = folder.resolve()
        if resolved in seen:
            continue
        seen.add(resolved)
        files = _files(folder, errors)
        if mine and not files and not errors:
            raise UsageError(
                f"`{folder}` holds no case\n"
                "  remedy: name a folder that holds NAME.yaml and NAME.py"
            )
        for file in files:
            other = entries.setdefault(file.stem, Entry(file.stem, file, mine))
            # A name of ours or of a package's is no reason why a user could not have it.
            if other.file != file and not (foreign and other.file.parent in users):
                errors.append(
                    CaseError(
                        f"case `{file.stem}` is already defined by {other.file}",
                        file=file,
                        remedy="rename one of the two pairs of files",
                    )
                )
    if errors:
        raise CaseErrors(errors)
    return [entries[name] for name in sorted(entries)]


def select(
    entries: Sequence[Entry], patterns: Sequence[str] = (), tags: Sequence[str] = ()
) -> list[Entry]:
    """The entries that match any of `patterns` (globs) and carry any of `tags`.

    With neither, the cases of the folders that were named on the command line, or all if none was.
    Raises UsageError for a pattern or a tag that matches nothing.
    """
    chosen = list(entries)
    if patterns:
        names = [entry.name for entry in entries]
        for pattern in patterns:
            if not any(_matches(name, pattern) for name in names):
                raise UsageError(f"no case `{pattern}`; {did_you_mean(pattern, names)}")
        chosen = [e for e in entries if any(_matches(e.name, each) for each in patterns)]
    elif any(entry.own for entry in entries):
        chosen = [entry for entry in entries if entry.own]
    if tags:
        by_entry = {entry: tags_of(entry) for entry in chosen}
        known = {tag for each in by_entry.values() for tag in each}
        for tag in tags:
            if tag not in known:
                raise UsageError(f"no case has the tag `{tag}`; {did_you_mean(tag, known)}")
        chosen = [entry for entry in chosen if by_entry[entry] & set(tags)]
    if not chosen:
        raise UsageError("no case is selected; `harness list` shows what there is")
    return chosen


def _matches(name: str, pattern: str) -> bool:
    """A name may hold what is special in a glob: `f[x]` is itself."""
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


def tags_of(entry: Entry) -> set[str]:
    """The tags of a case, read from its YAML alone."""
    from harness.cases.document import read

    tags = read(entry.file).data.get("tags") or []
    return {str(tag) for tag in tags} if isinstance(tags, list) else set()


def _files(folder: Path, errors: list[CaseError]) -> list[Path]:
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    except OSError as error:
        raise UsageError(
            f"`{folder}` cannot be read as a folder of cases: {error.strerror}\n"
            "  remedy: name a folder that holds NAME.yaml and NAME.py"
        ) from None
    files = [file for file in files if not file.name.startswith("_")]
    errors += filter(None, map(misplaced, files))
    return [file for file in files if file.suffix == ".yaml"]


def misplaced(file: Path) -> CaseError | None:
    """What is wrong with a YAML or Python file in a folder of cases by its name and by the files
    beside it; None where nothing is."""
    if file.suffix == ".py" and not _is_case(file):
        return None
    if why := fault(file.stem):
        text, remedy = f"`{visible(file.stem)}` is no name of a case: {why}", "rename its two files"
    elif file.suffix == ".yml":
        text, remedy = "a case's suffix is `.yaml`", "rename the file"
    elif file.suffix == ".yaml" and not file.with_suffix(".py").exists():
        text = f"there is no `{file.stem}.py` beside it"
        remedy = f"put `forward` and `backward` into `{file.stem}.py`"
    elif file.suffix == ".py" and not any(map(os.path.lexists, _declarations(file))):
        text = f"there is no `{file.stem}.yaml` beside it"
        remedy = (
            f"declare the inputs in `{file.stem}.yaml`, or start the name of a module that is no "
            "case with `_`"
        )
    else:
        return None
    return CaseError(text, file=file, remedy=remedy)


def _declarations(python: Path) -> list[Path]:
    return [python.with_suffix(suffix) for suffix in (".yaml", ".yml")]


def _is_case(file: Path) -> bool:
    """Whether a Python file defines a `forward`: others are modules that cases import, or tests."""
    if file.stem == "conftest" or file.name.startswith(("_", "test_")):
        return False
    try:
        text = file.read_bytes()
    except OSError:
        return True  # and is told to be unreadable when it is loaded
    return re.search(rb"^(async\s+)?def\s+forward\b", text, re.MULTILINE) is not None


def _configured_folders() -> list[Path]:
    """`[tool.harness] cases` of the nearest pyproject.toml, relative to it."""
    here = Path.cwd()
    file = next(
        (
            folder / "pyproject.toml"
            for folder in (here, *here.parents)
            if (folder / "pyproject.toml").is_file()
        ),
        None,
    )
    if file is None:
        return []
    import tomllib

    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("harness", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from None
    for key in table:
        if key != "cases":
            raise UsageError(
                f"{file}: unknown key `{key}` in [tool.harness]; the only key is `cases`"
            )
    folders = table.get("cases", [])
    if not isinstance(folders, list) or not all(isinstance(each, str) for each in folders):
        raise UsageError(f"{file}: [tool.harness] cases must be a list of folders")
    return [file.parent / folder for folder in folders]


def _installed_folders() -> list[Path]:
    """The folders of the packages behind the entry points; the packages are not imported."""
    if not _any_declared():
        return []
    import importlib.metadata
    import importlib.util

    folders: list[Path] = []
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        spec = importlib.util.find_spec(point.module)
        places = list(spec.submodule_search_locations or ()) if spec else []
        if spec and not places and spec.origin:
            places = [str(Path(spec.origin).parent)]
        if not places:
            raise UsageError(
                f"entry point `{point.name}` of `{ENTRY_POINTS}`: no module `{point.module}`\n"
                "  remedy: reinstall the package that declares it"
            )
        folders.extend(Path(place) for place in places)
    return folders


def _any_declared() -> bool:
    """Whether any installed package mentions the entry-point group.

    Looking costs 2 ms where importing importlib.metadata costs 30, a third of `harness list`.
    """
    group = ENTRY_POINTS.encode()
    return any(
        group in file.read_bytes()
        for folder in dict.fromkeys(sys.path)
        for file in Path(folder).glob("*-info/entry_points.txt")
    )

"""YAML with line numbers, so that every complaint about a case can say where.

PyYAML parses; its nodes know their lines. Scalars follow YAML 1.2 rather than PyYAML's 1.1: `1e-5`
is a number and `no` is a name, which is what people who write numbers and variable names expect.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import yaml

from harness.errors import CaseError

Path_ = tuple[str | int, ...]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


for _tag, _pattern, _first in (
    ("null", r"(?:~|null|Null|NULL|)", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )


# PyYAML reads `010` as octal, as YAML 1.1 did.
_Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))


def _float(loader: Any, node: yaml.ScalarNode) -> float:
    number: float = loader.construct_yaml_float(node)
    if math.isinf(number) and "inf" not in node.value.lower():
        raise OverflowError
    return number


_Loader.add_constructor("tag:yaml.org,2002:float", _float)


class Document(NamedTuple):
    """A parsed YAML file: its data, and the line of every key and item by path."""

    file: Path
    data: Any
    lines: dict[Path_, int]

    def line(self, path: Path_) -> int:
        """Line (from 1) of the entry at `path`, or of the nearest entry that encloses it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def error(self, path: Path_, message: str, remedy: str = "") -> CaseError:
        """A CaseError that points at the entry at `path`."""
        return CaseError(message, file=self.file, line=self.line(path), remedy=remedy)


def read(file: Path) -> Document:
    """Read a YAML file. Raises CaseError if it is unreadable, malformed, or repeats a key."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise CaseError(f"cannot be read: {error.strerror}", file=file) from None
    except UnicodeDecodeError as error:
        raise CaseError(f"is not UTF-8 text: {error.reason}", file=file) from None
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise CaseError(
                "a case is a mapping",
                file=file,
                line=1,
                remedy="start with `summary: ...` and `inputs: ...`",
            )
        lines: dict[Path_, int] = {(): node.start_mark.line + 1}
        return Document(file, _build(loader, node, (), lines, file), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        message = " ".join(filter(None, (error.context, error.problem)))
        raise CaseError(
            f"malformed YAML: {message}",
            file=file,
            line=line,
            remedy="mend the indentation or the brackets; quote text that holds `: ` or starts "
            "with one of `[{&*!|>%@`",
        ) from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = "an alias refers to itself" if isinstance(error, RecursionError) else str(error)
        raise CaseError(f"malformed YAML: {reason}", file=file) from None
    finally:
        loader.dispose()


def _build(loader: Any, node: yaml.Node, path: Path_, lines: dict[Path_, int], file: Path) -> Any:
    """The data of `node`; fills `lines` on the way. Keys are always text."""
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in mapping:
                raise CaseError(
                    f"`{key}` appears twice (first on line {lines[(*path, key)]})",
                    file=file,
                    line=line,
                    remedy="keep one of the two",
                )
            lines[(*path, key)] = line
            mapping[key] = _build(loader, value_node, (*path, key), lines, file)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, item in enumerate(node.value):
            lines[(*path, index)] = item.start_mark.line + 1
            items.append(_build(loader, item, (*path, index), lines, file))
        return items
    try:
        return loader.construct_object(node)
    except OverflowError:
        raise CaseError(
            f"`{node.value}` is beyond the range of float64",
            file=file,
            line=node.start_mark.line + 1,
            remedy="write `.inf` if infinity is meant",
        ) from None
    except (ValueError, KeyError):  # `!!int two`, `!!bool perhaps`
        kind = node.tag.rpartition(":")[2]
        line = node.start_mark.line + 1
        raise CaseError(f"`{node.value}` is no {kind}", file=file, line=line) from None

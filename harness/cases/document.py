"""YAML with line numbers, so that every complaint about a case can say where.

PyYAML parses; its nodes know their lines. Scalars follow YAML 1.2 rather than PyYAML's 1.1: `1e-5`
is a number and `no` is a name, which is what people who write numbers and variable names expect.
"""

from __future__ import annotations

import math
import re
import stat
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import yaml

from harness.errors import UNSEEN, CaseError, visible

Path_ = tuple[str | int, ...]

#: Entries that aliases may repeat; a generous case repeats a dozen.
_REPEATED = 100_000
#: Lists and mappings that may lie inside each other.
_DEPTH = 100


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


def text_of(file: Path, encoding: str = "utf-8") -> str:
    """The text of a case's file. Raises CaseError where it is no readable text."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise CaseError("is no file", file=file, remedy="put a text file in its place")
        text = file.read_text(encoding=encoding)
    except OSError as error:
        raise CaseError(f"cannot be read: {error.strerror}", file=file) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise CaseError(
            f"is not UTF-8 text: {error.reason}", file=file, line=line, remedy="save it as UTF-8"
        ) from None
    for found in UNSEEN.finditer(text):
        raise CaseError(
            f"holds the control character `{visible(found[0])}`",
            file=file,
            line=text.count("\n", 0, found.start()) + 1,
            remedy="remove it, or write it as an escape such as `\\x1b`",
        )
    return text


def read(file: Path) -> Document:
    """Read a YAML file. Raises CaseError if it is unreadable, malformed, or repeats a key."""
    text = text_of(file)
    loader = _Loader(text)
    try:
        _check_depth(text, file)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise CaseError(
                "a case is a mapping",
                file=file,
                line=1,
                remedy="start with `summary: ...` and `inputs: ...`",
            )
        builder = _Builder(loader, file)
        builder.lines[()] = node.start_mark.line + 1
        return Document(file, builder.build(node, ()), builder.lines)
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
    except yaml.YAMLError as error:
        raise CaseError(f"malformed YAML: {error}", file=file) from None
    finally:
        loader.dispose()


def _check_depth(text: str, file: Path) -> None:
    """Raise CaseError for what is nested so deeply that PyYAML, which follows it in compiled code,
    would end the process. Few files have so many brackets that this has to be counted."""
    indented = re.search(rf"^ {{{_DEPTH},}}", text, re.MULTILINE)
    if not indented and sum(map(text.count, ("[", "{", "- ", "? "))) < _DEPTH:
        return
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEPTH:
            assert event.start_mark is not None
            raise CaseError(
                f"malformed YAML: nested more than {_DEPTH} deep",
                file=file,
                line=event.start_mark.line + 1,
                remedy="remove some of its brackets",
            )


class _Builder:
    """From the nodes of a file to its data, and to the line of every key and item by path."""

    def __init__(self, loader: Any, file: Path) -> None:
        self.lines: dict[Path_, int] = {}
        self._loader, self._file = loader, file
        self._open: set[int] = set()
        self._seen: set[int] = set()
        self._repeated = 0

    def build(self, node: yaml.Node, path: Path_) -> Any:
        """The data of a node. Keys are always text."""
        self._check_alias(node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        self._open.add(id(node))
        build = self._mapping if isinstance(node, yaml.MappingNode) else self._sequence
        found = build(node, path)
        self._open.remove(id(node))
        return found

    def _sequence(self, node: yaml.Node, path: Path_) -> list[Any]:
        items = []
        for index, item in enumerate(node.value):
            self.lines[(*path, index)] = item.start_mark.line + 1
            items.append(self.build(item, (*path, index)))
        return items

    def _mapping(self, node: yaml.Node, path: Path_) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._error("a key is a list or a mapping", key_node, "write text there")
            key = str(key_node.value)
            self._check_seen(key, key_node)
            if key in mapping:
                first = self.lines[(*path, key)]
                raise self._error(
                    f"`{key}` appears twice (first on line {first})", key_node, "keep one of them"
                )
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            mapping[key] = self.build(value_node, (*path, key))
        return mapping

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        self._check_seen(node.value, node)
        try:
            return self._loader.construct_object(node)
        except OverflowError:
            raise self._error(
                f"`{node.value}` is beyond the range of float64",
                node,
                "write `.inf` if infinity is meant",
            ) from None
        except (ValueError, KeyError):  # `!!int two`, `!!bool perhaps`
            kind = node.tag.rpartition(":")[2]
            raise self._error(f"`{node.value}` is no {kind}", node) from None

    def _check_alias(self, node: yaml.Node) -> None:
        """An alias stands for a copy: ten aliases of ten aliases, eight times over, are gigabytes
        in a file of a few lines."""
        if id(node) in self._open:
            raise self._error("malformed YAML: an alias refers to itself", node)
        self._repeated += id(node) in self._seen
        self._seen.add(id(node))
        if self._repeated > _REPEATED:
            raise self._error(
                f"malformed YAML: aliases repeat more than {_REPEATED} entries",
                node,
                "let `inputs(rng)` in the Python file make large data",
            )

    def _check_seen(self, text: str, node: yaml.Node) -> None:
        """Text reaches terminals and tables, which obey escape sequences."""
        if UNSEEN.search(text):
            raise self._error(f"`{visible(text)}` holds a control character", node, "remove it")

    def _error(self, message: str, node: yaml.Node, remedy: str = "") -> CaseError:
        line = node.start_mark.line + 1
        return CaseError(message, file=self._file, line=line, remedy=remedy)

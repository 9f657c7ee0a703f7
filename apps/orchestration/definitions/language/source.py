"""YAML text -> plain data, with the place of every key and value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from apps.orchestration.definitions.contracts import Problem

if TYPE_CHECKING:
    from apps.orchestration.tools.specs import ToolSpec

MAX_BYTES = 64 * 1024
_SCALARS = {
    "tag:yaml.org,2002:str",
    "tag:yaml.org,2002:int",
    "tag:yaml.org,2002:float",
    "tag:yaml.org,2002:bool",
    "tag:yaml.org,2002:null",
}
Path = tuple[str | int, ...]


class SourceError(Exception):
    """The text cannot be read as plain data; carries the problems."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems[0].message)
        self.problems = problems


@dataclass(frozen=True)
class Source:
    """The data of a YAML text, and where each path of it stands (lines and columns start at 1).

    `children` holds the contracts of the workflows that its steps may run, where these are known.
    """

    data: Any
    values: dict[Path, tuple[int, int]] = field(repr=False)
    keys: dict[Path, tuple[int, int]] = field(repr=False)
    children: Mapping[str, ToolSpec] = field(default_factory=dict, repr=False)

    def problem(
        self, path: Path, message: str, fix: str, *, at_key: bool = False, offset: int = 0
    ) -> Problem:
        """Make a problem at the path's place, or at its nearest known parent's."""
        places = self.keys if at_key else self.values
        known = path
        while known and known not in places:
            known, places = known[:-1], self.values
        line, column = places.get(known, (1, 1))
        return Problem(line, column + offset, dotted(path), message, fix)


def dotted(path: Path) -> str:
    """Write a path as people do: `steps[0].config.url`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "(document)"


def read_source(text: str) -> Source:
    """Read YAML, refusing what is not plain data; raises SourceError."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise SourceError(
            Problem(1, 1, "(document)", "the workflow is too long", f"keep it under {MAX_BYTES // 1024} KiB")
        )
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return _Reader().read(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = f"this is not valid YAML: {error.problem or error.context}"
        fix = "check the indentation, quotes and colons around this place"
        raise SourceError(Problem(line, column, "(document)", message, fix)) from None
    except yaml.YAMLError as error:
        fix = "send plain UTF-8 text"
        raise SourceError(Problem(1, 1, "(document)", f"this is not valid YAML: {error}", fix)) from None
    except RecursionError:
        fix = "a workflow needs only a few levels"
        raise SourceError(Problem(1, 1, "(document)", "this is nested too deeply", fix)) from None


class _Reader:
    def __init__(self) -> None:
        self.values: dict[Path, tuple[int, int]] = {}
        self.keys: dict[Path, tuple[int, int]] = {}
        self.problems: list[Problem] = []
        self.seen: set[int] = set()
        self.scalars = yaml.constructor.SafeConstructor()

    def read(self, node: yaml.Node | None) -> Source:
        if node is None:
            fix = "begin with: name: my_workflow"
            raise SourceError(Problem(1, 1, "(document)", "there is nothing in this workflow", fix))
        data = self.value(node, ())
        if self.problems:
            raise SourceError(*self.problems)
        return Source(data, self.values, self.keys)

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.values[path] = _place(node)
        if id(node) in self.seen:
            self.refuse(
                node, path, "anchors and aliases (& and *) are not part of this language", "repeat the text"
            )
            return None
        self.seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return {key: self.value(child, (*path, key)) for key, child in self.pairs(node, path)}
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, index)) for index, child in enumerate(node.value)]
        return self.scalar(node, path)

    def pairs(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, yaml.Node]]:
        seen: set[str] = set()
        for key_node, child in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                self.refuse(key_node, path, "a key must be a plain word", "write it as: word: value")
                continue
            key = str(key_node.value)
            if key in seen:
                self.refuse(key_node, (*path, key), f"`{key}` is given twice", "keep one of the two")
                continue
            seen.add(key)
            self.keys[(*path, key)] = _place(key_node)
            yield key, child

    def scalar(self, node: yaml.Node, path: Path) -> Any:
        if node.tag not in _SCALARS:
            kind = node.tag.rsplit(":", 1)[-1]
            self.refuse(node, path, f"a value of type {kind} is not allowed here", "put it in quotes")
            return None
        try:
            value = self.scalars.construct_object(node)
        except (ValueError, OverflowError):
            self.refuse(node, path, "this number cannot be read", "put it in quotes")
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self.refuse(node, path, "a number must be finite", "give a number such as 0.7")
        if isinstance(value, str) and "\x00" in value:
            self.refuse(node, path, "text must not contain the character NUL", "remove it")
        return value

    def refuse(self, node: yaml.Node, path: Path, message: str, fix: str) -> None:
        self.problems.append(Problem(*_place(node), dotted(path), message, fix))


def _place(node: yaml.Node) -> tuple[int, int]:
    # A quoted text's content begins one column after its quote.
    quoted = isinstance(node, yaml.ScalarNode) and node.style in ("'", '"')
    return node.start_mark.line + 1, node.start_mark.column + 1 + (1 if quoted else 0)

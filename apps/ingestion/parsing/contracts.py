"""What a parser gives back, and how it refuses."""

from dataclasses import dataclass, field


class Unreadable(Exception):
    """A file that cannot be read; the message tells its owner what to do."""


@dataclass(frozen=True, slots=True)
class Section:
    """Text under one heading; the heading is a path such as "Shipping > Express"."""

    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document's text in reading order; `title` is what the document calls itself, if it does."""

    sections: tuple[Section, ...]
    title: str = ""
    warnings: tuple[str, ...] = field(default=())

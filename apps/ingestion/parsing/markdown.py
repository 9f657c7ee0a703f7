"""Markdown to sections: what stands under which heading."""

import re
from collections.abc import Iterator

from apps.ingestion.parsing.contracts import ParsedDocument, Section

HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.+?)\s*#*\s*$")
UNDERLINE = re.compile(r"^ {0,3}(=+|-+)\s*$")
FENCE = re.compile(r"^ {0,3}(```|~~~)")
IMAGE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")
LINK = re.compile(r"\[([^\]]+)\]\([^)\s]*(?:\s+\"[^\"]*\")?\)")
EMPHASIS = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")


def parse_markdown(text: str) -> ParsedDocument:
    """Split at the headings; a single first-level heading is the document's title."""
    sections: list[Section] = []
    path: list[tuple[int, str]] = []
    lines: list[str] = []
    title = ""
    for level, line in _mark_headings(text):
        if not level:
            lines.append(line)
            continue
        _close(sections, path, lines)
        lines = []
        if level == 1 and not title and not sections:
            title, path = line, []
        else:
            path = [*(entry for entry in path if entry[0] < level), (level, line)]
    _close(sections, path, lines)
    return ParsedDocument(sections=tuple(sections), title=title)


def _close(sections: list[Section], path: list[tuple[int, str]], lines: list[str]) -> None:
    body = "\n".join(lines).strip()
    if body:
        sections.append(Section(" > ".join(entry[1] for entry in path), body))


def _mark_headings(text: str) -> Iterator[tuple[int, str]]:
    """Yield (level, text) for every line; level 0 is body."""
    in_code = False
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if FENCE.match(line):
            in_code = not in_code
            continue
        heading = None if in_code else HEADING.match(line)
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if heading:
            yield len(heading[1]), plain(heading[2])
        elif not in_code and UNDERLINE.match(line) and number and lines[number - 1].strip():
            continue
        elif not in_code and line.strip() and re.fullmatch(r" {0,3}(={3,}|-{3,})\s*", following):
            yield (1 if "=" in following else 2), plain(line.strip())
        else:
            yield 0, line if in_code else plain(line)


def plain(line: str) -> str:
    """Drop the marks of links, images and emphasis; keep their words."""
    line = LINK.sub(r"\1", IMAGE.sub(r"\1", line))
    return EMPHASIS.sub(r"\2", line)

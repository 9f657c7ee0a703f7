"""Cuts prose into sentences, without losing or adding a character that matters."""

import re
from collections.abc import Iterator

_WITH_A_DOT = """
mr mrs ms dr prof st vs etc e.g i.e no nr vol fig inc ltd co corp approx dept est tel ext min max ca cf
jan feb mar apr jun jul aug sep sept oct nov dec bzw z.b d.h usw ggf inkl evtl art p pp a.m p.m u.s
"""
ABBREVIATIONS = frozenset(_WITH_A_DOT.split())
BOUNDARY = re.compile(
    r"""(?<=[.!?…])["\'”’)\]]*\s+(?=["\'“‘(\[]?[^\sa-z])|(?<=[。！？])"""  # noqa: RUF001
)
LINE_ITEM = re.compile(r"^\s*(?:[-*•+]|\d{1,3}[.)]|#{1,6}|\||>)\s*")
LAST_WORD = re.compile(r"([\w.]+)\.$")


def split_sentences(text: str) -> list[str]:
    """Return the sentences in order; blank lines, list items and table rows end one as well."""
    return [sentence for block in _blocks(text) for sentence in _cut(block)]


def _blocks(text: str) -> Iterator[str]:
    lines: list[str] = []
    for line in text.splitlines():
        is_after_heading = bool(lines) and lines[0].startswith("#")
        if lines and (is_after_heading or not line.strip() or LINE_ITEM.match(line)):
            yield " ".join(lines)
            lines = []
        if line.strip():
            lines.append(line.strip())
    if lines:
        yield " ".join(lines)


def _cut(block: str) -> Iterator[str]:
    start = 0
    for match in BOUNDARY.finditer(block):
        candidate = block[start : match.end()].strip()
        if candidate and not _is_unfinished(candidate):
            yield candidate
            start = match.end()
    rest = block[start:].strip()
    if rest:
        yield rest


def _is_unfinished(candidate: str) -> bool:
    last = LAST_WORD.search(candidate)
    if last is None:
        return False
    word = last[1].casefold()
    is_list_number = candidate == f"{last[1]}." and (word.isdigit() or len(word) == 1)
    return word in ABBREVIATIONS or is_list_number

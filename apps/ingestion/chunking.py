"""Cuts sections into passages of whole sentences, each small enough for the embedder to read in full."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

from semchunk.semchunk import chunk as cut_finer

from apps.inference.services import count_tokens, split_sentences
from apps.ingestion.parsing.contracts import Section

MAX_TOKENS = 200  # of 256: title and heading are embedded with the passage
STARTS_A_LINE = re.compile(r"^(?:[-*•+|>#]|\d{1,3}[.)]\s)")

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk to be: at most MAX_TOKENS tokens of one section."""

    heading: str
    text: str
    token_count: int


def chunk_sections(sections: tuple[Section, ...], *, count: Count = count_tokens) -> list[Passage]:
    """Return the passages in reading order; neighbours under the same heading are packed together."""
    passages: list[Passage] = []
    for heading, group in groupby(sections, key=lambda section: section.heading):
        text = "\n\n".join(section.text for section in group)
        passages.extend(Passage(heading, *packed) for packed in _pack(_sized_sentences(text, count)))
    return passages


def _sized_sentences(text: str, count: Count) -> list[tuple[str, int]]:
    sized: list[tuple[str, int]] = []
    for sentence in split_sentences(text):
        tokens = count(sentence)
        if tokens <= MAX_TOKENS:
            sized.append((sentence, tokens))
        else:
            sized += [(str(piece), count(str(piece))) for piece in cut_finer(sentence, MAX_TOKENS, count)]
    return sized


def _pack(sentences: list[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """Fill passages evenly: three of 150 tokens rather than two of 200 and one of 50."""
    total = sum(tokens for _, tokens in sentences)
    target = total / max(1, math.ceil(total / MAX_TOKENS))
    packed: list[str] = []
    size = 0
    for sentence, tokens in sentences:
        is_full = size + tokens > MAX_TOKENS or size + tokens / 2 > target
        if packed and is_full:
            yield _join(packed), size
            packed, size = [], 0
        packed.append(sentence)
        size += tokens
    if packed:
        yield _join(packed), size


def _join(sentences: list[str]) -> str:
    text = sentences[0]
    for sentence in sentences[1:]:
        text += ("\n" if STARTS_A_LINE.match(sentence) else " ") + sentence
    return text

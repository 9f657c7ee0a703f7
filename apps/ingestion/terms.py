"""Words to search terms, alike for every language and every database locale.

A word gives its letters without case and accents, and its stem; an identifier such as HG-2041-B also
gives itself whole; scripts without spaces give pairs of letters.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import snowballstemmer

from apps.inference.services import is_small_word

STEMMERS = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "nl": "dutch",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
}
MARKS = "\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0dff"
WORD = re.compile(rf"[^\W_](?:[^\W_]|[{MARKS}'’])*(?:[-./_@+:][^\W_](?:[^\W_]|[{MARKS}])*)*")  # noqa: RUF001
PART = re.compile(rf"[^\W_](?:[^\W_]|[{MARKS}])*")
UNSPACED = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af]+")
MAX_TERM_CHARS = 60
MAX_POSITION = 16_000  # what a tsvector can hold
MAX_POSITIONS_PER_TERM = 250
MAX_QUERY_WORDS = 32


@dataclass(frozen=True, slots=True)
class QueryWord:
    """One word of a query: any of its terms will do; an identifier is known by its digits."""

    terms: tuple[str, ...]
    is_identifier: bool


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    is_identifier: bool


def build_tsvector(text: str, *, language: str) -> str:
    """Return the terms of a text with their positions, as PostgreSQL writes a tsvector."""
    positions: dict[str, list[int]] = {}
    for position, token in enumerate(_tokenize(text), start=1):
        for term in dict.fromkeys(_terms_of(token, (language,))):
            found = positions.setdefault(term, [])
            if len(found) < MAX_POSITIONS_PER_TERM and position <= MAX_POSITION:
                found.append(position)
    return " ".join(
        f"{quote_term(term)}:{','.join(map(str, found))}" for term, found in positions.items() if found
    )


def read_query(text: str, *, language: str) -> list[QueryWord]:
    """Return the words to look for; words without meaning are left out unless there are no others."""
    tokens = list(dict.fromkeys(_tokenize(text)))
    telling = [token for token in tokens if not is_small_word(token.text, language=language)]
    return [
        QueryWord(tuple(dict.fromkeys(_terms_of(token, ("en", language)))), token.is_identifier)
        for token in (telling or tokens)[:MAX_QUERY_WORDS]
    ]


def quote_term(term: str) -> str:
    """Quote a term for a tsvector or tsquery literal."""
    return "'" + term.replace("\\", "\\\\").replace("'", "''") + "'"


def fold(text: str) -> str:
    """Drop case and the accents of Latin letters."""
    folded: list[str] = []
    for character in unicodedata.normalize("NFKD", text.casefold()):
        is_latin_accent = unicodedata.combining(character) and folded and folded[-1].isascii()
        if not is_latin_accent:
            folded.append(character)
    return unicodedata.normalize("NFC", "".join(folded))


def _tokenize(text: str) -> Iterator[_Token]:
    for match in WORD.finditer(unicodedata.normalize("NFKC", text.replace("\x00", " ")).casefold()):
        word = match[0]
        if UNSPACED.search(word):
            yield from _pairs(word)
            continue
        parts = PART.findall(word.replace("'", "").replace("’", ""))  # noqa: RUF001
        if len(parts) > 1 and any(part.isnumeric() for part in re.findall(r"\d", word)):
            yield _Token("".join(parts), True)
        for part in parts:
            yield _Token(part, any(character.isdigit() for character in part))


def _pairs(word: str) -> Iterator[_Token]:
    for run in UNSPACED.findall(word):
        for start in range(max(1, len(run) - 1)):
            yield _Token(run[start : start + 2], False)
    for rest in UNSPACED.sub(" ", word).split():
        yield _Token(rest, any(character.isdigit() for character in rest))


def _terms_of(token: _Token, languages: tuple[str, ...]) -> Iterator[str]:
    if len(token.text) > MAX_TERM_CHARS:
        yield fold(token.text)[:MAX_TERM_CHARS]
        return
    yield fold(token.text)
    if not token.is_identifier:
        for language in languages:
            yield fold(_stem(token.text, language))


@lru_cache(maxsize=65_536)
def _stem(word: str, language: str) -> str:
    algorithm = STEMMERS.get(language)
    return snowballstemmer.stemmer(algorithm).stemWord(word) if algorithm else word

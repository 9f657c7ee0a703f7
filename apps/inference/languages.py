"""Which language a text is in, as far as search needs to know: by script, then by its small words.

The embedder reads English only, so the one mistake that costs is calling English something else;
without evidence a text counts as English.
"""

import re
import unicodedata
from pathlib import Path

SCRIPTS = {
    "CYRILLIC": "ru",
    "GREEK": "el",
    "ARABIC": "ar",
    "HEBREW": "he",
    "DEVANAGARI": "hi",
    "TAMIL": "ta",
    "THAI": "th",
    "HANGUL": "ko",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "CJK": "zh",
    "ARMENIAN": "hy",
    "GEORGIAN": "ka",
}
VOCABULARY = {
    language: frozenset(words.split())
    for language, words in (
        line.split(": ")
        for line in Path(__file__).with_name("small_words.txt").read_text("utf-8").splitlines()
    )
}
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")  # noqa: RUF001
SAMPLE_WORDS = 200


def detect_language(text: str) -> str:
    """Return an ISO 639-1 code; `en` where nothing speaks against it."""
    words = WORD.findall(text.casefold())[:SAMPLE_WORDS]
    script = _script_language(words)
    if script:
        return script
    votes = {language: sum(word in known for word in words) for language, known in VOCABULARY.items()}
    best = max(votes, key=lambda language: votes[language])
    has_accents = any(not word.isascii() for word in words)
    if votes[best] > votes["en"] and (votes[best] * 3 >= len(words) or has_accents or votes[best] > 2):
        return best
    return "und" if has_accents and votes["en"] == 0 else "en"


def is_small_word(word: str, *, language: str) -> bool:
    """Return whether a word, in lower case, is one of the language's words without a meaning of their own."""
    return word in VOCABULARY.get(language, ())


def _script_language(words: list[str]) -> str | None:
    counts: dict[str, int] = {}
    for character in "".join(words):
        if not character.isascii():
            script = unicodedata.name(character, "LATIN").split(" ")[0].split("-")[0]
            counts[script] = counts.get(script, 0) + 1
    foreign = {SCRIPTS[script]: count for script, count in counts.items() if script in SCRIPTS}
    letters = sum(map(len, words))
    if not foreign or sum(foreign.values()) * 2 < letters:
        return None
    return "ja" if "ja" in foreign else max(foreign, key=lambda language: foreign[language])

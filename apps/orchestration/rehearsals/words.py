"""Two texts word by word: what the later one leaves out and what it adds."""

from __future__ import annotations

import difflib
import re

MAX_CHARS = 8000
Piece = tuple[bool, str]  # whether it differs from the other text, and the words


def mark_words(before: str, after: str) -> tuple[list[Piece], list[Piece]]:
    """Return both texts in pieces, those marked that the other does not have at this place."""
    old, new = _split(before), _split(after)
    older: list[Piece] = []
    newer: list[Piece] = []
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        is_changed = kind != "equal"
        if i2 > i1:
            older.append((is_changed, "".join(old[i1:i2])))
        if j2 > j1:
            newer.append((is_changed, "".join(new[j1:j2])))
    return older, newer


def _split(text: str) -> list[str]:
    return re.findall(r"\S+\s*|\s+", text[:MAX_CHARS])

"""When two texts count as one."""

import hashlib


def same_wording(text: str) -> str:
    """Return what a text has in common with all that differ from it by case and spacing only."""
    return " ".join(text.casefold().split())


def hash_text(text: str) -> str:
    """Identify a text whatever its case and spacing."""
    return hashlib.sha256(same_wording(text).encode()).hexdigest()

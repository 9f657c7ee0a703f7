"""Show which words of a passage a search has matched."""

from collections.abc import Iterable

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from apps.ingestion.terms import WORD, read_query


def mark_words(text: str, *, terms: Iterable[str], language: str) -> SafeString:
    """Return a text as HTML, escaped, with the words that share a term with the query in <mark>."""
    wanted, parts, end = set(terms), [], 0
    for found in WORD.finditer(text):
        own = {term for word in read_query(found[0], language=language) for term in word.terms}
        if own & wanted:
            parts += [escape(text[end : found.start()]), "<mark>", escape(found[0]), "</mark>"]
            end = found.end()
    parts.append(escape(text[end:]))
    return mark_safe("".join(parts))  # noqa: S308 - every part of the text is escaped above

"""Which requests spend which quota, on one page."""

import re

METERED: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("POST", re.compile(r"/api/v1/conversations(/[^/]+/messages)?/?"), "message"),
    ("POST", re.compile(r"/v1/chat/completions"), "message"),
    ("POST", re.compile(r"/api/v1/documents(/[^/]+/reindex)?/?"), "document"),
    ("POST", re.compile(r"/api/v1/search/?"), "search"),
    ("POST", re.compile(r"/api/v1/runs(/[^/]+/(retry|replay))?/?"), "run"),
)


def metered_kind(method: str | None, path: str) -> str | None:
    """Return the kind of usage that a request adds to, or None."""
    for metered_method, pattern, kind in METERED:
        if method == metered_method and pattern.fullmatch(path):
            return kind
    return None

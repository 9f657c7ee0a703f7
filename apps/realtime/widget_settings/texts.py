"""The words that are built into the widget."""

from functools import cache
from pathlib import Path

import orjson

WIDGET_DIR = Path(__file__).parents[1] / "widget"


@cache
def read_texts() -> dict[str, dict[str, str]]:
    """Return the words by language and name."""
    texts: dict[str, dict[str, str]] = orjson.loads((WIDGET_DIR / "texts.json").read_bytes())
    return texts

"""What may be said; each function returns its value clean, or raises InvalidInput."""

import json
import re
from collections.abc import Mapping
from typing import Any

from apps.conversations.contracts import ChannelKind
from apps.resilience.errors import InvalidInput

MAX_MESSAGE_CHARS = 8000
MAX_COMMENT_CHARS = 2000
MAX_SETTINGS_CHARS = 16_000
_UNSAFE = re.compile("[\x00\ud800-\udfff]")


def message_text(value: str) -> str:
    """Check a customer's or an agent's message; only white space at its ends is taken off."""
    return text("text", value, max_chars=MAX_MESSAGE_CHARS, required=True)


def reply_text(value: str) -> str:
    """Check an answer; a model's stray NUL characters are dropped rather than refused."""
    stored = _UNSAFE.sub("", value).strip()
    if not stored:
        raise InvalidInput({"text": ["An answer needs text."]})
    return stored


def text(field: str, value: str | None, *, max_chars: int, required: bool = False) -> str:
    stripped = (value or "").strip()
    if required and not stripped:
        raise InvalidInput({field: ["This is empty; write something."]})
    if len(stripped) > max_chars:
        raise InvalidInput(
            {field: [f"This has {len(stripped):,} characters; shorten it to {max_chars:,} or split it."]}
        )
    if _UNSAFE.search(stripped):
        raise InvalidInput({field: ["Remove the NUL characters and broken Unicode."]})
    return stripped


def client_message_id(value: str | None) -> str | None:
    """Check the sender's own id of a message; None and empty mean that there is none."""
    return text("client_message_id", value, max_chars=100) or None


def effect_key(field: str, value: str) -> str:
    return text(field, value, max_chars=255, required=True)


def channel_kind(value: str) -> ChannelKind:
    try:
        return ChannelKind(value)
    except ValueError as exc:
        raise InvalidInput({"channel": [f"Give one of {', '.join(ChannelKind)}."]}) from exc


def score(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 5:
        raise InvalidInput({"score": ["Give a whole number from 1 (bad) to 5 (good)."]})
    return value


def channel_settings(value: Mapping[str, Any]) -> dict[str, Any]:
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidInput({"settings": ["Give plain JSON."]}) from exc
    if len(written) > MAX_SETTINGS_CHARS or "\\u0000" in written or _UNSAFE.search(written):
        raise InvalidInput(
            {"settings": [f"Keep it under {MAX_SETTINGS_CHARS} characters of JSON, without NUL characters."]}
        )
    return dict(value)

"""Take personal data and secrets out of what is logged; order numbers and ids stay readable."""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

SECRET_KEYS = frozenset(
    [
        "password",
        "secret",
        "token",
        "access",
        "refresh",
        "authorization",
        "cookie",
        "set-cookie",
        "api_key",
        "apikey",
        "access_token",
        "refresh_token",
        "client_secret",
        "secret_key",
        "email",
        "phone",
        "card_number",
        "to_email",
        "from_email",
    ]
)
MAX_DEPTH = 8

# Most of what a line holds: an id, a moment, a word of lower-case letters.
_HARMLESS = re.compile(
    r"[a-z]+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]{8,15}Z"
)
_JWT = re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")
_CREDENTIAL = re.compile(r"\b(bearer|api-key|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE)
_KEY = re.compile(r"\b(?:(?:ak|sk|pk|rk|wk)[_-][\w-]{8,}|whsec_[\w+/=-]{4,})")
_URL_PASSWORD = re.compile(r"(?<=://)([^\s/:@]*):[^\s/@]+@")
_EMAIL = re.compile(r"[\w.%+'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}")
_CARD = re.compile(
    r"(?<![\w#.-])(?:"
    r"[2-6]\d{12,18}"
    r"|[2-6]\d{3}([ -])\d{4}\1\d{4}\1\d{1,7}"
    r"|3\d{3}([ -])\d{6}\2\d{5}"  # American Express
    r")(?![\w-]|\.\d)"
)
_PHONE = re.compile(
    r"(?<![\w#.+-])(?:"
    r"\+\d{1,3}(?:[ .()-]{0,2}\d){6,12}"  # +49 30 1234567
    r"|\(\d{2,5}\) ?\d{2,4}(?:[ .-]?\d{2,4}){1,3}"  # (030) 123 4567
    r"|\d{3}([ .-])\d{3}\1\d{4}"  # 555-123-4567
    r"|0\d{2,4}[ /.-]\d{3,4}(?:[ -]?\d{2,4}){1,2}"  # 030 1234 567
    r")(?![\w-]|\.\d)"
)


def redact_text(text: str) -> str:
    """Replace e-mail addresses, phone and card numbers, keys and tokens by a word in brackets.

    Bare digits and numbers with a prefix (`#1042`, `ORD-2026-000123`) are left alone unless they
    pass the Luhn check of a card: a log in which no order can be found is of no use.
    """
    if len(text) < 6 or _HARMLESS.fullmatch(text):
        return text
    if "@" in text:
        text = _URL_PASSWORD.sub(r"\1:[secret]@", text)
    text = _CREDENTIAL.sub(lambda found: f"{found[1]} [secret]", text)
    text = _KEY.sub("[key]", _JWT.sub("[token]", text))
    if "@" in text:
        text = _EMAIL.sub("[email]", text)
    return _PHONE.sub("[phone]", _CARD.sub(_mask_card, text))


def redact_value(value: Any, depth: int = 0) -> Any:
    """Redact strings anywhere inside mappings and sequences; other values stay as they are."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bytes):
        return f"[{len(value)} bytes]"
    if depth >= MAX_DEPTH:
        return "[deep]"
    if isinstance(value, Mapping):
        return {key: _redact_item(key, item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_value(item, depth + 1) for item in value]
    return value


def redact_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Redact one structlog event, as the last processor before it is rendered."""
    for key, value in event.items():
        event[key] = _redact_item(key, value, 0)
    return event


def _redact_item(key: Any, value: Any, depth: int) -> Any:
    if isinstance(key, str) and key.lower() in SECRET_KEYS and value not in (None, "", False):
        return "[secret]"
    return redact_value(value, depth)


def _mask_card(found: re.Match[str]) -> str:
    digits = [int(char) for char in found[0] if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return "[card]" if (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 else found[0]

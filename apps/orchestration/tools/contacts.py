"""Order numbers and contact details in what customers write."""

from __future__ import annotations

import re
from collections.abc import Iterable

EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{2,63})+")
_PHONE = re.compile(r"\+?\d[\d ()/.-]{6,18}\d")
_MARKED = re.compile(
    r"(?:\border\b(?:\s+(?:number|no\.?|nr\.?|id))?\s*[:#]?\s*|\#)(?P<number>[A-Za-z]{0,6}-?\d[\w-]{1,30})",
    re.IGNORECASE,
)
_CODE = re.compile(r"\b(?P<number>[A-Z]{2,6}-?\d{2,12})\b")
_BARE = re.compile(r"(?<![\d.,+$€£-])\b(?P<number>\d{4,12})\b(?![.,]\d|\s*(?:%|€|\$|usd|eur))", re.IGNORECASE)
# A bare number of this form is rather a year than an order.
_YEAR = re.compile(r"(?:19|20)\d\d")


def find_email(texts: Iterable[str]) -> str | None:
    """Return the last e-mail address in the texts, lower-cased."""
    found = [match.group().rstrip(".") for text in texts for match in EMAIL.finditer(text)]
    return found[-1].lower() if found else None


def find_phone(texts: Iterable[str]) -> str | None:
    """Return the last phone number in the texts."""
    found = [match.group() for text in texts for match in _PHONE.finditer(EMAIL.sub(" ", text))]
    return found[-1] if found else None


def find_order_number(texts: Iterable[str]) -> str | None:
    """Return the last order number: called so, coded like ORD-17, or a bare one of at least 4 digits."""
    newest_first = [EMAIL.sub(" ", text) for text in texts][::-1]
    for pattern in (_MARKED, _CODE, _BARE):
        for text in newest_first:
            numbers = [match.group("number") for match in pattern.finditer(text)]
            if pattern is _BARE:
                numbers = [number for number in numbers if not _YEAR.fullmatch(number)]
            if numbers:
                return numbers[-1]
    return None

"""What customers, orders and leads may be made of; the same rules for every door, CSV included.

A rule takes a value, returns it clean, and raises ValueError with a sentence that says what to do.
"""

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.dateparse import parse_date, parse_datetime

from apps.crm.contracts import LeadStatus, OrderStatus
from apps.resilience.errors import InvalidInput

Rule = Callable[[Any], Any]
MAX_CENTS = 10**12
MAX_ITEMS = 500
MAX_METADATA_CHARS = 16_000
MOMENT_HINT = "Give a date and time like 2026-03-31T14:05:00Z."
_email = EmailValidator()
_UNSAFE = re.compile("[\x00\ud800-\udfff]")


def clean(given: Mapping[str, Any], rules: Mapping[str, Rule]) -> dict[str, Any]:
    """Return the given fields clean; raises InvalidInput with every field that is wrong."""
    cleaned: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    for name, value in given.items():
        try:
            cleaned[name] = rules[name](value)
        except ValueError as exc:
            errors[name] = [str(exc)]
    if errors:
        raise InvalidInput(errors)
    return cleaned


def text(max_chars: int, *, required: bool = False) -> Rule:
    """Return a rule for plain text; None is the empty text."""

    def rule(value: Any) -> str:
        if value is not None and not isinstance(value, str):
            raise ValueError("Give text.")
        stripped = (value or "").strip()
        if required and not stripped:
            raise ValueError("This is needed; it may not be empty.")
        if len(stripped) > max_chars:
            raise ValueError(f"This has {len(stripped)} characters; shorten it to {max_chars}.")
        if _UNSAFE.search(stripped):
            raise ValueError("Remove the NUL characters and broken Unicode.")
        return stripped

    return rule


def email(value: Any) -> str | None:
    """Lower-case an address; empty becomes None."""
    address: str = text(254)(value).lower()
    if not address:
        return None
    try:
        _email(address)
    except ValidationError as exc:
        raise ValueError("This is not an email address; write it like name@example.com.") from exc
    return address


def phone(value: Any) -> str:
    """Reduce a number to its digits and a leading plus."""
    digits = re.sub(r"[\s().\-/]", "", text(40)(value))
    if digits and not re.fullmatch(r"\+?[0-9]{5,15}", digits):
        raise ValueError("This is not a phone number; write 5 to 15 digits, like +1 555 010 9999.")
    return digits


def external_id(value: Any) -> str | None:
    return text(100)(value) or None


def metadata(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("Give a JSON object.")
    if len(_storable(value)) > MAX_METADATA_CHARS:
        raise ValueError(f"Keep it under {MAX_METADATA_CHARS} characters of JSON.")
    return value


def order_number(value: Any) -> str:
    """Write a number as it is stored: upper case, without a leading #."""
    number: str = text(64, required=True)(value).lstrip("#").strip().upper()
    if not number:
        raise ValueError("Give the order's number, like 1042.")
    return number


def cents(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_CENTS:
        raise ValueError("Give a whole number of cents, 0 or more, like 1999.")
    return value


def currency(value: Any) -> str:
    code: str = text(3)(value).upper()
    if not re.fullmatch("[A-Z]{3}", code):
        raise ValueError("Give a currency's three letters, like USD.")
    return code


def items(value: Any) -> list[dict[str, Any]]:
    """Check order lines; each is {name, quantity, unit_price_cents, sku?}."""
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise ValueError(f"Give a list of at most {MAX_ITEMS} items.")
    return [_item(position, line) for position, line in enumerate(value, 1)]


def status_at_birth(value: Any) -> str:
    allowed = [status.value for status in OrderStatus if status is not OrderStatus.HELD]
    return _one_of(value, allowed, "hold an order by its action")


def order_status(value: Any) -> str:
    return _one_of(value, [status.value for status in OrderStatus], "")


def lead_status(value: Any) -> str:
    return _one_of(value, [status.value for status in LeadStatus], "")


def moment(value: Any) -> dt.datetime | None:
    """Take an aware datetime, or ISO 8601 text; without a zone it is UTC; empty becomes None."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    parsed = value if isinstance(value, dt.datetime) else _parse_moment(str(value).strip())
    if parsed is None or not 1900 <= parsed.year <= 9000:
        raise ValueError(MOMENT_HINT)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=dt.UTC)


def required_moment(value: Any) -> dt.datetime:
    parsed = moment(value)
    if parsed is None:
        raise ValueError(MOMENT_HINT)
    return parsed


def uuid_or_none(value: Any) -> UUID | None:
    return value if value is None or isinstance(value, UUID) else UUID(str(value))


def effect_key(value: str) -> str:
    """Check a key of an effect; raises InvalidInput."""
    return str(clean({"effect_key": value}, {"effect_key": text(255, required=True)})["effect_key"])


CUSTOMER: dict[str, Rule] = {
    "name": text(200),
    "email": email,
    "phone": phone,
    "external_id": external_id,
    "metadata": metadata,
}
ORDER: dict[str, Rule] = {
    "number": order_number,
    "customer_id": uuid_or_none,
    "status": status_at_birth,
    "items": items,
    "total_cents": cents,
    "currency": currency,
    "placed_at": required_moment,
    "shipped_at": moment,
    "delivered_at": moment,
    "carrier": text(100),
    "tracking_code": text(100),
}
LEAD: dict[str, Rule] = {
    "name": text(200),
    "email": email,
    "phone": phone,
    "message": text(8000),
    "source": text(100),
    "status": lead_status,
}


def _item(position: int, line: Any) -> dict[str, Any]:
    rules: dict[str, Rule] = {
        "sku": text(64),
        "name": text(200, required=True),
        "quantity": _quantity,
        "unit_price_cents": cents,
    }
    known = {name: line[name] for name in rules if name in line} if isinstance(line, dict) else {}
    if not isinstance(line, dict) or set(line) - set(rules) or set(rules) - set(line) - {"sku"}:
        raise ValueError(f"Item {position}: give name, quantity and unit_price_cents (and sku, if any).")
    try:
        return clean(known, rules)
    except InvalidInput as exc:
        raise ValueError(f"Item {position}: {exc.detail}") from exc


def _quantity(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1_000_000:
        raise ValueError("Give a whole number from 1 to 1000000.")
    return value


def _one_of(value: Any, allowed: list[str], otherwise: str) -> str:
    if value not in allowed:
        hint = f"; {otherwise}" if otherwise else ""
        raise ValueError(f"Give one of {', '.join(allowed)}{hint}.")
    return str(value)


def _parse_moment(raw: str) -> dt.datetime | None:
    try:
        day = parse_date(raw) if len(raw) == len("2026-03-31") else None
        return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC) if day else parse_datetime(raw)
    except ValueError as exc:
        raise ValueError(MOMENT_HINT) from exc


def _storable(value: Any) -> str:
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise ValueError("Give plain JSON.") from exc
    if "\\u0000" in written or _UNSAFE.search(written):
        raise ValueError("Remove the NUL characters and broken Unicode.")
    return written

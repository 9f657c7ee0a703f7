"""What of a run's contents is shown to those who may not see customers' personal data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from apps.tenants.contracts import Principal

SEES_ALL = "read:personal_data"
# Values that no pattern gives away, by the names that they usually have.
PERSONAL = frozenset(
    {
        "name", "first_name", "last_name", "full_name", "customer_name", "address", "street", "city",
        "postcode", "birthday", "date_of_birth", "iban",
    }
)  # fmt: skip


def show_to(principal: Principal, value: Any) -> Any:
    """Return plain data as somebody may see it: personal data is masked without the right to it."""
    return value if principal.may(SEES_ALL) else mask(value)


def mask(value: Any) -> Any:
    """Mask the personal data in plain data; what else it tells stays readable."""
    return _redact()(_without_names(value))


def _without_names(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _hidden(key, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_names(item) for item in value]
    return value


def _hidden(key: Any, value: Any) -> Any:
    is_personal = str(key).lower() in PERSONAL and isinstance(value, str) and value
    return f"[{str(key).lower()}]" if is_personal else _without_names(value)


@cache
def _redact() -> Callable[[Any], Any]:
    redact: Callable[[Any], Any] = import_string(settings.PERSONAL_DATA_MASK)
    return redact

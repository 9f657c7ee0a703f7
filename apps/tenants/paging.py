"""Keyset pages of lists: as quick on the last page as on the first."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

PAGE_SIZE = 50
Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Some rows, and the cursor of the next page or an empty string."""

    items: list[Row]
    next_cursor: str
    is_first: bool


def paginate(
    queryset: QuerySet[Row], cursor: str, *, by: str = "-id", then: str = "", size: int = PAGE_SIZE
) -> Page[Row]:
    """Return the page after `cursor`, ordered by `by` and then by `then` (needed unless `by` is unique).

    A `-` means descending, for both or for neither. A cursor that is not ours gives the first page.
    """
    names = [name for name in (by, then) if name]
    after = _read(cursor, len(names))
    rows = queryset.order_by(*names)
    try:
        found = list((rows.filter(_beyond(names, after)) if after else rows)[: size + 1])
    except (ValidationError, ValueError, TypeError):
        after, found = None, list(rows[: size + 1])
    next_cursor = _write(found[size - 1], names) if len(found) > size else ""
    return Page(found[:size], next_cursor, is_first=after is None)


def cursor_after(row: Model, *, by: str = "-id", then: str = "") -> str:
    """Return the cursor of what comes after a row, for who leaves rows out of a page."""
    return _write(row, [name for name in (by, then) if name])


def _beyond(names: list[str], after: list[Any]) -> Q:
    fields = [name.lstrip("-") for name in names]
    operator = "lt" if names[0].startswith("-") else "gt"
    condition = Q(**{f"{fields[0]}__{operator}": after[0]})
    if len(fields) == 2:
        condition |= Q(**{fields[0]: after[0], f"{fields[1]}__{operator}": after[1]})
        condition &= Q(**{f"{fields[0]}__{operator}e": after[0]})  # by this an index finds where to begin
    return condition


def _write(row: Model, names: list[str]) -> str:
    values = [getattr(row, name.lstrip("-")) for name in names]
    texts = [value.isoformat() if hasattr(value, "isoformat") else str(value) for value in values]
    return base64.urlsafe_b64encode(json.dumps(texts).encode()).decode().rstrip("=")


def _read(cursor: str, length: int) -> list[str] | None:
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        return None
    is_ours = isinstance(values, list) and len(values) == length and all(isinstance(v, str) for v in values)
    return values if is_ours and not any("\x00" in v for v in values) else None

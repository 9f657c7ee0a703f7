"""The one way in which lists are paged."""

from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

BAD_CURSOR = "This cursor is not one of ours; follow next and previous as they are given."


class CursorPages(CursorPagination):
    """Newest first by the time-ordered primary key; a page stays where it is while rows are added."""

    ordering = "-id"
    page_size_query_param = "page_size"
    max_page_size = 200

    def get_page_size(self, request: Request) -> int:
        raw = request.query_params.get("page_size", "")
        if raw and not (raw.isascii() and raw.isdigit() and 1 <= int(raw[:9]) <= self.max_page_size):
            raise ValidationError({"page_size": [f"Give a whole number from 1 to {self.max_page_size}."]})
        return int(raw) if raw else int(self.page_size or 50)

    def decode_cursor(self, request: Request) -> Cursor | None:
        try:
            cursor = super().decode_cursor(request)
        except (NotFound, ValueError) as exc:
            raise ValidationError({"cursor": [BAD_CURSOR]}) from exc
        if cursor == (0, False, None):  # says nothing: base64 that was not ours
            raise ValidationError({"cursor": [BAD_CURSOR]})
        return cursor

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> "list[Any] | None":
        try:
            return super().paginate_queryset(queryset, request, view)
        except (DjangoValidationError, ValueError, TypeError) as exc:
            raise ValidationError({"cursor": [BAD_CURSOR]}) from exc

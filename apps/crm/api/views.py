"""What the crm's view sets share."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response


class ListOfViews(viewsets.GenericViewSet):
    """Lists rows, filtered by the query's parameters, in the shape of their contract.

    Subclasses set `filter_serializer`, whose field names are the parameters and whose
    `lookups` maps them to ORM lookups where these differ.
    """

    filter_serializer: type[serializers.Serializer]

    def listed(self, request: Request, rows: QuerySet[Any]) -> Response:
        """Answer with one page; raises ValidationError for a filter that cannot be."""
        page = self.paginate_queryset(self._filtered(request, rows)) or []
        return self.get_paginated_response(self.get_serializer([row.view() for row in page], many=True).data)

    def _filtered(self, request: Request, rows: QuerySet[Any]) -> QuerySet[Any]:
        given = self.filter_serializer(data=request.query_params)
        given.is_valid(raise_exception=True)
        lookups: dict[str, str] = getattr(self.filter_serializer, "lookups", {})
        wanted = {lookups.get(name, name): value for name, value in given.validated_data.items()}
        return rows.filter(**wanted)


def cleaned_by(rule: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Turn a validation rule's ValueError into the field's error, for filters."""

    def validate(value: Any) -> Any:
        try:
            return rule(value)
        except ValueError as exc:
            raise serializers.ValidationError(str(exc)) from exc

    return validate

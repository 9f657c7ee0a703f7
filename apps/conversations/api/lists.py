"""Lists of rows, filtered and paged, in the shape of their contract."""

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response


class ListOfViews(viewsets.GenericViewSet):
    """Subclasses set `filter_serializer`, whose fields are both parameters and ORM lookups."""

    filter_serializer: type[serializers.Serializer]

    def listed(self, request: Request, rows: QuerySet[Any]) -> Response:
        """Answer with one page; raises ValidationError for a filter that cannot be."""
        given = self.filter_serializer(data=request.query_params)
        given.is_valid(raise_exception=True)
        page = self.paginate_queryset(rows.filter(**given.validated_data)) or []
        return self.get_paginated_response(self.get_serializer([row.view() for row in page], many=True).data)

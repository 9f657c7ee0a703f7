"""The audit trail over HTTP."""

import json
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from apps.tenants import audit
from apps.tenants.models import AuditEvent
from apps.tenants.pages.audit import NDJSON, send_lines
from apps.tenants.spreadsheets import send_csv

Pages: Any = api_settings.DEFAULT_PAGINATION_CLASS
EXAMPLE = {
    "id": "0198c1f0-7f1e-7a53-8f0e-0f0d5f2b6a11",
    "actor": "ada@shop.example",
    "action": "member.role_changed",
    "target": "grace@shop.example",
    "address": "203.0.113.7",
    "occurred_at": "2026-11-25T09:30:00Z",
    "data": {"before": "agent", "after": "admin"},
}


class AuditEventSerializer(serializers.ModelSerializer[AuditEvent]):
    data = serializers.DictField(help_text="What was before and after; secrets are masked.")  # type: ignore[assignment]

    class Meta:
        model = AuditEvent
        fields = ("id", "actor", "action", "target", "address", "occurred_at", "data")


class AuditFilter(serializers.Serializer[Any]):
    actor = serializers.CharField(required=False, max_length=100, help_text="exactly")
    action = serializers.CharField(required=False, max_length=100, help_text="exactly, as `member.invited`")
    target = serializers.CharField(required=False, max_length=200, help_text="exactly")
    words = serializers.CharField(required=False, max_length=200, help_text="Beginnings of words, anywhere.")
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False, help_text="not included")


class ExportFilter(AuditFilter):
    format = serializers.ChoiceField(choices=["csv", "jsonl"], default="csv")


class AuditPages(Pages):
    """Newest first by the time of the act."""

    ordering = ("-occurred_at", "-id")


class AuditEventsView(ListAPIView):
    """Privileged acts in your company: who, what, to what, from where, before and after."""

    required_scopes = {"GET": "read:audit"}
    serializer_class = AuditEventSerializer
    pagination_class: type[CursorPagination] = AuditPages

    def get_queryset(self) -> QuerySet[AuditEvent]:
        return audit.filter_audit_events(**_read(AuditFilter, self.request))

    @extend_schema(
        operation_id="audit_events_list",
        summary="List privileged acts, newest first",
        tags=["audit"],
        parameters=[AuditFilter],
        examples=[OpenApiExample("A changed role", EXAMPLE, response_only=True)],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class AuditExportView(APIView):
    """The same acts as one file."""

    required_scopes = {"GET": "read:audit"}

    @extend_schema(
        operation_id="audit_events_export",
        summary="Export privileged acts as CSV or lines of JSON",
        tags=["audit"],
        parameters=[ExportFilter],
        responses={
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR),
            (200, NDJSON): OpenApiResponse(OpenApiTypes.STR),
        },
    )
    def get(self, request: Any) -> StreamingHttpResponse:
        filters = _read(ExportFilter, request)
        is_lines = filters.pop("format") == "jsonl"
        told = map(audit.write_audit_event, audit.read_audit_events(tenant=request.tenant, **filters))
        if is_lines:
            return send_lines("audit", told)
        rows = ([*list(act.values())[:-1], json.dumps(act["data"], ensure_ascii=False)] for act in told)
        return send_csv("audit", audit.COLUMNS, rows)


def _read(serializer: type[AuditFilter], request: Request) -> dict[str, Any]:
    given = serializer(data=request.query_params)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


urlpatterns = [
    path("audit-events", AuditEventsView.as_view()),
    path("audit-events/export", AuditExportView.as_view()),
]

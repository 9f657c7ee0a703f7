"""Leads over HTTP."""

from uuid import UUID

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.response import Response

from apps.crm import selectors, services
from apps.crm.api import csv
from apps.crm.api.effects import TenantRequest, effect_key_of
from apps.crm.api.views import ListOfViews
from apps.crm.contracts import LeadStatus
from apps.crm.models import Lead
from apps.crm.services.imports import LEAD_COLUMNS

STATUSES = [(status.value, status.value) for status in LeadStatus]


class NewLead(serializers.Serializer):
    """Somebody's interest; an email or a phone number is needed."""

    name = serializers.CharField(required=False, allow_blank=True, max_length=200)
    email = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=254)
    phone = serializers.CharField(required=False, allow_blank=True, max_length=40)
    message = serializers.CharField(required=False, allow_blank=True, max_length=8000)
    source = serializers.CharField(required=False, allow_blank=True, max_length=100)  # type: ignore[assignment]


class LeadChanges(NewLead):
    status = serializers.ChoiceField(STATUSES, required=False)


class LeadSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    email = serializers.CharField(allow_null=True)
    phone = serializers.CharField()
    message = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    status = serializers.ChoiceField(STATUSES)
    customer_id = serializers.UUIDField(allow_null=True)
    created_at = serializers.DateTimeField()


class LeadFilter(serializers.Serializer):
    status = serializers.ChoiceField(STATUSES, required=False)
    email = serializers.CharField(required=False, max_length=254)
    source = serializers.CharField(required=False, max_length=100)  # type: ignore[assignment]

    def validate_email(self, value: str) -> str:
        return value.lower()


class LeadViewSet(ListOfViews):
    queryset = Lead.objects.all()
    serializer_class = LeadSerializer
    filter_serializer = LeadFilter
    lookup_value_converter = "uuid"
    required_scopes = {
        "GET": "read:leads",
        "POST": "write:leads",
        "PATCH": "write:leads",
        "DELETE": "write:leads",
    }

    @extend_schema(summary="List leads", parameters=[LeadFilter])
    def list(self, request: TenantRequest) -> Response:
        return self.listed(request, self.get_queryset())

    @extend_schema(summary="Get a lead")
    def retrieve(self, request: TenantRequest, pk: UUID) -> Response:
        return self._answer(selectors.get_lead(tenant=request.tenant, lead_id=pk))

    @extend_schema(summary="Capture a lead", request=NewLead, responses={201: LeadSerializer})
    def create(self, request: TenantRequest) -> Response:
        given = NewLead(data=request.data)
        given.is_valid(raise_exception=True)
        key = effect_key_of(request, "lead.capture")
        lead = services.capture_lead(tenant=request.tenant, effect_key=key, **given.validated_data)
        return self._answer(lead, 201)

    @extend_schema(summary="Change a lead", request=LeadChanges)
    def partial_update(self, request: TenantRequest, pk: UUID) -> Response:
        given = LeadChanges(data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        return self._answer(services.update_lead(tenant=request.tenant, lead_id=pk, **given.validated_data))

    @extend_schema(summary="Remove a lead", responses={204: None})
    def destroy(self, request: TenantRequest, pk: UUID) -> Response:
        services.delete_lead(tenant=request.tenant, lead_id=pk)
        return Response(status=204)

    @extend_schema(
        operation_id="leads_import",
        summary="Import leads from CSV, all or none",
        request=csv.CsvUpload,
        responses=csv.ImportReportSerializer,
    )
    @action(detail=False, methods=["post"], url_path="import", parser_classes=[MultiPartParser])
    def import_csv(self, request: TenantRequest) -> Response:
        return csv.report(services.import_leads(tenant=request.tenant, raw=csv.read_upload(request)))

    @extend_schema(
        operation_id="leads_export",
        summary="Export all leads as CSV",
        filters=False,
        responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR)},
    )
    @action(detail=False, url_path="export", pagination_class=None)
    def export_csv(self, request: TenantRequest) -> StreamingHttpResponse:
        leads = selectors.iterate_leads(tenant=request.tenant)
        rows = (
            (
                lead.name,
                lead.email,
                lead.phone,
                lead.message,
                lead.source,
                lead.status.value,
                lead.created_at.isoformat(),
            )
            for lead in leads
        )
        return csv.stream("leads", LEAD_COLUMNS, rows)

    def _answer(self, lead: object, status: int = 200) -> Response:
        return Response(self.get_serializer(lead).data, status=status)

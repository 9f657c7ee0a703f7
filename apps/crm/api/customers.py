"""Customers over HTTP."""

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
from apps.crm.api.effects import TenantRequest
from apps.crm.api.views import ListOfViews
from apps.crm.models import Customer
from apps.crm.services.imports import CUSTOMER_COLUMNS

ERASURE_STATUSES = [("running", "running"), ("done", "done")]


class CustomerSerializer(serializers.Serializer):
    id = serializers.UUIDField(read_only=True)
    name = serializers.CharField(required=False, allow_blank=True, max_length=200)
    email = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=254)
    phone = serializers.CharField(required=False, allow_blank=True, max_length=40)
    external_id = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=100)
    metadata = serializers.DictField(required=False)
    created_at = serializers.DateTimeField(read_only=True)


class ErasureSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=ERASURE_STATUSES)
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    manifest = serializers.DictField(allow_null=True, help_text="What went and what stays, once it is done.")
    signature = serializers.CharField(allow_blank=True, help_text="The platform's signature of the manifest.")


class CustomerFilter(serializers.Serializer):
    email = serializers.CharField(required=False, max_length=254)
    external_id = serializers.CharField(required=False, max_length=100)
    phone = serializers.CharField(required=False, max_length=40)
    name = serializers.CharField(required=False, max_length=200, help_text="A part of the name.")
    lookups = {"name": "name__icontains"}

    def validate_email(self, value: str) -> str:
        return value.lower()


class CustomerViewSet(ListOfViews):
    queryset = Customer.objects.all()
    serializer_class = CustomerSerializer
    filter_serializer = CustomerFilter
    lookup_value_converter = "uuid"
    required_scopes = {
        "GET": "read:customers",
        "POST": "write:customers",
        "PATCH": "write:customers",
        "DELETE": "write:customers",
    }

    @extend_schema(summary="List customers", parameters=[CustomerFilter])
    def list(self, request: TenantRequest) -> Response:
        return self.listed(request, self.get_queryset())

    @extend_schema(summary="Get a customer")
    def retrieve(self, request: TenantRequest, pk: UUID) -> Response:
        return self._answer(selectors.get_customer(tenant=request.tenant, customer_id=pk))

    @extend_schema(summary="Add a customer", responses={201: CustomerSerializer})
    def create(self, request: TenantRequest) -> Response:
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        return self._answer(services.create_customer(tenant=request.tenant, **given.validated_data), 201)

    @extend_schema(summary="Change a customer")
    def partial_update(self, request: TenantRequest, pk: UUID) -> Response:
        given = self.get_serializer(data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        customer = services.update_customer(tenant=request.tenant, customer_id=pk, **given.validated_data)
        return self._answer(customer)

    @extend_schema(summary="Remove a customer", responses={204: None})
    def destroy(self, request: TenantRequest, pk: UUID) -> Response:
        services.delete_customer(tenant=request.tenant, customer_id=pk)
        return Response(status=204)

    @extend_schema(
        summary="Erase a customer everywhere",
        description="The customer is hidden at once; a worker erases every trace. Again tells how far it is.",
        request=None,
        responses={202: ErasureSerializer},
    )
    @action(detail=True, methods=["post"])
    def erase(self, request: TenantRequest, pk: UUID) -> Response:
        actor = request.auth.id
        erasure = services.erase_customer(tenant=request.tenant, customer_id=pk, actor=actor)
        return Response(ErasureSerializer(erasure).data, status=202)

    @extend_schema(
        operation_id="customers_import",
        summary="Import customers from CSV, all or none",
        request=csv.CsvUpload,
        parameters=[csv.EXISTING],
        responses=csv.ImportReportSerializer,
    )
    @action(detail=False, methods=["post"], url_path="import", parser_classes=[MultiPartParser])
    def import_csv(self, request: TenantRequest) -> Response:
        skip = csv.wants_skip(request)
        raw = csv.read_upload(request)
        return csv.report(services.import_customers(tenant=request.tenant, raw=raw, skip_existing=skip))

    @extend_schema(
        operation_id="customers_export",
        summary="Export all customers as CSV",
        filters=False,
        responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR)},
    )
    @action(detail=False, url_path="export", pagination_class=None)
    def export_csv(self, request: TenantRequest) -> StreamingHttpResponse:
        rows = (
            (c.external_id, c.name, c.email, c.phone, csv.as_json(c.metadata))
            for c in selectors.iterate_customers(tenant=request.tenant)
        )
        return csv.stream("customers", CUSTOMER_COLUMNS, rows)

    def _answer(self, customer: object, status: int = 200) -> Response:
        return Response(self.get_serializer(customer).data, status=status)

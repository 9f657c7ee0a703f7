"""A company's own domains over HTTP."""

from typing import Any
from uuid import UUID

from django.urls import path
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.tenants.contracts import Principal, TenantRef
from apps.tenants.domains import services
from apps.tenants.domains.contracts import PROOF_PATH, places_of
from apps.tenants.domains.selectors import get_domain, query_domains
from apps.tenants.models import Domain

READ, WRITE = "read:settings", "write:settings"
TAGS = ["domains"]


class TenantRequest(Request):
    """A request as the gateway hands it over."""

    tenant: TenantRef
    auth: Principal


class DomainSerializer(serializers.ModelSerializer[Domain]):
    proof_line = serializers.CharField(source="token", help_text="The line that proves the domain.")
    proof_addresses = serializers.SerializerMethodField(help_text="Where the line may lie.")

    class Meta:
        model = Domain
        fields = (
            "id", "name", "proof_line", "proof_addresses", "verified_at", "checked_at", "failing_since",
            "problem", "created_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_proof_addresses(self, domain: Domain) -> list[str]:
        return [f"https://{host}{PROOF_PATH}" for host in places_of(domain.name)]


class DomainRequest(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=253)


class DomainsView(GenericAPIView[Domain]):
    """The company's own domains."""

    required_scopes = {"GET": READ, "POST": WRITE}
    queryset = Domain.objects.none()
    serializer_class = DomainSerializer

    @extend_schema(operation_id="domains_list", tags=TAGS, responses=DomainSerializer(many=True))
    def get(self, request: TenantRequest) -> Response:
        """List the domains, the newest first."""
        rows = self.paginate_queryset(query_domains()) or []
        return self.get_paginated_response(self.get_serializer(rows, many=True).data)

    @extend_schema(
        operation_id="domains_create",
        tags=TAGS,
        request=DomainRequest,
        responses={201: DomainSerializer},
        examples=[OpenApiExample("A subdomain", {"name": "help.shop.example"}, request_only=True)],
    )
    def post(self, request: TenantRequest) -> Response:
        """Claim a domain; it leads nowhere until it is proven."""
        given = DomainRequest(data=request.data)
        given.is_valid(raise_exception=True)
        made = services.add_domain(
            tenant=request.tenant, name=given.validated_data["name"], actor=request.auth.id
        )
        return Response(DomainSerializer(made).data, status=201)


class DomainView(APIView):
    """One domain."""

    required_scopes = {"GET": READ, "DELETE": WRITE}

    @extend_schema(operation_id="domains_retrieve", tags=TAGS, responses=DomainSerializer)
    def get(self, request: TenantRequest, domain_id: UUID) -> Response:
        """Show a domain and what was found when it was asked last."""
        return Response(DomainSerializer(get_domain(tenant=request.tenant, domain_id=domain_id)).data)

    @extend_schema(operation_id="domains_delete", tags=TAGS, request=None, responses={204: None})
    def delete(self, request: TenantRequest, domain_id: UUID) -> Response:
        """Let go of a domain: at once it leads nowhere."""
        services.remove_domain(tenant=request.tenant, domain_id=domain_id, actor=request.auth.id)
        return Response(status=204)


class VerifyView(APIView):
    """The proof of a domain."""

    required_scopes = {"POST": WRITE}

    @extend_schema(operation_id="domains_verify", tags=TAGS, request=None, responses=DomainSerializer)
    def post(self, request: TenantRequest, domain_id: UUID) -> Response:
        """Look for the proof now; `verified_at` and `problem` say what came of it."""
        found = services.verify_domain(tenant=request.tenant, domain_id=domain_id, actor=request.auth.id)
        return Response(DomainSerializer(found).data)


urlpatterns = [
    path("domains", DomainsView.as_view()),
    path("domains/<uuid:domain_id>", DomainView.as_view()),
    path("domains/<uuid:domain_id>/verify", VerifyView.as_view()),
]

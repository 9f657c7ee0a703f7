"""The queue of a tenant's people over HTTP."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.response import Response

from apps.conversations import selectors, services
from apps.conversations.api import shapes
from apps.conversations.api.callers import TenantRequest, agent_of
from apps.conversations.api.lists import ListOfViews
from apps.conversations.contracts import EscalationView
from apps.conversations.models import Escalation


class EscalationViewSet(ListOfViews):
    queryset = Escalation.objects.all()
    serializer_class = shapes.EscalationSerializer
    filter_serializer = shapes.EscalationFilter
    lookup_value_converter = "uuid"
    required_scopes = {"GET": "read:conversations", "POST": "write:conversations"}

    @extend_schema(summary="List escalations", parameters=[shapes.EscalationFilter])
    def list(self, request: TenantRequest) -> Response:
        return self.listed(request, self.get_queryset())

    @extend_schema(summary="Get an escalation")
    def retrieve(self, request: TenantRequest, pk: UUID) -> Response:
        return self._answer(selectors.get_escalation(tenant=request.tenant, escalation_id=pk))

    @extend_schema(summary="Claim an escalation and its conversation", request=None)
    @action(detail=True, methods=["post"])
    def claim(self, request: TenantRequest, pk: UUID) -> Response:
        return self._answer(
            services.claim_escalation(tenant=request.tenant, escalation_id=pk, agent=agent_of(request))
        )

    @extend_schema(
        summary="Resolve an escalation; the AI has the conversation again", request=shapes.Resolution
    )
    @action(detail=True, methods=["post"])
    def resolve(self, request: TenantRequest, pk: UUID) -> Response:
        given = shapes.Resolution(data=request.data)
        given.is_valid(raise_exception=True)
        resolved = services.resolve_escalation(
            tenant=request.tenant, escalation_id=pk, agent=agent_of(request), **given.validated_data
        )
        return self._answer(resolved)

    def _answer(self, escalation: EscalationView) -> Response:
        return Response(self.get_serializer(escalation).data)

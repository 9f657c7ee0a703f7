"""Many runs at once over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.orchestration.api.requests import TenantRequest, actor_of
from apps.orchestration.api.runs import SCOPES, ReasonRequest, RunFilter
from apps.orchestration.bulk import selectors, services
from apps.orchestration.bulk.contracts import MAX_RUNS, BulkAction, BulkStatus

ACTIONS = [(value.value, value.value) for value in BulkAction]
BULK_STATUSES = [(value.value, value.value) for value in BulkStatus]


class BulkRequest(ReasonRequest):
    action = serializers.ChoiceField(ACTIONS)
    ids = serializers.ListField(child=serializers.UUIDField(), required=False, max_length=MAX_RUNS)
    filter = RunFilter(required=False, help_text=f"All that match now, at most {MAX_RUNS:,}.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Let the runs be said in one way."""
        if ("ids" in attrs) == ("filter" in attrs):
            raise serializers.ValidationError({"ids": "Say which runs: by `ids` or by `filter`."})
        return attrs


class RefusalSerializer(serializers.Serializer[Any]):
    run_id = serializers.UUIDField()
    reason = serializers.CharField()


class BulkSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    action = serializers.ChoiceField(ACTIONS)
    status = serializers.ChoiceField(BULK_STATUSES)
    total = serializers.IntegerField()
    done = serializers.IntegerField()
    refused = serializers.IntegerField()
    left = serializers.IntegerField()
    refusals = RefusalSerializer(many=True, help_text="The first of them, with the reason of each.")
    reason = serializers.CharField(allow_blank=True)
    actor = serializers.CharField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class BulkOperationsView(APIView):
    """Acts on many runs."""

    required_scopes = {"POST": SCOPES["POST"]}

    @extend_schema(
        operation_id="runs_bulk", tags=["runs"], request=BulkRequest, responses={202: BulkSerializer}
    )
    def post(self, request: TenantRequest) -> Response:
        """Cancel, retry, pause, resume or compensate many runs, in the background and one by one."""
        asked = BulkRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        made = services.request_bulk(
            tenant=request.tenant,
            action=BulkAction(given["action"]),
            ids=given.get("ids"),
            criteria=given.get("filter"),
            operation_id=request.write_id,
            actor=actor_of(request),
            reason=given["reason"],
        )
        return Response(BulkSerializer(made).data, status=status.HTTP_202_ACCEPTED)


class BulkOperationView(APIView):
    """One act on many runs."""

    required_scopes = {"GET": SCOPES["GET"]}

    @extend_schema(operation_id="runs_bulk_retrieve", tags=["runs"], responses=BulkSerializer)
    def get(self, request: TenantRequest, operation_id: UUID) -> Response:
        """Tell how far it is: how many runs are done, refused and left."""
        found = selectors.get_bulk(tenant=request.tenant, operation_id=operation_id)
        return Response(BulkSerializer(found).data)


class CancelBulkView(APIView):
    """Stops an act on many runs."""

    required_scopes = {"POST": SCOPES["POST"]}

    @extend_schema(operation_id="runs_bulk_cancel", tags=["runs"], request=None, responses=BulkSerializer)
    def post(self, request: TenantRequest, operation_id: UUID) -> Response:
        """Leave the rest of the runs alone; what was done to the others stays."""
        stopped = services.cancel_bulk(tenant=request.tenant, operation_id=operation_id)
        return Response(BulkSerializer(stopped).data)

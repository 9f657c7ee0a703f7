"""Steer a run over HTTP: pause it, let it go on."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.orchestration import pausing
from apps.orchestration.api.requests import TenantRequest, actor_of
from apps.orchestration.api.runs import SCOPES, ReasonRequest, RunSerializer, reason_of


class PauseView(APIView):
    """Lets a run rest."""

    required_scopes = SCOPES

    @extend_schema(operation_id="runs_pause", tags=["runs"], request=ReasonRequest, responses=RunSerializer)
    def post(self, request: TenantRequest, run_id: UUID) -> Response:
        """Stop a run before its next step, for as long as it takes; what is under way is finished first."""
        given = reason_of(request)
        run = pausing.pause_run(tenant=request.tenant, run_id=run_id, actor=actor_of(request), **given)
        return Response(RunSerializer(run).data)


class ResumeView(APIView):
    """Lets a paused run go on."""

    required_scopes = SCOPES

    @extend_schema(operation_id="runs_resume", tags=["runs"], request=ReasonRequest, responses=RunSerializer)
    def post(self, request: TenantRequest, run_id: UUID) -> Response:
        """Go on; what the run waited for meanwhile takes effect now."""
        given = reason_of(request)
        run = pausing.resume_run(tenant=request.tenant, run_id=run_id, actor=actor_of(request), **given)
        return Response(RunSerializer(run).data)

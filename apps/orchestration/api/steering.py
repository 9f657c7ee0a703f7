"""Steer a run over HTTP: pause it, let it go on, undo it, do it again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.orchestration import pausing, replaying, rewinding, services
from apps.orchestration.api.requests import TenantRequest, actor_of
from apps.orchestration.api.runs import SCOPES, ReasonRequest, RunSerializer, reason_of, show

STEP = "The id of a step that the run came to."


class CompensateRequest(ReasonRequest):
    def get_fields(self) -> dict[str, Any]:
        """Add `from`, which Python keeps for itself."""
        words = f"{STEP} Only this and what came after it is undone; without it everything is."
        return {**super().get_fields(), "from": serializers.CharField(required=False, help_text=words)}


class RetryRequest(ReasonRequest):
    repeat_effects = serializers.BooleanField(
        required=False,
        default=False,
        help_text="With `from`: do again what took effect and cannot be undone; else that is refused.",
    )
    reply = serializers.BooleanField(
        required=False,
        allow_null=True,
        default=None,
        help_text="With `from`: answer the customer; by default only if the run had not answered.",
    )

    def get_fields(self) -> dict[str, Any]:
        """Add `from`, which Python keeps for itself."""
        words = f"{STEP} It and what came after it is undone where that is declared, and done again."
        return {**super().get_fields(), "from": serializers.CharField(required=False, help_text=words)}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse what says how to do again without saying from where."""
        if "from" not in attrs and (attrs["repeat_effects"] or attrs["reply"] is not None):
            raise serializers.ValidationError({"from": "Name the step from which on to do it again."})
        return attrs


class ReplayRequest(ReasonRequest):
    version = serializers.ChoiceField(
        [(name, name) for name in replaying.VERSIONS],
        default="same",
        help_text="Of the workflow: the one that the run began with, or the one that is published now.",
    )
    reply = serializers.BooleanField(default=False, help_text="Answer into the run's conversation as well.")


class ReplayView(APIView):
    """Starts a run's work anew."""

    required_scopes = SCOPES

    @extend_schema(
        operation_id="runs_replay", tags=["runs"], request=ReplayRequest, responses={201: RunSerializer}
    )
    def post(self, request: TenantRequest, run_id: UUID) -> Response:
        """Start a new run with the input of one that has ended; what it does, it does for real."""
        asked = ReplayRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        run = replaying.replay_run(
            tenant=request.tenant,
            run_id=run_id,
            new_id=request.write_id,
            actor=actor_of(request),
            **asked.validated_data,
        )
        return show(request, run, status.HTTP_201_CREATED)


class CompensateView(APIView):
    """Undoes a completed run."""

    required_scopes = SCOPES

    @extend_schema(
        operation_id="runs_compensate", tags=["runs"], request=CompensateRequest, responses=RunSerializer
    )
    def post(self, request: TenantRequest, run_id: UUID) -> Response:
        """Undo the steps of a completed run that declare how, the last one first; all, or from one on."""
        asked = CompensateRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        which: dict[str, Any] = {"tenant": request.tenant, "run_id": run_id, "actor": actor_of(request)}
        step, reason = asked.validated_data.get("from"), asked.validated_data["reason"]
        if step is None:
            run = services.compensate_run(**which, reason=reason)
        else:
            run = rewinding.undo_from(**which, step_id=step, reason=reason)
        return show(request, run)


class RetryView(APIView):
    """Lets a failed run go on, or does an ended one again from a step on."""

    required_scopes = SCOPES

    @extend_schema(operation_id="runs_retry", tags=["runs"], request=RetryRequest, responses=RunSerializer)
    def post(self, request: TenantRequest, run_id: UUID) -> Response:
        """Try the failed step, or a stuck compensation, again; with `from`, do it again from a step on."""
        asked = RetryRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        which: dict[str, Any] = {"tenant": request.tenant, "run_id": run_id, "actor": actor_of(request)}
        given = dict(asked.validated_data)
        step = given.pop("from", None)
        if step is None:
            run = services.retry_run(**which)
        else:
            run = rewinding.retry_from(**which, step_id=step, **given)
        return show(request, run)


class PauseView(APIView):
    """Lets a run rest."""

    required_scopes = SCOPES

    @extend_schema(operation_id="runs_pause", tags=["runs"], request=ReasonRequest, responses=RunSerializer)
    def post(self, request: TenantRequest, run_id: UUID) -> Response:
        """Stop a run before its next step, for as long as it takes; what is under way is finished first."""
        given = reason_of(request)
        run = pausing.pause_run(tenant=request.tenant, run_id=run_id, actor=actor_of(request), **given)
        return show(request, run)


class ResumeView(APIView):
    """Lets a paused run go on."""

    required_scopes = SCOPES

    @extend_schema(operation_id="runs_resume", tags=["runs"], request=ReasonRequest, responses=RunSerializer)
    def post(self, request: TenantRequest, run_id: UUID) -> Response:
        """Go on; what the run waited for meanwhile takes effect now."""
        given = reason_of(request)
        run = pausing.resume_run(tenant=request.tenant, run_id=run_id, actor=actor_of(request), **given)
        return show(request, run)

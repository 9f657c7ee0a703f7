"""A run's timeline over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.orchestration.api.requests import TenantRequest
from apps.orchestration.api.runs import SCOPES, STATUSES, STEP_STATES
from apps.orchestration.masking import SEES_ALL
from apps.orchestration.timeline import read_timeline

OFFERS = ("retry", "retry_from", "undo_from", "retry_undo", "mark_done", "mark_not_done", "mark_undone")


class StepAttemptSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    outcome = serializers.CharField(
        help_text="`done`, `failed`, `unknown`, or `not_done` where that was found."
    )
    at = serializers.DateTimeField()
    error = serializers.CharField(allow_blank=True)


class TimelineStepSerializer(serializers.Serializer[Any]):
    step = serializers.CharField()
    turn = serializers.IntegerField(help_text="Grows when the step is done again after a retry from it.")
    type = serializers.CharField(allow_blank=True)
    tool = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(STEP_STATES)
    reason = serializers.CharField(allow_blank=True, help_text="Why it was skipped, or who settled it.")
    began_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    duration_ms = serializers.IntegerField(allow_null=True)
    arguments = serializers.DictField(allow_null=True)
    output = serializers.DictField(allow_null=True)
    error = serializers.CharField(allow_blank=True)
    condition = serializers.DictField(allow_null=True)
    attempts = StepAttemptSerializer(many=True)
    undone_by = serializers.CharField(allow_blank=True, help_text="The action that undoes or undid it.")
    undone_at = serializers.DateTimeField(allow_null=True)
    undo_error = serializers.CharField(allow_blank=True)
    undo_attempts = StepAttemptSerializer(many=True)
    settled_by = serializers.CharField(allow_blank=True)
    child_run_id = serializers.UUIDField(allow_null=True, help_text="The run of a subworkflow step.")
    offers = serializers.ListField(
        child=serializers.ChoiceField([(name, name) for name in OFFERS]),
        help_text="What it can be asked now.",
    )
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cost_microusd = serializers.IntegerField()


class TimelineSerializer(serializers.Serializer[Any]):
    run_id = serializers.UUIDField()
    status = serializers.ChoiceField(STATUSES)
    is_masked = serializers.BooleanField(
        help_text=f"Whether personal data is masked: for want of `{SEES_ALL}`."
    )
    steps = TimelineStepSerializer(many=True)
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cost_microusd = serializers.IntegerField(help_text="Of all steps, in millionths of a US dollar.")


class TimelineView(APIView):
    """What happened in a run, step by step."""

    required_scopes = {"GET": SCOPES["GET"]}

    @extend_schema(operation_id="runs_timeline", tags=["runs"], responses=TimelineSerializer)
    def get(self, request: TenantRequest, run_id: UUID) -> Response:
        """Tell each step with what it was given and gave, its attempts, cost and undoing, in their order."""
        is_masked = not request.auth.may(SEES_ALL)
        told = read_timeline(tenant=request.tenant, run_id=run_id, is_masked=is_masked)
        return Response(TimelineSerializer(told).data)

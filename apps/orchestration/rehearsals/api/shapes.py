"""Shapes of what rehearsals take and show over HTTP."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.orchestration.definitions.language.source import MAX_BYTES
from apps.orchestration.rehearsals.contracts import (
    Against,
    CaseStatus,
    Change,
    RehearsalKind,
    RehearsalStatus,
)
from apps.orchestration.rehearsals.selectors import MAX_CASES

KINDS = [(kind.value, kind.value) for kind in RehearsalKind]
STATUSES = [(value.value, value.value) for value in RehearsalStatus]
CASE_STATUSES = [(value.value, value.value) for value in CaseStatus]
CHANGES = [(change.value, change.value) for change in Change]
AGAINST = [(value.value, value.value) for value in Against]


class StepOutcomeSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    type = serializers.CharField()
    tool = serializers.CharField(allow_blank=True)
    effect = serializers.CharField()
    state = serializers.CharField()
    how = serializers.CharField(
        allow_blank=True, help_text="`executed` (it only reads), `recorded` or `assumed` (intercepted)."
    )
    condition = serializers.DictField(allow_null=True)
    arguments = serializers.DictField(help_text="Shortened; of secrets, •••.")
    output = serializers.DictField(allow_null=True)
    error = serializers.CharField(allow_blank=True)
    attempts = serializers.IntegerField()
    duration_ms = serializers.IntegerField(allow_null=True)
    undo = serializers.DictField(allow_null=True)


class OutcomeSerializer(serializers.Serializer[Any]):
    status = serializers.CharField()
    error = serializers.CharField(allow_blank=True)
    text = serializers.CharField(allow_blank=True)
    sources = serializers.ListField(child=serializers.DictField())
    intent = serializers.CharField(allow_null=True)
    confidence = serializers.FloatField(allow_null=True)
    tier = serializers.CharField(allow_null=True)
    escalated = serializers.BooleanField()
    knows = serializers.BooleanField()
    fallback = serializers.DictField(allow_null=True)
    model = serializers.CharField(allow_blank=True)
    steps = StepOutcomeSerializer(many=True)
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cost_microusd = serializers.IntegerField()
    duration_ms = serializers.IntegerField(help_text="Of the steps that only read.")


class ChangesSerializer(serializers.Serializer[Any]):
    answer_changed = serializers.BooleanField()
    route_changed = serializers.BooleanField()
    steps_changed = serializers.BooleanField()
    calls_changed = serializers.BooleanField()
    is_new_failure = serializers.BooleanField()
    is_mended = serializers.BooleanField()
    escalation = serializers.IntegerField(help_text="+1: only the draft escalates; -1: it does not any more.")


class CaseSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    position = serializers.IntegerField()
    run_id = serializers.UUIDField(allow_null=True)
    conversation_id = serializers.UUIDField(allow_null=True)
    status = serializers.ChoiceField(CASE_STATUSES)
    error = serializers.CharField(allow_blank=True)
    input = serializers.DictField()
    before = OutcomeSerializer(allow_null=True)
    after = OutcomeSerializer(allow_null=True)
    changes = ChangesSerializer()
    cost_microusd = serializers.IntegerField(help_text="What rehearsing it has cost; it is not billed.")


class SummarySerializer(serializers.Serializer[Any]):
    cases = serializers.IntegerField()
    failed = serializers.IntegerField(help_text="Could not be rehearsed at all.")
    same_answers = serializers.IntegerField()
    same_answers_percent = serializers.FloatField()
    changed_routes = serializers.IntegerField()
    changed_routes_percent = serializers.FloatField()
    changed_calls = serializers.IntegerField()
    changed_steps = serializers.IntegerField()
    new_failures = serializers.IntegerField()
    mended = serializers.IntegerField()
    more_escalations = serializers.IntegerField()
    fewer_escalations = serializers.IntegerField()
    tokens_before = serializers.IntegerField()
    tokens_after = serializers.IntegerField()
    cost_before_microusd = serializers.IntegerField()
    cost_after_microusd = serializers.IntegerField()
    cost_increase_percent = serializers.FloatField()
    duration_before_ms = serializers.IntegerField()
    duration_after_ms = serializers.IntegerField()


class SimulationSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(KINDS)
    workflow = serializers.CharField()
    version = serializers.IntegerField(allow_null=True)
    hash = serializers.CharField(help_text="Of exactly the source that is rehearsed.")
    against = serializers.ChoiceField(AGAINST)
    baseline_hash = serializers.CharField(allow_blank=True)
    status = serializers.ChoiceField(STATUSES)
    selection = serializers.DictField()
    total = serializers.IntegerField()
    done = serializers.IntegerField()
    progress_percent = serializers.IntegerField()
    cost_microusd = serializers.IntegerField()
    estimate_microusd = serializers.IntegerField()
    actor = serializers.CharField(allow_blank=True)
    error = serializers.CharField(allow_blank=True)
    summary = SummarySerializer()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class DryRunRequest(serializers.Serializer[Any]):
    input = serializers.DictField(default=dict)
    source = serializers.CharField(  # type: ignore[assignment]
        required=False,
        trim_whitespace=False,
        max_length=MAX_BYTES,
        help_text="A YAML to run in the place of the draft; nothing of it is saved.",
    )

    def validate_input(self, value: dict[str, Any]) -> dict[str, Any]:
        """Refuse what is too long to keep."""
        if len(str(value)) > MAX_BYTES:
            raise serializers.ValidationError(f"Use at most {MAX_BYTES // 1024} KiB.")
        return value


class SelectionRequest(serializers.Serializer[Any]):
    last = serializers.IntegerField(min_value=1, max_value=MAX_CASES, default=50)
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    intent = serializers.CharField(required=False, default="", allow_blank=True, max_length=63)
    only_escalated = serializers.BooleanField(required=False, default=False)
    against = serializers.ChoiceField(AGAINST, default=Against.RECORDED.value)


class EstimateSerializer(serializers.Serializer[Any]):
    cases = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cost_microusd = serializers.IntegerField()
    left_microusd = serializers.IntegerField(help_text="Of today's bound.")
    left_cases = serializers.IntegerField()
    is_within_bound = serializers.BooleanField()


class GateSerializer(serializers.Serializer[Any]):
    is_required = serializers.BooleanField()
    min_cases = serializers.IntegerField(min_value=1, max_value=MAX_CASES, default=20)
    max_age_days = serializers.IntegerField(min_value=1, max_value=30, default=7)
    max_new_failures = serializers.IntegerField(min_value=0, max_value=MAX_CASES, default=0)
    max_changed_routes_percent = serializers.FloatField(min_value=0, max_value=100, default=5)
    max_cost_increase_percent = serializers.FloatField(min_value=0, max_value=1000, default=25)


class CheckSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    is_met = serializers.BooleanField()
    text = serializers.CharField()
    fix = serializers.CharField(allow_blank=True)


class GateStateSerializer(serializers.Serializer[Any]):
    rules = GateSerializer()
    applies = serializers.BooleanField()
    is_passed = serializers.BooleanField()
    reason = serializers.CharField()
    checks = CheckSerializer(many=True)
    rehearsal_id = serializers.UUIDField(allow_null=True)


class ChangeFilter(serializers.Serializer[Any]):
    change = serializers.ChoiceField(CHANGES, required=False)

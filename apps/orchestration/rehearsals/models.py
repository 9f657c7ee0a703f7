"""Rehearsals with their cases, and what a draft has to show before it is published."""

from django.db import models
from django.db.models import Q

from apps.orchestration.rehearsals.contracts import (
    Against,
    CaseStatus,
    CaseView,
    Comparison,
    GateRules,
    Outcome,
    RehearsalKind,
    RehearsalStatus,
    RehearsalView,
    Summary,
)
from apps.tenants.orm import TenantModel

OPEN = [RehearsalStatus.QUEUED.value, RehearsalStatus.RUNNING.value]


class Rehearsal(TenantModel):
    """A dry run, which has one case, or a simulation of many recorded runs.

    It keeps the source that it rehearses: a draft may be changed meanwhile. `attempts` counts claims since
    the last case that was finished.
    """

    kind = models.CharField(max_length=10, choices=[(k.value, k.value) for k in RehearsalKind])
    workflow = models.CharField(max_length=63)
    version = models.PositiveIntegerField(null=True)
    hash = models.CharField(max_length=64)
    source = models.TextField()
    against = models.CharField(max_length=10, choices=[(a.value, a.value) for a in Against])
    baseline_hash = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=10, choices=[(s.value, s.value) for s in RehearsalStatus])
    selection = models.JSONField(default=dict)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    cost_microusd = models.BigIntegerField(default=0)
    estimate_microusd = models.BigIntegerField(default=0)
    summary = models.JSONField(null=True)
    actor = models.CharField(max_length=320)
    error = models.CharField(max_length=500, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_epoch = models.PositiveIntegerField(default=0)
    leased_until = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id"], condition=Q(status__in=OPEN), name="rehearsal_one_open"
            )
        ]
        indexes = [
            models.Index(fields=["workflow", "kind", "-id"], name="rehearsal_of_workflow"),
            models.Index(fields=["hash", "-finished_at"], name="rehearsal_of_source"),
            models.Index(fields=["created_at"], name="rehearsal_age"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.workflow}"

    def view(self, summary: Summary) -> RehearsalView:
        return RehearsalView(
            id=self.id,
            kind=RehearsalKind(self.kind),
            against=Against(self.against),
            status=RehearsalStatus(self.status),
            summary=summary,
            **{name: getattr(self, name) for name in VIEWED},
        )


VIEWED = (
    "workflow", "version", "hash", "baseline_hash", "selection", "total", "done", "cost_microusd",
    "estimate_microusd", "actor", "error", "created_at", "finished_at",
)  # fmt: skip


class RehearsalCase(TenantModel):
    """One input with what came of it; `rank` is higher the more the change matters."""

    rehearsal = models.ForeignKey(Rehearsal, models.CASCADE, related_name="cases", db_index=False)
    position = models.PositiveIntegerField()
    run_id = models.UUIDField(null=True)
    conversation_id = models.UUIDField(null=True)
    status = models.CharField(max_length=10, choices=[(s.value, s.value) for s in CaseStatus])
    error = models.CharField(max_length=500, blank=True)
    input = models.JSONField(default=dict)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    rank = models.PositiveSmallIntegerField(default=0)
    answer_changed = models.BooleanField(default=False)
    route_changed = models.BooleanField(default=False)
    steps_changed = models.BooleanField(default=False)
    calls_changed = models.BooleanField(default=False)
    is_new_failure = models.BooleanField(default=False)
    is_mended = models.BooleanField(default=False)
    escalation = models.SmallIntegerField(default=0)
    tokens_before = models.PositiveIntegerField(default=0)
    tokens_after = models.PositiveIntegerField(default=0)
    cost_before_microusd = models.BigIntegerField(default=0)
    cost_after_microusd = models.BigIntegerField(default=0)
    duration_before_ms = models.PositiveIntegerField(default=0)
    duration_after_ms = models.PositiveIntegerField(default=0)
    spent_microusd = models.BigIntegerField(default=0)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rehearsal", "position"], name="rehearsal_case_position")
        ]
        indexes = [
            models.Index(fields=["rehearsal", "-rank", "-id"], name="rehearsal_case_changed"),
            models.Index(fields=["run_id"], name="rehearsal_case_run"),
            models.Index(
                fields=["finished_at"], condition=Q(finished_at__isnull=False), name="rehearsal_case_day"
            ),
        ]

    def __str__(self) -> str:
        return f"case {self.position}"

    def view(self) -> CaseView:
        return CaseView(
            id=self.id,
            position=self.position,
            run_id=self.run_id,
            conversation_id=self.conversation_id,
            status=CaseStatus(self.status),
            error=self.error,
            input=self.input,
            before=Outcome.from_dict(self.before) if self.before else None,
            after=Outcome.from_dict(self.after) if self.after else None,
            changes=Comparison(**{name: getattr(self, name) for name in Comparison.__dataclass_fields__}),
            cost_microusd=self.spent_microusd,
        )


class ReplayGate(TenantModel):
    """What a simulation has to show before a draft is published; `workflow` is empty for the default."""

    workflow = models.CharField(max_length=63, blank=True, unique=True)
    is_required = models.BooleanField(default=False)
    min_cases = models.PositiveIntegerField()
    max_age_days = models.PositiveIntegerField()
    max_new_failures = models.PositiveIntegerField()
    max_changed_routes_percent = models.FloatField()
    max_cost_increase_percent = models.FloatField()
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.workflow or "default"

    def view(self) -> GateRules:
        return GateRules(**{name: getattr(self, name) for name in GateRules.__dataclass_fields__})

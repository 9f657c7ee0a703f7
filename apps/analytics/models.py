"""The archive, the facts of conversations and the buckets that KPIs are summed from; in `public`, under RLS.

Archive and buckets are partitioned by month (migration 0001), so their keys hold the time.
"""

from django.db import models

from apps.tenants.orm import TenantModel
from apps.tenants.selectors import SILENCE_HOURS


class ArchivedEvent(models.Model):
    """What KPIs need of an event, kept for good: the outbox forgets, a rebuild must not."""

    pk = models.CompositePrimaryKey("tenant_id", "id", "occurred_at")
    tenant_id = models.UUIDField(editable=False)
    id = models.UUIDField(editable=False)
    type = models.CharField(max_length=60)
    occurred_at = models.DateTimeField()
    stored_at = models.DateTimeField()
    conversation_id = models.UUIDField()
    data = models.JSONField(default=dict)

    class Meta:
        indexes = [
            models.Index(fields=["tenant_id", "conversation_id", "occurred_at"], name="archive_conversation")
        ]


class ConversationFact(models.Model):
    """One conversation as its events tell it, in one generation of the read models."""

    pk = models.CompositePrimaryKey("tenant_id", "generation", "conversation_id")
    tenant_id = models.UUIDField(editable=False)
    generation = models.PositiveIntegerField()
    conversation_id = models.UUIDField()
    started_at = models.DateTimeField(null=True)
    channel = models.CharField(max_length=16, blank=True)
    intent = models.CharField(max_length=100, blank=True)
    is_ai_involved = models.BooleanField(default=False)
    outcome = models.CharField(max_length=10, blank=True)  # confirmed or assumed resolution, else empty
    is_escalated = models.BooleanField(default=False)
    escalation_reason = models.CharField(max_length=80, blank=True)
    is_reopened = models.BooleanField(default=False)
    has_gap = models.BooleanField(default=False)
    rating = models.PositiveSmallIntegerField(null=True)
    first_response_ms = models.BigIntegerField(null=True)
    cost_microusd = models.BigIntegerField(default=0)
    settles_at = models.DateTimeField(null=True)  # when silence will have lasted long enough
    agents = models.JSONField(default=list)  # each person's part, see agents.AgentShare
    counted = models.JSONField(default=dict)  # what the buckets hold of it: {measure: amount}

    class Meta:
        indexes = [
            models.Index(
                fields=["tenant_id", "generation", "-started_at", "-conversation_id"], name="fact_newest"
            ),
            models.Index(
                fields=["tenant_id", "generation", "settles_at"],
                condition=models.Q(settles_at__isnull=False),
                name="fact_settling",
            ),
        ]


class KpiBucket(models.Model):
    """The sum of one measure over the conversations that began within 15 minutes (UTC)."""

    pk = models.CompositePrimaryKey("tenant_id", "generation", "starts_at", "measure")
    tenant_id = models.UUIDField(editable=False)
    generation = models.PositiveIntegerField()
    starts_at = models.DateTimeField()
    measure = models.CharField(max_length=100)
    amount = models.BigIntegerField(default=0)


class KpiDay(models.Model):
    """The sum of a measure's buckets over one day of the state's zone; `starts_at` is its midnight."""

    pk = models.CompositePrimaryKey("tenant_id", "generation", "starts_at", "measure")
    tenant_id = models.UUIDField(editable=False)
    generation = models.PositiveIntegerField()
    starts_at = models.DateTimeField()
    measure = models.CharField(max_length=100)
    amount = models.BigIntegerField(default=0)


class ReadModelState(TenantModel):
    """Which generation of a tenant's read models is shown; a rebuild makes the next one beside it.

    A generation is folded with one silence window; another setting makes another generation. Its days are
    those of `time_zone`; none are read while that is not the company's.
    """

    generation = models.PositiveIntegerField(default=1)
    silence_hours = models.PositiveIntegerField(default=SILENCE_HOURS)
    time_zone = models.CharField(max_length=64, blank=True)
    rebuilt_at = models.DateTimeField(null=True)
    building = models.PositiveIntegerField(null=True)  # the generation that a rebuild last began
    building_until = models.DateTimeField(null=True)  # until when that one may be believed to be at work

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant_id"], name="one_read_model_state")]


class ReportSchedule(TenantModel):
    """A company's wish for a weekly report by mail; it begins with the week after `enabled_at`."""

    enabled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant_id"], name="one_report_schedule")]


class SentReport(TenantModel):
    """A week's report was mailed: the row comes first, so that no week is mailed twice."""

    week_start = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)  # empty where the process died on the way

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant_id", "week_start"], name="one_report_a_week")]

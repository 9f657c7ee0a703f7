"""Durable runs and their history."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.orchestration.bulk.contracts import BulkStatus
from apps.orchestration.contracts import Priority, RunStatus
from apps.tenants.orm import CurrentTenant, TenantModel


class AgentRun(TenantModel):
    """One run of one workflow version; its id tells when it was made, and so in which month its events lie.

    `due_at` is the moment from which any worker may claim the run: its creation, its wake-up, or the
    end of the present lease; NULL means that it is at rest. `version` is the seq of its last event.
    `lease_epoch` grows with each claim and fences the writes of whoever held the lease before;
    `claims` counts claims since the last progress. `depth` counts the runs that led to this one: those whose
    step it is, or whose events started it.
    """

    workflow_name = models.CharField(max_length=63)
    workflow_version = models.CharField(max_length=40)
    workflow_hash = models.CharField(max_length=64)
    status = models.CharField(
        max_length=20, choices=[(s.value, s.value) for s in RunStatus], default=RunStatus.RUNNING.value
    )
    input = models.JSONField(default=dict)
    output = models.JSONField(null=True)
    error = models.TextField(blank=True)
    conversation_id = models.UUIDField(null=True)
    message_id = models.UUIDField(null=True)
    parent_run_id = models.UUIDField(null=True)
    parent_path = models.CharField(max_length=200, blank=True)
    depth = models.PositiveSmallIntegerField(default=0)
    replay_of = models.UUIDField(null=True)
    version = models.PositiveIntegerField(default=0)
    lease_epoch = models.PositiveIntegerField(default=0)
    lease_owner = models.CharField(max_length=80, blank=True)
    claims = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(null=True, db_default=Now())
    cancel_requested_at = models.DateTimeField(null=True)
    pause_requested_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    priority = models.PositiveSmallIntegerField(
        choices=[(p.rank, p.value) for p in Priority],
        default=Priority.NORMAL.rank,
        db_default=Priority.NORMAL.rank,
    )

    class Meta:
        # What a run changes while it is executed (version, status, error) is in no index of a running one,
        # so that those updates stay within its page.
        indexes = [
            models.Index(
                fields=["tenant_id", "priority", "due_at"], condition=Q(due_at__isnull=False), name="run_due"
            ),
            models.Index(fields=["tenant_id", "due_at"], condition=~Q(lease_owner=""), name="run_leased"),
            models.Index(fields=["tenant_id", "-created_at", "-id"], name="run_newest"),
            models.Index(
                fields=["tenant_id", "workflow_name", "-created_at", "-id"], name="run_newest_of_workflow"
            ),
            models.Index(
                fields=["tenant_id", "status", "-created_at", "-id"],
                condition=~Q(status="completed"),
                name="run_newest_in_state",
            ),
            models.Index(
                fields=["status", "-id"],
                condition=Q(status__in=["failed", "waiting", "compensating", "compensation_failed"]),
                name="run_troubled",
            ),
            models.Index(
                fields=["tenant_id", "status"],
                condition=Q(status__in=["waiting", "compensation_failed"]),
                name="run_in_need",
            ),
            models.Index(
                fields=["conversation_id"],
                condition=Q(conversation_id__isnull=False),
                name="run_conversation",
            ),
            models.Index(
                fields=["parent_run_id"], condition=Q(parent_run_id__isnull=False), name="run_children"
            ),
            models.Index(fields=["replay_of"], condition=Q(replay_of__isnull=False), name="run_replay"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(due_at__isnull=False) | ~Q(status__in=["running", "compensating"]),
                name="run_at_rest_or_due",
            )
        ]

    def __str__(self) -> str:
        return f"{self.workflow_name} {self.id}"


class RunSignal(TenantModel):
    """Something that arrived for a run: a signal, or the answer to an approval; kept until it is awaited.

    `taken_at` is when a wait step took it.
    """

    run_id = models.UUIDField()
    name = models.CharField(max_length=80)
    payload = models.JSONField(default=dict)
    sender = models.CharField(max_length=100)
    taken_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["run_id", "name", "id"], name="signal_of_run")]


class ScheduledTrigger(TenantModel):
    """A schedule of a published workflow, and the moment at which it starts a run next.

    `error` says why the last moment's run was refused.
    """

    workflow_name = models.CharField(max_length=63)
    schedule = models.CharField(max_length=200)
    next_at = models.DateTimeField()
    last_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "workflow_name", "schedule"], name="one_schedule")
        ]
        indexes = [models.Index(fields=["next_at"], name="schedule_due")]


class BulkOperation(TenantModel):
    """One act on many runs: on the first `done` + `refused` of `chosen` it has been tried."""

    action = models.CharField(max_length=12)
    chosen = models.JSONField()
    total = models.PositiveIntegerField()
    done = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    refusals = models.JSONField(default=list)
    status = models.CharField(max_length=10, default=BulkStatus.RUNNING.value)
    actor = models.CharField(max_length=100)
    reason = models.CharField(max_length=500, blank=True)
    moved_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["tenant_id", "-id"], condition=Q(status="running"), name="bulk_running")
        ]


class RunEvent(models.Model):
    """One fact of a run's history; never changed, its state is the fold of all of them.

    Partitioned by the month of the run, which its id tells: a run's events lie together, and a query that
    names the run reads that partition alone.
    """

    pk = models.CompositePrimaryKey("tenant_id", "run_id", "seq")
    tenant_id = models.UUIDField(editable=False)
    run_id = models.UUIDField()
    seq = models.PositiveIntegerField()
    kind = models.CharField(max_length=40)
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())


class RunSnapshot(models.Model):
    """The state of a long run as of one of its events; of another layout than today's it is of no use."""

    run_id = models.UUIDField(primary_key=True, editable=False)
    tenant_id = models.UUIDField(db_default=CurrentTenant(), editable=False)
    seq = models.PositiveIntegerField()
    layout = models.CharField(max_length=64)
    state = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())


class RemovedHistory(models.Model):
    """A month whose runs have no events any more: they were removed for their age."""

    month = models.DateField(primary_key=True)
    removed_at = models.DateTimeField(db_default=Now())

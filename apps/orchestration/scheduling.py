"""Which schedules a tenant's published workflows have, and when each is due next."""

from __future__ import annotations

import datetime as dt
import itertools

from django.utils import timezone

from apps.orchestration.definitions.contracts import TriggerDefinition, WorkflowDefinition
from apps.orchestration.definitions.language.moments import moments_after
from apps.orchestration.engine.waits import database_now
from apps.orchestration.models import ScheduledTrigger
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef


def follow_schedules(definition: WorkflowDefinition) -> None:
    """Bring a workflow's schedules in line with the version that is published, in that transaction.

    One that stays keeps its next moment; one that is gone starts nothing more.
    """
    wanted = {trigger.schedule: trigger for trigger in definition.triggers if trigger.schedule}
    rows = ScheduledTrigger.objects.filter(workflow_name=definition.name)
    known = set(rows.values_list("schedule", flat=True))
    if known - set(wanted):
        rows.exclude(schedule__in=wanted).delete()
    if new := [trigger for schedule, trigger in wanted.items() if schedule not in known]:
        now = database_now()
        ScheduledTrigger.objects.bulk_create(_row(definition.name, trigger, now) for trigger in new)


def list_next_moments(trigger: TriggerDefinition, count: int = 3) -> list[dt.datetime]:
    """Return when a published trigger starts runs next; nothing where it is no schedule."""
    if not trigger.schedule:
        return []
    return list(itertools.islice(moments_after(trigger, timezone.now()), count))


def list_schedules(*, tenant: TenantRef, workflow_name: str) -> dict[str, ScheduledTrigger]:
    """Return what is known of a workflow's schedules, by their names."""
    with in_tenant(tenant):
        return {row.schedule: row for row in ScheduledTrigger.objects.filter(workflow_name=workflow_name)}


def _row(workflow: str, trigger: TriggerDefinition, now: dt.datetime) -> ScheduledTrigger:
    first = next(moments_after(trigger, now))
    return ScheduledTrigger(workflow_name=workflow, schedule=trigger.schedule, next_at=first)

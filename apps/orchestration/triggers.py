"""Start runs at scheduled moments and after events: each moment and each event once."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

import structlog
from django.db import connections, transaction
from django.db.models.functions import Now

from apps.events.contracts import Envelope
from apps.orchestration import metrics
from apps.orchestration.contracts import Origin
from apps.orchestration.definitions.contracts import TriggerDefinition, WorkflowDefinition
from apps.orchestration.definitions.language.children import INHERITED, MAX_DEPTH
from apps.orchestration.definitions.language.moments import moments_after
from apps.orchestration.definitions.language.triggers import full_name
from apps.orchestration.definitions.selectors import find_published, list_started_by
from apps.orchestration.engine.waits import database_now
from apps.orchestration.models import ScheduledTrigger
from apps.orchestration.run_ids import run_id_of
from apps.orchestration.services import start_run
from apps.resilience.errors import DomainError, NotFoundError
from apps.tenants.context import in_platform, in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_tenant, is_active

FIND_DUE = f"""
SELECT tenant_id, id FROM {ScheduledTrigger._meta.db_table}
WHERE next_at <= statement_timestamp() AND is_tenant_active(tenant_id) ORDER BY next_at LIMIT %s
"""  # noqa: S608 - our own table
log = structlog.get_logger(__name__)


def start_due_schedules(*, limit: int = 500) -> int:
    """Start the runs of all tenants whose scheduled moment has come; returns how many.

    Suspended tenants' moments wait. One that cannot be started keeps no other from it.
    """
    with in_platform() as alias, connections[alias].cursor() as cursor:
        cursor.execute(FIND_DUE, [limit])
        due: list[tuple[UUID, UUID]] = cursor.fetchall()
    started = 0
    for tenant_id, trigger_id in due:
        try:
            started += start_scheduled_run(tenant=get_tenant(tenant_id=tenant_id), trigger_id=trigger_id)
        except NotFoundError:
            log.warning("schedule_without_tenant", tenant_id=str(tenant_id))
        except Exception:
            log.exception("schedule_failed", tenant_id=str(tenant_id), trigger_id=str(trigger_id))
    return started


def start_scheduled_run(*, tenant: TenantRef, trigger_id: UUID) -> bool:
    """Start the run of a schedule's latest moment and set the next, in one transaction; False if none is due.

    After a downtime only the latest of the missed moments starts a run. A start that is refused is told on
    the workflow's page, and the next moment is tried.
    """
    with in_tenant(tenant):
        due = ScheduledTrigger.objects.select_for_update(skip_locked=True)
        row = due.filter(id=trigger_id, next_at__lte=Now()).first()
        if row is None or not is_active(tenant):
            return False
        trigger = _published_trigger(tenant, row)
        if trigger is None:
            row.delete()
            return False
        moment, following = _latest(trigger, row.next_at, database_now())
        row.error = _start(tenant, row, moment)
        row.last_at, row.next_at = moment, following
        row.save(update_fields=["error", "last_at", "next_at"])
        return not row.error


def start_triggered_runs(*, tenant: TenantRef, envelope: Envelope) -> int:
    """Start the workflows that wait for an event, in the caller's transaction; returns how many.

    A run's id comes from the event's, so that one told twice starts it once. Runs that events of runs
    start are bounded in depth. A suspended tenant's events start nothing.
    """
    wanted = [d for d in list_started_by(tenant=tenant, event=envelope.type) if _is_meant(d, envelope)]
    if not wanted or not is_active(tenant):
        return 0
    above = envelope.depth or 0
    if above >= MAX_DEPTH:
        log.warning("event_too_deep", tenant_id=str(tenant.id), type=envelope.type, depth=above)
        metrics.refused_starts_total.labels("depth").inc()
        return 0
    return [_start_by_event(tenant, definition, envelope, above + 1) for definition in wanted].count(True)


def _published_trigger(tenant: TenantRef, row: ScheduledTrigger) -> TriggerDefinition | None:
    try:
        definition = find_published(tenant=tenant, name=row.workflow_name)
    except NotFoundError:
        return None
    return next((t for t in definition.triggers if t.schedule == row.schedule), None)


def _latest(
    trigger: TriggerDefinition, due: dt.datetime, now: dt.datetime
) -> tuple[dt.datetime, dt.datetime]:
    """Return the last moment that has come, and the first that has not."""
    moment = due
    for following in moments_after(trigger, due):
        if following > now:
            return moment, following
        moment = following
    raise ValueError(f"{trigger.schedule} never comes again")


def _start(tenant: TenantRef, row: ScheduledTrigger, moment: dt.datetime) -> str:
    name = f"schedule/{row.workflow_name}/{row.schedule}/{moment.isoformat()}"
    try:
        with transaction.atomic():
            start_run(
                tenant=tenant,
                workflow_name=row.workflow_name,
                input={"scheduled_for": moment.isoformat()},
                run_id=run_id_of(moment, tenant.id, name),
            )
    except DomainError as error:
        log.warning("schedule_refused", tenant_id=str(tenant.id), schedule=name, cause=error.detail)
        metrics.refused_starts_total.labels("schedule").inc()
        return error.detail
    return ""


def _start_by_event(
    tenant: TenantRef, definition: WorkflowDefinition, envelope: Envelope, depth: int
) -> bool:
    try:
        with transaction.atomic():
            start_run(
                tenant=tenant,
                workflow_name=definition.name,
                input=_input(envelope),
                run_id=run_id_of(envelope.occurred_at, envelope.id, definition.name),
                origin=Origin(depth=depth),
            )
    except DomainError as error:
        told = {"tenant_id": str(tenant.id), "event_id": str(envelope.id), "workflow": definition.name}
        log.warning("event_start_refused", **told, cause=error.detail)
        metrics.refused_starts_total.labels("event").inc()
        return False
    return True


def _input(envelope: Envelope) -> dict[str, Any]:
    """Give the event, and the message and customer that it is about as a message's run has them."""
    about = {**envelope.data, "conversation_id": envelope.conversation_id}
    told = {"type": envelope.type, "id": str(envelope.id), "occurred_at": envelope.occurred_at.isoformat()}
    known = {name: str(about[name]) for name in INHERITED if about.get(name)}
    return {**known, "event": {**told, "conversation_id": known.get("conversation_id"), **envelope.data}}


def _is_meant(definition: WorkflowDefinition, envelope: Envelope) -> bool:
    """Tell whether a trigger means the event: of the workflow that it names, and never of its own."""
    of = envelope.data.get("workflow", "")
    return any(
        t.type == "event" and full_name(t.event) == envelope.type and t.workflow in ("", of)
        for t in definition.triggers
    ) and (not of or of != definition.name)

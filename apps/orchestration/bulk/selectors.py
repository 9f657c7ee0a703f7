"""Read bulk operations, and what they would concern."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, F, Func, QuerySet
from django.db.models.functions import Now

from apps.orchestration.bulk.contracts import MAX_RUNS, BulkAction, BulkStatus, BulkView, Refusal
from apps.orchestration.models import AgentRun, BulkOperation
from apps.orchestration.selectors import filter_runs
from apps.resilience.errors import InvalidInput, NotFoundError
from apps.tenants.context import in_platform, in_tenant
from apps.tenants.contracts import TenantRef

HINT_GRACE = dt.timedelta(seconds=15)


def get_bulk(*, tenant: TenantRef, operation_id: UUID) -> BulkView:
    """Return an operation as it stands; raises NotFoundError."""
    with in_tenant(tenant):
        operation = BulkOperation.objects.filter(id=operation_id).defer("chosen").first()
        if operation is None:
            raise NotFoundError("There is no such operation.")
        return show_bulk(operation)


def list_running_bulks(*, tenant: TenantRef) -> list[BulkView]:
    """Return the operations that are under way, newest first."""
    with in_tenant(tenant):
        running = BulkOperation.objects.filter(status=BulkStatus.RUNNING).defer("chosen").order_by("-id")
        return [show_bulk(operation) for operation in running[:10]]


def choose_runs(*, tenant: TenantRef, criteria: dict[str, Any]) -> list[str]:
    """Return the ids of the runs that match, the oldest first; raises InvalidInput for too many or none."""
    if not any(criteria.values()):
        raise InvalidInput({"filter": ["Say which runs: by status, workflow or conversation."]})
    with in_tenant(tenant):
        found: QuerySet[AgentRun, Any] = filter_runs(**criteria).values_list("id", flat=True)
        ids = [str(run_id) for run_id in found[: MAX_RUNS + 1]]
    if len(ids) > MAX_RUNS:
        raise InvalidInput({"filter": [f"More than {MAX_RUNS:,} runs match. Narrow the filter."]})
    if not ids:
        raise InvalidInput({"filter": ["No run matches."]})
    return ids[::-1]


def list_due_bulks() -> list[tuple[UUID, UUID]]:
    """Return what lost its hint or its worker, of all active companies, as (tenant id, operation id)."""
    with in_platform() as alias:
        running = BulkOperation.objects.using(alias).filter(status=BulkStatus.RUNNING)
        is_active = Func(F("tenant_id"), function="is_tenant_active", output_field=BooleanField())
        late = running.filter(is_active, moved_at__lt=Now() - HINT_GRACE).order_by("moved_at")
        return list(late.values_list("tenant_id", "id")[:20])


def show_bulk(operation: BulkOperation) -> BulkView:
    """Shape an operation without its runs."""
    return BulkView(
        id=operation.id,
        action=BulkAction(operation.action),
        status=BulkStatus(operation.status),
        total=operation.total,
        done=operation.done,
        refused=operation.refused,
        refusals=[Refusal(UUID(run_id), reason) for run_id, reason in operation.refusals],
        reason=operation.reason,
        actor=operation.actor,
        created_at=operation.created_at,
        finished_at=operation.finished_at,
    )

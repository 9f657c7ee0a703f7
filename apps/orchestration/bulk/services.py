"""Ask for bulk operations, carry them out batch by batch, stop them.

A batch locks the operation's row, steers some runs, each within a savepoint, and moves the cursor, all in one
transaction: whoever dies leaves all of a batch or nothing of it, and no two workers have the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.db import OperationalError, transaction
from django.db.models.functions import Now

from apps.orchestration import pausing, services
from apps.orchestration.adapters.celery_hint import hint_bulk
from apps.orchestration.bulk.contracts import MAX_RUNS, BulkAction, BulkStatus, BulkView
from apps.orchestration.bulk.selectors import choose_runs, get_bulk, show_bulk
from apps.orchestration.models import BulkOperation
from apps.orchestration.steering import one_act
from apps.resilience.errors import ConflictError, DomainError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import is_active, require_active
from apps.tenants.services import record_audit

BATCH = 20
MAX_REFUSALS = 200  # of which the reasons are kept; all are counted
log = structlog.get_logger(__name__)
Steer = Callable[..., object]


def request_bulk(
    *,
    tenant: TenantRef,
    action: BulkAction,
    ids: Iterable[UUID] | None = None,
    criteria: dict[str, Any] | None = None,
    operation_id: UUID | None = None,
    actor: str = "",
    reason: str = "",
) -> BulkView:
    """Ask for an action on the named runs, or on all that match the criteria now; a worker carries it out.

    The same `operation_id` again returns the same operation. Raises InvalidInput, NotAllowed.
    """
    require_active(tenant)
    with in_tenant(tenant):
        if operation_id and BulkOperation.objects.filter(id=operation_id).exists():
            return get_bulk(tenant=tenant, operation_id=operation_id)
        chosen = _named(ids) if ids is not None else choose_runs(tenant=tenant, criteria=criteria or {})
        operation = BulkOperation(
            action=action.value, chosen=chosen, total=len(chosen), actor=actor[:100], reason=reason[:500]
        )
        operation.id = operation_id or operation.id
        operation.save(force_insert=True)
        transaction.on_commit(partial(hint_bulk, tenant.id, operation.id), robust=True)
        return show_bulk(operation)


def carry_out_bulk(*, tenant: TenantRef, operation_id: UUID) -> None:
    """Steer what is left of an operation's runs, unless another worker does or the company is suspended."""
    while is_active(tenant) and _carry_out_batch(tenant, operation_id):
        pass


def cancel_bulk(*, tenant: TenantRef, operation_id: UUID) -> BulkView:
    """Leave the rest of an operation's runs alone; raises NotFoundError, ConflictError once it has ended."""
    with in_tenant(tenant):
        operation = BulkOperation.objects.select_for_update().filter(id=operation_id).first()
        if operation is None:
            raise NotFoundError("There is no such operation.")
        if operation.status != BulkStatus.RUNNING:
            raise ConflictError(f"The operation has ended already: it is {operation.status}.")
        _end(tenant, operation, BulkStatus.CANCELLED)
        operation.save(update_fields=["status", "finished_at"])
        return get_bulk(tenant=tenant, operation_id=operation_id)


def _named(ids: Iterable[UUID]) -> list[str]:
    named = list(dict.fromkeys(str(run_id) for run_id in ids))
    if not 0 < len(named) <= MAX_RUNS:
        raise InvalidInput({"ids": [f"Name at least one run, and at most {MAX_RUNS:,}."]})
    return sorted(named)


def _carry_out_batch(tenant: TenantRef, operation_id: UUID) -> bool:
    """Deal with the next few runs; False when nothing is left to this worker."""
    with in_tenant(tenant):
        rows = BulkOperation.objects.select_for_update(skip_locked=True)
        operation = rows.filter(id=operation_id, status=BulkStatus.RUNNING).first()
        if operation is None:
            return False
        begin = operation.done + operation.refused
        batch = operation.chosen[begin : begin + BATCH]
        refusals = [(run_id, why) for run_id in batch if (why := _steer(tenant, operation, UUID(run_id)))]
        operation.refused += len(refusals)
        operation.done += len(batch) - len(refusals)
        operation.refusals = [*operation.refusals, *refusals][:MAX_REFUSALS]
        operation.moved_at = Now()
        if operation.done + operation.refused == operation.total:
            _end(tenant, operation, BulkStatus.DONE)
        operation.save(update_fields=["refused", "done", "refusals", "moved_at", "status", "finished_at"])
        return operation.status == BulkStatus.RUNNING


def _steer(tenant: TenantRef, operation: BulkOperation, run_id: UUID) -> str:
    """Act on one run, or return why it cannot be; nothing of a refused act remains."""
    act, takes_reason = _ACTS[BulkAction(operation.action)]
    reason = {"reason": operation.reason} if takes_reason else {}
    try:
        with transaction.atomic(), one_act():
            act(tenant=tenant, run_id=run_id, actor=operation.actor, **reason)
    except DomainError as error:
        return error.detail
    except OperationalError:
        raise  # the server or a deadlock: the batch is done again
    except Exception as error:
        log.exception("bulk_act_broke", run_id=str(run_id), operation_id=str(operation.id))
        return f"It could not be done: {type(error).__name__}."
    return ""


def _end(tenant: TenantRef, operation: BulkOperation, status: BulkStatus) -> None:
    """Record the operation once, with its counts, in the transaction that ends it."""
    operation.status, operation.finished_at = status.value, Now()
    counts = {"total": operation.total, "done": operation.done, "refused": operation.refused}
    record_audit(
        tenant=tenant,
        actor=operation.actor,
        action=f"runs.{operation.action}",
        target=str(operation.id),
        data={**counts, "status": status.value, "reason": operation.reason},
    )


_ACTS: dict[BulkAction, tuple[Steer, bool]] = {
    BulkAction.CANCEL: (services.cancel_run, True),
    BulkAction.RETRY: (services.retry_run, False),
    BulkAction.PAUSE: (pausing.pause_run, True),
    BulkAction.RESUME: (pausing.resume_run, True),
    BulkAction.COMPENSATE: (services.compensate_run, True),
}

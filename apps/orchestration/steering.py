"""What every act on a run shares: its lock, its wake-up, its trace in the audit trail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils.module_loading import import_string

from apps.orchestration import selectors
from apps.orchestration.contracts import RunStatus, RunView
from apps.orchestration.models import AgentRun
from apps.orchestration.ports import RunHint
from apps.resilience.errors import NotFoundError
from apps.tenants.contracts import TenantRef
from apps.tenants.services import record_audit

_is_one_act: ContextVar[bool] = ContextVar("is_one_act", default=False)
# How the row of an ended run changes when it goes on.
REOPENED: dict[str, None] = {"finished_at": None, "pause_requested_at": None}


def lock_run(run_id: UUID) -> AgentRun:
    """Lock a run in the caller's transaction of its tenant; raises NotFoundError."""
    run = AgentRun.objects.select_for_update().filter(id=run_id).first()
    if run is None:
        raise NotFoundError("There is no such run.")
    return run


def wake(run: AgentRun) -> None:
    """Make a locked run due now, unless it is paused or somebody executes it, who will look anyway."""
    if run.lease_owner == "" and run.status != RunStatus.PAUSED:
        AgentRun.objects.filter(id=run.id).update(due_at=Now())


def steered(tenant: TenantRef, run: AgentRun, what: str, actor: str, **data: str) -> RunView:
    """Record who did what to a run, and let a worker go on with it after the commit."""
    told = {name: value for name, value in data.items() if value}
    if not _is_one_act.get():
        record_audit(tenant=tenant, actor=actor, action=f"run.{what}", target=str(run.id), data=told)
    hint_on_commit(tenant, run.id)
    return selectors.get_run(tenant=tenant, run_id=run.id)


@contextmanager
def one_act() -> Iterator[None]:
    """Take what is done to runs meanwhile as parts of one act, which is recorded as a whole."""
    token = _is_one_act.set(True)
    try:
        yield
    finally:
        _is_one_act.reset(token)


def hint_on_commit(tenant: TenantRef, run_id: UUID) -> None:
    """Tell a worker of a run once the caller's transaction has committed."""
    transaction.on_commit(lambda: run_hint().send(tenant_id=tenant.id, run_id=run_id), robust=True)


@cache
def run_hint() -> RunHint:
    """Return how this process tells workers of runs."""
    hint: RunHint = import_string(settings.RUN_HINT)()
    return hint

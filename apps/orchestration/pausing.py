"""Pause a run before its next step, and let it go on; meanwhile it rests in its table."""

from __future__ import annotations

from uuid import UUID

from django.db.models.functions import Now

from apps.orchestration.contracts import RunStatus, RunView
from apps.orchestration.engine.journal import append_fact
from apps.orchestration.engine.state import Kind
from apps.orchestration.models import AgentRun
from apps.orchestration.steering import lock_run, steered
from apps.resilience.errors import ConflictError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef


def pause_run(*, tenant: TenantRef, run_id: UUID, actor: str = "", reason: str = "") -> RunView:
    """Let a run rest before its next step; what is under way is finished and recorded first.

    Raises NotFoundError, ConflictError for a run that has ended, is paused, or waits for a person's word.
    """
    with in_tenant(tenant):
        run = lock_run(run_id)
        if RunStatus(run.status).is_end:
            raise ConflictError(f"The run has ended already: it is {run.status}.")
        if run.status == RunStatus.WAITING:
            raise ConflictError("The run rests already: say first whether the step was done.")
        if run.pause_requested_at is not None:
            raise ConflictError("The run is paused already, or about to be.")
        AgentRun.objects.filter(id=run_id).update(pause_requested_at=Now())
        if run.lease_owner == "":  # nobody executes it, and nobody can claim it past this row's lock
            append_fact(run, Kind.PAUSED, {"by": actor, "why": reason}, due_at=None)
        return steered(tenant, run, "pause", actor, reason=reason)


def resume_run(*, tenant: TenantRef, run_id: UUID, actor: str = "", reason: str = "") -> RunView:
    """Let a paused run go on; raises NotFoundError, ConflictError for one that is not paused.

    What it waited for meanwhile, a time or a signal, takes effect now.
    """
    with in_tenant(tenant):
        run = lock_run(run_id)
        if run.pause_requested_at is None:
            raise ConflictError(f"Only a paused run can be resumed; this run is {run.status}.")
        release_pause(run, actor)
        return steered(tenant, run, "resume", actor, reason=reason)


def release_pause(run: AgentRun, actor: str) -> None:
    """Take back the wish to pause a locked run, and the pause if it has begun; it is due then."""
    if run.pause_requested_at is None:
        return
    if run.status == RunStatus.PAUSED:
        append_fact(run, Kind.RESUMED, {"by": actor})
    AgentRun.objects.filter(id=run.id).update(pause_requested_at=None)

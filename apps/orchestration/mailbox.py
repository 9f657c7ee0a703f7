"""Answer what runs wait for: signals from outside, and approvals by people."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apps.orchestration.contracts import RunStatus, RunView, StepStatus
from apps.orchestration.definitions.selectors import get_definition
from apps.orchestration.engine.journal import read_facts
from apps.orchestration.engine.state import fold
from apps.orchestration.engine.waits import mailbox_of
from apps.orchestration.models import AgentRun, RunSignal
from apps.orchestration.steering import lock_run, steered, wake
from apps.resilience.errors import ConflictError, InvalidInput
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

MAX_WAITING_SIGNALS = 1000


def send_signal(
    *, tenant: TenantRef, run_id: UUID, name: str, payload: dict[str, Any] | None = None, actor: str = ""
) -> RunView:
    """Leave a signal for a run, which takes it as soon as a step waits for it; the oldest first.

    Raises NotFoundError, InvalidInput for a signal that the workflow never waits for, ConflictError for a run
    that has ended.
    """
    with in_tenant(tenant):
        run = lock_run(run_id)
        _require_open(run)
        known = get_definition(tenant=tenant, digest=run.workflow_hash).signals
        if name not in known:
            told = f"It waits for: {', '.join(known)}." if known else "It waits for none."
            raise InvalidInput({"name": [f"The workflow waits for no signal {name!r}. {told}"]})
        if RunSignal.objects.filter(run_id=run_id, taken_at=None).count() >= MAX_WAITING_SIGNALS:
            raise ConflictError(f"{MAX_WAITING_SIGNALS} signals wait for this run already.")
        _leave(run, name, payload or {}, actor)
        return steered(tenant, run, "signal", actor, signal=name)


def answer_approval(
    *, tenant: TenantRef, run_id: UUID, step_id: str, is_approved: bool, comment: str = "", actor: str = ""
) -> RunView:
    """Approve or decline what a run asks for; raises NotFoundError, ConflictError when it does not ask."""
    with in_tenant(tenant):
        run = lock_run(run_id)
        step = fold(read_facts(run)).step(step_id)
        asks = step.status is StepStatus.WAITING and (step.awaited or {}).get("kind") == "approval"
        if run.status not in (RunStatus.SLEEPING, RunStatus.PAUSED) or not asks:
            raise ConflictError(f"The run does not ask for an approval at {step_id!r}.")
        mailbox = mailbox_of(step_id, step.awaited or {})
        if RunSignal.objects.filter(run_id=run_id, name=mailbox, taken_at=None).exists():
            raise ConflictError("Somebody has answered already.")
        _leave(run, mailbox, {"approved": is_approved, "comment": comment}, actor)
        act = "approve" if is_approved else "decline"
        return steered(tenant, run, act, actor, step=step_id, comment=comment)


def _leave(run: AgentRun, name: str, payload: dict[str, Any], actor: str) -> None:
    RunSignal.objects.create(run_id=run.id, name=name, payload=payload, sender=actor[:100])
    wake(run)


def _require_open(run: AgentRun) -> None:
    if RunStatus(run.status).is_end:
        raise ConflictError(f"The run has ended already: it is {run.status}.")

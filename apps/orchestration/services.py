"""Start, execute and steer runs."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db.models.functions import Now
from django.utils.module_loading import import_string
from uuid_utils.compat import uuid7

from apps.billing.contracts import UsageKind
from apps.billing.services import hold_quota
from apps.conversations.contracts import MessageView
from apps.events.causes import at_depth
from apps.events.services import publish
from apps.orchestration import events, selectors
from apps.orchestration.adapters.fan_out import FanOut
from apps.orchestration.contracts import Origin, Priority, RunStatus, RunView, StepStatus
from apps.orchestration.definitions.contracts import WorkflowDefinition
from apps.orchestration.definitions.selectors import find_published, get_definition, get_tool_settings
from apps.orchestration.definitions.services import publish_shipped_workflows
from apps.orchestration.engine import leases
from apps.orchestration.engine.births import BIRTHS, Claim
from apps.orchestration.engine.decisions import list_undoable
from apps.orchestration.engine.execution import Execution
from apps.orchestration.engine.giving_up import give_up
from apps.orchestration.engine.inputs import check_input
from apps.orchestration.engine.journal import Journal, append_fact, plain, read_facts, read_state
from apps.orchestration.engine.records import insert_run
from apps.orchestration.engine.state import REQUESTED, Fact, Kind, RunState, fold
from apps.orchestration.models import AgentRun
from apps.orchestration.pausing import release_pause
from apps.orchestration.ports import DeltaSink
from apps.orchestration.steering import REOPENED, hint_on_commit, lock_run, run_hint, steered, wake
from apps.orchestration.steps.registry import load_actions
from apps.resilience.errors import ConflictError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import is_active, require_active

__all__ = [
    "cancel_run",
    "compensate_run",
    "execute_or_await",
    "execute_run",
    "publish_shipped_workflows",
    "resolve_step",
    "retry_run",
    "settle_undo",
    "start_run",
    "warm_up",
]
log = structlog.get_logger(__name__)
POLL_S = 0.05
NOBODY = Origin()


def warm_up() -> None:
    """Load the actions, the router and the embedder, so that the first message does not wait for them.

    Imports of its own: a process that executes no run must not carry these libraries.
    """
    from apps.inference.services import embed_query
    from apps.routing.services import warm_router

    load_actions()
    warm_router()
    embed_query("hello")


def start_run(
    *,
    tenant: TenantRef,
    workflow_name: str,
    input: dict[str, Any],  # noqa: A002
    run_id: UUID | None = None,
    conversation_id: UUID | None = None,
    message_id: UUID | None = None,
    claim_inline: bool = False,
    priority: Priority | None = None,
    origin: Origin = NOBODY,
) -> RunView:
    """Create a run of the published version, in the caller's transaction if there is one.

    With `claim_inline` this process holds the run's lease from its birth and has to execute it, whatever the
    tenant's cap: somebody waits, and the web process has limits of its own. Else a worker is told after the
    commit. Without `priority` the workflow's own counts. The same `run_id` again returns the same run.
    Raises NotFoundError, InvalidInput, NotAllowed; and QuotaSpent unless it answers a message, which spent
    a quota of its own.
    """
    require_active(tenant)
    with in_tenant(tenant):
        if run_id is not None and AgentRun.objects.filter(id=run_id).exists():
            return selectors.get_run(tenant=tenant, run_id=run_id)
        definition = find_published(tenant=tenant, name=workflow_name)
        run = create_run(
            tenant=tenant,
            definition=definition,
            input=check_input(definition, input),
            run_id=run_id,
            conversation_id=conversation_id,
            message_id=message_id,
            claim_inline=claim_inline,
            priority=priority,
            origin=origin,
        )
        if message_id is None:
            hold_quota(tenant=tenant, kind=UsageKind.RUN, source_id=run.id)
        return selectors.view_run(run, RunState(input=run.input), definition)


def create_run(
    *,
    tenant: TenantRef,
    definition: WorkflowDefinition,
    input: dict[str, Any],  # noqa: A002
    run_id: UUID | None = None,
    conversation_id: UUID | None = None,
    message_id: UUID | None = None,
    claim_inline: bool = False,
    priority: Priority | None = None,
    origin: Origin = NOBODY,
) -> AgentRun:
    """Insert a run with its first fact, in the caller's transaction of its tenant."""
    given = plain(input)
    run = AgentRun(
        id=run_id or uuid7(),
        tenant_id=tenant.id,
        workflow_name=definition.name,
        workflow_version=definition.version,
        workflow_hash=definition.hash,
        input=given,
        conversation_id=conversation_id,
        message_id=message_id,
        version=1,
        priority=(priority or _usual_priority(definition, message_id)).rank,
        **dataclasses.asdict(origin),
    )
    if claim_inline:
        run.lease_epoch, run.claims, run.lease_owner = 1, 1, leases.owner_name()
    fact = Fact(Kind.RUN_STARTED, {"input": given, "workflow": definition.name, "hash": definition.hash})
    insert_run(run, fact, due_in_s=leases.LEASE_S if claim_inline else 0.0)
    carried: dict[str, Any] = {"tenant_id": tenant.id, "run_id": run.id, "conversation_id": conversation_id}
    publish(events.RunStarted(**carried, workflow=definition.name, hash=definition.hash))
    if claim_inline:
        lease = leases.Lease(tenant.id, run.id, epoch=1)
        BIRTHS.add(Claim(run, fold([fact]), lease, get_tool_settings(tenant=tenant)))
    else:
        hint_on_commit(tenant, run.id)
    return run


def _usual_priority(definition: WorkflowDefinition, message_id: UUID | None) -> Priority:
    """Return what the workflow says, else high for a message's run: a customer waits for the answer."""
    usual = Priority.HIGH if message_id is not None else Priority.NORMAL
    return definition.priority or usual


def execute_run(*, tenant: TenantRef, run_id: UUID, stop_after_s: float | None = None) -> bool:
    """Claim a run and execute it until it rests; False when there was nothing to claim.

    With `stop_after_s` the run is handed to a worker between two steps once that time is over. A suspended
    tenant's run stays due, and begins no further step; the sweep finds it when the tenant is resumed.
    """
    claim = _take(tenant, run_id)
    if claim is not None:
        execute_claim(tenant, claim, stop_after_s)
    return claim is not None


def execute_or_await(*, tenant: TenantRef, run_id: UUID, wait_s: float) -> MessageView | None:
    """Execute a run here, or wait until it rests when another has it; at most about `wait_s` seconds.

    So are the runs of its steps that it waits for. Returns the reply where it was written here.
    """
    end = time.monotonic() + wait_s
    while (claim := _take(tenant, run_id)) is not None:
        reply = execute_claim(tenant, claim, stop_after_s=max(0.0, end - time.monotonic()))
        below = None if reply else selectors.find_run_below(tenant=tenant, run_id=run_id)
        if below is None:
            return reply
        execute_or_await(tenant=tenant, run_id=below, wait_s=max(0.0, end - time.monotonic()))
    while time.monotonic() < end and selectors.is_under_way(tenant=tenant, run_id=run_id):
        time.sleep(min(POLL_S, max(0.0, end - time.monotonic())))
    return None


def cancel_run(*, tenant: TenantRef, run_id: UUID, actor: str = "", reason: str = "") -> RunView:
    """Ask a run to stop: what it has done is undone, where that is declared. Raises ConflictError at its end.

    Whoever executes it sees the wish at the next commit. This and every other act on a run is audited.
    """
    with in_tenant(tenant):
        run = lock_run(run_id)
        if RunStatus(run.status).is_end:
            raise ConflictError(f"The run has ended already: it is {run.status}.")
        if run.cancel_requested_at is None:
            AgentRun.objects.filter(id=run_id).update(cancel_requested_at=Now())
            release_pause(run, actor)
            wake(run)
        if run.status == RunStatus.WAITING:
            raise ConflictError("The outcome of a step is unknown; say first whether it was done.")
        return steered(tenant, run, "cancel", actor, reason=reason)


def compensate_run(*, tenant: TenantRef, run_id: UUID, actor: str = "", reason: str = "") -> RunView:
    """Undo a completed run: its steps that declare how, the last one first, by the engine as any other work.

    The reply that its customer got stays. Raises ConflictError for a run that is not completed (one that
    fails or is cancelled is undone by itself) and for one with nothing to undo.
    """
    with in_tenant(tenant):
        run = lock_run(run_id)
        if run.status != RunStatus.COMPLETED:
            raise ConflictError(f"Only a completed run can be undone; this run is {run.status}.")
        _require_free(run)
        definition = get_definition(tenant=tenant, digest=run.workflow_hash)
        if not list_undoable(fold(read_facts(run)), definition):
            raise ConflictError("Nothing can be undone: no step that was done declares a compensation.")
        fact = {"reason": REQUESTED, "by": actor, "why": reason}
        append_fact(run, Kind.COMPENSATION_STARTED, fact, **REOPENED)
        return steered(tenant, run, "compensate", actor, reason=reason)


def retry_run(*, tenant: TenantRef, run_id: UUID, actor: str = "") -> RunView:
    """Let a failed run, or a compensation that is stuck, go on; raises ConflictError for any other."""
    with in_tenant(tenant):
        run = lock_run(run_id)
        if run.status not in (RunStatus.FAILED, RunStatus.COMPENSATION_FAILED):
            raise ConflictError(
                f"Only a failed run or a failed compensation can be retried; this run is {run.status}."
            )
        is_undoing = run.status == RunStatus.COMPENSATION_FAILED
        if run.parent_run_id is not None and not is_undoing:
            raise ConflictError("This run is a step of another, which has gone on: retry that one.")
        changes = {} if is_undoing else {"output": None}
        append_fact(run, Kind.RETRY_REQUESTED, {"by": actor}, **REOPENED, **changes)
        return steered(tenant, run, "retry", actor)


def settle_undo(*, tenant: TenantRef, run_id: UUID, step_id: str, actor: str = "") -> RunView:
    """Take a person's word that they have undone a stuck step by hand; the rest is undone from there.

    Raises ConflictError when the undoing of the step is not stuck.
    """
    with in_tenant(tenant):
        run = lock_run(run_id)
        step = fold(read_facts(run)).step(step_id)
        if run.status != RunStatus.COMPENSATION_FAILED or step.status is not StepStatus.STUCK:
            raise ConflictError(f"The undoing of {step_id!r} is not stuck.")
        append_fact(run, Kind.RETRY_REQUESTED, {"by": actor}, **REOPENED)
        undone = {"step": step_id, "action": step.undo.action, "attempt": step.undo.attempt, "output": {}}
        append_fact(run, Kind.STEP_UNDONE, {**undone, "by": actor})
        publish(_compensated(run, step_id, step.undo.action))
        return steered(tenant, run, "settle", actor, step=step_id)


def resolve_step(
    *,
    tenant: TenantRef,
    run_id: UUID,
    step_id: str,
    is_done: bool,
    output: dict[str, Any] | None = None,
    actor: str = "",
) -> RunView:
    """Say whether the step whose outcome was lost took effect; the run goes on from there.

    Raises ConflictError when the step's outcome is not unknown.
    """
    with in_tenant(tenant):
        run = lock_run(run_id)
        state = fold(read_facts(run))
        if state.step(step_id).status is not StepStatus.UNKNOWN:
            raise ConflictError(f"The outcome of {step_id!r} is not unknown.")
        outcome = "done" if is_done else "not_done"
        append_fact(
            run,
            Kind.STEP_RESOLVED,
            {"step": step_id, "outcome": outcome, "output": output or {}, "by": actor},
        )
        return steered(tenant, run, "resolve", actor, step=step_id, outcome=outcome)


def _require_free(run: AgentRun) -> None:
    """Refuse to undo a step's run under the feet of the run above. Raises ConflictError."""
    if run.parent_run_id is None:
        return
    above = AgentRun.objects.filter(id=run.parent_run_id).values_list("status", flat=True).first()
    if above is not None and not RunStatus(above).is_end:
        raise ConflictError("This run is a step of another that is under way: cancel that one.")


def _compensated(run: AgentRun, step: str, action: str) -> events.StepCompensated:
    return events.StepCompensated(
        tenant_id=run.tenant_id,
        run_id=run.id,
        conversation_id=run.conversation_id,
        step=step,
        action=action,
    )


def _take(tenant: TenantRef, run_id: UUID) -> Claim | None:
    return BIRTHS.take(run_id) or (_claim(tenant, run_id) if is_active(tenant) else None)


def _claim(tenant: TenantRef, run_id: UUID) -> Claim | None:
    asked_at = time.monotonic()
    with in_tenant(tenant):
        run = leases.claim_run(run_id)
        if run is None:
            return None
        state = read_state(run)
        lease = leases.Lease(tenant.id, run.id, run.lease_epoch, renewed_at=asked_at)
        return Claim(run, state, lease, get_tool_settings(tenant=tenant))


def execute_claim(tenant: TenantRef, claim: Claim, stop_after_s: float | None) -> MessageView | None:
    """Execute a claimed run until it rests, and return the reply that was stored, if any."""
    try:
        return _executed(tenant, claim, stop_after_s).reply
    except Exception:
        # The lease is left to expire: whatever broke here gets a rest before the next attempt.
        log.exception("run_execution_broke", run_id=str(claim.run.id), tenant_id=str(tenant.id))
        return None


def _executed(tenant: TenantRef, claim: Claim, stop_after_s: float | None) -> Execution:
    journal = Journal(tenant, claim.run, claim.lease, claim.state)
    journal.is_cancel_requested = claim.run.cancel_requested_at is not None
    journal.is_pause_requested = claim.run.pause_requested_at is not None
    definition = get_definition(tenant=tenant, digest=claim.run.workflow_hash)
    with leases.KEEPER.keep(claim.lease), at_depth(claim.run.depth):
        if claim.run.claims > leases.MAX_CLAIMS:
            give_up(journal, definition, claim.settings)
        execution = Execution(
            journal=journal,
            definition=definition,
            settings=claim.settings,
            emit=None if claim.state.is_silent else _emitter(tenant, claim.run),
            stop_at=None if stop_after_s is None else time.monotonic() + stop_after_s,
            on_stop=lambda: run_hint().send(tenant_id=tenant.id, run_id=claim.run.id),
            may_go_on=partial(is_active, tenant),
        )
        execution.run()
    return execution


def _emitter(tenant: TenantRef, run: AgentRun) -> Callable[[str], None] | None:
    """Return what passes pieces of the reply on; None where nobody listens."""
    conversation_id, channel = run.conversation_id, str(run.input.get("channel", ""))
    if conversation_id is None or not _deltas().is_heard(conversation_id=conversation_id, channel=channel):
        return None
    sent = 0

    def emit(text: str) -> None:
        nonlocal sent
        _deltas().emit(
            tenant_id=tenant.id, conversation_id=conversation_id, reply_id=str(run.id), offset=sent, text=text
        )
        sent += len(text)

    return emit


@cache
def _deltas() -> DeltaSink:
    return FanOut([import_string(path)() for path in settings.DELTA_SINKS])

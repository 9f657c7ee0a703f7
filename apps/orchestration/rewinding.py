"""Do an ended run again from a step on, or undo it from there on."""

from __future__ import annotations

from uuid import UUID

from apps.orchestration.contracts import RetryPlan, RunStatus, RunView, StepStatus
from apps.orchestration.definitions.contracts import Effect, WorkflowDefinition
from apps.orchestration.definitions.selectors import get_definition
from apps.orchestration.engine.decisions import list_undoable
from apps.orchestration.engine.flow import outer_of
from apps.orchestration.engine.journal import append_fact, read_state
from apps.orchestration.engine.state import REQUESTED, Kind, RunState
from apps.orchestration.models import AgentRun
from apps.orchestration.steering import REOPENED, lock_run, steered
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

# What a person may say of a step that the run cannot go on from by itself.
SETTLED_BY = {
    StepStatus.UNKNOWN: ("mark_done", "mark_not_done"),
    StepStatus.STUCK: ("retry_undo", "mark_undone"),
}


def plan_retry(*, tenant: TenantRef, run_id: UUID, step_id: str) -> RetryPlan:
    """Tell what a retry from a step would do, and change nothing; raises as `retry_from`."""
    with in_tenant(tenant):
        run = AgentRun.objects.filter(id=run_id).first()
        if run is None:
            raise NotFoundError("There is no such run.")
        return _plan(*_read(tenant, run), step_id)


def retry_from(
    *,
    tenant: TenantRef,
    run_id: UUID,
    step_id: str,
    repeat_effects: bool = False,
    reply: bool | None = None,
    actor: str = "",
    reason: str = "",
) -> RunView:
    """Undo an ended run from a step on, the last one first, and do it again from there.

    Effects that cannot be undone happen again only with `repeat_effects`. A run that has answered its
    customer answers again only with `reply`. Raises NotFoundError, ConflictError for a run that has not ended
    or is stuck, InvalidInput for a step that it never came to or that stands on undone ones.
    """
    with in_tenant(tenant):
        run = lock_run(run_id)
        plan = _plan(*_read(tenant, run), step_id)
        if plan.repeated and not repeat_effects:
            named = ", ".join(plan.repeated)
            told = f"These took effect, cannot be undone and would happen again: {named}. Say so with true."
            raise InvalidInput({"repeat_effects": [told]})
        asked = {
            "from": step_id,
            "repeated": plan.repeated,
            "reply": not plan.has_answered if reply is None else reply,
        }
        append_fact(
            run,
            Kind.RETRY_REQUESTED,
            {**asked, "by": actor, "why": reason},
            cancel_requested_at=None,
            **REOPENED,
        )
        return steered(
            tenant, run, "retry", actor, reason=reason, step=step_id, repeated=", ".join(plan.repeated)
        )


def undo_from(*, tenant: TenantRef, run_id: UUID, step_id: str, actor: str = "", reason: str = "") -> RunView:
    """Undo a step of a completed run and all that came after it, the last one first.

    Raises NotFoundError, InvalidInput, and ConflictError where nothing of it can be undone.
    """
    with in_tenant(tenant):
        run = lock_run(run_id)
        state, definition = _read(tenant, run)
        if run.status not in (RunStatus.COMPLETED, RunStatus.COMPENSATED):
            raise ConflictError(f"Only a completed run can be undone; this run is {run.status}.")
        if not list_undone_from(state, definition, step_id):
            raise ConflictError(f"From {step_id!r} on nothing that was done declares a compensation.")
        fact = {"reason": REQUESTED, "from": step_id, "by": actor, "why": reason}
        append_fact(run, Kind.COMPENSATION_STARTED, fact, **REOPENED)
        return steered(tenant, run, "compensate", actor, reason=reason, step=step_id)


def list_undone_from(state: RunState, definition: WorkflowDefinition, step_id: str) -> list[str]:
    """Name what would be undone from a step on, in that order; raises InvalidInput."""
    again = set(_since(state, step_id))
    return [c.step for c in list_undoable(state, definition) if c.step in again]


def list_offers(state: RunState, definition: WorkflowDefinition) -> dict[str, list[str]]:
    """Return by step what may be asked of it as the run stands now."""
    names = list(state.steps)
    undoable = {compensation.step for compensation in list_undoable(state, definition)}
    last_undoable = max((n for n, name in enumerate(names) if name in undoable), default=-1)
    undone = [n for n, name in enumerate(names) if state.step(name).status is StepStatus.UNDONE]
    may_retry = state.status.is_end and state.status is not RunStatus.COMPENSATION_FAILED
    may_undo = state.status in (RunStatus.COMPLETED, RunStatus.COMPENSATED)
    offers = {name: list(SETTLED_BY.get(state.step(name).status, ())) for name in names}
    for n, name in enumerate(names):
        if state.step(name).status is StepStatus.SKIPPED:
            continue
        if state.status is RunStatus.FAILED and state.failed_step == name:
            offers[name].append("retry")
        if may_retry and name == outer_of(name) and not any(before < n for before in undone[:1]):
            offers[name].append("retry_from")
        if may_undo and n <= last_undoable:
            offers[name].append("undo_from")
    return offers


def _read(tenant: TenantRef, run: AgentRun) -> tuple[RunState, WorkflowDefinition]:
    return read_state(run), get_definition(tenant=tenant, digest=run.workflow_hash)


def _plan(state: RunState, definition: WorkflowDefinition, step_id: str) -> RetryPlan:
    _require_retriable(state)
    if (outer := outer_of(step_id)) != step_id:
        told = f"{step_id!r} is a part of {outer!r}, which is done again as a whole: begin with that."
        raise InvalidInput({"from": [told]})
    again = _since(state, step_id)
    undone = [name for name, s in state.steps.items() if s.status is StepStatus.UNDONE and name not in again]
    if undone:
        told = f"Steps before it were undone: {', '.join(undone)}. Begin with {undone[0]!r}."
        raise InvalidInput({"from": [told]})
    undone_first = list_undone_from(state, definition, step_id)
    done = [name for name in again if state.step(name).status is StepStatus.DONE]
    kept = [name for name in done if name not in undone_first]
    repeated = [name for name in kept if definition.step(name).effect is not Effect.NONE]
    return RetryPlan(step_id, again, undone_first, repeated, state.has_answered)


def _require_retriable(state: RunState) -> None:
    if not state.status.is_end:
        raise ConflictError(f"Only a run that has ended can be done again; this run is {state.status}.")
    if state.status is RunStatus.COMPENSATION_FAILED:
        raise ConflictError("A step could not be undone. Retry its undoing, or say that you undid it, first.")


def _since(state: RunState, step_id: str) -> list[str]:
    if step_id not in state.steps:
        known = ", ".join(state.steps) or "none"
        raise InvalidInput({"from": [f"The run never came to a step {step_id!r}. It came to: {known}."]})
    return state.steps_since(step_id)

"""Read runs."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import Counter
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from apps.orchestration.contracts import (
    HistoryRemoved,
    Priority,
    RunEventView,
    RunStatus,
    RunView,
    StepStatus,
    StepView,
)
from apps.orchestration.definitions.contracts import StepDefinition, WorkflowDefinition
from apps.orchestration.definitions.selectors import get_definition
from apps.orchestration.engine.decisions import list_undoable
from apps.orchestration.engine.family import child_of
from apps.orchestration.engine.flow import list_places
from apps.orchestration.engine.journal import plain, read_state
from apps.orchestration.engine.receipts import shown_status
from apps.orchestration.engine.state import RunState, StepState
from apps.orchestration.models import AgentRun, RunEvent
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

IN_NEED = (RunStatus.WAITING, RunStatus.COMPENSATION_FAILED)
COUNTED_TO = 1000
PAUSABLE = frozenset({RunStatus.RUNNING, RunStatus.SLEEPING, RunStatus.COMPENSATING})


def get_run(*, tenant: TenantRef, run_id: UUID) -> RunView:
    """Return a run with its steps, computed from its events; raises NotFoundError.

    Where the events were removed for their age there are no steps either: `has_history` says so.
    """
    with in_tenant(tenant):
        run = AgentRun.objects.filter(id=run_id).first()
        if run is None:
            raise NotFoundError("There is no such run.")
        definition = get_definition(tenant=tenant, digest=run.workflow_hash)
        try:
            state = read_state(run)
        except HistoryRemoved:
            return dataclasses.replace(summarise(run), has_history=False)
        return view_run(run, state, definition)


def view_run(run: AgentRun, state: RunState, definition: WorkflowDefinition) -> RunView:
    """Shape a run whose state is known."""
    undoable = [compensation.step for compensation in list_undoable(state, definition)]
    return dataclasses.replace(summarise(run), steps=_step_views(state, definition), undoable=undoable)


def list_runs(
    *,
    tenant: TenantRef,
    status: str | None = None,
    workflow: str | None = None,
    conversation_id: UUID | None = None,
    replay_of: UUID | None = None,
    limit: int = 100,
) -> list[RunView]:
    """Return runs, newest first, without their steps."""
    with in_tenant(tenant):
        runs = filter_runs(
            status=status, workflow=workflow, conversation_id=conversation_id, replay_of=replay_of
        )
        return [summarise(run) for run in runs[:limit]]


def filter_runs(
    *,
    status: str | None = None,
    workflow: str | None = None,
    conversation_id: UUID | None = None,
    replay_of: UUID | None = None,
) -> QuerySet[AgentRun]:
    """Choose runs, newest first, in the caller's transaction of its tenant."""
    wanted = {
        "status": status,
        "workflow_name": workflow,
        "conversation_id": conversation_id,
        "replay_of": replay_of,
    }
    chosen = {name: value for name, value in wanted.items() if value}
    return AgentRun.objects.filter(**chosen).order_by("-created_at", "-id")


def list_run_events(
    *, tenant: TenantRef, run_id: UUID, after_seq: int = 0, limit: int = 500
) -> list[RunEventView]:
    """Return a run's recorded events in order; raises NotFoundError, HistoryRemoved."""
    with in_tenant(tenant):
        version = AgentRun.objects.filter(id=run_id).values_list("version", flat=True).first()
        if version is None:
            raise NotFoundError("There is no such run.")
        rows = list(RunEvent.objects.filter(run_id=run_id, seq__gt=after_seq).order_by("seq")[:limit])
        if not rows and version > after_seq:
            raise HistoryRemoved
        return [RunEventView(row.seq, row.kind, row.data, row.created_at) for row in rows]


def count_in_need(*, tenant: TenantRef) -> dict[str, int]:
    """Count the runs that cannot go on without a person, by status; COUNTED_TO means that many or more."""
    with in_tenant(tenant):
        rows = AgentRun.objects.filter(status__in=IN_NEED).values_list("status", flat=True)
        return dict(Counter(rows.order_by()[:COUNTED_TO]))


def get_question(*, tenant: TenantRef, run_id: UUID) -> dict[str, Any] | None:
    """Return the input of a run that a message began; None for a run that something else did."""
    with in_tenant(tenant):
        asked = AgentRun.objects.filter(id=run_id, message_id__isnull=False)
        return asked.values_list("input", flat=True).first()


def get_started_at(*, tenant: TenantRef, run_id: UUID) -> dt.datetime:
    """Return when a run began; raises NotFoundError."""
    with in_tenant(tenant):
        began = AgentRun.objects.filter(id=run_id).values_list("created_at", flat=True).first()
    if began is None:
        raise NotFoundError("There is no such run.")
    return began


def is_under_way(*, tenant: TenantRef, run_id: UUID) -> bool:
    """Tell whether somebody works on a run, or soon will; one that sleeps may do so for days."""
    with in_tenant(tenant):
        moving = AgentRun.objects.filter(id=run_id, due_at__isnull=False)
        return moving.exclude(status=RunStatus.SLEEPING, lease_owner="").exists()


def find_run_below(*, tenant: TenantRef, run_id: UUID) -> UUID | None:
    """Return a step's run that is due and that this run waits for, if there is one."""
    with in_tenant(tenant):
        below = AgentRun.objects.filter(parent_run_id=run_id, due_at__isnull=False)
        return below.exclude(status=RunStatus.SLEEPING).values_list("id", flat=True).first()


def show_run(view: RunView) -> dict[str, Any]:
    """Return a run as the API shows it."""
    shown: dict[str, Any] = plain(dataclasses.asdict(view))
    return shown


def summarise(run: AgentRun) -> RunView:
    """Shape a run without reading its events."""
    status = RunStatus(run.status)
    return RunView(
        id=run.id,
        workflow=run.workflow_name,
        version=run.workflow_version,
        hash=run.workflow_hash,
        status=status,
        input=run.input,
        output=run.output,
        error=run.error,
        conversation_id=run.conversation_id,
        message_id=run.message_id,
        replay_of=run.replay_of,
        created_at=run.created_at,
        finished_at=run.finished_at,
        due_at=run.due_at,
        priority=Priority.of_rank(run.priority),
        parent_run_id=run.parent_run_id,
        parent_step=run.parent_path,
        is_cancelling=run.cancel_requested_at is not None and run.finished_at is None,
        is_pausing=run.pause_requested_at is not None and status in PAUSABLE,
    )


def _step_views(state: RunState, definition: WorkflowDefinition) -> list[StepView]:
    return [_step_view(place.path, place.step, state) for place in list_places(state, definition)]


def _step_view(path: str, step: StepDefinition, state: RunState) -> StepView:
    known = state.step(path)
    return StepView(
        id=path,
        type=step.type.value,
        state=shown_status(state, path),
        tool=step.tool,
        attempts=known.attempt,
        duration_ms=known.duration_ms,
        output=dict(known.output) if known.output is not None else None,
        error=known.error,
        condition=dict(known.condition) if known.condition else None,
        undo=_undo(known),
        awaited=_awaited(known),
        reason=known.reason,
        child_run_id=UUID(child) if (child := child_of(known)) else None,
    )


def _awaited(step: StepState) -> dict[str, Any] | None:
    if step.status is not StepStatus.WAITING or step.awaited is None:
        return None
    until = step.awaited["until"]
    return {**step.awaited, "until": dt.datetime.fromisoformat(until) if until else None}


def _undo(step: StepState) -> dict[str, Any] | None:
    undo = step.undo
    if not undo.action:
        return None
    state = StepStatus.DONE if step.status is StepStatus.UNDONE else StepStatus.RUNNING
    state = StepStatus.STUCK if step.status is StepStatus.STUCK else state
    return {
        "action": undo.action,
        "state": state.value,
        "attempts": undo.attempt,
        "output": dict(undo.output) if undo.output is not None else None,
        "error": undo.error,
    }

"""Runs of subworkflow steps: begun, awaited and undone by the run above them.

Whoever writes to both runs locks the upper one first, so that none waits for the other in a circle.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from apps.orchestration import events
from apps.orchestration.contracts import Origin, RunStatus
from apps.orchestration.definitions.contracts import UNDO_CHILD, StepDefinition
from apps.orchestration.definitions.language.children import INHERITED, MAX_DEPTH
from apps.orchestration.definitions.selectors import find_published, get_definition
from apps.orchestration.engine import decisions as d
from apps.orchestration.engine.family import CLEAN_ENDS
from apps.orchestration.engine.inputs import check_input
from apps.orchestration.engine.journal import Journal, append_fact, read_state
from apps.orchestration.engine.state import REQUESTED, Kind
from apps.orchestration.engine.waits import database_now, moment_after
from apps.orchestration.models import AgentRun
from apps.orchestration.run_ids import derive_run_id
from apps.orchestration.steering import hint_on_commit, wake
from apps.resilience.errors import ConflictError, DomainError
from apps.tenants.context import in_tenant

# A run that is being undone has to be due at some time; its child's end wakes it long before.
LOOK_AGAIN_S = 3600.0
WOKEN = (RunStatus.SLEEPING, RunStatus.COMPENSATING)


def begin_child(journal: Journal, command: d.BeginChild) -> None:
    """Create a step's own run in the transaction that says that it is waited for. Raises CancelArrived."""
    step = command.step
    base = {"step": command.path, "attempt": command.attempt, "condition": command.condition}
    until = moment_after(journal, step.timeout_s) if step.timeout_s else None
    try:
        with journal.commit(begins_something=True):
            child = _create(journal, command)
            awaited = {"kind": "run", "what": str(child.id), "until": until, "workflow": step.workflow}
            journal.note(Kind.STEP_WAITING, {**base, "awaited": awaited})
    except DomainError as error:
        journal.note(Kind.STEP_FAILED, {**base, "error": _words(error), "is_final": True})


def end_child_if_over(journal: Journal, command: d.Await) -> float | None:
    """Take the child's end as the step's if it has come, or return for how many seconds it may still last.

    A child that takes too long is cancelled, and its end awaited all the same. Belongs in the transaction
    that has locked the run.
    """
    child = _lock(command.awaited["what"])
    if child is None or RunStatus(child.status).is_end:
        _note_end(journal, command, child)
        return None
    left_s = _left_s(command)
    if left_s is None or left_s > 0:
        return math.inf if left_s is None else left_s
    _ask_to_stop(journal, child)
    return math.inf


def undo_child(journal: Journal, command: d.UndoChild) -> bool:
    """Have the child of a step that is undone undone too, and take its end; returns whether it sleeps."""
    base = {"step": command.step, "action": UNDO_CHILD, "attempt": command.attempt}
    with journal.commit() as fields:
        child = _lock(command.child_id)
        status = RunStatus(child.status) if child else RunStatus.CANCELLED
        if child is None or status in CLEAN_ENDS or _leaves_nothing(journal, child):
            output = {"run_id": command.child_id, "status": status}
            journal.note(Kind.STEP_UNDONE, {**base, "output": output}, _compensated(journal, command))
            return False
        if status is RunStatus.COMPENSATION_FAILED and (command.is_asked or not command.retries):
            error = f"its run {child.id} could not be undone: settle it there, or retry"
            journal.note(Kind.UNDO_FAILED, {**base, "error": error, "is_final": True})
            return False
        _ask_to_undo(journal, child)
        if not command.is_asked:
            journal.note(Kind.UNDO_INTENDED, {**base, "arguments": {"run_id": command.child_id}})
        fields |= {"due_in_s": LOOK_AGAIN_S, "lease_owner": ""}
    return True


@contextmanager
def waking_parent(journal: Journal) -> Iterator[None]:
    """Wake the run above in the transaction in which this one ends; its row is locked before this one's."""
    if journal.run.parent_run_id is None:
        yield
        return
    with in_tenant(journal.tenant):
        parent = _lock(journal.run.parent_run_id)
        yield
        if parent is not None and parent.status in WOKEN:
            wake(parent)
            hint_on_commit(journal.tenant, parent.id)


def _create(journal: Journal, command: d.BeginChild) -> AgentRun:
    from apps.orchestration.services import create_run  # which executes what is begun here

    run, step, given = journal.run, command.step, journal.state.input
    definition = find_published(tenant=journal.tenant, name=step.workflow)
    _check_line(run, step)
    inherited = {name: given[name] for name in INHERITED if given.get(name) is not None}
    checked = check_input(definition, {**inherited, **command.arguments})
    place = f"{command.path}/{journal.state.retries}/{command.attempt}"
    return create_run(
        tenant=journal.tenant,
        definition=definition,
        input={**checked, **{name: given[name] for name in ("seq",) if name in given}},
        run_id=derive_run_id(run.id, place),
        origin=Origin(run.id, command.path, run.depth + 1),
    )


def _check_line(run: AgentRun, step: StepDefinition) -> None:
    """Refuse what would run itself, or go too deep. Raises ConflictError."""
    if run.depth >= MAX_DEPTH:
        raise ConflictError(f"{step.workflow} would be the run of a run more than {MAX_DEPTH} deep.")
    name, above = run.workflow_name, run.parent_run_id
    while name != step.workflow and above is not None:
        known = AgentRun.objects.filter(id=above).values_list("workflow_name", "parent_run_id").first()
        name, above = known or ("", None)
    if name == step.workflow:
        raise ConflictError(f"{step.workflow} would run itself.")


def _lock(run_id: UUID | str) -> AgentRun | None:
    return AgentRun.objects.select_for_update().filter(id=run_id).first()


def _left_s(command: d.Await) -> float | None:
    until = command.awaited["until"]
    return (dt.datetime.fromisoformat(until) - database_now()).total_seconds() if until else None


def _note_end(journal: Journal, command: d.Await, child: AgentRun | None) -> None:
    step, base = command.step, {"step": command.path, "attempt": command.attempt}
    status = RunStatus(child.status) if child else RunStatus.FAILED
    if child is not None and status is RunStatus.COMPLETED:
        took = child.finished_at - child.created_at if child.finished_at else dt.timedelta()
        data = {**base, "output": _output(child), "duration_ms": round(took.total_seconds() * 1000)}
        journal.note(Kind.STEP_COMPLETED, data)
        return
    is_final = status is RunStatus.COMPENSATION_FAILED or command.attempt >= step.retry.max_attempts
    told = {"error": _error(command, child), "ended": status, "is_final": is_final}
    retry_in_s = 0.0 if is_final else step.retry.delay_s(command.attempt)
    journal.note(Kind.STEP_FAILED, {**base, **told, "retry_in_s": retry_in_s})


def _output(child: AgentRun) -> dict[str, Any]:
    given = child.output or {}
    receipt = given.get("receipt", {})
    return {
        "run_id": str(child.id),
        "status": child.status,
        "text": given.get("text", ""),
        "outputs": given.get("outputs", {}),
        "citations": given.get("sources", []),
        **{name: receipt[name] for name in ("provider", "model", "knows") if name in receipt},
    }


def _error(command: d.Await, child: AgentRun | None) -> str:
    if child is None:
        return "its run was erased"
    if child.status == RunStatus.CANCELLED:
        left_s = _left_s(command)
        is_late = left_s is not None and left_s <= 0
        return (
            f"its run took longer than {command.step.timeout_s:g} s" if is_late else "its run was cancelled"
        )
    return f"its run is {child.status}: {child.error}"


def _leaves_nothing(journal: Journal, child: AgentRun) -> bool:
    """Tell whether a run was completed without anything that can be undone."""
    if child.status != RunStatus.COMPLETED:
        return False
    definition = get_definition(tenant=journal.tenant, digest=child.workflow_hash)
    return not d.list_undoable(read_state(child), definition)


def _ask_to_undo(journal: Journal, child: AgentRun) -> None:
    by = f"run:{journal.run.id}"
    match RunStatus(child.status):
        case RunStatus.COMPLETED:
            fact = {"reason": REQUESTED, "by": by, "why": "the run above is undone"}
            append_fact(child, Kind.COMPENSATION_STARTED, fact, finished_at=None)
        case RunStatus.COMPENSATION_FAILED:
            append_fact(child, Kind.RETRY_REQUESTED, {"by": by}, finished_at=None)
        case RunStatus.COMPENSATING:
            return
        case _:
            _ask_to_stop(journal, child)
    hint_on_commit(journal.tenant, child.id)


def _ask_to_stop(journal: Journal, child: AgentRun) -> None:
    """Leave the wish to cancel; a run that rests with an unknown outcome sees it once that is settled."""
    if child.cancel_requested_at is None:
        AgentRun.objects.filter(id=child.id).update(cancel_requested_at=Now())
    if child.status in (RunStatus.RUNNING, RunStatus.SLEEPING):
        wake(child)
        hint_on_commit(journal.tenant, child.id)


def _compensated(journal: Journal, command: d.UndoChild) -> events.StepCompensated:
    run = journal.run
    return events.StepCompensated(
        tenant_id=run.tenant_id,
        run_id=run.id,
        conversation_id=run.conversation_id,
        step=command.step,
        action=UNDO_CHILD,
    )


def _words(error: DomainError) -> str:
    """Say what was refused, with every field of an input."""
    told = "; ".join(f"{name}: {' '.join(messages)}" for name, messages in error.errors.items())
    return told or error.detail

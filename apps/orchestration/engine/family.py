"""What a run does about the runs of its subworkflow steps: which are undone, and how."""

from __future__ import annotations

from apps.orchestration.contracts import RunStatus, StepStatus
from apps.orchestration.definitions.contracts import (
    UNDO_CHILD,
    CompensationDefinition,
    Effect,
    StepType,
    WorkflowDefinition,
)
from apps.orchestration.engine.commands import UndoChild
from apps.orchestration.engine.state import RunState, StepState

# A child that has ended so has left nothing behind.
CLEAN_ENDS = frozenset({RunStatus.FAILED, RunStatus.COMPENSATED, RunStatus.CANCELLED})


def child_of(step: StepState) -> str:
    """Return the id of the run that a step has begun last, or nothing."""
    awaited = step.awaited or {}
    return str(awaited["what"]) if awaited.get("kind") == "run" else ""


def list_open(state: RunState, definition: WorkflowDefinition) -> list[CompensationDefinition]:
    """Return the undoing of children of steps that are not done, which may have left something behind."""
    return [
        CompensationDefinition(path, UNDO_CHILD, Effect.TRANSACTIONAL)
        for path in reversed(list(state.steps))
        if path not in state.done
        and _is_child(path, definition)
        and _may_have_left_something(state.step(path))
    ]


def _is_child(path: str, definition: WorkflowDefinition) -> bool:
    return bool(definition.children) and definition.step(path).type is StepType.SUBWORKFLOW


def undo_child(step_id: str, state: RunState) -> UndoChild:
    """Decide what is asked of the run of a step that is undone."""
    known = state.step(step_id)
    is_asked = known.undo.is_intended
    attempt = known.undo.attempt if is_asked else known.undo.attempt + 1
    return UndoChild(step_id, attempt, child_of(known), is_asked, state.retries)


def _may_have_left_something(step: StepState) -> bool:
    if not child_of(step) or step.status in (StepStatus.PENDING, StepStatus.UNDONE):
        return False
    return not (step.status is StepStatus.FAILED and (step.awaited or {}).get("ended") in CLEAN_ENDS)

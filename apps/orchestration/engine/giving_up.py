"""Ends what takes one worker after another down with it."""

from __future__ import annotations

from typing import Any

from apps.orchestration.contracts import RunStatus
from apps.orchestration.definitions.contracts import UNDO_CHILD, WorkflowDefinition
from apps.orchestration.engine import decisions as d
from apps.orchestration.engine.children import waking_parent
from apps.orchestration.engine.journal import Journal
from apps.orchestration.engine.state import Kind

ERROR = "given up: the worker died or failed at this place again and again"


def give_up(journal: Journal, definition: WorkflowDefinition, settings: dict[str, dict[str, Any]]) -> None:
    """Fail the step that the run stands at, or end a run that cannot even end properly."""
    command = d.decide(journal.state, definition, settings)
    final = {"error": ERROR, "is_final": True}
    match command:
        case d.Execute() | d.BeginChild() | d.BeginWait() | d.Await():
            journal.note(Kind.STEP_FAILED, {"step": command.path, "attempt": command.attempt, **final})
        case d.Together(commands):
            for one in commands:
                journal.note(Kind.STEP_FAILED, {"step": one.path, "attempt": one.attempt, **final})
        case d.LookUp():
            journal.note(Kind.STEP_UNKNOWN, {"step": command.path})
        case d.RunFallback():
            failed = {"step": command.path, "action": command.action, "error": ERROR}
            journal.note(Kind.FALLBACK_FAILED, failed)
        case d.UndoStep(compensation, attempt):
            undone = {"step": compensation.step, "action": compensation.action, "attempt": attempt}
            journal.note(Kind.UNDO_FAILED, {**undone, **final})
        case d.UndoChild(step_id, attempt):
            undone = {"step": step_id, "action": UNDO_CHILD, "attempt": attempt}
            journal.note(Kind.UNDO_FAILED, {**undone, **final})
        case d.Finish():
            journal.note(Kind.RUN_ENDED, {"status": RunStatus.FAILED.value, "error": ERROR})
            with waking_parent(journal):
                journal.flush(is_finished=True, lease_owner="", error=ERROR)
            return
    journal.flush()

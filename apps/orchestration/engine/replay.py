"""Replay a run's history through the engine's decisions: whether each fact is what would be decided again."""

from __future__ import annotations

from collections.abc import Sequence

from apps.orchestration.definitions.contracts import WorkflowDefinition
from apps.orchestration.engine import decisions as d
from apps.orchestration.engine.state import REQUESTED, Fact, Kind, RunState, fold

# What people and other processes add to a run; no decision leads to it.
FROM_OUTSIDE = frozenset(
    {
        Kind.CANCEL_REQUESTED, Kind.PAUSED, Kind.RESUMED, Kind.RETRY_REQUESTED, Kind.STEP_RESOLVED,
        Kind.STEP_UNDONE,
    }
)  # fmt: skip
OUTCOMES = {
    d.Execute: {Kind.STEP_INTENDED, Kind.STEP_COMPLETED, Kind.STEP_FAILED},
    d.BeginWait: {Kind.STEP_WAITING, Kind.STEP_FAILED},
    d.Await: {Kind.STEP_COMPLETED, Kind.STEP_FAILED},
    d.LookUp: {Kind.STEP_RESOLVED, Kind.STEP_UNKNOWN},
    d.RunFallback: {Kind.FALLBACK_COMPLETED, Kind.FALLBACK_FAILED},
    d.UndoStep: {Kind.UNDO_INTENDED, Kind.STEP_UNDONE, Kind.UNDO_FAILED},
}


def replay(facts: Sequence[Fact], definition: WorkflowDefinition) -> list[str]:
    """Return what does not follow from what went before it, in the order of the history; nothing if all does.

    A condition that reads the tool settings may have been decided under other ones: it is not held against
    the history.
    """
    if not facts or facts[0].kind is not Kind.RUN_STARTED:
        return ["1: the history does not begin with run_started"]
    state, found = fold(facts[:1]), []
    for seq, fact in enumerate(facts[1:], start=2):
        if not _is_from_outside(fact) and (wrong := _difference(fact, state, definition)):
            found.append(f"{seq}: {wrong}")
        state = fold([fact], state)
    return found


def _is_from_outside(fact: Fact) -> bool:
    if fact.kind is Kind.STEP_UNDONE:
        return bool(fact.data.get("by"))
    is_request = fact.kind is Kind.COMPENSATION_STARTED and fact.data.get("reason") == REQUESTED
    return is_request or fact.kind in FROM_OUTSIDE


def _difference(fact: Fact, state: RunState, definition: WorkflowDefinition) -> str:
    command = d.decide(state, definition)
    told = f"{fact.kind} {fact.data.get('step', '')}".strip()
    if isinstance(command, d.Finish):
        is_same = fact.kind is Kind.RUN_ENDED and fact.data["status"] in (command.status, "failed")
        return "" if is_same else f"{told}, but the run ends as {command.status}"
    if isinstance(command, d.Rest):
        return f"{told}, but the run rests"
    if (
        isinstance(command, d.Record)
        and fact.kind is command.fact.kind
        and _step(fact) == _step(command.fact)
    ):
        return ""
    if fact.kind in _possible(command) and fact.data.get("step") == _step_of(command):
        return ""
    if _reads_settings(fact, definition):
        return ""
    return f"{told}, but {type(command).__name__} {_step_of(command)} is decided".replace("  ", " ")


def _possible(command: d.Command) -> set[Kind]:
    return {command.fact.kind} if isinstance(command, d.Record) else OUTCOMES.get(type(command), set())


def _step(fact: Fact) -> str:
    return str(fact.data.get("step", ""))


def _step_of(command: d.Command) -> str:
    match command:
        case d.Record(fact):
            return _step(fact)
        case d.UndoStep(compensation):
            return compensation.step
        case d.Execute(step) | d.BeginWait(step) | d.Await(step) | d.LookUp(step) | d.RunFallback(step):
            return step.id
    return ""


def _reads_settings(fact: Fact, definition: WorkflowDefinition) -> bool:
    named = {step.id: step for step in definition.steps}.get(_step(fact))
    return named is not None and any("settings" in text for text in (named.condition, str(named.config)))

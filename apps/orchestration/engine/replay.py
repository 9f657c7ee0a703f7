"""Replay a run's history through the engine's decisions: whether each fact is what would be decided again."""

from __future__ import annotations

from collections.abc import Sequence

from apps.orchestration.definitions.contracts import WorkflowDefinition, step_id_of
from apps.orchestration.engine import decisions as d
from apps.orchestration.engine.state import REQUESTED, Fact, Kind, RunState, fold

# What people and other processes add to a run; no decision leads to it.
FROM_OUTSIDE = frozenset(
    {
        Kind.CANCEL_REQUESTED,
        Kind.PAUSED,
        Kind.RESUMED,
        Kind.RETRY_REQUESTED,
        Kind.RUN_TIMED_OUT,
        Kind.STEP_RESOLVED,
        Kind.STEP_UNDONE,
    }
)
OUTCOMES = {
    d.Execute: {Kind.STEP_INTENDED, Kind.STEP_COMPLETED, Kind.STEP_FAILED},
    d.BeginWait: {Kind.STEP_WAITING, Kind.STEP_FAILED},
    d.Await: {Kind.STEP_COMPLETED, Kind.STEP_FAILED},
    d.LookUp: {Kind.STEP_RESOLVED, Kind.STEP_UNKNOWN},
    d.RunFallback: {Kind.FALLBACK_COMPLETED, Kind.FALLBACK_FAILED},
    d.BeginChild: {Kind.STEP_WAITING, Kind.STEP_FAILED},
    d.UndoChild: {Kind.UNDO_INTENDED, Kind.STEP_UNDONE, Kind.UNDO_FAILED},
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
    if _ends_what_began(fact, state):
        return ""
    under_way = frozenset(state.under_way)
    commands = list(d.list_commands(state, definition, {}, under_way))
    if under_way:
        commands += d.list_commands(state, definition, {})
    if any(_leads_to(command, fact) for command in commands) or _sleeps(fact, commands):
        return ""
    if _reads_settings(fact, definition):
        return ""
    told = f"{fact.kind} {fact.data.get('step', '')}".strip()
    return f"{told}, but {' or '.join(_words(command) for command in commands[:3]) or 'nothing'} is decided"


def _ends_what_began(fact: Fact, state: RunState) -> bool:
    """Tell whether it is the result of what was under way, beside whatever else happened."""
    if fact.kind in (Kind.STEP_COMPLETED, Kind.STEP_FAILED):
        return _step(fact) in state.under_way
    is_undoing = fact.kind in (Kind.STEP_UNDONE, Kind.UNDO_FAILED)
    return is_undoing and state.step(_step(fact)).undo.is_intended


def _sleeps(fact: Fact, commands: Sequence[d.Command]) -> bool:
    return fact.kind is Kind.RUN_SLEPT and all(isinstance(command, d.Await) for command in commands)


def _leads_to(command: d.Command, fact: Fact) -> bool:
    match command:
        case d.Finish(status):
            return fact.kind is Kind.RUN_ENDED and fact.data["status"] in (status, "failed")
        case d.Record(decided):
            return fact.kind is decided.kind and _step(fact) == _step(decided)
    return fact.kind in OUTCOMES.get(type(command), ()) and _step(fact) == _step_of(command)


def _words(command: d.Command) -> str:
    match command:
        case d.Finish(status):
            return f"the end as {status}"
        case d.Record(fact):
            return f"{fact.kind} {_step(fact)}".strip()
    return f"{type(command).__name__} {_step_of(command)}".strip()


def _step(fact: Fact) -> str:
    return str(fact.data.get("step", ""))


def _step_of(command: d.Command) -> str:
    if isinstance(command, d.UndoStep):
        return command.compensation.step
    if isinstance(command, d.UndoChild):
        return command.step
    return str(getattr(command, "path", ""))


def _reads_settings(fact: Fact, definition: WorkflowDefinition) -> bool:
    named = {step.id: step for step in definition.all_steps}.get(step_id_of(_step(fact)))
    if named is None:
        return False
    return any("settings" in text for text in (named.condition, str(named.config), str(named.next)))

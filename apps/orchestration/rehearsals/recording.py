"""What a recorded run did: the calls of its steps with their arguments, results and waits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.orchestration.definitions.contracts import WorkflowDefinition
from apps.orchestration.definitions.language.expressions import EvaluationError, render
from apps.orchestration.engine.decisions import Settings, variables_of
from apps.orchestration.engine.journal import plain
from apps.orchestration.engine.state import Fact, Kind, RunState, fold

STEP, UNDO, FALLBACK = "step", "undo", "fallback"
Place = tuple[str, str]  # what is done there (a step, its undoing, its fallback), and the step's id


@dataclass(frozen=True)
class Call:
    """One call with its arguments, and what came of it; `how` says where that comes from."""

    tool: str
    arguments: Mapping[str, Any]
    output: Mapping[str, Any] | None = None
    error: str = ""
    how: str = ""


@dataclass(frozen=True)
class Recording:
    """The last call at each place of a run, and what its waits were answered with."""

    calls: Mapping[Place, Call] = field(default_factory=dict)
    waits: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = field(default_factory=dict)

    def find(self, place: Place, tool: str, arguments: Mapping[str, Any]) -> Call | None:
        """Return the same call at the same place: by the same tool with the same arguments."""
        call = self.calls.get(place)
        is_same = call is not None and call.tool == tool and call.arguments == plain(arguments)
        return call if is_same else None

    def find_answer(self, step_id: str, awaited: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return what the same wait was answered with."""
        known = self.waits.get(step_id)
        if known is None or any(known[0].get(name) != awaited.get(name) for name in ("kind", "what")):
            return None
        return known[1]


def read_recording(facts: Iterable[Fact], definition: WorkflowDefinition, settings: Settings) -> Recording:
    """Read a history; arguments that it does not hold are rendered again from what was known then."""
    calls: dict[Place, Call] = {}
    waits: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
    state = RunState()
    for fact in facts:
        step_id = str(fact.data.get("step", ""))
        awaited = state.step(step_id).awaited
        if fact.kind is Kind.STEP_COMPLETED and awaited is not None and awaited["kind"] != "run":
            waits[step_id] = (awaited, fact.data["output"])
        elif (role := _role_of(fact)) and (call := _call(role, fact, state, definition, settings)):
            calls[role, step_id] = call
        state = fold([fact], state)
    return Recording(calls, waits)


def _role_of(fact: Fact) -> str:
    """Tell what ended with a fact; nothing where an attempt is to follow."""
    match fact.kind:
        case Kind.STEP_COMPLETED:
            return STEP
        case Kind.STEP_RESOLVED if fact.data["outcome"] == "done":
            return STEP
        case Kind.STEP_FAILED if fact.data["is_final"]:
            return STEP
        case Kind.STEP_UNDONE:
            return UNDO
        case Kind.UNDO_FAILED if fact.data["is_final"]:
            return UNDO
        case Kind.FALLBACK_COMPLETED | Kind.FALLBACK_FAILED:
            return FALLBACK
    return ""


def _call(
    role: str, fact: Fact, state: RunState, definition: WorkflowDefinition, settings: Settings
) -> Call | None:
    step_id = str(fact.data["step"])
    try:
        step = definition.step(step_id)
        if step.is_container:
            return None
        if role == STEP:
            tool, config, known = step.tool or step.workflow, step.config, state.step(step_id).arguments
        else:
            undo = definition.compensation.get(step.id) if role == UNDO else None
            tool, config = str(fact.data["action"]), undo.config if undo else {}
            known = state.step(step_id).undo.arguments if role == UNDO else {}
        arguments = known or render(config, variables_of(state, definition, settings, step_id))
    except (EvaluationError, KeyError):
        return None
    return Call(
        tool, plain(arguments), fact.data.get("output"), str(fact.data.get("error", "")), how="recorded"
    )

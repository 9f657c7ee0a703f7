"""What a run does next: a pure function of its state and its definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.orchestration.contracts import RunStatus, StepStatus
from apps.orchestration.definitions.contracts import (
    CompensationDefinition,
    Effect,
    StepDefinition,
    StepType,
    WorkflowDefinition,
)
from apps.orchestration.definitions.language.expressions import (
    EvaluationError,
    evaluate_condition,
    inputs_of,
    render,
)
from apps.orchestration.engine.state import REWIND, Fact, Kind, RunState, StepState
from apps.orchestration.tools.specs import TOOLS

Settings = Mapping[str, Mapping[str, Any]]
# has(settings.some_tool.key) asks for the key: the tool itself is always there.
NO_SETTINGS: Settings = {name: {} for name in TOOLS}
REPEATABLE = frozenset({Effect.NONE, Effect.TRANSACTIONAL, Effect.IDEMPOTENT})


@dataclass(frozen=True)
class Record:
    """Nothing is to be done but to take note of a fact that follows from what is known."""

    fact: Fact


@dataclass(frozen=True)
class Execute:
    """Execute a step. A repeat's intent is recorded already, with these very arguments."""

    step: StepDefinition
    attempt: int
    arguments: Mapping[str, Any]
    variables: Mapping[str, Any]
    condition: Mapping[str, Any] | None = None
    is_repeat: bool = False
    delay_s: float = 0.0

    @property
    def path(self) -> str:
        """Name the effect within the run."""
        return self.step.id


@dataclass(frozen=True)
class BeginWait:
    """Begin to wait; the moment until which is found by the database's clock."""

    step: StepDefinition
    attempt: int
    arguments: Mapping[str, Any]
    condition: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Await:
    """See whether what a step waits for is there; else the run sleeps on."""

    step: StepDefinition
    attempt: int
    awaited: Mapping[str, Any]


@dataclass(frozen=True)
class LookUp:
    """Ask whether the intended effect happened."""

    step: StepDefinition
    attempt: int
    arguments: Mapping[str, Any]

    @property
    def path(self) -> str:
        return self.step.id


@dataclass(frozen=True)
class RunFallback:
    """Answer in the failed step's stead."""

    step: StepDefinition
    action: str


@dataclass(frozen=True)
class UndoStep:
    """Undo a completed step."""

    compensation: CompensationDefinition
    attempt: int
    arguments: Mapping[str, Any]
    undone: Mapping[str, Any] = field(default_factory=dict)
    is_repeat: bool = False
    delay_s: float = 0.0

    @property
    def path(self) -> str:
        """Name the effect within the run; never the same as the step's own."""
        return f"{self.compensation.step}/undo"


@dataclass(frozen=True)
class Finish:
    """End the run."""

    status: RunStatus


@dataclass(frozen=True)
class Rest:
    """Nothing is to be done until somebody asks for something."""


Command = Record | Execute | BeginWait | Await | LookUp | RunFallback | UndoStep | Finish | Rest


def decide(state: RunState, definition: WorkflowDefinition, settings: Settings | None = None) -> Command:
    """Choose the next command of a run."""
    if state.status.is_end or state.status in (RunStatus.WAITING, RunStatus.PAUSED):
        return Rest()
    if state.status is RunStatus.COMPENSATING:
        return _undo_next(state, definition, settings or {})
    for step in definition.steps:
        if state.step(step.id).status is StepStatus.RUNNING:
            return _settle(step, state, definition, settings or {})
    if state.is_cancelling:
        return _compensate("cancelled")
    if state.status is RunStatus.SLEEPING:
        return _await(state, definition)
    if state.fallback is not None:
        return Finish(RunStatus.COMPLETED)
    if state.failed_step:
        step = definition.step(state.failed_step)
        if step.fallback and not state.has_fallback_failed:
            return RunFallback(step, step.fallback)
        return _compensate("failed")
    return _go_on(state, definition, settings or {})


def variables_of(state: RunState, definition: WorkflowDefinition, settings: Settings) -> dict[str, Any]:
    """Collect what conditions and texts may read; a skipped step's outputs read as nothing."""
    steps: dict[str, Any] = {}
    known: dict[str, Any] = {}
    for step in definition.steps:
        done = state.step(step.id)
        if done.status is StepStatus.PENDING:
            continue
        steps[step.id] = {**step.outputs, **(done.output or {}), "state": done.status.value}
        if step.type is StepType.ROUTER and done.output:
            known |= {name: steps[step.id][name] for name in ("intent", "confidence", "tier")}
    inputs = {
        declared.name: declared.default for declared in definition.inputs if declared.default is not None
    }
    return {
        "intent": "",
        "confidence": 0.0,
        "tier": "",
        **known,
        "text": state.input.get("text", ""),
        "channel": state.input.get("channel", "api"),
        "input": {**inputs, **state.input},
        "settings": {**NO_SETTINGS, **settings},
        "steps": steps,
    }


def _compensate(reason: str) -> Record:
    return Record(Fact(Kind.COMPENSATION_STARTED, {"reason": reason}))


def _go_on(state: RunState, definition: WorkflowDefinition, settings: Settings) -> Command:
    for step in definition.steps:
        if state.step(step.id).status in (StepStatus.PENDING, StepStatus.FAILED):
            return _begin(step, state, definition, settings)
    return Finish(RunStatus.COMPLETED)


def _begin(
    step: StepDefinition, state: RunState, definition: WorkflowDefinition, settings: Settings
) -> Command:
    known = state.step(step.id)
    variables = variables_of(state, definition, settings)
    try:
        condition = _condition(step, known, variables)
        if condition and not condition["result"]:
            return Record(Fact(Kind.STEP_SKIPPED, {"step": step.id, "condition": condition}))
        arguments = known.arguments if known.attempt and known.arguments else render(step.config, variables)
    except EvaluationError as error:
        return Record(_final_failure(step.id, known.attempt + 1, str(error)))
    if step.type is StepType.WAIT:
        return BeginWait(step, known.attempt + 1, arguments, condition)
    return Execute(
        step, known.attempt + 1, arguments, variables, condition=condition, delay_s=known.retry_in_s
    )


def _await(state: RunState, definition: WorkflowDefinition) -> Command:
    step = next(s for s in definition.steps if state.step(s.id).status is StepStatus.WAITING)
    known = state.step(step.id)
    return Await(step, known.attempt, known.awaited or {})


def _condition(
    step: StepDefinition, known: StepState, variables: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    if not step.condition or known.attempt:
        return known.condition
    return {
        "text": step.condition,
        "inputs": inputs_of(step.condition, variables),
        "result": evaluate_condition(step.condition, variables),
    }


def _final_failure(step_id: str, attempt: int, error: str) -> Fact:
    return Fact(Kind.STEP_FAILED, {"step": step_id, "attempt": attempt, "error": error, "is_final": True})


def _settle(
    step: StepDefinition, state: RunState, definition: WorkflowDefinition, settings: Settings
) -> Command:
    """Deal with an intent that has no result: its executor died, or lost its lease."""
    known = state.step(step.id)
    if step.effect is Effect.LOOKUP:
        return LookUp(step, known.attempt, known.arguments)
    if step.effect is Effect.NEITHER:
        return Record(Fact(Kind.STEP_UNKNOWN, {"step": step.id}))
    variables = variables_of(state, definition, settings)
    return Execute(step, known.attempt, known.arguments, variables, known.condition, is_repeat=True)


def list_undoable(state: RunState, definition: WorkflowDefinition) -> list[CompensationDefinition]:
    """Return what is left to undo, in the order in which it has to be: what was done last comes first."""
    concerned = set(state.steps_since(state.rewind_from))
    done = [step_id for step_id in reversed(state.done) if step_id in concerned]
    declared = [definition.compensation.get(step_id) for step_id in done]
    return [c for c in declared if c and state.step(c.step).status is not StepStatus.UNDONE]


def _undo_next(state: RunState, definition: WorkflowDefinition, settings: Settings) -> Command:
    undoable = list_undoable(state, definition)
    if undoable:
        # Whatever was done before this step stands under it: it is not undone past a stuck one.
        if state.step(undoable[0].step).status is StepStatus.STUCK:
            return Finish(RunStatus.COMPENSATION_FAILED)
        return _undo(undoable[0], state, definition, settings)
    if state.compensating_because == REWIND:
        return Record(Fact(Kind.REWOUND, {"step": state.rewind_from}))
    if state.compensating_because == "cancelled":
        return Finish(RunStatus.CANCELLED)
    has_undone = any(step.status is StepStatus.UNDONE for step in state.steps.values())
    return Finish(RunStatus.COMPENSATED if has_undone else RunStatus.FAILED)


def _undo(
    compensation: CompensationDefinition,
    state: RunState,
    definition: WorkflowDefinition,
    settings: Settings,
) -> Command:
    known = state.step(compensation.step)
    undone = known.output or {}
    if known.undo.is_intended:
        if compensation.effect not in REPEATABLE:
            lost = {
                "step": compensation.step,
                "action": compensation.action,
                "attempt": known.undo.attempt,
                "error": "the outcome of this undoing was lost; look and decide",
                "is_final": True,
            }
            return Record(Fact(Kind.UNDO_FAILED, lost))
        return UndoStep(compensation, known.undo.attempt, known.undo.arguments, undone, is_repeat=True)
    try:
        arguments = render(compensation.config, variables_of(state, definition, settings))
    except EvaluationError as error:
        failed = {"step": compensation.step, "action": compensation.action, "attempt": 1, "is_final": True}
        return Record(Fact(Kind.UNDO_FAILED, {**failed, "error": str(error)}))
    return UndoStep(compensation, known.undo.attempt + 1, arguments, undone, delay_s=known.undo.retry_in_s)

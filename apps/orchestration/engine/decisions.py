"""What a run does next: a pure function of its state and its definition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from apps.orchestration.contracts import RunStatus, StepStatus
from apps.orchestration.definitions.contracts import (
    DEFAULT_MAX_ITEMS,
    END,
    UNDO_CHILD,
    CompensationDefinition,
    Effect,
    StepDefinition,
    StepType,
    WorkflowDefinition,
    step_id_of,
)
from apps.orchestration.definitions.language.expressions import (
    EvaluationError,
    evaluate_condition,
    inputs_of,
    render,
)
from apps.orchestration.engine.choosing import choose
from apps.orchestration.engine.commands import Await as Await
from apps.orchestration.engine.commands import BeginChild as BeginChild
from apps.orchestration.engine.commands import BeginWait as BeginWait
from apps.orchestration.engine.commands import Command as Command
from apps.orchestration.engine.commands import Execute as Execute
from apps.orchestration.engine.commands import Finish as Finish
from apps.orchestration.engine.commands import Linger as Linger
from apps.orchestration.engine.commands import LookUp as LookUp
from apps.orchestration.engine.commands import Record as Record
from apps.orchestration.engine.commands import Rest as Rest
from apps.orchestration.engine.commands import RunFallback as RunFallback
from apps.orchestration.engine.commands import Together as Together
from apps.orchestration.engine.commands import UndoChild as UndoChild
from apps.orchestration.engine.commands import UndoStep as UndoStep
from apps.orchestration.engine.family import list_open, undo_child
from apps.orchestration.engine.flow import (
    JOINED,
    Awaiting,
    Begin,
    Close,
    End,
    LeaveOut,
    Move,
    Overrun,
    Turn,
    is_doomed,
    latest_results,
    list_moves,
    scope_of,
)
from apps.orchestration.engine.state import REWIND, Fact, Kind, RunState, StepState
from apps.orchestration.tools.specs import TOOLS

Settings = Mapping[str, Mapping[str, Any]]
# has(settings.some_tool.key) asks for the key: the tool itself is always there.
NO_SETTINGS: Settings = {name: {} for name in TOOLS}
REPEATABLE = frozenset({Effect.NONE, Effect.TRANSACTIONAL, Effect.IDEMPOTENT})


NOTHING: frozenset[str] = frozenset()


def decide(
    state: RunState,
    definition: WorkflowDefinition,
    settings: Settings | None = None,
    busy: frozenset[str] = NOTHING,
) -> Command:
    """Choose the next command of a run; `busy` are the paths of the steps that are under way here."""
    return choose(list_commands(state, definition, settings or {}, busy), state, busy)


def list_commands(
    state: RunState, definition: WorkflowDefinition, settings: Settings, busy: frozenset[str] = NOTHING
) -> Iterator[Command]:
    """Yield whatever may be done now, in no order but the workflow's; nothing where there is to be waited."""
    if state.status.is_end or state.status is RunStatus.PAUSED:
        yield Rest()
        return
    if state.status is RunStatus.COMPENSATING:
        yield _undo_next(state, definition, settings)
        return
    lost = [path for path in state.under_way if path not in busy]
    if lost:
        yield from (_settle(path, state, definition, settings) for path in lost)
    elif state.status is RunStatus.WAITING:
        yield from () if busy else (Rest(),)
    elif _is_over(state, definition):
        yield from () if busy else (_end_otherwise(state, definition),)
    else:
        yield from (_follow(move, state, definition, settings) for move in list_moves(state, definition))


def _is_over(state: RunState, definition: WorkflowDefinition) -> bool:
    """Tell whether nothing new may begin."""
    is_stopped = state.is_cancelling or state.is_timed_out or state.fallback is not None
    return is_stopped or is_doomed(state, definition)


def _end_otherwise(state: RunState, definition: WorkflowDefinition) -> Command:
    if state.is_cancelling:
        return _compensate("cancelled")
    if state.fallback is not None:
        return Finish(RunStatus.COMPLETED)
    if not state.failed:
        return _compensate("timed_out")
    step = definition.step(state.failed_step)
    if step.fallback and not state.has_fallback_failed and not state.is_timed_out:
        return RunFallback(step, step.fallback, state.failed_step)
    return _compensate("failed")


def variables_of(
    state: RunState, definition: WorkflowDefinition, settings: Settings, path: str = ""
) -> dict[str, Any]:
    """Collect what the expressions at a path may read; a skipped step's outputs read as nothing."""
    scope = scope_of(state, definition, path)
    steps: dict[str, Any] = {}
    known: dict[str, Any] = {}
    if definition.has_transitions:
        nothing = {"state": StepStatus.PENDING.value}
        steps = {step.id: {**step.outputs, **nothing} for step in definition.outer_steps}
    for step_id, at in scope.visible.items():
        step, done = definition.step(step_id), state.step(at)
        steps[step_id] = {**step.outputs, **(done.output or {}), "state": done.status.value}
        if step.type is StepType.FOREACH and done.output:
            steps[step_id]["results"] = latest_results(step, at, state)
        if step.type is StepType.ROUTER and done.output:
            known |= {name: steps[step_id][name] for name in ("intent", "confidence", "tier")}
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
        **scope.loop,
    }


def _compensate(reason: str) -> Record:
    return Record(Fact(Kind.COMPENSATION_STARTED, {"reason": reason}))


def _follow(move: Move, state: RunState, definition: WorkflowDefinition, settings: Settings) -> Command:
    match move:
        case Begin(path, step):
            return _begin(path, step, state, definition, settings)
        case Awaiting(path, step):
            known = state.step(path)
            return Await(step, known.attempt, known.awaited or {}, path)
        case Close(path, _, output):
            return Record(Fact(Kind.STEP_COMPLETED, {"step": path, "attempt": 1, "output": output}))
        case LeaveOut(path):
            return Record(Fact(Kind.STEP_SKIPPED, {"step": path, "reason": JOINED}))
        case Turn(path, step):
            return _turn(path, step, state, definition, settings)
        case Overrun(path, error):
            return Record(_final_failure(path, 1, error))
        case End():
            return Finish(RunStatus.COMPLETED)


def _begin(
    path: str, step: StepDefinition, state: RunState, definition: WorkflowDefinition, settings: Settings
) -> Command:
    known = state.step(path)
    variables = variables_of(state, definition, settings, path)
    try:
        condition = _condition(step, known, variables)
        if condition and not condition["result"]:
            return Record(Fact(Kind.STEP_SKIPPED, {"step": path, "condition": condition}))
        arguments = known.arguments if known.attempt and known.arguments else render(step.config, variables)
    except EvaluationError as error:
        return Record(_final_failure(path, known.attempt + 1, str(error)))
    if step.is_container:
        return _open(path, step, arguments, condition)
    if step.type is StepType.WAIT:
        return BeginWait(step, known.attempt + 1, arguments, condition, path)
    if step.type is StepType.SUBWORKFLOW:
        return BeginChild(step, known.attempt + 1, arguments, condition, known.retry_in_s, path)
    return Execute(
        step, known.attempt + 1, arguments, variables, condition, delay_s=known.retry_in_s, place=path
    )


def _open(
    path: str, step: StepDefinition, arguments: Mapping[str, Any], condition: Mapping[str, Any] | None
) -> Record:
    """Open a container; what a loop goes through is recorded, and so are its bounds kept."""
    if step.type is StepType.FOREACH:
        items, most = arguments.get("items"), int(step.config.get("max_items", DEFAULT_MAX_ITEMS))
        if not isinstance(items, list):
            return Record(_final_failure(path, 1, f"items is no list but {items!r}"[:500]))
        if len(items) > most:
            error = f"there are {len(items)} items, and max_items is {most}: nothing was begun"
            return Record(_final_failure(path, 1, error))
    opened = {"step": path, "attempt": 1, "arguments": dict(arguments), "condition": condition}
    return Record(Fact(Kind.STEP_OPENED, opened))


def _turn(
    path: str, step: StepDefinition, state: RunState, definition: WorkflowDefinition, settings: Settings
) -> Record:
    """Decide where a run goes after a step: the first transition that applies, else to the step below."""
    variables = variables_of(state, definition, settings, path)
    tried: list[Mapping[str, Any]] = []
    try:
        for transition in step.next:
            if transition.when:
                tried.append(_evaluated(transition.when, variables))
            if not transition.when or tried[-1]["result"]:
                return Record(_transition(path, transition.to, tried))
    except EvaluationError as error:
        return Record(_final_failure(f"{path}/next", 1, str(error)))
    below = definition.steps[definition.position_of(step.id) + 1 :]
    return Record(_transition(path, below[0].id if below else END, tried))


def _transition(path: str, to: str, tried: list[Mapping[str, Any]]) -> Fact:
    return Fact(Kind.TRANSITIONED, {"step": path, "to": to, "conditions": tried})


def _condition(
    step: StepDefinition, known: StepState, variables: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    if not step.condition or known.attempt:
        return known.condition
    return _evaluated(step.condition, variables)


def _evaluated(text: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "text": text,
        "inputs": inputs_of(text, variables),
        "result": evaluate_condition(text, variables),
    }


def _final_failure(path: str, attempt: int, error: str) -> Fact:
    return Fact(Kind.STEP_FAILED, {"step": path, "attempt": attempt, "error": error, "is_final": True})


def _settle(path: str, state: RunState, definition: WorkflowDefinition, settings: Settings) -> Command:
    """Deal with an intent that has no result: its executor died, or lost its lease."""
    step, known = definition.step(path), state.step(path)
    if step.effect is Effect.LOOKUP:
        return LookUp(step, known.attempt, known.arguments, path)
    if step.effect is Effect.NEITHER:
        return Record(Fact(Kind.STEP_UNKNOWN, {"step": path}))
    variables = variables_of(state, definition, settings, path)
    return Execute(
        step, known.attempt, known.arguments, variables, known.condition, is_repeat=True, place=path
    )


def list_undoable(state: RunState, definition: WorkflowDefinition) -> list[CompensationDefinition]:
    """Return what is left to undo, in the order in which it has to be: what was done last comes first."""
    undo, concerned = definition.compensation, set(state.steps_since(state.rewind_from))
    declared = [
        (path, undo[step_id])
        for path in reversed(state.done)
        if path in concerned and (step_id := step_id_of(path)) in undo
    ]
    done = [
        found if path == found.step else replace(found, step=path)
        for path, found in declared
        if state.step(path).status is not StepStatus.UNDONE
    ]
    return [*(c for c in list_open(state, definition) if c.step in concerned), *done]


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
    if compensation.action == UNDO_CHILD:
        return undo_child(compensation.step, state)
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
        arguments = render(compensation.config, variables_of(state, definition, settings, compensation.step))
    except EvaluationError as error:
        failed = {"step": compensation.step, "action": compensation.action, "attempt": 1, "is_final": True}
        return Record(Fact(Kind.UNDO_FAILED, {**failed, "error": str(error)}))
    return UndoStep(compensation, known.undo.attempt + 1, arguments, undone, delay_s=known.undo.retry_in_s)

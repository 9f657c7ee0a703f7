"""A run's state as the fold of its facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from apps.orchestration.contracts import RunStatus, StepStatus
from apps.orchestration.engine.facts import REQUESTED as REQUESTED
from apps.orchestration.engine.facts import REWIND as REWIND
from apps.orchestration.engine.facts import Fact as Fact
from apps.orchestration.engine.facts import Kind as Kind
from apps.orchestration.engine.facts import RunState as RunState
from apps.orchestration.engine.facts import StepState as StepState
from apps.orchestration.engine.facts import Undo as Undo


def fold(facts: Iterable[Fact], state: RunState | None = None) -> RunState:
    """Apply facts in order."""
    state = state or RunState()
    for fact in facts:
        state = _APPLY[fact.kind](state, fact.data)
    return state


def _set(state: RunState, step_id: str, **changes: Any) -> RunState:
    return replace(state, steps={**state.steps, step_id: replace(state.step(step_id), **changes)})


def _set_undo(state: RunState, step_id: str, **changes: Any) -> RunState:
    return _set(state, step_id, undo=replace(state.step(step_id).undo, **changes))


def _started(state: RunState, data: Mapping[str, Any]) -> RunState:
    return replace(state, input=data["input"])


def _awake(state: RunState) -> RunState:
    return replace(state, status=RunStatus.RUNNING) if state.status is RunStatus.SLEEPING else state


def _skipped(state: RunState, data: Mapping[str, Any]) -> RunState:
    return _set(
        _awake(state),
        data["step"],
        status=StepStatus.SKIPPED,
        condition=data.get("condition"),
        reason=data.get("reason", ""),
        is_open=False,
    )


def _intended(state: RunState, data: Mapping[str, Any]) -> RunState:
    return _set(
        _awake(state),
        data["step"],
        status=StepStatus.RUNNING,
        attempt=data["attempt"],
        arguments=data["arguments"],
        condition=data.get("condition") or state.step(data["step"]).condition,
    )


def _opened(state: RunState, data: Mapping[str, Any]) -> RunState:
    return _set(_intended(state, data), data["step"], is_open=True)


def _waiting(state: RunState, data: Mapping[str, Any]) -> RunState:
    """Wait for what `awaited` tells: its `kind`, `what` exactly, and `until` when, if it ends by itself."""
    changed = _set(
        state,
        data["step"],
        status=StepStatus.WAITING,
        attempt=data["attempt"],
        awaited=data["awaited"],
        condition=data.get("condition"),
    )
    return replace(changed, status=RunStatus.SLEEPING)


def _completed(state: RunState, data: Mapping[str, Any]) -> RunState:
    step = data["step"]
    changed = _set(
        state,
        step,
        status=StepStatus.DONE,
        attempt=data["attempt"],
        output=data["output"],
        duration_ms=data.get("duration_ms"),
        condition=data.get("condition") or state.step(step).condition,
        error="",
        is_open=False,
    )
    return replace(_awake(changed), done=(*state.done, step))


def _failed(state: RunState, data: Mapping[str, Any]) -> RunState:
    step = data["step"]
    changed = _set(
        _awake(state),
        step,
        status=StepStatus.FAILED,
        attempt=data["attempt"],
        error=data["error"],
        retry_in_s=data.get("retry_in_s", 0.0),
        awaited=_ended_as(state.step(step).awaited, data),
    )
    if not data["is_final"]:
        return changed
    return replace(changed, failed_step=step, error=data["error"], failed=(*state.failed, step))


def _ended_as(awaited: Mapping[str, Any] | None, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Add how the run that a step waited for has ended."""
    return {**awaited, "ended": data["ended"]} if awaited and "ended" in data else awaited


def _unknown(state: RunState, data: Mapping[str, Any]) -> RunState:
    return replace(_set(state, data["step"], status=StepStatus.UNKNOWN), status=RunStatus.WAITING)


def _resolved(state: RunState, data: Mapping[str, Any]) -> RunState:
    step = data["step"]
    others = any(known.status is StepStatus.UNKNOWN for path, known in state.steps.items() if path != step)
    running = state if others else replace(state, status=RunStatus.RUNNING)
    if data["outcome"] == "done":
        known = {"step": step, "attempt": state.step(step).attempt, "output": data.get("output") or {}}
        return _completed(running, known)
    return _set(running, step, status=StepStatus.PENDING)


def _transitioned(state: RunState, data: Mapping[str, Any]) -> RunState:
    return replace(_awake(state), transitions={**state.transitions, data["step"]: data["to"]})


def _slept(state: RunState, data: Mapping[str, Any]) -> RunState:
    return replace(state, status=RunStatus.SLEEPING)


def _timed_out(state: RunState, data: Mapping[str, Any]) -> RunState:
    return replace(_awake(state), is_timed_out=True, error=data["error"])


def _fallback_completed(state: RunState, data: Mapping[str, Any]) -> RunState:
    return replace(state, fallback=data)


def _fallback_failed(state: RunState, data: Mapping[str, Any]) -> RunState:
    return replace(state, has_fallback_failed=True)


def _cancel_requested(state: RunState, data: Mapping[str, Any]) -> RunState:
    return replace(state, is_cancelling=True)


def _paused(state: RunState, data: Mapping[str, Any]) -> RunState:
    return replace(state, status=RunStatus.PAUSED, paused_from=state.status)


def _resumed(state: RunState, data: Mapping[str, Any]) -> RunState:
    return replace(state, status=state.paused_from or state.status, paused_from=None)


def _compensation_started(state: RunState, data: Mapping[str, Any]) -> RunState:
    return replace(
        state,
        status=RunStatus.COMPENSATING,
        compensating_because=data["reason"],
        rewind_from=data.get("from", ""),
    )


def _undo_intended(state: RunState, data: Mapping[str, Any]) -> RunState:
    return _set_undo(
        state,
        data["step"],
        action=data["action"],
        attempt=data["attempt"],
        arguments=data["arguments"],
        is_intended=True,
    )


def _undone(state: RunState, data: Mapping[str, Any]) -> RunState:
    step = data["step"]
    noted = _set_undo(
        state,
        step,
        action=data["action"],
        attempt=data["attempt"],
        output=data["output"],
        is_intended=False,
        error="",
    )
    return _set(noted, step, status=StepStatus.UNDONE)


def _undo_failed(state: RunState, data: Mapping[str, Any]) -> RunState:
    step, is_final = data["step"], data["is_final"]
    noted = _set_undo(
        state,
        step,
        action=data["action"],
        attempt=data["attempt"],
        error=data["error"],
        retry_in_s=data.get("retry_in_s", 0.0),
        is_intended=False,
        is_final=is_final,
    )
    return _set(noted, step, status=StepStatus.STUCK) if is_final else noted


def _retry_requested(state: RunState, data: Mapping[str, Any]) -> RunState:
    """Give what failed its attempts back: a stuck compensation goes on, else the failed step does."""
    if "from" in data:
        return _rewinding(state, data)
    stuck = [name for name, step in state.steps.items() if step.status is StepStatus.STUCK]
    again = replace(state, retries=state.retries + 1)
    if stuck:
        for name in stuck:
            again = _set(again, name, status=StepStatus.DONE, undo=Undo())
        return replace(again, status=RunStatus.COMPENSATING)
    for path in dict.fromkeys(filter(None, (*state.failed, state.failed_step))):
        again = _set(again, path, status=StepStatus.PENDING, attempt=0, retry_in_s=0.0)
    return replace(
        again,
        failed=(),
        is_timed_out=False,
        status=RunStatus.RUNNING,
        failed_step="",
        error="",
        fallback=None,
        has_fallback_failed=False,
        compensating_because="",
    )


def _rewinding(state: RunState, data: Mapping[str, Any]) -> RunState:
    return replace(
        state,
        status=RunStatus.COMPENSATING,
        compensating_because=REWIND,
        rewind_from=data["from"],
        retries=state.retries + 1,
        is_cancelling=False,
        is_silent=not data["reply"],
    )


def _rewound(state: RunState, data: Mapping[str, Any]) -> RunState:
    """Forget the steps from one on; when those that were done are done again, their effects have new keys."""
    again = set(state.steps_since(data["step"]))
    counted = {name: state.generations.get(name, 0) + 1 for name in again.intersection(state.done)}
    return replace(
        state,
        status=RunStatus.RUNNING,
        steps={name: step for name, step in state.steps.items() if name not in again},
        done=tuple(name for name in state.done if name not in again),
        failed=tuple(name for name in state.failed if name.removesuffix("/next") not in again),
        transitions={name: to for name, to in state.transitions.items() if name not in again},
        generations={**state.generations, **counted},
        failed_step="",
        error="",
        fallback=None,
        has_fallback_failed=False,
        compensating_because="",
        rewind_from="",
    )


def _ended(state: RunState, data: Mapping[str, Any]) -> RunState:
    status = RunStatus(data["status"])
    return replace(
        state,
        status=status,
        has_answered=state.has_answered or status is RunStatus.COMPLETED,
        rewind_from=state.rewind_from if status is RunStatus.COMPENSATION_FAILED else "",
    )


_APPLY: dict[Kind, Callable[[RunState, Mapping[str, Any]], RunState]] = {
    Kind.RUN_STARTED: _started,
    Kind.STEP_SKIPPED: _skipped,
    Kind.STEP_INTENDED: _intended,
    Kind.STEP_COMPLETED: _completed,
    Kind.STEP_FAILED: _failed,
    Kind.STEP_OPENED: _opened,
    Kind.STEP_WAITING: _waiting,
    Kind.STEP_UNKNOWN: _unknown,
    Kind.STEP_RESOLVED: _resolved,
    Kind.TRANSITIONED: _transitioned,
    Kind.RUN_SLEPT: _slept,
    Kind.RUN_TIMED_OUT: _timed_out,
    Kind.FALLBACK_COMPLETED: _fallback_completed,
    Kind.FALLBACK_FAILED: _fallback_failed,
    Kind.CANCEL_REQUESTED: _cancel_requested,
    Kind.PAUSED: _paused,
    Kind.RESUMED: _resumed,
    Kind.COMPENSATION_STARTED: _compensation_started,
    Kind.UNDO_INTENDED: _undo_intended,
    Kind.STEP_UNDONE: _undone,
    Kind.UNDO_FAILED: _undo_failed,
    Kind.RETRY_REQUESTED: _retry_requested,
    Kind.REWOUND: _rewound,
    Kind.RUN_ENDED: _ended,
}

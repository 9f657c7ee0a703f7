"""Outcomes: what a state and its calls say about a run, in a form to be stored, shown and compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

from apps.orchestration.contracts import StepStatus
from apps.orchestration.definitions.contracts import Effect, StepDefinition, WorkflowDefinition
from apps.orchestration.definitions.sealing import MARK
from apps.orchestration.engine.finish import APOLOGY
from apps.orchestration.engine.flow import list_places
from apps.orchestration.engine.journal import plain
from apps.orchestration.engine.receipts import MAX_STEPS, make_receipt, shown_status
from apps.orchestration.engine.state import RunState, StepState
from apps.orchestration.models import AgentRun
from apps.orchestration.rehearsals.contracts import Comparison, Outcome, StepOutcome
from apps.orchestration.rehearsals.recording import STEP, UNDO, Call, Place
from apps.tenants.secrets import MASK, is_secret_name

MAX_TEXT, MAX_ITEMS = 1000, 20
CUT = "…"


def describe(
    state: RunState, definition: WorkflowDefinition, calls: Mapping[Place, Call], *, error: str = ""
) -> Outcome:
    """Describe a run by its state; `error` says why it did not come to its end."""
    receipt = make_receipt(state, definition, AgentRun(), latency_ms=0)
    shown = receipt.data
    status = "failed" if error else state.status.value
    places = [(place.path, place.step) for place in islice(list_places(state, definition), MAX_STEPS)]
    return Outcome(
        status=status,
        error=error or state.error,
        text=receipt.text if status == "completed" else APOLOGY,
        sources=plain(shown["sources"]),
        **{name: shown[name] for name in ("intent", "confidence", "tier", "escalated", "knows", "model")},
        fallback=plain(shown["fallback"]),
        steps=[_step(path, step, state, calls) for path, step in places],
        prompt_tokens=receipt.prompt_tokens,
        completion_tokens=receipt.completion_tokens,
        cost_microusd=shown["cost_microusd"],
        duration_ms=sum(state.step(path).duration_ms or 0 for path, step in places if _only_reads(step)),
    )


def compare(before: Outcome, after: Outcome) -> Comparison:
    """Tell what differs."""
    return Comparison(
        answer_changed=_words(before.text) != _words(after.text),
        route_changed=(before.intent, before.tier) != (after.intent, after.tier),
        steps_changed=_path(before) != _path(after),
        calls_changed=_calls(before) != _calls(after),
        is_new_failure=before.is_well and not after.is_well,
        is_mended=after.is_well and not before.is_well,
        escalation=int(after.escalated) - int(before.escalated),
    )


def shorten(value: Any, name: str = "") -> Any:
    """Cut what is long, and put a mask in the place of each secret."""
    if isinstance(value, Mapping):
        return {key: shorten(item, str(key)) for key, item in list(value.items())[:MAX_ITEMS]}
    if isinstance(value, list | tuple):
        return [shorten(item, name) for item in list(value)[:MAX_ITEMS]]
    if not isinstance(value, str):
        return value
    if value and is_secret_name(name):
        return MASK
    masked = MARK.sub(MASK, value)
    return masked if len(masked) <= MAX_TEXT else masked[:MAX_TEXT] + CUT


def _step(path: str, step: StepDefinition, state: RunState, calls: Mapping[Place, Call]) -> StepOutcome:
    known, call = state.step(path), calls.get((STEP, path))
    return StepOutcome(
        id=path,
        type=step.type.value,
        tool=step.tool,
        effect=step.effect.value,
        state=_status(state, path).value,
        how=call.how if call else "",
        condition=shorten(plain(known.condition)) if known.condition else None,
        arguments=shorten(call.arguments) if call else {},
        output=None if known.output is None else shorten(plain(known.output)),
        error=known.error,
        attempts=known.attempt,
        duration_ms=known.duration_ms,
        undo=_undo(known, calls.get((UNDO, path))),
    )


def _status(state: RunState, step_id: str) -> StepStatus:
    """Tell a step's state; an abandoned run never came to what is pending either."""
    status = shown_status(state, step_id)
    return StepStatus.SKIPPED if status is StepStatus.PENDING else status


def _undo(known: StepState, call: Call | None) -> dict[str, Any] | None:
    if call is None and not known.undo.action:
        return None
    return {
        "action": known.undo.action or (call.tool if call else ""),
        "how": call.how if call else "",
        "arguments": shorten(call.arguments) if call else {},
        "error": known.undo.error,
    }


def _only_reads(step: StepDefinition) -> bool:
    return step.effect is Effect.NONE and not step.is_container


def _words(text: str) -> list[str]:
    return re.findall(r"\S+", text)


def _path(outcome: Outcome) -> list[tuple[str, str]]:
    return [(step.id, step.state) for step in outcome.steps if step.state != "skipped"]


def _calls(outcome: Outcome) -> list[tuple[str, str, Any, Any]]:
    return [
        (step.id, step.tool or step.type, step.arguments, step.undo and step.undo["action"])
        for step in outcome.steps
        if step.is_call
    ]

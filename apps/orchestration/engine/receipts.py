"""How an answer came about, from the run's state alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from apps.orchestration.contracts import StepStatus
from apps.orchestration.definitions.contracts import StepType, WorkflowDefinition, step_id_of
from apps.orchestration.engine.flow import list_places, parent_of
from apps.orchestration.engine.state import RunState
from apps.orchestration.models import AgentRun

MAX_STEPS = 200  # that a receipt lists; a loop may have thousands


@dataclass(frozen=True)
class Receipt:
    """The reply with its sources, and `data`: what the receipt shows."""

    text: str
    sources: list[dict[str, Any]]
    data: dict[str, Any]
    prompt_tokens: int
    completion_tokens: int


def make_receipt(state: RunState, definition: WorkflowDefinition, run: AgentRun, latency_ms: int) -> Receipt:
    """Write the receipt of a run that ends."""
    by_type = _latest_outputs(state, definition)
    route = by_type.get(StepType.ROUTER, {})
    written = [o for kind in (StepType.LLM, StepType.JUDGE) for o in _outputs(state, definition, kind)]
    answer = by_type.get(StepType.LLM) or by_type.get(StepType.SUBWORKFLOW, {})
    text = str((state.fallback or {}).get("output", {}).get("text") or answer.get("text", ""))
    sources = [] if state.fallback else list(answer.get("citations", []))
    tokens = {name: sum(o.get(name, 0) for o in written) for name in ("prompt_tokens", "completion_tokens")}
    data = {
        "run_id": str(run.id),
        "workflow": definition.name,
        "version": definition.version,
        **{name: route.get(name) for name in ("intent", "confidence", "tier", "model_version", "in_scope")},
        "reasons": route.get("reasons", []),
        "steps": _steps(state, definition),
        "sources": [{"title": s["title"], "index": s["index"]} for s in sources],
        "provider": answer.get("provider", ""),
        "model": answer.get("model", ""),
        **tokens,
        "cost_microusd": sum(o.get("cost_microusd", 0) for o in written),
        "latency_ms": latency_ms,
        "knows": bool(answer.get("knows", False)) and not state.fallback,
        "escalated": StepType.ESCALATION in by_type,
        "fallback": _fallback(state, answer),
    }
    return Receipt(text, sources, data, tokens["prompt_tokens"], tokens["completion_tokens"])


def _outputs(state: RunState, definition: WorkflowDefinition, kind: StepType) -> list[Mapping[str, Any]]:
    of_kind = {step.id for step in definition.all_steps if step.type is kind}
    return [state.step(path).output or {} for path in state.done if step_id_of(path) in of_kind]


def _latest_outputs(state: RunState, definition: WorkflowDefinition) -> dict[StepType, Mapping[str, Any]]:
    return {kind: found[-1] for kind in StepType if (found := _outputs(state, definition, kind))}


def _steps(state: RunState, definition: WorkflowDefinition) -> list[dict[str, Any]]:
    return [
        {
            "id": place.path,
            "state": shown_status(state, place.path).value,
            "duration_ms": state.step(place.path).duration_ms,
        }
        for place in islice(list_places(state, definition), MAX_STEPS)
    ]


def shown_status(state: RunState, path: str) -> StepStatus:
    """Tell a step's state as people see it: what an ended run never came to was skipped."""
    known = state.step(path)
    if known.is_open and state.status.is_end:
        return StepStatus.FAILED  # what is inside tells why
    if known.status not in (StepStatus.PENDING, StepStatus.WAITING):
        return known.status
    return StepStatus.SKIPPED if state.status.is_end or _is_left_out(state, path) else known.status


def _is_left_out(state: RunState, path: str) -> bool:
    parent = parent_of(path)
    return bool(parent) and (state.step(parent).status is StepStatus.SKIPPED or _is_left_out(state, parent))


def _fallback(state: RunState, answer: Mapping[str, Any]) -> dict[str, Any] | None:
    if state.fallback:
        return {name: state.fallback[name] for name in ("step", "action", "reason")}
    if answer.get("is_fallback"):
        return {
            "step": "",
            "action": str(answer.get("provider", "")),
            "reason": answer.get("fallback_reason", ""),
        }
    return None

"""From what a workflow names to what it does."""

from __future__ import annotations

from collections.abc import Callable

from apps.orchestration.definitions.contracts import StepDefinition, StepType
from apps.orchestration.steps.context import Action, Output, StepContext
from apps.orchestration.steps.escalation import escalate
from apps.orchestration.steps.llm import write_reply
from apps.orchestration.steps.router import route
from apps.orchestration.tools import escalations, http, knowledge, leads, orders, replies

TOOL_ACTIONS: dict[str, Action] = {
    "faq_search": knowledge.faq_search,
    "order_search": orders.order_search,
    "order_hold": orders.order_hold,
    "order_release": orders.order_release,
    "order_cancel": orders.order_cancel,
    "cancel_order_hold": orders.cancel_order_hold,
    "lead_capture": leads.lead_capture,
    "http_request": http.http_request,
    "notify_escalation_cancelled": escalations.notify_escalation_cancelled,
    "generic_response": replies.generic_response,
}
STEP_ACTIONS: dict[StepType, Action] = {
    StepType.ROUTER: route,
    StepType.LLM: write_reply,
    StepType.ESCALATION: escalate,
}
Lookup = Callable[[StepContext], Output | None]
LOOKUPS: dict[str, Lookup] = {}


def find_action(named: StepDefinition | str) -> Action:
    """Find what a step, or an action by its name, does."""
    if isinstance(named, str):
        return TOOL_ACTIONS[named]
    return TOOL_ACTIONS[named.tool] if named.type is StepType.TOOL else STEP_ACTIONS[named.type]


def find_lookup(step: StepDefinition) -> Lookup:
    """Find how to ask whether a tool's effect happened; it answers the output, or None for no."""
    return LOOKUPS[step.tool]

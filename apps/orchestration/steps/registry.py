"""From what a workflow names to what it does.

Actions are named here and loaded when first used: a process that only starts runs, as the sockets' does,
must not carry the models that answer them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from django.utils.module_loading import import_string

from apps.orchestration.definitions.contracts import StepDefinition, StepType
from apps.orchestration.steps.context import Action, Output, StepContext

TOOL_ACTIONS = {
    "faq_search": "tools.knowledge.faq_search",
    "order_search": "tools.orders.order_search",
    "order_hold": "tools.orders.order_hold",
    "order_release": "tools.orders.order_release",
    "order_cancel": "tools.orders.order_cancel",
    "cancel_order_hold": "tools.orders.cancel_order_hold",
    "order_refund": "tools.refunds.order_refund",
    "customer_search": "tools.customers.customer_search",
    "customer_update": "tools.customers.customer_update",
    "customer_tag": "tools.customers.customer_tag",
    "customer_restore": "tools.customers.customer_restore",
    "lead_capture": "tools.leads.lead_capture",
    "email_send": "tools.mail.email_send",
    "slack_send": "tools.slack.slack_send",
    "http_request": "tools.http.http_request",
    "notify_escalation_cancelled": "tools.escalations.notify_escalation_cancelled",
    "log_error": "tools.logs.log_error",
    "generic_response": "tools.replies.generic_response",
}
STEP_ACTIONS = {
    StepType.ROUTER: "steps.router.route",
    StepType.LLM: "steps.llm.write_reply",
    StepType.LANGGRAPH: "steps.langgraph.run_graph",
    StepType.JUDGE: "steps.judge.judge",
    StepType.ESCALATION: "steps.escalation.escalate",
}
Lookup = Callable[[StepContext], Output | None]
LOOKUPS = {
    "http_request": "tools.http.look_up",
    "slack_send": "tools.slack.look_up",
}
MCP = "mcp."  # begins the names of tools that MCP servers offer


def find_action(named: StepDefinition | str) -> Action:
    """Find what a step, or an action by its name, does."""
    if isinstance(named, str):
        return _load(TOOL_ACTIONS[named])
    if named.tool.startswith(MCP):
        return _load("mcp.calling.call_tool")
    is_tool = named.type is StepType.TOOL
    return _load(TOOL_ACTIONS[named.tool] if is_tool else STEP_ACTIONS[named.type])


def find_lookup(step: StepDefinition) -> Lookup:
    """Find how to ask whether a tool's effect happened; it answers the output, or None for no."""
    lookup: Lookup = import_string(f"apps.orchestration.{LOOKUPS[step.tool]}")
    return lookup


def load_actions() -> None:
    """Load every action now, so that the first run does not wait for it."""
    for name in (*TOOL_ACTIONS.values(), *STEP_ACTIONS.values()):
        _load(name)


@cache
def _load(name: str) -> Action:
    action: Action = import_string(f"apps.orchestration.{name}")
    return action

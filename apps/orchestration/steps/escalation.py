"""Escalation step: hands the conversation to a human, in the transaction of the step's result."""

from __future__ import annotations

from apps.conversations.services import open_escalation
from apps.orchestration.notices.services import ask_for_notice
from apps.orchestration.steps.context import Output, StepContext, StepFailed

HANDOVER = "I have passed this conversation on to a member of our team, who will take over from here."


def escalate(context: StepContext) -> Output:
    """Open an escalation for the conversation, with the route's reasons; idempotent by the effect's key."""
    if context.conversation_id is None:
        raise StepFailed("only a run of a conversation can be escalated", is_retryable=False)
    planned = plan_handover(context)
    escalation = open_escalation(
        tenant=context.tenant,
        conversation_id=context.conversation_id,
        run_id=context.run_id,
        reason=planned["reason"],
        queue=planned["queue"],
        effect_key=context.effect_key,
        by_mail="email" in planned["notification_channels"],
    )
    if "slack" in planned["notification_channels"]:
        ask_for_notice(tenant=context.tenant, escalation_id=escalation.id)
    return {**planned, "escalation_id": str(escalation.id)}


def plan_handover(context: StepContext) -> Output:
    """Tell what an escalation would be and say, without opening it."""
    arguments = context.arguments
    return {
        "escalation_id": "",
        "queue": str(arguments.get("escalation_queue", "default")),
        "reason": str(arguments.get("reason") or _reason(context)),
        "notification_channels": list(arguments.get("notification_channels", [])),
        "handover": str(arguments.get("message") or HANDOVER),
    }


def _reason(context: StepContext) -> str:
    intent, confidence = context.find("intent"), context.find("confidence")
    if intent is None:
        return "the workflow asks for a person"
    return f"{intent} with confidence {float(confidence or 0):.2f}"

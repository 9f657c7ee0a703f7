"""Undoing an escalation."""

from __future__ import annotations

from uuid import UUID

from apps.conversations.services import cancel_escalation
from apps.orchestration.steps.context import Output, StepContext


def notify_escalation_cancelled(context: StepContext) -> Output:
    """Cancel the escalation that the undone step opened; its queue hears of it by the event."""
    opened = context.undone.get("escalation_id")
    if not opened:
        return {"is_cancelled": False}
    cancel_escalation(
        tenant=context.tenant,
        escalation_id=UUID(str(opened)),
        reason=str(context.arguments.get("reason", "the run that asked for it was undone")),
    )
    return {"is_cancelled": True}

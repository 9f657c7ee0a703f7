"""What was said before the message that a run answers."""

from __future__ import annotations

from apps.conversations.selectors import list_recent_turns
from apps.inference.contracts import ChatTurn
from apps.orchestration.steps.context import StepContext


def read_history(context: StepContext, limit: int = 8) -> list[ChatTurn]:
    """Return up to `limit` earlier turns of the conversation, oldest first, without this message."""
    if context.conversation_id is None or limit == 0:
        return []
    # What came after this message belongs to a later run.
    recent = list_recent_turns(
        tenant=context.tenant,
        conversation_id=context.conversation_id,
        limit=limit,
        before_seq=context.input.get("seq"),
    )
    return [ChatTurn("user" if turn.author == "customer" else "assistant", turn.text) for turn in recent]


def customer_texts(context: StepContext) -> list[str]:
    """Return what the customer wrote before this message, oldest first."""
    return [turn.content for turn in read_history(context) if turn.role == "user"]

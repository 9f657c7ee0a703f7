"""Who has a conversation; its row is locked first, then what belongs to it."""

from uuid import UUID

from apps.conversations import validation
from apps.conversations.contracts import ConversationStatus
from apps.conversations.events import ConversationTakenOver
from apps.conversations.models import ACTOR_CHARS, Conversation
from apps.events.services import publish
from apps.resilience.errors import ConflictError, NotFoundError
from apps.tenants.contracts import TenantRef


def lock_conversation(conversation_id: UUID) -> Conversation:
    """Return a conversation, locked until the transaction ends; raises NotFoundError."""
    conversation = Conversation.objects.select_for_update().filter(id=conversation_id).first()
    if conversation is None:
        raise NotFoundError("There is no such conversation.")
    return conversation


def hand_to_agent(tenant: TenantRef, conversation: Conversation, agent: str, *, holder: str = "") -> bool:
    """Give a locked conversation to an agent; False when they have it. `holder`: who may lose it by that.

    Raises InvalidInput, and ConflictError where somebody else has it.
    """
    agent = validation.text("agent", agent, max_chars=ACTOR_CHARS, required=True)
    if conversation.status == ConversationStatus.WITH_AGENT:
        if conversation.agent == agent:
            return False
        if conversation.agent != holder:
            raise ConflictError(f"{conversation.agent} has this conversation; it must be released first.")
    conversation.status, conversation.agent = ConversationStatus.WITH_AGENT, agent
    conversation.closed_at = None
    conversation.save(update_fields=["status", "agent", "closed_at"])
    publish(ConversationTakenOver(tenant_id=tenant.id, conversation_id=conversation.id, agent=agent))
    return True

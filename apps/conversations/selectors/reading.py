"""Read conversations, their messages and escalations."""

import datetime as dt
from uuid import UUID

from apps.conversations.contracts import (
    Author,
    ChannelView,
    ConversationView,
    EscalationView,
    MessageView,
    ReceivedMessage,
)
from apps.conversations.models import Channel, Conversation, Escalation, Message
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef


def get_conversation(*, tenant: TenantRef, conversation_id: UUID) -> ConversationView:
    """Return a conversation; raises NotFoundError."""
    with in_tenant(tenant):
        conversation = Conversation.objects.filter(id=conversation_id).first()
    if conversation is None:
        raise NotFoundError("There is no such conversation.")
    return conversation.view()


def has_conversations(*, tenant: TenantRef) -> bool:
    """Tell whether anybody has written yet."""
    with in_tenant(tenant):
        return Conversation.objects.filter(last_seq__gt=0).exists()


def list_messages(
    *, tenant: TenantRef, conversation_id: UUID, after_seq: int = 0, limit: int = 200
) -> list[MessageView]:
    """Return the messages behind `after_seq` in order; none for an unknown conversation."""
    with in_tenant(tenant):
        messages = Message.objects.filter(conversation_id=conversation_id, seq__gt=after_seq)
        return [message.view() for message in messages.order_by("seq")[:limit]]


def list_recent_turns(
    *, tenant: TenantRef, conversation_id: UUID, limit: int, before_seq: int | None = None
) -> list[MessageView]:
    """Return the last messages, or the last before one of them, oldest first."""
    earlier = {} if before_seq is None else {"seq__lt": before_seq}
    with in_tenant(tenant):
        said = Message.objects.filter(conversation_id=conversation_id, **earlier)
        newest = said.order_by("-seq")[:limit]
        return [message.view() for message in reversed(newest)]


def find_seq_at(*, tenant: TenantRef, conversation_id: UUID, moment: dt.datetime) -> int | None:
    """Return the number of the first message that was written at a moment or later, if any was."""
    with in_tenant(tenant):
        later = Message.objects.filter(conversation_id=conversation_id, created_at__gte=moment)
        return later.order_by("seq").values_list("seq", flat=True).first()


def get_message(*, tenant: TenantRef, message_id: UUID) -> MessageView:
    """Return a message; raises NotFoundError."""
    with in_tenant(tenant):
        message = Message.objects.filter(id=message_id).first()
    if message is None:
        raise NotFoundError("There is no such message.")
    return message.view()


def find_received(
    *, tenant: TenantRef, conversation_id: UUID, client_message_id: str
) -> ReceivedMessage | None:
    """Return the message that was stored under its sender's id, if any."""
    with in_tenant(tenant):
        sent = Message.objects.filter(conversation_id=conversation_id, client_message_id=client_message_id)
        known = sent.first()
    return ReceivedMessage(message=known.view(), run_id=known.run_id, is_new=False) if known else None


def find_reply(*, tenant: TenantRef, message: MessageView) -> MessageView | None:
    """Return the last answer that the run of a customer's message has written, if any."""
    if message.run_id is None:
        return None
    with in_tenant(tenant):
        later = Message.objects.filter(conversation_id=message.conversation_id, seq__gt=message.seq)
        answers = later.filter(run_id=message.run_id).exclude(author=Author.CUSTOMER.value)
        reply = answers.order_by("-seq").first()
    return reply.view() if reply else None


def get_escalation(*, tenant: TenantRef, escalation_id: UUID) -> EscalationView:
    """Return an escalation; raises NotFoundError."""
    with in_tenant(tenant):
        escalation = Escalation.objects.filter(id=escalation_id).first()
    if escalation is None:
        raise NotFoundError("There is no such escalation.")
    return escalation.view()


def list_channels(*, tenant: TenantRef) -> list[ChannelView]:
    """Return the tenant's channels, by kind and name."""
    with in_tenant(tenant):
        return [channel.view() for channel in Channel.objects.order_by("kind", "name")]

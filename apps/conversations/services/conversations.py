"""Write conversations: open, hand over, close, rate."""

from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.conversations import validation
from apps.conversations.contracts import (
    ConversationStatus,
    ConversationView,
    CustomerInput,
    ReceivedMessage,
    StartedConversation,
)
from apps.conversations.events import (
    ConversationClosed,
    ConversationOpened,
    ConversationRated,
    ConversationReleased,
)
from apps.conversations.models import Conversation, Message
from apps.conversations.services import escalations
from apps.conversations.services.channels import refuse_shut_channel
from apps.conversations.services.messages import store_received
from apps.conversations.services.possession import hand_to_agent, lock_conversation
from apps.conversations.services.slots import first_place, first_slot, insert_conversation
from apps.crm.services import find_or_create_customer
from apps.events.services import publish
from apps.resilience.errors import ConflictError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import require_active


def open_conversation(
    *,
    tenant: TenantRef,
    channel: str,
    customer: CustomerInput | None = None,
    visitor_id: str | None = None,
) -> ConversationView:
    """Open an empty conversation; raises InvalidInput, and ConflictError where the channel is off."""
    return _open(tenant, channel, customer, visitor_id, open_key=None)[0]


def start_conversation(
    *,
    tenant: TenantRef,
    channel: str,
    text: str,
    customer: CustomerInput | None = None,
    client_message_id: str | None = None,
    visitor_id: str | None = None,
    open_key: str | None = None,
    run_inline: bool = False,
    workflow: str | None = None,
) -> StartedConversation:
    """Open a conversation with its first message, both or neither.

    The same `open_key` again returns the same conversation and first message.
    Raises InvalidInput, and ConflictError where the channel is off.
    """
    require_active(tenant)
    said = validation.message_text(text)
    client_id = validation.client_message_id(client_message_id)
    with in_tenant(tenant):
        conversation, is_new = _open(tenant, channel, customer, visitor_id, open_key, said)
        if not is_new:
            first = Message.objects.get(conversation_id=conversation.id, seq=1).view()
            received = ReceivedMessage(message=first, run_id=first.run_id, is_new=False)
            return StartedConversation(conversation=conversation, received=received)
        received = store_received(
            tenant, first_slot(conversation), said, client_id, run_inline=run_inline, workflow=workflow
        )
        return StartedConversation(conversation=conversation, received=received)


def take_over_conversation(*, tenant: TenantRef, conversation_id: UUID, agent: str) -> ConversationView:
    """Give a conversation to a person, with what waits in it; the AI is silent from then on.

    Again by the same agent changes nothing. Raises NotFoundError, and ConflictError where another
    agent has it.
    """
    with in_tenant(tenant):
        conversation = lock_conversation(conversation_id)
        if hand_to_agent(tenant, conversation, agent):
            escalations.claim_waiting(tenant, conversation, agent)
        return conversation.view()


def release_conversation(
    *, tenant: TenantRef, conversation_id: UUID, agent: str | None = None
) -> ConversationView:
    """Take a conversation from its person; what was not resolved waits again, else the AI has it.

    Where nobody has it nothing changes. `agent`: who gives it back, None for whoever may do that for others.
    Raises NotFoundError, and ConflictError where it is not that agent's.
    """
    with in_tenant(tenant):
        conversation = lock_conversation(conversation_id)
        if conversation.status != ConversationStatus.WITH_AGENT:
            return conversation.view()
        if agent is not None and conversation.agent != agent:
            raise ConflictError(f"{conversation.agent} has this conversation; only they can hand it back.")
        waits = escalations.put_back(conversation)
        conversation.status = ConversationStatus.ESCALATED if waits else ConversationStatus.OPEN
        conversation.agent = ""
        conversation.save(update_fields=["status", "agent"])
        publish(
            ConversationReleased(
                tenant_id=tenant.id, conversation_id=conversation.id, status=conversation.status
            )
        )
        return conversation.view()


def close_conversation(*, tenant: TenantRef, conversation_id: UUID, actor: str) -> ConversationView:
    """End a conversation and resolve what waits in it; a customer's next message reopens it.

    Again changes nothing. Raises NotFoundError.
    """
    with in_tenant(tenant):
        conversation = lock_conversation(conversation_id)
        if conversation.status == ConversationStatus.CLOSED:
            return conversation.view()
        escalations.resolve_waiting(tenant, conversation, actor)
        conversation.status, conversation.agent = ConversationStatus.CLOSED, ""
        conversation.closed_at = timezone.now()
        conversation.save(update_fields=["status", "agent", "closed_at"])
        publish(ConversationClosed(tenant_id=tenant.id, conversation_id=conversation.id, actor=actor))
        return conversation.view()


def rate_conversation(
    *, tenant: TenantRef, conversation_id: UUID, score: int, comment: str | None = None
) -> ConversationView:
    """Keep the customer's rating, 1 (bad) to 5 (good); a later one replaces it.

    Raises InvalidInput, NotFoundError.
    """
    given = validation.score(score)
    words = validation.text("comment", comment, max_chars=validation.MAX_COMMENT_CHARS)
    with in_tenant(tenant):
        conversation = lock_conversation(conversation_id)
        if (conversation.rating, conversation.rating_comment) == (given, words):
            return conversation.view()
        conversation.rating, conversation.rating_comment = given, words
        conversation.rated_at = timezone.now()
        conversation.save(update_fields=["rating", "rating_comment", "rated_at"])
        publish(
            ConversationRated(
                tenant_id=tenant.id, conversation_id=conversation.id, score=given, comment=words
            )
        )
        return conversation.view()


def _open(
    tenant: TenantRef,
    channel: str,
    customer: CustomerInput | None,
    visitor_id: str | None,
    open_key: str | None,
    said: str | None = None,
) -> tuple[ConversationView, bool]:
    """Insert a conversation, with the place of its first message taken where something is said."""
    kind = validation.channel_kind(channel)
    visitor = validation.text("visitor_id", visitor_id, max_chars=100)
    with in_tenant(tenant):
        known = Conversation.objects.filter(open_key=open_key).first() if open_key else None
        if known is not None:
            return known.view(), False
        refuse_shut_channel(tenant, kind)
        conversation = Conversation(
            channel=kind.value,
            customer_id=_customer_id(tenant, customer),
            visitor_id=visitor,
            open_key=open_key,
            **(first_place(said) if said else {}),
        )
        if not _insert(conversation):
            return Conversation.objects.get(open_key=open_key).view(), False
        publish(
            ConversationOpened(
                tenant_id=tenant.id,
                conversation_id=conversation.id,
                channel=kind.value,
                customer_id=conversation.customer_id,
            )
        )
        return conversation.view(), True


def _insert(conversation: Conversation) -> bool:
    if conversation.open_key is None:
        insert_conversation(conversation)
        return True
    try:
        with transaction.atomic():
            conversation.save(force_insert=True)
    except IntegrityError:
        return False
    return True


def _customer_id(tenant: TenantRef, customer: CustomerInput | None) -> UUID | None:
    if customer is None or customer == CustomerInput():
        return None
    found = find_or_create_customer(
        tenant=tenant,
        name=customer.name,
        email=customer.email,
        external_id=customer.external_id,
        phone=customer.phone,
    )
    return found.id

"""Write messages: each once, in order, without gaps."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from apps.billing.services import record_usage
from apps.conversations import validation
from apps.conversations.contracts import Author, ConversationStatus, MessageView, ReceivedMessage
from apps.conversations.events import ConversationReopened, MessageReceived, MessageSent
from apps.conversations.models import Message
from apps.conversations.services.possession import lock_conversation
from apps.conversations.services.slots import (
    Slot,
    give_back,
    insert_message,
    insert_message_once,
    summarise,
    take_slot,
)
from apps.events.services import publish
from apps.resilience.errors import ConflictError, InvalidInput
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import require_active


def receive_message(
    *,
    tenant: TenantRef,
    conversation_id: UUID,
    text: str,
    client_message_id: str | None = None,
    run_inline: bool = False,
    workflow: str | None = None,
) -> ReceivedMessage:
    """Store a customer's message and, in the same transaction, the run that answers it.

    The same `client_message_id` again, also at the same moment, returns the same message and run.
    While a person has the conversation there is no run. A closed conversation is reopened.
    `run_inline`: the caller executes the run itself; `workflow` names a published one to answer by.
    Raises InvalidInput, NotFoundError, NotAllowed.
    """
    require_active(tenant)
    said = validation.message_text(text)
    client_id = validation.client_message_id(client_message_id)
    with in_tenant(tenant):
        slot = take_slot(conversation_id, subject=said, reopens=True, is_answered=False)
        known = _find_said(conversation_id, client_id)
        if known is not None:
            give_back(slot)
            return ReceivedMessage(message=known.view(), run_id=known.run_id, is_new=False)
        return store_received(tenant, slot, said, client_id, run_inline=run_inline, workflow=workflow)


def store_received(
    tenant: TenantRef,
    slot: Slot,
    said: str,
    client_id: str | None,
    *,
    run_inline: bool,
    workflow: str | None,
) -> ReceivedMessage:
    """Store a customer's new message in the place that was taken for it, and tell of it."""
    message = Message(
        conversation_id=slot.conversation_id,
        seq=slot.seq,
        author=Author.CUSTOMER.value,
        text=said,
        client_message_id=client_id,
        run_id=None if slot.status is ConversationStatus.WITH_AGENT else uuid7(),
        agent="",
    )
    insert_message(message)
    _tell_received(tenant, slot, message, run_inline, workflow)
    return ReceivedMessage(message=message.view(), run_id=message.run_id, is_new=True)


def post_reply(
    *,
    tenant: TenantRef,
    conversation_id: UUID,
    text: str,
    reply_key: str,
    run_id: UUID | None = None,
    sources: Sequence[dict[str, Any]] = (),
    receipt: dict[str, Any] | None = None,
    author: str = Author.AI,
    agent: str = "",
) -> MessageView:
    """Store an answer; the same `reply_key` again returns the same message. `agent`: who wrote it.

    Raises InvalidInput, NotFoundError, and ConflictError where the key is another conversation's.
    """
    key = validation.effect_key("reply_key", reply_key)
    message = Message(
        conversation_id=conversation_id,
        author=Author(author).value,
        text=validation.reply_text(text),
        sources=list(sources),
        receipt=receipt,
        reply_key=key,
        run_id=run_id,
        agent=agent,
    )
    with in_tenant(tenant):
        intent = (receipt or {}).get("intent") or None
        slot = take_slot(conversation_id, is_answered=_is_answer(message), intent=intent)
        message.seq = slot.seq
        if not insert_message_once(message):
            give_back(slot)
            return _find_sent(conversation_id, key)
        _tell_sent(tenant, message)
        return message.view()


def _find_sent(conversation_id: UUID, key: str) -> MessageView:
    known = Message.objects.get(reply_key=key)
    if known.conversation_id != conversation_id:
        raise ConflictError("This reply key was used in another conversation; choose a new one.")
    return known.view()


def send_agent_message(
    *,
    tenant: TenantRef,
    conversation_id: UUID,
    agent: str,
    text: str,
    reply_key: str,
    seen_seq: int | None = None,
) -> MessageView:
    """Answer as the person who has the conversation, once for each `reply_key`.

    `seen_seq`: the last message that the person has seen; None does not ask.
    Raises InvalidInput, also where the customer wrote after `seen_seq`, NotFoundError, and ConflictError
    for anybody else.
    """
    said = validation.message_text(text)
    with in_tenant(tenant):
        conversation = lock_conversation(conversation_id)
        if conversation.status != ConversationStatus.WITH_AGENT or conversation.agent != agent:
            holder = f"{conversation.agent} has" if conversation.agent else "nobody has"
            raise ConflictError(f"Take the conversation over before you answer; now {holder} it.")
        if seen_seq is not None:
            _refuse_unseen(conversation_id, seen_seq, reply_key)
        return post_reply(
            tenant=tenant,
            conversation_id=conversation_id,
            text=said,
            reply_key=reply_key,
            author=Author.AGENT,
            agent=agent,
        )


def _refuse_unseen(conversation_id: UUID, seen_seq: int, reply_key: str) -> None:
    """Refuse an answer to less than the customer has said, unless it was sent already."""
    later = Message.objects.filter(conversation_id=conversation_id, seq__gt=seen_seq)
    unseen = later.filter(author=Author.CUSTOMER.value).order_by("seq").first()
    if unseen is not None and not Message.objects.filter(reply_key=reply_key).exists():
        words = summarise(unseen.text)
        raise InvalidInput({"text": [f"The customer wrote meanwhile: “{words}”. If it fits, send it."]})


def _is_answer(message: Message) -> bool | None:
    """Tell whether a reply leaves the customer with an answer; small talk needs no knowledge."""
    if message.author == Author.SYSTEM:
        return None
    receipt = message.receipt or {}
    return bool(receipt.get("knows", True)) or receipt.get("tier") == "rules"


def _find_said(conversation_id: UUID, client_id: str | None) -> Message | None:
    if client_id is None:
        return None
    return Message.objects.filter(conversation_id=conversation_id, client_message_id=client_id).first()


def _tell_received(
    tenant: TenantRef, slot: Slot, message: Message, run_inline: bool, workflow: str | None
) -> None:
    if slot.was_status is ConversationStatus.CLOSED:
        publish(ConversationReopened(tenant_id=tenant.id, conversation_id=slot.conversation_id))
    publish(
        MessageReceived(
            tenant_id=tenant.id,
            conversation_id=slot.conversation_id,
            run_id=message.run_id,
            message_id=message.id,
            seq=message.seq,
            text=message.text,
            channel=slot.channel.value,
            customer_id=slot.customer_id,
            run_inline=run_inline,
            workflow=workflow,
        )
    )
    record_usage(
        tenant=tenant,
        kind="message",
        quantity=1,
        source_id=message.id,
        run_id=message.run_id,
        conversation_id=slot.conversation_id,
    )


def _tell_sent(tenant: TenantRef, message: Message) -> None:
    publish(
        MessageSent(
            tenant_id=tenant.id,
            conversation_id=message.conversation_id,
            run_id=message.run_id,
            message_id=message.id,
            seq=message.seq,
            author=message.author,
        )
    )

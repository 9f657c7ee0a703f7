"""Places in a conversation: gap-free numbers under the lock of the conversation's row."""

import datetime as dt
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone
from psycopg.types.json import Jsonb

from apps.conversations.contracts import ChannelKind, ConversationStatus, ConversationView
from apps.conversations.models import Conversation, Message
from apps.resilience.errors import NotFoundError
from apps.tenants.context import write_later

SUBJECT_CHARS = 120
_TABLE = Conversation._meta.db_table
# The inner SELECT takes the lock and so sees what the last writer left, which the answer tells apart
# from what this statement makes of it.
_TAKE = f"""
UPDATE {_TABLE} AS c
SET last_seq = c.last_seq + 1,
    last_message_at = now(),
    subject = CASE WHEN c.subject = '' THEN %(subject)s ELSE c.subject END,
    is_answered = coalesce(%(is_answered)s::boolean, c.is_answered),
    intent = coalesce(%(intent)s::text, c.intent),
    status = CASE WHEN %(reopens)s AND c.status = 'closed' THEN 'open' ELSE c.status END,
    closed_at = CASE WHEN %(reopens)s THEN NULL ELSE c.closed_at END
FROM (
    SELECT id, status, subject, last_message_at, closed_at, is_answered, intent
    FROM {_TABLE} WHERE id = %(id)s FOR UPDATE
) AS was
WHERE c.id = was.id
RETURNING c.last_seq, c.status, c.channel, c.customer_id,
          was.status, was.subject, was.last_message_at, was.closed_at, was.is_answered, was.intent
"""  # noqa: S608 - the table's name is our own
_GIVE_BACK = f"""
UPDATE {_TABLE}
SET last_seq = last_seq - 1, status = %s, subject = %s, last_message_at = %s, closed_at = %s,
    is_answered = %s, intent = %s
WHERE id = %s
"""  # noqa: S608 - the table's name is our own

# What the row needs no more is left to the database: the tenant, and what it makes of the receipt.
_INSERT = f"""
INSERT INTO {Message._meta.db_table}
  (id, created_at, conversation_id, seq, author, text, sources, receipt,
   client_message_id, reply_key, run_id, agent)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""  # noqa: S608 - the table's name is our own
_INSERT_CONVERSATION = f"""
INSERT INTO {_TABLE}
  (id, created_at, channel, customer_id, status, visitor_id, subject, last_seq, epoch, agent, rating_comment,
   is_answered, last_message_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, '', '', %s, %s)
"""  # noqa: S608 - as above


@dataclass(frozen=True)
class Slot:
    """The next number of a conversation, taken; the row stays locked until the transaction ends."""

    conversation_id: UUID
    seq: int
    status: ConversationStatus
    channel: ChannelKind
    customer_id: UUID | None
    was_status: ConversationStatus
    was_subject: str
    was_last_message_at: dt.datetime | None
    was_closed_at: dt.datetime | None
    was_answered: bool
    was_intent: str


def take_slot(
    conversation_id: UUID,
    *,
    subject: str = "",
    reopens: bool = False,
    is_answered: bool | None = None,
    intent: str | None = None,
) -> Slot:
    """Take the next number in one statement; raises NotFoundError.

    The first message names the subject; a customer's reopens what was closed. None leaves as it was
    whether the customer has an answer, and what they want.
    """
    given: dict[str, UUID | str | bool | None] = {
        "id": conversation_id,
        "subject": summarise(subject),
        "reopens": reopens,
        "is_answered": is_answered,
        "intent": intent and intent[:50],
    }
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, given)
        row = cursor.fetchone()
    if row is None:
        raise NotFoundError("There is no such conversation.")
    seq, status, channel, customer_id, was_status, *rest = row
    return Slot(
        conversation_id,
        seq,
        ConversationStatus(status),
        ChannelKind(channel),
        customer_id,
        ConversationStatus(was_status),
        *rest,
    )


def first_place(said: str) -> dict[str, Any]:
    """Return the fields of a conversation that is inserted with its first message's place taken."""
    return {
        "last_seq": 1,
        "subject": summarise(said),
        "last_message_at": timezone.now(),
        "is_answered": False,
    }


def first_slot(conversation: ConversationView) -> Slot:
    """Return that place; nobody else knows the conversation yet."""
    return Slot(
        conversation_id=conversation.id,
        seq=conversation.last_seq,
        status=conversation.status,
        channel=conversation.channel,
        customer_id=conversation.customer_id,
        was_status=conversation.status,
        was_subject="",
        was_last_message_at=None,
        was_closed_at=None,
        was_answered=True,
        was_intent="",
    )


def insert_conversation(conversation: Conversation) -> None:
    """Insert a conversation that no key of its own can stop, together with what follows."""
    conversation.created_at, conversation.intent = timezone.now(), ""
    who = (conversation.channel, conversation.customer_id, conversation.status, conversation.visitor_id)
    place = (conversation.subject, conversation.last_seq, conversation.epoch)
    last = (conversation.is_answered, conversation.last_message_at)
    write_later(_INSERT_CONVERSATION, [conversation.id, conversation.created_at, *who, *place, *last])


def insert_message(message: Message) -> None:
    """Insert a message at the place that was taken for it, together with what follows."""
    write_later(_INSERT, _values(message))


def insert_message_once(message: Message) -> bool:
    """Insert a message at its place; False, and nothing done, where its key is in use."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_INSERT} ON CONFLICT DO NOTHING", _values(message))
        return cursor.rowcount == 1


def _values(message: Message) -> list[Any]:
    message.created_at, message.corrected_intent = timezone.now(), ""
    head = (message.id, message.created_at, message.conversation_id, message.seq, message.author)
    said = (message.text, Jsonb(message.sources), message.receipt and Jsonb(message.receipt))
    keys = (message.client_message_id, message.reply_key, message.run_id, message.agent)
    return [*head, *said, *keys]


def give_back(slot: Slot) -> None:
    """Undo `take_slot` in the same transaction, for a message that turns out to be there already."""
    was = (slot.was_status.value, slot.was_subject, slot.was_last_message_at, slot.was_closed_at)
    with connection.cursor() as cursor:
        cursor.execute(_GIVE_BACK, [*was, slot.was_answered, slot.was_intent, slot.conversation_id])


def summarise(text: str) -> str:
    """Return the first line of a message, short enough for a list."""
    line = text.strip().split("\n", 1)[0].strip()
    return line if len(line) <= SUBJECT_CHARS else f"{line[: SUBJECT_CHARS - 1]}…"

"""What may leave the conversations app."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID


class ChannelKind(StrEnum):
    WIDGET = "widget"
    API = "api"
    EMAIL = "email"
    SLACK = "slack"
    WEBHOOK = "webhook"


class ConversationStatus(StrEnum):
    """`escalated` waits for a person while the AI still answers; `with_agent` is a person's alone."""

    OPEN = "open"
    ESCALATED = "escalated"
    WITH_AGENT = "with_agent"
    CLOSED = "closed"


class Author(StrEnum):
    CUSTOMER = "customer"
    AI = "ai"
    AGENT = "agent"
    SYSTEM = "system"


class EscalationStatus(StrEnum):
    OPEN = "open"
    CLAIMED = "claimed"
    RESOLVED = "resolved"
    CANCELLED = "cancelled"


class MailStatus(StrEnum):
    """How the mail about an escalation stands; in `sending` its outcome was lost with its process."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class CustomerInput:
    """Who says that they are speaking; unverified unless the caller has verified it."""

    name: str | None = None
    email: str | None = None
    external_id: str | None = None
    phone: str | None = None


@dataclass(frozen=True, kw_only=True)
class ChannelView:
    id: UUID
    kind: ChannelKind
    name: str
    settings: dict[str, Any]
    is_active: bool
    created_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class ConversationView:
    """A conversation; `last_seq` counts its messages, another `epoch` means that a copy of them is void."""

    id: UUID
    channel: ChannelKind
    status: ConversationStatus
    customer_id: UUID | None
    visitor_id: str
    subject: str
    last_seq: int
    epoch: UUID
    agent: str
    rating: int | None
    rating_comment: str
    created_at: dt.datetime
    last_message_at: dt.datetime | None
    closed_at: dt.datetime | None
    intent: str = ""
    is_answered: bool = True


@dataclass(frozen=True, kw_only=True)
class MessageView:
    """A message; `seq` counts from 1 without gaps, `receipt` tells how an answer came about."""

    id: UUID
    conversation_id: UUID
    seq: int
    author: Author
    text: str
    sources: list[dict[str, Any]]
    receipt: dict[str, Any] | None
    client_message_id: str | None
    run_id: UUID | None
    created_at: dt.datetime
    agent: str = ""
    corrected_intent: str = ""


@dataclass(frozen=True, kw_only=True)
class ReceivedMessage:
    """A customer's message and the run that answers it; None where a person does."""

    message: MessageView
    run_id: UUID | None
    is_new: bool


@dataclass(frozen=True, kw_only=True)
class StartedConversation:
    conversation: ConversationView
    received: ReceivedMessage


@dataclass(frozen=True, kw_only=True)
class EscalationView:
    id: UUID
    conversation_id: UUID
    reason: str
    queue: str
    status: EscalationStatus
    run_id: UUID | None
    claimed_by: str
    suggested_answer: str
    suggested_sources: list[dict[str, str]]
    resolution: str
    created_at: dt.datetime
    claimed_at: dt.datetime | None
    ended_at: dt.datetime | None


@dataclass(frozen=True, kw_only=True)
class NoteView:
    """A word between people about a conversation; it is never shown to its customer."""

    id: UUID
    conversation_id: UUID
    author: str
    text: str
    created_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class QueueItem:
    """An escalation in the inbox, with its conversation."""

    escalation: EscalationView
    conversation: ConversationView
    customer_name: str


@dataclass(frozen=True, kw_only=True)
class QueuePage:
    items: list[QueueItem]
    next_cursor: str
    is_first: bool


@dataclass(frozen=True, kw_only=True)
class QueueCounts:
    """How many escalations wait, of the oldest thousand at most; `queues` counts by queue.

    `to_answer`: of mine, where the customer wrote last. `newest`: the latest of them, or an empty string.
    """

    mine: int
    unclaimed: int
    all: int
    to_answer: int
    newest: str
    queues: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """What a person might answer, and the documents (`id`, `title`) that it was taken from or are near."""

    text: str
    sources: list[dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class InboxTicket:
    """Lets a member's page open the socket of their tenant's inbox; `held` is their sealed pass."""

    tenant_id: UUID
    agent: str
    name: str
    may_write: bool
    held: str


@dataclass(frozen=True, kw_only=True)
class CannedReplyView:
    id: UUID
    shortcut: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """Some of a conversation, oldest first: messages, and between them people's notes."""

    entries: list["MessageView | NoteView"]
    first_seq: int
    has_older: bool


@dataclass(frozen=True, kw_only=True)
class ConversationQuery:
    """Which conversations are wanted; what is empty does not matter."""

    text: str = ""
    customer: str = ""
    intent: str = ""
    channel: str = ""
    status: str = ""
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    unanswered: bool = False


@dataclass(frozen=True, kw_only=True)
class ConversationRow:
    """A conversation in a list; `excerpt` is from the message that was searched for."""

    conversation: ConversationView
    customer_name: str
    excerpt: str = ""


@dataclass(frozen=True)
class CustomerConversation:
    """A conversation on its customer's page."""

    conversation: ConversationView
    cost_microusd: int


@dataclass(frozen=True, kw_only=True)
class CustomerConversationPage:
    items: list[CustomerConversation]
    next_cursor: str
    is_first: bool


@dataclass(frozen=True, kw_only=True)
class ConversationPage:
    items: list[ConversationRow]
    next_cursor: str
    is_first: bool


@dataclass(frozen=True, kw_only=True)
class DecisionQuery:
    """Which of the router's decisions are wanted; what is empty does not matter."""

    intent: str = ""
    channel: str = ""
    below: float | None = None
    is_corrected: bool | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True)
class DecisionRow:
    """A reply with what it answers and the channel; its receipt says how it was routed."""

    reply: MessageView
    question: str
    channel: ChannelKind
    intent: str
    confidence: float | None


@dataclass(frozen=True, kw_only=True)
class DecisionPage:
    items: list[DecisionRow]
    next_cursor: str
    is_first: bool


@dataclass(frozen=True, kw_only=True)
class ConfidenceCounts:
    """How many decisions fall into each tenth of the confidence, among the newest `looked_at`."""

    tenths: tuple[int, ...]
    looked_at: int

    @property
    def total(self) -> int:
        """How many fit."""
        return sum(self.tenths)


VARIABLE = re.compile(r"\{(\w+)\}")
CANNED_VARIABLES = ("customer_name", "agent_name", "company_name")


def fill_in(text: str, values: Mapping[str, str]) -> str:
    """Put values where a canned reply names them in braces; other braces stay."""
    return VARIABLE.sub(lambda found: values.get(found[1], found[0]), text)


def conversation_group(tenant_id: UUID, conversation_id: UUID) -> str:
    """Name the Channels group of a conversation."""
    return f"conversation.{tenant_id.hex}.{conversation_id.hex}"


def inbox_group(tenant_id: UUID) -> str:
    """Name the Channels group of a tenant's people."""
    return f"inbox.{tenant_id.hex}"

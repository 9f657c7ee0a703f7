"""Facts about conversations; each carries its `conversation_id`."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from apps.events.contracts import DomainEvent


@dataclass(frozen=True, kw_only=True)
class ConversationOpened(DomainEvent):
    type: ClassVar[str] = "agent.conversation.opened"
    channel: str
    customer_id: UUID | None


@dataclass(frozen=True, kw_only=True)
class MessageReceived(DomainEvent):
    """A customer wrote; `run_id` names the run that is to answer, None where a person has the conversation.

    `run_inline`: the accepting process executes the run itself. `workflow`: the published workflow that
    the caller asked for, None for the tenant's usual one.
    """

    type: ClassVar[str] = "agent.message.received"
    message_id: UUID
    seq: int
    text: str
    channel: str
    customer_id: UUID | None
    run_inline: bool = False
    workflow: str | None = None


@dataclass(frozen=True, kw_only=True)
class MessageSent(DomainEvent):
    """The AI, a person or the system wrote to the customer."""

    type: ClassVar[str] = "agent.message.sent"
    message_id: UUID
    seq: int
    author: str


@dataclass(frozen=True, kw_only=True)
class ConversationReopened(DomainEvent):
    """A customer wrote into a closed conversation."""

    type: ClassVar[str] = "agent.conversation.reopened"


@dataclass(frozen=True, kw_only=True)
class ConversationTakenOver(DomainEvent):
    type: ClassVar[str] = "agent.conversation.taken_over"
    agent: str


@dataclass(frozen=True, kw_only=True)
class ConversationReleased(DomainEvent):
    type: ClassVar[str] = "agent.conversation.released"
    status: str


@dataclass(frozen=True, kw_only=True)
class ConversationClosed(DomainEvent):
    type: ClassVar[str] = "agent.conversation.closed"
    actor: str


@dataclass(frozen=True, kw_only=True)
class ConversationRated(DomainEvent):
    type: ClassVar[str] = "agent.conversation.rated"
    score: int
    comment: str


@dataclass(frozen=True, kw_only=True)
class EscalationOpened(DomainEvent):
    type: ClassVar[str] = "agent.escalation.opened"
    escalation_id: UUID
    reason: str
    queue: str


@dataclass(frozen=True, kw_only=True)
class EscalationClaimed(DomainEvent):
    type: ClassVar[str] = "agent.escalation.claimed"
    escalation_id: UUID
    claimed_by: str


@dataclass(frozen=True, kw_only=True)
class EscalationResolved(DomainEvent):
    type: ClassVar[str] = "agent.escalation.resolved"
    escalation_id: UUID
    resolved_by: str
    resolution: str


@dataclass(frozen=True, kw_only=True)
class EscalationCancelled(DomainEvent):
    type: ClassVar[str] = "agent.escalation.cancelled"
    escalation_id: UUID
    reason: str


@dataclass(frozen=True, kw_only=True)
class EscalationReopened(DomainEvent):
    """A person took back that an escalation was resolved, and has it again."""

    type: ClassVar[str] = "agent.escalation.reopened"
    escalation_id: UUID
    claimed_by: str


@dataclass(frozen=True, kw_only=True)
class IntentCorrected(DomainEvent):
    """A person said what a question was about, where the router had decided otherwise."""

    type: ClassVar[str] = "agent.intent.corrected"
    message_id: UUID
    seq: int
    decided: str
    intent: str
    actor: str


@dataclass(frozen=True, kw_only=True)
class NoteAdded(DomainEvent):
    """A person noted something privately; the words stay where they are."""

    type: ClassVar[str] = "agent.note.added"
    note_id: UUID
    author: str

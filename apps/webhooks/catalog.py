"""The public events: what they are called, what they say, and an example of each.

What is told is what the example has, and nothing else of the fact: a field that an event gets stays ours
until it is added here. Another meaning of a field needs another version.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from apps.billing import events as billing
from apps.conversations import events as conversations
from apps.crm import events as crm
from apps.events.contracts import DomainEvent, Envelope
from apps.events.selectors import read_schema
from apps.ingestion import events as ingestion
from apps.orchestration import events as orchestration
from apps.webhooks.contracts import TEST_TYPE

ID = "0199d3a2-7c11-7d3e-9a6b-2f5c8e1b4a70"
MOMENT = "2026-01-31T12:00:00+00:00"
# Which conversation or run it is about, where it is about one.
ABOUT = {
    "conversation_id": {"type": "string", "format": "uuid"},
    "run_id": {"type": "string", "format": "uuid"},
}
ORDER = {"order_id": ID, "number": "1042"}
ORDER_CHANGE = ORDER | {"before": "paid", "after": "cancelled"}


@dataclass(frozen=True)
class PublicEvent:
    """One kind of event that a tenant's systems may hear of."""

    fact: type[DomainEvent]
    summary: str
    example: dict[str, Any]

    @property
    def type(self) -> str:
        return self.fact.type

    @property
    def version(self) -> int:
        return self.fact.version

    @property
    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the payload's `data`."""
        kept = read_schema(self.type, self.version)
        told = {name: kept["properties"][name] for name in self.example}
        required = [name for name in kept["required"] if name in told]
        return kept | {"properties": told | ABOUT, "required": required}


PUBLIC_EVENTS: tuple[PublicEvent, ...] = (
    PublicEvent(
        conversations.ConversationOpened, "A conversation began.", {"channel": "widget", "customer_id": ID}
    ),
    PublicEvent(
        conversations.MessageReceived,
        "A customer wrote.",
        {"message_id": ID, "seq": 1, "text": "Where is my parcel?", "channel": "widget", "customer_id": ID},
    ),
    PublicEvent(
        conversations.MessageSent,
        "The AI, a person or the system answered; the text is at the conversation's messages.",
        {"message_id": ID, "seq": 2, "author": "ai"},
    ),
    PublicEvent(conversations.ConversationTakenOver, "A person took over.", {"agent": "ada@shop.example"}),
    PublicEvent(conversations.ConversationClosed, "A conversation ended.", {"actor": "ada@shop.example"}),
    PublicEvent(conversations.ConversationReopened, "A customer wrote into a closed conversation.", {}),
    PublicEvent(
        conversations.ConversationRated, "A customer rated the help.", {"score": 5, "comment": "Quick!"}
    ),
    PublicEvent(
        conversations.EscalationOpened,
        "A customer waits for a person.",
        {"escalation_id": ID, "reason": "asked for a person", "queue": "default"},
    ),
    PublicEvent(
        conversations.EscalationClaimed,
        "A person took an escalation.",
        {"escalation_id": ID, "claimed_by": "ada@shop.example"},
    ),
    PublicEvent(
        conversations.EscalationResolved,
        "A person resolved an escalation.",
        {"escalation_id": ID, "resolved_by": "ada@shop.example", "resolution": "sent a new parcel"},
    ),
    PublicEvent(crm.CustomerCreated, "A customer was added.", {"customer_id": ID}),
    PublicEvent(
        crm.LeadCaptured, "Somebody is interested.", {"lead_id": ID, "source": "widget", "customer_id": ID}
    ),
    PublicEvent(crm.OrderCreated, "An order was added.", ORDER | {"status": "paid"}),
    PublicEvent(crm.OrderHeld, "An order is held.", ORDER_CHANGE | {"after": "held"}),
    PublicEvent(crm.OrderReleased, "An order is held no more.", ORDER | {"before": "held", "after": "paid"}),
    PublicEvent(crm.OrderCancelled, "An order was cancelled.", ORDER_CHANGE),
    PublicEvent(crm.OrderShipped, "An order was sent.", ORDER_CHANGE | {"after": "shipped"}),
    PublicEvent(crm.OrderDelivered, "An order arrived.", ORDER | {"before": "shipped", "after": "delivered"}),
    PublicEvent(
        crm.OrderRefunded,
        "An order's money went back, or a part of it.",
        ORDER_CHANGE
        | {"after": "refunded", "amount_cents": 1999, "refunded_cents": 1999, "currency": "USD"},
    ),
    PublicEvent(
        ingestion.DocumentIndexed,
        "A document, or its new version, can be found.",
        {"document_id": ID, "revision": 1, "chunk_count": 12},
    ),
    PublicEvent(
        ingestion.DocumentFailed,
        "A document could not be read.",
        {"document_id": ID, "revision": 1, "reason": "There is no text in it."},
    ),
    PublicEvent(
        orchestration.RunCompleted,
        "A workflow's run ended well.",
        {"workflow": "customer_support", "latency_ms": 840, "is_fallback": False},
    ),
    PublicEvent(
        orchestration.RunFailed,
        "A workflow's run ended otherwise.",
        {"workflow": "customer_support", "status": "failed", "error": "shop.example answered 500"},
    ),
    PublicEvent(
        billing.InvoiceFinalised,
        "An invoice is final.",
        {
            "invoice_id": ID, "number": "2026-000042", "total_cents": 4900, "currency": "EUR",
            "period_start": MOMENT, "period_end": MOMENT,
        },
    ),
    PublicEvent(
        billing.QuotaThresholdReached,
        "A quota passed 80 or 100% of its limit.",
        {
            "kind": "message", "threshold_percent": 80, "used": 800, "limit": 1000, "period_start": MOMENT,
        },
    ),
)  # fmt: skip
BY_TYPE = {event.type: event for event in PUBLIC_EVENTS}


def public_payload(envelope: Envelope) -> dict[str, Any]:
    """Return what a tenant's systems are told of an event; raises KeyError for one that is not public."""
    known = BY_TYPE[envelope.type]
    data = {name: envelope.data.get(name) for name in known.example}
    if envelope.conversation_id:
        data["conversation_id"] = str(envelope.conversation_id)
    if envelope.run_id:
        data["run_id"] = str(envelope.run_id)
    return _payload(envelope.type, known.version, envelope.occurred_at, data)


def sample_payload(event_type: str, at: dt.datetime) -> dict[str, Any]:
    """Return an example as it would be sent."""
    known = BY_TYPE.get(event_type)
    data = known.example if known else {"note": "This is a test: nothing has happened."}
    return _payload(event_type if known else TEST_TYPE, known.version if known else 1, at, data)


def _payload(event_type: str, version: int, at: dt.datetime, data: dict[str, Any]) -> dict[str, Any]:
    return {"type": event_type, "version": version, "timestamp": at.isoformat(), "data": data}

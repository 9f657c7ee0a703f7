"""Archive events and project them, exactly once: the consumer's inbox row is in the same transaction."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.utils import timezone

from apps.analytics.facts import ANSWERED, NO_QUESTIONS
from apps.analytics.models import ArchivedEvent
from apps.analytics.projection import ClockTimestamp, project, shown_generation
from apps.events.contracts import Envelope

KEPT = ("channel", "author", "reason", "score", "agent", "claimed_by", "resolved_by")


def on_events(envelopes: Sequence[Envelope]) -> None:
    """Archive what KPIs need of a tenant's events and bring their conversations up to date.

    Raises KeyError or ValueError for an event that lacks what its type promises.
    """
    rows = [archived(each, each.conversation_id) for each in envelopes if each.conversation_id is not None]
    if not rows:
        return
    tenant_id = rows[0].tenant_id
    # Held before the events are stored: a rebuild that begins now tells by `stored_at` what it has not seen.
    generation = shown_generation(tenant_id)
    ArchivedEvent.objects.bulk_create(rows, ignore_conflicts=True)
    for conversation_id in dict.fromkeys(row.conversation_id for row in rows):
        project(tenant_id, conversation_id, generation=generation, as_of=timezone.now())


def archived(envelope: Envelope, conversation_id: UUID) -> ArchivedEvent:
    """Return the archive's row of an event: without texts, they are the conversation's."""
    data = envelope.data
    kept = _answer(data["receipt"]) if envelope.type == ANSWERED else {k: data[k] for k in KEPT if k in data}
    return ArchivedEvent(
        tenant_id=envelope.tenant_id,
        id=envelope.id,
        type=envelope.type,
        occurred_at=envelope.occurred_at,
        stored_at=ClockTimestamp(),
        conversation_id=conversation_id,
        data=kept,
    )


def _answer(receipt: dict[str, Any]) -> dict[str, Any]:
    is_question = receipt.get("intent") not in NO_QUESTIONS and receipt.get("provider") != "rules"
    return {
        "knows": bool(receipt.get("knows")),
        "is_question": is_question,
        "intent": receipt.get("intent") or "",
        "cost_microusd": int(receipt.get("cost_microusd", 0)),
    }

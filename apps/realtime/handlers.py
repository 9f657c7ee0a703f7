"""Pass on to sockets what happened to a conversation."""

from typing import Any

from django.db import transaction

from apps.conversations.contracts import conversation_group, inbox_group
from apps.events.contracts import DomainEvent
from apps.realtime.hints import sender


def on_message_stored(event: DomainEvent) -> None:
    """Hint at the new message once it is committed."""
    _hint(event, {"type": "message.hint", "seq": event.seq})  # type: ignore[attr-defined]


def on_state_changed(event: DomainEvent) -> None:
    """Hint at the new state of a conversation once it is committed."""
    _hint(event, {"type": "status.hint"})


def on_inbox_changed(event: DomainEvent) -> None:
    """Hint to the tenant's people, once it is committed, that their queue or a conversation of it changed."""
    hint = {
        "type": "inbox.hint",
        "tenant_id": str(event.tenant_id),
        "about": str(event.conversation_id),
        "is_queue": event.type != "agent.note.added",
    }
    group = inbox_group(event.tenant_id)
    transaction.on_commit(lambda: sender.send(group, hint), robust=True)


def on_words_between_people(event: DomainEvent) -> None:
    """Hint that somebody waits for a person's answer, or waits no more: the queue shows whose turn it is."""
    if event.type == "agent.message.received":
        is_between_people = event.run_id is None
    else:
        is_between_people = event.author == "agent"  # type: ignore[attr-defined]
    if is_between_people:
        on_inbox_changed(event)


def _hint(event: DomainEvent, hint: dict[str, Any]) -> None:
    if event.conversation_id is None:
        return
    group = conversation_group(event.tenant_id, event.conversation_id)
    address = {"tenant_id": str(event.tenant_id), "conversation_id": str(event.conversation_id)}
    transaction.on_commit(lambda: sender.send(group, {**hint, **address}), robust=True)

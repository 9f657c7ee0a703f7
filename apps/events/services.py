"""Publish events, keep the proofs of their handling, and set dead letters aside."""

import datetime as dt
from functools import cache
from importlib import import_module
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.module_loading import import_string
from uuid_utils.compat import uuid7

from apps.events.contracts import Consumer, DomainEvent, Envelope, stream_of
from apps.events.models import SHARDS, DeadLetter, InboxEntry, OutboxEvent
from apps.events.tracing import current_traceparent


def publish(*events: DomainEvent) -> list[UUID]:
    """Write events to the outbox and run their in-transaction handlers, in the caller's transaction.

    An event with a fixed `event_id` that was published before is neither written nor handled again.
    Returns the ids of what was written. Raises whatever a handler raises, which undoes the caller's work.
    """
    assert connection.in_atomic_block, "publish() belongs in the transaction of the fact it tells"
    now = timezone.now()
    rows = [(event, _outbox_row(event, now)) for event in _unpublished(events)]
    OutboxEvent.objects.bulk_create([row for _, row in rows])
    for event, _ in rows:
        for handler in _handlers().get(event.type, ()):
            handler(event)
    return [row.id for _, row in rows]


def enter_inbox(*, consumer: str, envelope: Envelope) -> bool:
    """Claim an event for a consumer, in the projection's transaction; False when it was handled before."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {InboxEntry._meta.db_table} (consumer, event_id, tenant_id) "  # noqa: S608
            "VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            [consumer, envelope.id, envelope.tenant_id],
        )
        return cursor.rowcount == 1


def bury(*, consumer: str, envelope: Envelope, cause: str, deliveries: int) -> None:
    """Set an event aside as a dead letter of a consumer, in the tenant's transaction.

    Again is harmless, and so is an event that was handled while its acknowledgement was lost.
    """
    if InboxEntry.objects.filter(consumer=consumer, event_id=envelope.id).exists():
        return
    DeadLetter.objects.update_or_create(
        consumer=consumer,
        event_id=envelope.id,
        defaults={
            "tenant_id": envelope.tenant_id,
            "type": envelope.type,
            "envelope": envelope.as_json(),
            "cause": cause[:4000],
            "deliveries": deliveries,
            "replayed_at": None,
        },
    )


def list_dead_letters(*, limit: int = 1000) -> list[DeadLetter]:
    """Return the current tenant's dead letters that still wait, the oldest first."""
    return list(DeadLetter.objects.filter(replayed_at__isnull=True).order_by("created_at")[:limit])


def mark_replayed(*, letter_id: UUID) -> None:
    """Take a dead letter off the list, in the tenant's transaction."""
    DeadLetter.objects.filter(id=letter_id).update(replayed_at=timezone.now())


def list_consumers() -> list[Consumer]:
    """Return the declared consumers."""
    return list(_subscriptions().CONSUMERS)


def _unpublished(events: tuple[DomainEvent, ...]) -> list[DomainEvent]:
    fixed = [event_id for event in events if (event_id := event.event_id())]
    if not fixed:
        return list(events)
    known = set(OutboxEvent.objects.filter(id__in=fixed).values_list("id", flat=True))
    return [event for event in events if event.event_id() not in known]


def _outbox_row(event: DomainEvent, now: dt.datetime) -> OutboxEvent:
    event_id = event.event_id() or uuid7()
    envelope = Envelope(
        id=event_id,
        type=event.type,
        version=event.version,
        tenant_id=event.tenant_id,
        occurred_at=now,
        data=event.data(),
        run_id=event.run_id,
        conversation_id=event.conversation_id,
        trace=current_traceparent(),
    )
    return OutboxEvent(
        id=event_id,
        tenant_id=event.tenant_id,
        type=event.type,
        stream=stream_of(event.type),
        shard=(event.run_id or event.conversation_id or event_id).int % SHARDS,
        envelope=envelope.as_json(),
    )


@cache
def _handlers() -> dict[str, tuple[Any, ...]]:
    table = _subscriptions().IN_TRANSACTION
    return {name: tuple(import_string(path) for path in paths) for name, paths in table.items()}


def _subscriptions() -> Any:
    return import_module(settings.EVENT_SUBSCRIPTIONS)

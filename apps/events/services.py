"""Publish events, keep the proofs of their handling, and set dead letters aside."""

import datetime as dt
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import import_module
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.module_loading import import_string
from uuid_utils.compat import uuid7

from apps.events.causes import current_depth
from apps.events.contracts import Consumer, DomainEvent, Envelope, stream_of
from apps.events.models import SHARDS, DeadLetter, InboxEntry, OutboxEvent
from apps.events.tracing import current_traceparent

# One round trip for any number of events; a fact that is told twice, even at once, is written once.
# All of them are one JSON text: in an array of texts the driver escapes every quote, one by one.
WRITE = f"""
INSERT INTO {OutboxEvent._meta.db_table} (id, tenant_id, type, stream, shard, envelope)
SELECT (envelope ->> 'id')::uuid, (envelope ->> 'tenant_id')::uuid, envelope ->> 'type',
       told.event ->> 'stream', (told.event -> 'shard')::smallint, envelope
FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS told (event, place),
     LATERAL (SELECT told.event -> 'envelope' AS envelope) AS travelling
ORDER BY place ON CONFLICT (id) DO NOTHING RETURNING id"""  # noqa: S608 - only our own table name
# In the order of the ids, so that two consumers of the same events never wait for each other.
ENTER = f"""
INSERT INTO {InboxEntry._meta.db_table} (consumer, event_id, tenant_id)
SELECT %s, event_id, tenant_id FROM unnest(%s::uuid[], %s::uuid[]) AS told (event_id, tenant_id)
ON CONFLICT DO NOTHING RETURNING event_id"""  # noqa: S608 - only our own table name


def publish(*events: DomainEvent) -> list[UUID]:
    """Write events to the outbox and run their in-transaction handlers, in the caller's transaction.

    An event with a fixed `event_id` that was published before is neither written nor handled again.
    Returns the ids of what was written. Raises whatever a handler raises, which undoes the caller's work.
    What is certainly new is written with the next event that may not be, or at the transaction's end.
    """
    if all(event.event_id() is None for event in events):
        envelopes = publish_at_the_end(*events)
        written = {envelope.id for envelope in envelopes}
    else:
        envelopes = _envelopes(events)
        written = _write([*_connection().take_waiting(WRITE), *map(_row, envelopes)])
    told: list[UUID] = []
    for event, envelope in zip(events, envelopes, strict=True):
        if envelope.id not in written:
            continue
        written.remove(envelope.id)
        told.append(envelope.id)
        for handler in _handlers().get(event.type, ()):
            handler(event)
    return told


def publish_at_the_end(*events: DomainEvent) -> list[Envelope]:
    """Write events without handlers to the outbox, for whoever need not know whether they are new.

    All that waits is one statement at the end of the transaction, or of the savepoint that is open now.
    """
    envelopes = _envelopes(events)
    if envelopes:
        _connection().before_commit(WRITE, map(_row, envelopes))
    return envelopes


def enter_inbox(*, consumer: str, envelopes: Sequence[Envelope]) -> list[Envelope]:
    """Claim events for a consumer, in the projection's transaction; returns those not handled before."""
    by_id = {envelope.id: envelope for envelope in envelopes}  # one that came twice at once is handled once
    parameters: list[Any] = [consumer, sorted(by_id), [by_id[each].tenant_id for each in sorted(by_id)]]
    with connection.cursor() as cursor:
        cursor.execute(ENTER, parameters)
        fresh = {row[0] for row in cursor.fetchall()}
    return [envelope for envelope_id, envelope in by_id.items() if envelope_id in fresh]


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


def _connection() -> Any:
    return connection  # an `apps.tenants.db` wrapper, which Django's types do not know


def _write(rows: list[bytes]) -> set[UUID]:
    """Insert all at once, in order, and return the ids that were not there before."""
    with connection.cursor() as cursor:
        cursor.execute(WRITE, [f"[{b','.join(rows).decode()}]"])
        return {row[0] for row in cursor.fetchall()}


def _row(envelope: Envelope) -> bytes:
    shard = (envelope.run_id or envelope.conversation_id or envelope.id).int % SHARDS
    row = {"stream": stream_of(envelope.type), "shard": shard, "envelope": envelope.as_json()}
    return orjson.dumps(row)


def _envelopes(events: Iterable[DomainEvent]) -> list[Envelope]:
    assert connection.in_atomic_block, "publish() belongs in the transaction of the fact it tells"
    now = timezone.now()
    return [_envelope(event, now) for event in events]


def _envelope(event: DomainEvent, now: dt.datetime) -> Envelope:
    return Envelope(
        id=event.event_id() or uuid7(),
        type=event.type,
        version=event.version,
        tenant_id=event.tenant_id,
        occurred_at=now,
        data=event.data(),
        run_id=event.run_id,
        conversation_id=event.conversation_id,
        trace=current_traceparent(),
        depth=current_depth(),
    )


@cache
def _handlers() -> dict[str, tuple[Any, ...]]:
    table = _subscriptions().IN_TRANSACTION
    return {name: tuple(import_string(path) for path in paths) for name, paths in table.items()}


def _subscriptions() -> Any:
    return import_module(settings.EVENT_SUBSCRIPTIONS)

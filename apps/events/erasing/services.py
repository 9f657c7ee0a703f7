"""Forget a customer in events: their words go out of the outbox, dead letters and the streams.

What was told stays told: the emptied events are published once more, for whoever has not counted them.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from apps.events.adapters.jetstream import delete_messages
from apps.events.contracts import STREAMS

RULES = {
    "events.OutboxEvent": "emptied",
    "events.DeadLetter": "emptied",
    "events.InboxEntry": "kept: ids of events that were handled",
}
WORDS = ("text", "comment", "reason", "resolution", "error", "receipt", "customer_id", "name", "email")
CHOSEN = """
(envelope ->> 'conversation_id' = ANY(%(conversations)s)
 OR envelope ->> 'run_id' = ANY(%(runs)s)
 OR envelope -> 'data' ->> 'customer_id' = %(customer)s
 OR (envelope -> 'data')::text ILIKE ANY(%(identifiers)s))
"""
# Of what KPIs need of a receipt only what is no word is kept.
EMPTIED = """
envelope || jsonb_build_object('data', (
  SELECT coalesce(jsonb_object_agg(key, CASE
    WHEN key = 'receipt' AND jsonb_typeof(value) = 'object' THEN
      coalesce((SELECT jsonb_object_agg(k, v) FROM jsonb_each(value) AS r (k, v)
                WHERE jsonb_typeof(v) IN ('number', 'boolean') OR k IN ('intent', 'provider')), '{}'::jsonb)
    WHEN key = ANY(%(words)s) AND jsonb_typeof(value) = 'string' THEN '""'::jsonb
    ELSE value END), '{}'::jsonb)
  FROM jsonb_each(envelope -> 'data')))
"""
TABLES = {"events.OutboxEvent": "events_outboxevent", "events.DeadLetter": "events_deadletter"}


@dataclass(frozen=True)
class Trace:
    """What leads to a customer's events."""

    customer_id: UUID
    identifiers: Collection[str]
    conversation_ids: Collection[UUID]
    run_ids: Collection[UUID]


def empty_events(trace: Trace) -> dict[str, int]:
    """Take the words out of the outbox and the dead letters, in the caller's transaction of the tenant."""
    given = _parameters(trace)
    changed = {}
    with connection.cursor() as cursor:
        for label, table in TABLES.items():
            cursor.execute(f"UPDATE {table} SET envelope = {EMPTIED} WHERE {CHOSEN}", given)  # noqa: S608 - our own
            changed[label] = cursor.rowcount
        by_cause = f"{CHOSEN} OR cause ILIKE ANY(%(identifiers)s)"
        cursor.execute(f"UPDATE events_deadletter SET cause = '' WHERE {by_cause}", given)  # noqa: S608
    return changed


def list_published(trace: Trace) -> list[str]:
    """Return the ids of the events of which the streams may hold copies; inside `in_tenant`."""
    given = _parameters(trace)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id::text FROM events_outboxevent WHERE published_at IS NOT NULL AND {CHOSEN}",  # noqa: S608
            given,
        )
        return [row[0] for row in cursor.fetchall()]


def forget_in_streams(ids: list[str]) -> int:
    """Delete and overwrite the streams' copies of these events; raises BrokerUnavailable.

    Reads the headers of all that the streams hold: minutes where they hold millions.
    """
    if not ids:
        return 0
    names = [stream.name for stream in STREAMS]
    return asyncio.run(delete_messages(settings.NATS_URL, names, frozenset(ids)))


def publish_again(ids: list[str]) -> int:
    """Have the emptied events published once more, in the caller's transaction; who had them knows."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE events_outboxevent SET published_at = NULL WHERE id = ANY(%s::uuid[])", [ids])
        return cursor.rowcount


def _parameters(trace: Trace) -> dict[str, Any]:
    return {
        "customer": str(trace.customer_id),
        "conversations": [str(one) for one in trace.conversation_ids],
        "runs": [str(one) for one in trace.run_ids],
        "identifiers": [f"%{_literally(one)}%" for one in trace.identifiers],
        "words": list(WORDS),
    }


def _literally(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")

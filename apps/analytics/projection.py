"""Write read models: a conversation's facts, and by difference the buckets that they count in."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import connection

from apps.analytics.facts import Facts, bucket_start, first_response_ms, fold, measure
from apps.analytics.models import ArchivedEvent, ConversationFact, KpiBucket, ReadModelState

ADD = f"""
INSERT INTO {KpiBucket._meta.db_table} AS b (tenant_id, generation, starts_at, measure, amount)
SELECT %s, %s, starts_at, measure, amount
FROM unnest(%s::timestamptz[], %s::text[], %s::bigint[]) AS added (starts_at, measure, amount)
ORDER BY starts_at, measure
ON CONFLICT (tenant_id, generation, starts_at, measure) DO UPDATE SET amount = b.amount + EXCLUDED.amount
"""  # noqa: S608 - only our own table name


def current_generation(tenant_id: UUID, *, lock: bool = True) -> int:
    """Return the generation that is shown; held until the transaction ends, so that no swap comes between."""
    states = ReadModelState.objects.select_for_update(no_key=True) if lock else ReadModelState.objects
    found = states.filter(tenant_id=tenant_id).values_list("generation", flat=True).first()
    if found is None:
        ReadModelState.objects.bulk_create([ReadModelState(tenant_id=tenant_id)], ignore_conflicts=True)
        return current_generation(tenant_id, lock=lock)
    return found


def project(
    tenant_id: UUID, conversation_id: UUID, *, generation: int, as_of: dt.datetime, window: dt.timedelta
) -> None:
    """Bring a conversation's facts and buckets up to date; again changes nothing."""
    with connection.cursor() as cursor:  # one projection of a conversation at a time
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{tenant_id}{conversation_id}"]
        )
    events = ArchivedEvent.objects.filter(tenant_id=tenant_id, conversation_id=conversation_id)
    facts = fold(events.only("type", "occurred_at", "data"))
    found = ConversationFact.objects.filter(
        tenant_id=tenant_id, generation=generation, conversation_id=conversation_id
    )
    before = found.values("started_at", "counted").first() or {"started_at": None, "counted": {}}
    counted = measure(facts, as_of=as_of, window=window)
    values = _row(facts, counted, as_of=as_of, window=window)
    if not found.update(**values):
        key = {"tenant_id": tenant_id, "generation": generation, "conversation_id": conversation_id}
        ConversationFact.objects.create(**key, **values)
    changes = _changes(before["started_at"], before["counted"], facts.started_at, counted)
    add_to_buckets(tenant_id, generation, changes)


def add_to_buckets(tenant_id: UUID, generation: int, changes: Iterable[tuple[dt.datetime, str, int]]) -> None:
    """Add amounts to buckets, in one statement and in an order that cannot deadlock."""
    rows = list(changes)
    if rows:
        starts, names, amounts = (list(column) for column in zip(*rows, strict=True))
        with connection.cursor() as cursor:
            cursor.execute(ADD, [tenant_id, generation, starts, names, amounts])


def _row(facts: Facts, counted: Counter[str], *, as_of: dt.datetime, window: dt.timedelta) -> dict[str, Any]:
    outcome = facts.outcome(as_of=as_of, window=window)
    settles_at = facts.settles_at(window=window)
    escalation = facts.first_escalation
    return {
        "started_at": facts.started_at,
        "channel": facts.channel[:16],
        "is_ai_involved": bool(facts.knew),
        "outcome": outcome,
        "is_escalated": escalation is not None,
        "escalation_reason": escalation[1] if escalation else "",
        "is_reopened": facts.is_reopened,
        "has_gap": facts.gaps > 0,
        "rating": facts.rating,
        "first_response_ms": first_response_ms(facts),
        "cost_microusd": facts.cost_microusd,
        "settles_at": settles_at if settles_at is not None and not outcome else None,
        "counted": dict(counted),
    }


def _changes(
    was_at: dt.datetime | None, was: dict[str, int], is_at: dt.datetime | None, now: Counter[str]
) -> list[tuple[dt.datetime, str, int]]:
    sums: Counter[tuple[dt.datetime, str]] = Counter()
    if was_at is not None:
        sums.update({(bucket_start(was_at), name): -amount for name, amount in was.items()})
    if is_at is not None:
        for name, amount in now.items():
            sums[bucket_start(is_at), name] += amount
    return [(start, name, amount) for (start, name), amount in sorted(sums.items()) if amount]

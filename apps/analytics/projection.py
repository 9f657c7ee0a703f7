"""Write read models: a conversation's facts, and by difference the buckets that they count in."""

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import DatabaseError, connection
from django.db.models import DateTimeField, Func

from apps.analytics.agents import shares_of
from apps.analytics.days import day_of
from apps.analytics.facts import Facts, bucket_start, first_response_ms, fold, measure
from apps.analytics.models import ArchivedEvent, ConversationFact, KpiBucket, KpiDay, ReadModelState
from apps.tenants.context import APP, current_tenant
from apps.tenants.selectors import get_silence_hours, get_time_zone

ADD = """
INSERT INTO {table} AS b (tenant_id, generation, starts_at, measure, amount)
SELECT %s, %s, starts_at, measure, amount
FROM unnest(%s::timestamptz[], %s::text[], %s::bigint[]) AS added (starts_at, measure, amount)
ORDER BY starts_at, measure
ON CONFLICT (tenant_id, generation, starts_at, measure) DO UPDATE SET amount = b.amount + EXCLUDED.amount
"""
Change = tuple[dt.datetime, str, int]


class ClockTimestamp(Func):
    """The database's clock, which every process shares."""

    template = "clock_timestamp()"
    output_field = DateTimeField()


@dataclass(frozen=True)
class Generation:
    """One set of read models, folded with one silence window; its days are of one zone."""

    number: int
    window: dt.timedelta
    time_zone: str


def shown_generation(tenant_id: UUID, *, lock: bool = True, using: str = APP) -> Generation:
    """Return the generation that is shown; held until the transaction ends, so that no swap comes between.

    A tenant's first one is made here, but at a replica, where DatabaseError is raised.
    """
    states = ReadModelState.objects.using(using).filter(tenant_id=tenant_id)
    states = states.select_for_update(no_key=True) if lock else states
    found = states.values_list("generation", "silence_hours", "time_zone").first()
    if found is None and using != APP:
        raise DatabaseError("the replica knows no read models of this tenant yet")
    if found is None:
        wanted = wanted_generation(tenant_id, number=1)
        state = ReadModelState(
            tenant_id=tenant_id,
            silence_hours=wanted.window // dt.timedelta(hours=1),
            time_zone=wanted.time_zone,
        )
        ReadModelState.objects.bulk_create([state], ignore_conflicts=True)
        return shown_generation(tenant_id, lock=lock)
    return Generation(found[0], dt.timedelta(hours=found[1]), found[2])


def wanted_generation(tenant_id: UUID, *, number: int) -> Generation:
    """Return a generation as the company's settings are now; inside `in_tenant`."""
    window = dt.timedelta(hours=get_silence_hours(tenant_id=tenant_id))
    tenant = current_tenant()
    assert tenant is not None
    return Generation(number, window, get_time_zone(tenant=tenant))


def project(tenant_id: UUID, conversation_id: UUID, *, generation: Generation, as_of: dt.datetime) -> None:
    """Bring a conversation's facts and buckets up to date; again changes nothing.

    The caller holds the shown generation, so that a tenant's projections come one after the other.
    """
    events = ArchivedEvent.objects.filter(tenant_id=tenant_id, conversation_id=conversation_id)
    facts = fold(events.only("type", "occurred_at", "data"))
    key = {"tenant_id": tenant_id, "generation": generation.number, "conversation_id": conversation_id}
    found = ConversationFact.objects.filter(**key)
    before = found.values("started_at", "counted").first() or {"started_at": None, "counted": {}}
    values = columns_of(facts, as_of=as_of, window=generation.window)
    if not found.update(**values):
        ConversationFact.objects.create(**key, **values)
    changes = _changes(before["started_at"], before["counted"], facts.started_at, values["counted"])
    add_to_buckets(tenant_id, generation, changes)


def project_anew(tenant_id: UUID, ids: list[UUID], *, generation: Generation, as_of: dt.datetime) -> None:
    """Fold conversations into a generation that holds nothing of them and that nobody else writes."""
    told: dict[UUID, list[ArchivedEvent]] = {conversation_id: [] for conversation_id in ids}
    events = ArchivedEvent.objects.filter(tenant_id=tenant_id, conversation_id__in=ids)
    for event in events.only("type", "occurred_at", "data", "conversation_id"):
        told[event.conversation_id].append(event)
    rows, sums = [], Counter[tuple[dt.datetime, str]]()
    for conversation_id, its_events in told.items():
        values = columns_of(fold(its_events), as_of=as_of, window=generation.window)
        key = {"tenant_id": tenant_id, "generation": generation.number, "conversation_id": conversation_id}
        rows.append(ConversationFact(**key, **values))
        for start, name, amount in _changes(None, {}, values["started_at"], values["counted"]):
            sums[start, name] += amount
    ConversationFact.objects.bulk_create(rows)
    add_to_buckets(tenant_id, generation, [(*place, amount) for place, amount in sums.items()])


def add_to_buckets(tenant_id: UUID, generation: Generation, changes: list[Change]) -> None:
    """Add amounts to buckets and to the days that they lie in."""
    _add(KpiBucket, tenant_id, generation, changes)
    if generation.time_zone:
        zone, days = ZoneInfo(generation.time_zone), Counter[tuple[dt.datetime, str]]()
        for start, name, amount in changes:
            days[day_of(start, zone), name] += amount
        _add(KpiDay, tenant_id, generation, [(*place, amount) for place, amount in days.items() if amount])


def _add(
    model: type[KpiBucket] | type[KpiDay], tenant_id: UUID, generation: Generation, changes: list[Change]
) -> None:
    """Add amounts in one statement and in an order that cannot deadlock."""
    if not changes:
        return
    starts, names, amounts = (list(column) for column in zip(*changes, strict=True))
    with connection.cursor() as cursor:
        sql = ADD.format(table=model._meta.db_table)
        cursor.execute(sql, [tenant_id, generation.number, starts, names, amounts])


def columns_of(facts: Facts, *, as_of: dt.datetime, window: dt.timedelta) -> dict[str, Any]:
    """Return what a conversation's row holds, at a moment."""
    outcome = facts.outcome(as_of=as_of, window=window)
    settles_at = facts.settles_at(window=window)
    escalation = facts.first_escalation
    return {
        "started_at": facts.started_at,
        "channel": facts.channel[:16],
        "intent": facts.intent[:100],
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
        "agents": shares_of(facts),
        "counted": dict(measure(facts, as_of=as_of, window=window)),
    }


def _changes(
    was_at: dt.datetime | None, was: dict[str, int], is_at: dt.datetime | None, now: dict[str, int]
) -> list[Change]:
    sums: Counter[tuple[dt.datetime, str]] = Counter()
    if was_at is not None:
        sums.update({(bucket_start(was_at), name): -amount for name, amount in was.items()})
    if is_at is not None:
        for name, amount in now.items():
            sums[bucket_start(is_at), name] += amount
    return [(start, name, amount) for (start, name), amount in sorted(sums.items()) if amount]

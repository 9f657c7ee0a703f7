"""Rebuild read models beside the ones that are shown, compare, and swap in one transaction."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.utils import timezone

from apps.analytics.models import ArchivedEvent, ConversationFact, KpiBucket, KpiDay, ReadModelState
from apps.analytics.projection import (
    Generation,
    project,
    project_anew,
    shown_generation,
    wanted_generation,
)
from apps.analytics.settling import settle
from apps.resilience.errors import ConflictError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

AT_ONCE = 500
LEASE = dt.timedelta(minutes=5)  # a rebuild that was killed keeps the next one waiting for so long
LINES = 20
COMPARE = f"""
SELECT starts_at, measure, coalesce(a.amount, 0), coalesce(b.amount, 0), count(*) OVER ()
FROM (SELECT starts_at, measure, amount FROM {KpiBucket._meta.db_table}
      WHERE tenant_id = %s AND generation = %s) a
FULL JOIN (SELECT starts_at, measure, amount FROM {KpiBucket._meta.db_table}
           WHERE tenant_id = %s AND generation = %s) b USING (starts_at, measure)
WHERE coalesce(a.amount, 0) <> coalesce(b.amount, 0)
ORDER BY starts_at, measure LIMIT {LINES}
"""  # noqa: S608 - only our own table name


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild made; `difference_count` buckets differ from those shown before, the first ones told."""

    conversations: int
    difference_count: int
    differences: list[str]
    window_changed: bool

    @property
    def is_equal(self) -> bool:
        return not self.difference_count


@dataclass(frozen=True)
class Rebuild:
    """A rebuild under way: what it read of the archive is what was stored before `began_at`."""

    tenant: TenantRef
    old: Generation
    new: Generation
    began_at: dt.datetime


def rebuild(*, tenant: TenantRef, as_of: dt.datetime | None = None) -> Rebuilt:
    """Fold the whole archive into a new generation, compare it with the one shown, and swap.

    Events go on being projected meanwhile: the last step projects what was stored since, holding the
    state's row, and swaps in the same transaction. Killed anywhere, the old generation stays. Raises
    ConflictError while another rebuild is under way.
    """
    work = _begin(tenant)
    total = 0
    for ids in _conversation_ids(tenant):
        with in_tenant(tenant):
            _extend(work)
            project_anew(tenant.id, ids, generation=work.new, as_of=as_of or timezone.now())
        total += len(ids)
    rebuilt = _swap(work, total, as_of)
    _drop(tenant, below=work.new.number, kept=work.new.number)
    return rebuilt


def _begin(tenant: TenantRef) -> Rebuild:
    with in_tenant(tenant):
        old = shown_generation(tenant.id)  # locked: whoever projects from now on stores events after this
        state, now = ReadModelState.objects.get(tenant_id=tenant.id), _clock()
        if state.building_until is not None and state.building_until > now:
            raise ConflictError(f"A rebuild is under way; it ends by {state.building_until:%H:%M:%S} UTC.")
        number = max(old.number, state.building or 0) + 1
        state.building, state.building_until = number, now + LEASE
        state.save(update_fields=["building", "building_until"])
        new = wanted_generation(tenant.id, number=number)
    _drop(tenant, below=number, kept=old.number)
    return Rebuild(tenant, old, new, now)


def _swap(work: Rebuild, total: int, as_of: dt.datetime | None) -> Rebuilt:
    tenant = work.tenant
    with in_tenant(tenant):
        shown_generation(tenant.id)
        _extend(work)
        moment = as_of or timezone.now()
        late = ArchivedEvent.objects.filter(tenant_id=tenant.id, stored_at__gte=work.began_at)
        for conversation_id in late.values_list("conversation_id", flat=True).distinct():
            project(tenant.id, conversation_id, generation=work.new, as_of=moment)
        for generation in (work.old, work.new):  # time has passed for both
            settle(tenant.id, generation, as_of=moment)
        count, lines = _compare(tenant.id, work.old, work.new)
        ReadModelState.objects.filter(tenant_id=tenant.id).update(
            generation=work.new.number,
            silence_hours=work.new.window // dt.timedelta(hours=1),
            time_zone=work.new.time_zone,
            rebuilt_at=timezone.now(),
            building_until=None,
        )
    return Rebuilt(total, count, lines, window_changed=work.old.window != work.new.window)


def _extend(work: Rebuild) -> None:
    states = ReadModelState.objects.filter(tenant_id=work.tenant.id, building=work.new.number)
    if not states.update(building_until=_clock() + LEASE):
        raise ConflictError("Another rebuild has begun since; this one gives up.")


def _compare(tenant_id: UUID, old: Generation, new: Generation) -> tuple[int, list[str]]:
    with connection.cursor() as cursor:
        cursor.execute(COMPARE, [tenant_id, old.number, tenant_id, new.number])
        rows = cursor.fetchall()
    lines = [f"{start:%Y-%m-%d %H:%M} {name}: {was} shown, {now} folded" for start, name, was, now, _ in rows]
    return (rows[0][4] if rows else 0), lines


def _conversation_ids(tenant: TenantRef) -> Iterator[list[UUID]]:
    last: UUID | None = None
    while True:
        with in_tenant(tenant):
            rows = ArchivedEvent.objects.filter(tenant_id=tenant.id).order_by("conversation_id")
            rows = rows.filter(conversation_id__gt=last) if last else rows
            ids = list(rows.values_list("conversation_id", flat=True).distinct()[:AT_ONCE])
        if not ids:
            return
        yield ids
        last = ids[-1]


def _drop(tenant: TenantRef, *, below: int, kept: int) -> None:
    with in_tenant(tenant):
        for model in (ConversationFact, KpiBucket, KpiDay):
            rows = model.objects.filter(tenant_id=tenant.id, generation__lt=below)
            rows.exclude(generation=kept).delete()


def _clock() -> dt.datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]

"""Settle what silence decides, and rebuild read models beside the ones that are shown."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.utils import timezone

from apps.analytics.models import ArchivedEvent, ConversationFact, KpiBucket, ReadModelState
from apps.analytics.projection import current_generation, project
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_silence_hours

AT_ONCE = 200
MONTHS_AHEAD = 3


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild made, and whether it tells the same as what it replaced."""

    conversations: int
    is_equal: bool
    differences: list[str]


def silence_window(tenant_id: UUID) -> dt.timedelta:
    """Return how long a customer must be silent; inside `in_tenant`."""
    return dt.timedelta(hours=get_silence_hours(tenant_id=tenant_id))


def settle_silences(*, tenant: TenantRef, as_of: dt.datetime | None = None) -> int:
    """Count the conversations whose silence has lasted long enough as resolved; return how many."""
    moment, settled = as_of or timezone.now(), 0
    while True:
        with in_tenant(tenant):
            generation = current_generation(tenant.id)
            due = ConversationFact.objects.filter(
                tenant_id=tenant.id, generation=generation, settles_at__lte=moment
            )
            ids = list(due.order_by("settles_at").values_list("conversation_id", flat=True)[:AT_ONCE])
            window = silence_window(tenant.id)
            for conversation_id in ids:
                project(tenant.id, conversation_id, generation=generation, as_of=moment, window=window)
        settled += len(ids)
        if len(ids) < AT_ONCE:
            return settled


def rebuild_read_models(*, tenant: TenantRef, as_of: dt.datetime | None = None) -> Rebuilt:
    """Fold the whole archive into a new generation, compare it with the one shown, and swap.

    Events go on being projected meanwhile: the last step projects what came since, holding the state's
    row, and swaps in the same transaction. Killed anywhere, the old generation stays.
    """
    settle_silences(tenant=tenant, as_of=as_of)
    moment = as_of or timezone.now()
    with in_tenant(tenant):
        old = current_generation(tenant.id)
        began_at = timezone.now()
    new = old + 1
    _drop(tenant, new)
    total = 0
    for ids in _conversation_ids(tenant):
        with in_tenant(tenant):
            window = silence_window(tenant.id)
            for conversation_id in ids:
                project(tenant.id, conversation_id, generation=new, as_of=moment, window=window)
        total += len(ids)
    return _swap(tenant, old, new, total, began_at, moment)


def ensure_partitions(*, today: dt.date | None = None) -> None:
    """Make the partitions of this month and the next ones; there already, they stay."""
    first = (today or timezone.now().date()).replace(day=1)
    with connection.cursor() as cursor:
        for _ in range(MONTHS_AHEAD + 1):
            cursor.execute("SELECT ensure_analytics_partitions(%s)", [first])
            first = (first + dt.timedelta(days=32)).replace(day=1)


def _swap(
    tenant: TenantRef, old: int, new: int, total: int, began_at: dt.datetime, moment: dt.datetime
) -> Rebuilt:
    with in_tenant(tenant):
        current_generation(tenant.id)
        # A little earlier than we began: a transaction that was open then had stored its event before.
        since = began_at - dt.timedelta(minutes=1)
        late = ArchivedEvent.objects.filter(tenant_id=tenant.id, stored_at__gte=since)
        window = silence_window(tenant.id)
        for conversation_id in late.values_list("conversation_id", flat=True).distinct():
            project(tenant.id, conversation_id, generation=new, as_of=moment, window=window)
        differences = _compare(tenant.id, old, new)
        states = ReadModelState.objects.filter(tenant_id=tenant.id)
        states.update(generation=new, rebuilt_at=timezone.now())
    _drop(tenant, old)
    return Rebuilt(total, not differences, differences)


def _compare(tenant_id: UUID, old: int, new: int) -> list[str]:
    def rows(generation: int) -> set[tuple[dt.datetime, str, int]]:
        buckets = KpiBucket.objects.filter(tenant_id=tenant_id, generation=generation).exclude(amount=0)
        return set(buckets.values_list("starts_at", "measure", "amount"))

    return [f"{start:%Y-%m-%d %H:%M} {name}: {n}" for start, name, n in sorted(rows(old) ^ rows(new))]


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


def _drop(tenant: TenantRef, generation: int) -> None:
    with in_tenant(tenant):
        for model in (ConversationFact, KpiBucket):
            model.objects.filter(tenant_id=tenant.id, generation=generation).delete()

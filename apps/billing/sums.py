"""Add up usage: from the raw events, which are the truth, and from the buckets, which are quick."""

import datetime as dt
from dataclasses import dataclass, field
from uuid import UUID

from django.db import connection
from django.db.models import Sum

from apps.billing.models import UsageBucket
from apps.billing.periods import BUCKET_S

# The digest of one event is a number, so that their sum does not depend on an order.
DIGEST = (
    "('x' || left(md5(concat_ws('|', id, kind, quantity, extract(epoch FROM occurred_at))), 15))"
    "::bit(60)::bigint"
)
EVENTS_SQL = f"""
SELECT kind, %(start)s::timestamptz AS starts_at, false AS is_late, sum(quantity), count(*), sum({DIGEST})
FROM billing_usageevent
WHERE occurred_at >= %(start)s AND occurred_at < %(end)s AND NOT is_late AND created_at <= %(until)s
GROUP BY kind
UNION ALL
SELECT kind, date_bin('{BUCKET_S} seconds', occurred_at, 'epoch'), true,
       sum(quantity), count(*), sum({DIGEST})
FROM billing_usageevent
WHERE is_late AND occurred_at < %(start)s AND created_at > %(after)s AND created_at <= %(until)s
GROUP BY 1, 2"""  # noqa: S608 - only our own constants
LATE_BUCKETS_SQL = f"""
SELECT DISTINCT date_bin('{BUCKET_S} seconds', occurred_at, 'epoch')
FROM billing_usageevent WHERE is_late AND occurred_at < %s AND created_at > %s"""  # noqa: S608
LOCK_SQL = "SELECT pg_advisory_xact_lock(hashtextextended('billing:' || %s, 0))"
SHARE_SQL = "SELECT pg_advisory_xact_lock_shared(hashtextextended('billing:' || %s, 0))"
CLOCK_SQL = "SELECT greatest(clock_timestamp(), %s::timestamptz + interval '1 microsecond')"
EVER, NEVER = dt.datetime.max.replace(tzinfo=dt.UTC), dt.datetime.min.replace(year=1000, tzinfo=dt.UTC)


@dataclass
class UsageSums:
    """Quantities of one period by kind, and late ones of earlier periods by (moment, kind)."""

    own: dict[str, int] = field(default_factory=dict)
    late: dict[tuple[dt.datetime, str], int] = field(default_factory=dict)
    event_count: int = 0
    checksum: str = ""


def sum_events(
    *,
    start: dt.datetime,
    end: dt.datetime,
    stored_after: dt.datetime | None = None,
    stored_until: dt.datetime | None = None,
) -> UsageSums:
    """Add up the raw events of a period that were stored until a cut-off, with their count and checksum.

    One statement, hence one moment. The same cut-offs give the same answer for ever.
    """
    sums, digest = UsageSums(), 0
    bounds = {"start": start, "end": end, "after": stored_after or NEVER, "until": stored_until or EVER}
    with connection.cursor() as cursor:
        cursor.execute(EVENTS_SQL, bounds)
        for kind, moment, is_late, quantity, count, part in cursor.fetchall():
            if is_late:
                sums.late[moment, kind] = int(quantity)
            else:
                sums.own[kind] = int(quantity)
            sums.event_count += count
            digest += int(part)
    sums.checksum = f"{digest:x}"
    return sums


def sum_buckets(*, start: dt.datetime, end: dt.datetime) -> dict[str, int]:
    """Add up the read model's quantities by kind."""
    buckets = UsageBucket.objects.filter(starts_at__gte=start, starts_at__lt=end)
    return {row["kind"]: int(row["total"]) for row in buckets.values("kind").annotate(total=Sum("quantity"))}


def lock_usage(tenant_id: UUID, *, shared: bool) -> None:
    """Hold the tenant's usage until the transaction ends: shared to store an event, alone to cut off."""
    with connection.cursor() as cursor:
        cursor.execute(SHARE_SQL if shared else LOCK_SQL, [str(tenant_id)])


def read_clock(*, not_before: dt.datetime | None = None) -> dt.datetime:
    """Return the database's time, or the moment after `not_before` if its clock was set back."""
    with connection.cursor() as cursor:
        cursor.execute(CLOCK_SQL, [not_before])
        return cursor.fetchone()[0]


def find_late_moments(*, start: dt.datetime, stored_after: dt.datetime | None) -> list[dt.datetime]:
    """Return the quarters of an hour before `start` in which events lie that no invoice has billed yet."""
    with connection.cursor() as cursor:
        cursor.execute(LATE_BUCKETS_SQL, [start, stored_after or NEVER])
        return sorted(row[0] for row in cursor.fetchall())

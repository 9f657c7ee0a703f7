"""Whole days of the company's zone, summed up beside the buckets so that a year is read at a glance."""

import datetime as dt
from functools import lru_cache
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import Max, Min

from apps.analytics.models import KpiBucket, KpiDay, ReadModelState
from apps.analytics.spans import ONE_DAY, midnight

FILL = f"""
INSERT INTO {KpiDay._meta.db_table} (tenant_id, generation, starts_at, measure, amount)
SELECT tenant_id, generation, (%(edges)s::timestamptz[])[width_bucket(starts_at, %(edges)s::timestamptz[])],
  measure, sum(amount)::bigint
FROM {KpiBucket._meta.db_table} WHERE tenant_id = %(tenant_id)s AND generation = %(generation)s
GROUP BY 1, 2, 3, 4
"""  # noqa: S608 - only our own table names


@lru_cache(maxsize=4096)
def day_start(day: dt.date, zone: ZoneInfo) -> dt.datetime:
    """Return the first moment of a day, in UTC."""
    return midnight(day, zone)


def day_of(moment: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """Return the first moment of the day that holds a moment there."""
    return day_start(moment.astimezone(zone).date(), zone)


def refill_days(tenant_id: UUID, generation: int, zone: str) -> None:
    """Sum a generation's buckets up anew for the days of a zone; its state is held by the caller."""
    KpiDay.objects.filter(tenant_id=tenant_id, generation=generation).delete()
    edges = days_of(tenant_id, generation, ZoneInfo(zone))
    if edges:
        with connection.cursor() as cursor:
            cursor.execute(FILL, {"edges": edges, "tenant_id": tenant_id, "generation": generation})
    ReadModelState.objects.filter(tenant_id=tenant_id).update(time_zone=zone)


def days_of(tenant_id: UUID, generation: int, zone: ZoneInfo) -> list[dt.datetime]:
    """Return where each day begins from the first bucket's to the last one's."""
    rows = KpiBucket.objects.filter(tenant_id=tenant_id, generation=generation)
    found = rows.aggregate(first=Min("starts_at"), last=Max("starts_at"))
    if found["first"] is None:
        return []
    day, until = (found[name].astimezone(zone).date() for name in ("first", "last"))
    return [day_start(day + number * ONE_DAY, zone) for number in range((until - day).days + 1)]

"""Read KPIs, their series, and the conversations behind them."""

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import Q, QuerySet

from apps.analytics.kpis import Value, compute, reasons
from apps.analytics.models import ConversationFact, KpiBucket
from apps.analytics.projection import current_generation
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_time_zone

GRANULARITIES = ("hour", "day", "week", "month")
SUMS = f"""
SELECT width_bucket(starts_at, %s::timestamptz[]), measure, sum(amount)::bigint
FROM {KpiBucket._meta.db_table}
WHERE tenant_id = %s AND generation = %s AND starts_at >= %s AND starts_at < %s
GROUP BY 1, 2
"""  # noqa: S608 - only our own table name
ROWS: dict[str, Q] = {
    "all": Q(),
    "ai_involved": Q(is_ai_involved=True),
    "resolved": ~Q(outcome=""),
    "confirmed": Q(outcome="confirmed"),
    "escalated": Q(is_escalated=True),
    "answered": Q(first_response_ms__isnull=False),
    "reopened": Q(is_reopened=True),
    "rated": Q(rating__isnull=False),
    "gap": Q(has_gap=True),
}


@dataclass(frozen=True)
class Span:
    """Whole days of a time zone: half-open in UTC, `start` and `end` are midnights there."""

    start: dt.datetime
    end: dt.datetime
    zone: ZoneInfo

    @property
    def before(self) -> "Span":
        """Return as many days right before."""
        first, last = self.start.astimezone(self.zone).date(), self.end.astimezone(self.zone).date()
        return Span(midnight(first - (last - first), self.zone), self.start, self.zone)


@dataclass(frozen=True)
class KpiReport:
    """KPIs of a span and the one before, and of each step of it."""

    span: Span
    granularity: str
    values: dict[str, Value]
    before: dict[str, Value]
    steps: list[tuple[dt.datetime, dict[str, Value]]]
    reasons: list[tuple[str, int]]


def midnight(day: dt.date, zone: ZoneInfo) -> dt.datetime:
    """Return the first moment of a day, in UTC."""
    return dt.datetime.combine(day, dt.time(), zone).astimezone(dt.UTC)


def span_of(*, tenant: TenantRef, first: dt.date, last: dt.date) -> Span:
    """Return the span of whole days of the tenant, both inclusive."""
    with in_tenant(tenant):
        zone = ZoneInfo(get_time_zone(tenant=tenant))
    return Span(midnight(first, zone), midnight(last + dt.timedelta(days=1), zone), zone)


def read_kpis(*, tenant: TenantRef, span: Span, granularity: str = "day") -> KpiReport:
    """Return the KPIs of the conversations that began in a span; one query for it and the one before."""
    edges = _steps(span, granularity)
    with in_tenant(tenant), connection.cursor() as cursor:
        generation = current_generation(tenant.id, lock=False)
        # Finding a step in a list of beginnings is much cheaper than truncating each row's time in a zone.
        cursor.execute(SUMS, (edges, tenant.id, generation, span.before.start, span.end))
        rows = cursor.fetchall()
    now, before = Counter[str](), Counter[str]()
    steps: list[Counter[str]] = [Counter() for _ in edges]
    for number, name, amount in rows:
        (now if number else before)[name] += amount
        if number:
            steps[number - 1][name] += amount
    return KpiReport(
        span=span,
        granularity=granularity,
        values=compute(now),
        before=compute(before),
        steps=[(edge, compute(sums)) for edge, sums in zip(edges, steps, strict=True)],
        reasons=reasons(now),
    )


def list_rows(*, tenant: TenantRef, span: Span, rows: str) -> QuerySet[ConversationFact]:
    """Return the facts behind a figure; to be paged, inside `in_tenant`."""
    generation = current_generation(tenant.id, lock=False)
    facts = ConversationFact.objects.filter(tenant_id=tenant.id, generation=generation)
    return facts.filter(ROWS[rows], started_at__gte=span.start, started_at__lt=span.end)


def _steps(span: Span, granularity: str) -> list[dt.datetime]:
    """Return the beginnings of a span's steps, the first one cut to the span's own beginning."""
    if granularity == "hour":
        hours = int((span.end - span.start) / dt.timedelta(hours=1))
        return [span.start + dt.timedelta(hours=number) for number in range(hours)]
    day, last = (moment.astimezone(span.zone).date() for moment in (span.start, span.end))
    floors = set()
    while day < last:
        monday, first = day - dt.timedelta(days=day.weekday()), day.replace(day=1)
        floors.add({"week": monday, "month": first}.get(granularity, day))
        day += dt.timedelta(days=1)
    return [max(midnight(floor, span.zone), span.start) for floor in sorted(floors)]

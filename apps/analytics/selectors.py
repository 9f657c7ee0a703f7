"""Read KPIs, their series, and the conversations behind them."""

import datetime as dt
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connections
from django.db.models import QuerySet
from django.utils import timezone

from apps.analytics.days import day_of, day_start
from apps.analytics.facts import BUCKET_S, bucket_start
from apps.analytics.kpis import KPIS, Kpi, Value, compute, measures_of, reasons
from apps.analytics.models import ConversationFact, KpiBucket, KpiDay, ReportSchedule
from apps.analytics.projection import Generation, shown_generation
from apps.analytics.spans import ONE_DAY, Span, span_between, steps_of
from apps.tenants.context import APP, in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.replica import read_at_replica
from apps.tenants.selectors import get_time_zone

Sums = Counter[str]
SumsByEdge = dict[dt.datetime, Sums]
Step = tuple[dt.datetime, dict[str, Value]]
# Finding a step in a list of beginnings is much cheaper than truncating each row's time in a zone.
SUMS = """
SELECT width_bucket(starts_at, %(edges)s::timestamptz[]), measure, sum(amount)::bigint
FROM {table} WHERE tenant_id = %(tenant_id)s AND generation = %(generation)s
  AND starts_at >= %({start})s AND starts_at < %({end})s
  AND (%(measures)s::text[] IS NULL OR measure = ANY(%(measures)s::text[]))
GROUP BY 1, 2
"""


@dataclass(frozen=True)
class KpiReport:
    """KPIs of a span and the one before, and of each step of both.

    Of the one before a span that is still running, `before` counts as much as has passed of this one.
    """

    span: Span
    granularity: str
    sums: Sums
    values: dict[str, Value]
    before: dict[str, Value]
    before_until: dt.datetime
    steps: list[Step]
    steps_before: list[Step]
    reasons: list[tuple[str, int]]


def span_of(*, tenant: TenantRef, first: dt.date, last: dt.date) -> Span:
    """Return the span of whole days of the tenant, both inclusive."""
    return span_between(first, last, ZoneInfo(get_time_zone(tenant=tenant)))


def read_kpis(
    *,
    tenant: TenantRef,
    span: Span,
    granularity: str = "day",
    by_step: Iterable[Kpi] = KPIS,
    now: dt.datetime | None = None,
) -> KpiReport:
    """Return the KPIs of the conversations that began in a span and the one before; `by_step` by step too."""
    steps, steps_before = steps_of(span, granularity), steps_of(span.before, granularity)
    until = _comparable_until(span, now or timezone.now())
    edges = sorted({*steps_before, *steps, until})

    def read(alias: str) -> tuple[SumsByEdge, SumsByEdge]:
        shown = shown_generation(tenant.id, lock=False, using=alias)
        whole = _sum_between(tenant, shown, sorted({span.before.start, until, span.start}), span, using=alias)
        wanted = measures_of(by_step)
        return whole, _sum_between(tenant, shown, edges, span, measures=wanted, using=alias)

    totals, by_edge = read_at_replica(tenant=tenant, read=read)
    sums = totals[span.start]
    return KpiReport(
        span=span,
        granularity=granularity,
        sums=sums,
        values=compute(sums),
        before=compute(totals[span.before.start]),
        before_until=until,
        steps=[(edge, compute(by_edge[edge], by_step)) for edge in steps],
        steps_before=_steps_before(steps_before, by_edge, span.start, by_step),
        reasons=reasons(sums),
    )


def sum_measures(*, tenant: TenantRef, span: Span) -> Sums:
    """Return the sums of a span."""

    def read(alias: str) -> Sums:
        shown = shown_generation(tenant.id, lock=False, using=alias)
        return _sum_between(tenant, shown, [span.start], span, using=alias)[span.start]

    return read_at_replica(tenant=tenant, read=read)


def list_rows(
    *, tenant: TenantRef, span: Span, kpi: Kpi, others: bool = False, reason: str = "", using: str = APP
) -> QuerySet[ConversationFact]:
    """Return the conversations that make up a figure, to be paged inside `in_tenant` or `read_at_replica`.

    With `others` those that its whole counts beside them; with `reason` those that called for a person so.
    """
    generation = shown_generation(tenant.id, lock=False, using=using)
    facts = ConversationFact.objects.using(using).filter(tenant_id=tenant.id, generation=generation.number)
    facts = facts.filter(started_at__gte=span.start, started_at__lt=span.end)
    if reason:
        facts = facts.filter(is_escalated=True, escalation_reason=reason)
    if others:
        facts = facts.filter(counted__has_any_keys=kpi.whole)
        return facts.exclude(counted__has_any_keys=kpi.parts)
    return facts.filter(counted__has_any_keys=kpi.parts)


def is_report_wanted(*, tenant: TenantRef) -> bool:
    """Tell whether the owners get a weekly report by mail."""
    with in_tenant(tenant):
        return ReportSchedule.objects.filter(enabled_at__isnull=False).exists()


def _sum_between(
    tenant: TenantRef,
    shown: Generation,
    edges: list[dt.datetime],
    span: Span,
    *,
    measures: list[str] | None = None,
    using: str,
) -> SumsByEdge:
    """Return the sums from each edge to the next, the last one's to the end of the span."""
    by_edge = {edge: Sums() for edge in edges}
    given: dict[str, Any] = {"edges": edges, "tenant_id": tenant.id, "generation": shown.number}
    given["measures"] = measures
    parts: list[str] = []
    for model, start, end in _stretches(edges, span, shown.time_zone):
        names = {"start": f"start_{len(parts)}", "end": f"end_{len(parts)}"}
        given |= {names["start"]: start, names["end"]: end}
        parts.append(SUMS.format(table=model._meta.db_table, **names))
    with connections[using].cursor() as cursor:
        cursor.execute("UNION ALL".join(parts), given)
        for number, name, amount in cursor.fetchall():
            by_edge[edges[number - 1]][name] += amount
    return by_edge


def _stretches(
    edges: list[dt.datetime], span: Span, time_zone: str
) -> Iterator[tuple[type[KpiBucket] | type[KpiDay], dt.datetime, dt.datetime]]:
    """Yield what to read from where: whole days at a glance, the days that an edge cuts from buckets."""
    first, end = edges[0], span.end
    cut = [edge for edge in edges if day_of(edge, span.zone) != edge]
    if span.zone.key != time_zone or len(cut) > 1:
        yield KpiBucket, first, end
        return
    for edge in cut:
        begins = day_of(edge, span.zone)
        ends = day_start(edge.astimezone(span.zone).date() + ONE_DAY, span.zone)
        if first < begins:
            yield KpiDay, first, begins
        yield KpiBucket, begins, ends
        first = ends
    if first < end:
        yield KpiDay, first, end


def _comparable_until(span: Span, now: dt.datetime) -> dt.datetime:
    """Return up to which moment the span before counts, in whole buckets."""
    if not span.start <= now < span.end:
        return span.start
    same_moment = bucket_start(span.before.start + (now - span.start))
    return min(same_moment + dt.timedelta(seconds=BUCKET_S), span.start)


def _steps_before(
    edges: list[dt.datetime], by_edge: dict[dt.datetime, Sums], end: dt.datetime, kpis: Iterable[Kpi]
) -> list[Step]:
    """Return the steps of the span before, each put together again where the comparison cuts it."""
    sums = {edge: Sums() for edge in edges}
    for edge, found in by_edge.items():
        if edge < end:
            sums[edges[bisect_right(edges, edge) - 1]].update(found)
    return [(edge, compute(found, kpis)) for edge, found in sums.items()]

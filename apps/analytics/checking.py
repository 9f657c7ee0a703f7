"""The second way: buckets computed from the archive by one SQL statement, beside those that are shown.

It shares no code with `facts`, which folds the same events one by one; what both say by the words of
docs/analytics.md must be the same to the last unit.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from django.utils import timezone

from apps.analytics.days import days_of
from apps.analytics.facts import EDGES_MS
from apps.analytics.projection import Generation, shown_generation
from apps.analytics.settling import settle
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

LINES = 20
RAW = """
WITH told AS MATERIALIZED (
  SELECT conversation_id AS c, replace(type, 'agent.', '') AS type, occurred_at AS at, data
  FROM analytics_archivedevent WHERE tenant_id = %(tenant_id)s
), once AS (
  SELECT c, min(at) FILTER (WHERE type = 'message.received') AS began,
    max(at) FILTER (WHERE type = 'message.received') AS last_said,
    count(*) FILTER (WHERE type = 'message.received') AS messages,
    max(at) FILTER (WHERE type = 'run.completed' AND (data->>'knows')::boolean) AS last_knew,
    count(*) FILTER (WHERE type = 'run.completed' AND (data->>'is_question')::boolean) AS questions,
    count(*) FILTER (
      WHERE type = 'run.completed' AND (data->>'is_question')::boolean AND NOT (data->>'knows')::boolean
    ) AS gaps,
    coalesce(sum((data->>'cost_microusd')::bigint), 0) AS cost_microusd,
    count(*) FILTER (WHERE type = 'message.sent' AND data->>'author' = 'agent') AS by_people,
    min(at) FILTER (WHERE type = 'escalation.opened') AS escalated,
    (array_agg(left(coalesce(data->>'reason', ''), 60) ORDER BY at, data->>'reason')
      FILTER (WHERE type = 'escalation.opened'))[1] AS reason,
    count(*) FILTER (WHERE type = 'conversation.closed') AS closings,
    (array_agg((data->>'score')::int ORDER BY at DESC, data->>'score' DESC)
      FILTER (WHERE type = 'conversation.rated'))[1] AS rating
  FROM told GROUP BY c
), back AS (
  SELECT DISTINCT a.c FROM told a JOIN told b USING (c)
  WHERE a.type = 'conversation.closed' AND b.type = 'conversation.reopened'
    AND b.at > a.at AND b.at <= a.at + interval '7 days'
), waits AS (
  SELECT once.c,
    min(at) FILTER (WHERE at >= began AND type = 'message.sent' AND data->>'author' = 'ai') AS by_ai,
    min(at) FILTER (WHERE at >= began AND type = 'message.sent' AND data->>'author' = 'agent') AS by_person,
    min(at) FILTER (WHERE at >= escalated AND type = 'message.sent' AND data->>'author' = 'agent') AS came,
    min(at) FILTER (WHERE at >= began AND type = 'conversation.closed') AS closed_at
  FROM once JOIN told USING (c) GROUP BY once.c
), outcomes AS (
  SELECT *, last_knew IS NOT NULL AND by_people = 0 AND coalesce(rating, 0) >= 4 AS is_confirmed,
    last_knew IS NOT NULL AND by_people = 0 AND coalesce(rating, 3) = 3 AND escalated IS NULL
      AND last_said <= last_knew AND last_knew + make_interval(hours => %(window_h)s) <= %(as_of)s
      AS is_assumed
  FROM once JOIN waits USING (c) WHERE began IS NOT NULL
), durations AS (
  SELECT c, began, name, floor(extract(epoch FROM until - since) * 1000)::bigint AS ms
  FROM outcomes CROSS JOIN LATERAL (VALUES
    ('first_response', began, least(by_ai, by_person)), ('first_response_ai', began, by_ai),
    ('first_response_human', began, by_person), ('handoff', escalated, came),
    ('resolution', began,
     CASE WHEN closings > 0 THEN closed_at WHEN is_confirmed OR is_assumed THEN last_knew END)
  ) AS d (name, since, until) WHERE until >= since
), sums AS (
  SELECT began, measure, amount FROM outcomes CROSS JOIN LATERAL (VALUES
    ('conversations', 1), ('messages', messages), ('ai_involved', (last_knew IS NOT NULL)::int),
    ('confirmed', is_confirmed::int), ('assumed', is_assumed::int),
    ('questions', questions), ('gaps', gaps), ('cost_microusd', cost_microusd),
    ('closed', least(closings, 1)), ('reopened', (c IN (SELECT c FROM back))::int),
    ('rated', (rating IS NOT NULL)::int), ('rated_good', (rating >= 4)::int),
    ('escalated', (escalated IS NOT NULL)::int), ('reason:' || reason, (escalated IS NOT NULL)::int)
  ) AS m (measure, amount)
  UNION ALL SELECT began, name || ':count', 1 FROM durations
  UNION ALL SELECT began, name || ':sum_ms', ms FROM durations
  UNION ALL SELECT began, name || ':le' || lpad(width_bucket(ms - 1, %(edges)s::bigint[])::text, 2, '0'), 1
  FROM durations
), raw AS (
  SELECT date_bin('15 minutes', began, 'epoch') AS starts_at, measure, sum(amount)::bigint AS amount
  FROM sums WHERE amount > 0 GROUP BY 1, 2
)
"""
DIFFER = f"""{RAW}
SELECT starts_at, measure, coalesce(b.amount, 0), coalesce(r.amount, 0), count(*) OVER ()
FROM raw r FULL JOIN (
  SELECT starts_at, measure, amount FROM analytics_kpibucket
  WHERE tenant_id = %(tenant_id)s AND generation = %(generation)s AND amount <> 0
) b USING (starts_at, measure)
WHERE coalesce(b.amount, 0) <> coalesce(r.amount, 0)
ORDER BY starts_at, measure LIMIT {LINES}
"""  # noqa: S608 - only our own words


DAYS = f"""
SELECT starts_at, measure, coalesce(d.amount, 0), coalesce(b.amount, 0), count(*) OVER ()
FROM (
  SELECT starts_at, measure, amount FROM analytics_kpiday
  WHERE tenant_id = %(tenant_id)s AND generation = %(generation)s AND amount <> 0
) d FULL JOIN (
  SELECT max(day) AS starts_at, measure, sum(amount)::bigint AS amount FROM (
    SELECT measure, amount, (starts_at AT TIME ZONE %(zone)s)::date AS date, starts_at
    FROM analytics_kpibucket WHERE tenant_id = %(tenant_id)s AND generation = %(generation)s
  ) k JOIN unnest(%(dates)s::date[], %(edges)s::timestamptz[]) AS days (date, day) USING (date)
  GROUP BY date, measure HAVING sum(amount) <> 0
) b USING (starts_at, measure)
WHERE coalesce(d.amount, 0) <> coalesce(b.amount, 0)
ORDER BY starts_at, measure LIMIT {LINES}
"""  # noqa: S608 - only our own words


@dataclass(frozen=True)
class Check:
    """How many sums differ between what is shown and what the archive says, the first ones told."""

    difference_count: int
    differences: list[str]


def check_kpis(*, tenant: TenantRef, as_of: dt.datetime | None = None) -> Check:
    """Compare every bucket that is shown with the archived events, and every day with the buckets."""
    moment = as_of or timezone.now()
    with in_tenant(tenant):
        generation = shown_generation(tenant.id)  # nothing is projected meanwhile
        settle(tenant.id, generation, as_of=moment)
        given = {"tenant_id": tenant.id, "generation": generation.number}
        window_h = generation.window // dt.timedelta(hours=1)
        buckets = _ask(DIFFER, given | {"window_h": window_h, "as_of": moment, "edges": list(EDGES_MS)})
        days = _ask(DAYS, given | _days_of(tenant, generation)) if generation.time_zone else []
    lines = [
        f"{at:%Y-%m-%d %H:%M} {name}: {shown} shown, {raw} in {where}"
        for rows, where in ((buckets, "events"), (days, "buckets"))
        for at, name, shown, raw, _ in rows
    ]
    return Check(sum(rows[0][4] for rows in (buckets, days) if rows), lines)


def _days_of(tenant: TenantRef, generation: Generation) -> dict[str, Any]:
    """Return every day that buckets lie in, each with where it begins."""
    zone = ZoneInfo(generation.time_zone)
    edges = days_of(tenant.id, generation.number, zone)
    return {"zone": zone.key, "edges": edges, "dates": [edge.astimezone(zone).date() for edge in edges]}


def _ask(sql: str, given: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        return cursor.fetchall()

"""Figures by channel, by intent and by person: what a support lead asks of a period."""

from dataclasses import dataclass
from typing import Any

from django.db import connections

from apps.analytics.facts import EDGES_MS, GOOD
from apps.analytics.models import ConversationFact
from apps.analytics.projection import shown_generation
from apps.analytics.spans import Span
from apps.conversations.selectors import name_people
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.replica import read_at_replica

MOST = 200  # rows of a table; the busiest
FACTS = f"""
FROM {ConversationFact._meta.db_table} AS f
{{more}}
WHERE f.tenant_id = %(tenant_id)s AND f.generation = %(generation)s
  AND f.started_at >= %(start)s AND f.started_at < %(end)s
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {MOST}"""
GROUPS = f"""
SELECT f.{{column}} AS name, count(*) AS conversations,
  count(*) FILTER (WHERE f.is_ai_involved) AS ai_involved,
  count(*) FILTER (WHERE f.outcome <> '') AS resolved, count(*) FILTER (WHERE f.is_escalated) AS escalated,
  percentile_disc(0.5) WITHIN GROUP (ORDER BY f.first_response_ms) AS first_response_ms,
  count(f.rating) AS rated, count(*) FILTER (WHERE f.rating >= {GOOD}) AS rated_good,
  sum(f.cost_microusd)::bigint AS cost_microusd
"""
AGENTS = f"""
SELECT a.agent, sum(a.replies)::bigint AS replies, sum(a.claims)::bigint AS claims,
  sum(a.resolutions)::bigint AS resolutions,
  percentile_disc(0.5) WITHIN GROUP (ORDER BY a.first_reply_ms) AS first_reply_ms,
  count(f.rating) FILTER (WHERE a.replies > 0) AS rated,
  count(*) FILTER (WHERE a.replies > 0 AND f.rating >= {GOOD}) AS rated_good
"""
SHARES = """, jsonb_to_recordset(f.agents)
  AS a (agent text, claims int, replies int, resolutions int, first_reply_ms bigint)"""


@dataclass(frozen=True)
class GroupRow:
    """The conversations of one channel or intent."""

    name: str
    conversations: int
    ai_involved: int
    resolved: int
    escalated: int
    first_response_ms: int | None
    rated: int
    rated_good: int
    cost_microusd: int


@dataclass(frozen=True)
class AgentRow:
    """What one person did in the conversations that began in a period."""

    agent: str
    name: str
    replies: int
    claims: int
    resolutions: int
    first_reply_ms: int | None
    rated: int
    rated_good: int


def read_groups(*, tenant: TenantRef, span: Span, by: str) -> list[GroupRow]:
    """Return the conversations of a span by `channel` or `intent`, the busiest first."""
    assert by in ("channel", "intent")
    rows = _ask(tenant, span, GROUPS.format(column=by) + FACTS.format(more=""))
    return [GroupRow(**row | {"first_response_ms": _at_most(row["first_response_ms"])}) for row in rows]


def read_agents(*, tenant: TenantRef, span: Span) -> list[AgentRow]:
    """Return what each person did in the conversations of a span, the busiest first."""
    with in_tenant(tenant):
        rows = _ask(tenant, span, AGENTS + FACTS.format(more=SHARES))
        names = name_people({row["agent"] for row in rows})
    return [
        AgentRow(
            **row
            | {
                "name": names.get(row["agent"], "somebody"),
                "first_reply_ms": _at_most(row["first_reply_ms"]),
            }
        )
        for row in rows
    ]


def _ask(tenant: TenantRef, span: Span, sql: str) -> list[dict[str, Any]]:
    given: dict[str, Any] = {"tenant_id": tenant.id, "start": span.start, "end": span.end}

    def read(alias: str) -> list[dict[str, Any]]:
        generation = shown_generation(tenant.id, lock=False, using=alias).number
        with connections[alias].cursor() as cursor:
            cursor.execute(sql, given | {"generation": generation})
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    return read_at_replica(tenant=tenant, read=read)


def _at_most(duration_ms: int | None) -> int | None:
    """Return the upper edge of a duration's class, as all percentiles here are told."""
    if duration_ms is None:
        return None
    return next((edge for edge in EDGES_MS if duration_ms <= edge), EDGES_MS[-1])

"""Ten conversations as the read models keep them, over and over; buckets are the sums of these rows."""

import datetime as dt
from typing import Any

from django.db import connections

from apps.analytics.facts import Facts
from apps.analytics.models import ConversationFact, KpiBucket, KpiDay, ReadModelState
from apps.analytics.projection import columns_of
from apps.conversations.models import Conversation
from apps.tenants.context import OWNER
from apps.tenants.contracts import TenantRef
from benchmarks.pages.inserting import id_of, insert, literal

SAMPLES = 10
AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
AGENTS = [f"user:00000000-0000-7000-8000-00000000000{number}" for number in range(8)]
BUCKET = "to_timestamp(floor(extract(epoch FROM {}) / 900) * 900)"


def fill_read_models(tenant: TenantRef, total: int, began: str) -> None:
    """Insert the facts of `total` conversations and the buckets that they add up to."""
    columns = [columns_of(_sample(n), as_of=AT + dt.timedelta(days=9), window=dt.timedelta(days=3))
               for n in range(SAMPLES)]  # fmt: skip
    expressions = {name: _by_number([row[name] for row in columns]) for name in columns[0]}
    insert(tenant, ReadModelState, 1, time_zone="'UTC'")
    insert(
        tenant,
        ConversationFact,
        total,
        **expressions | {"generation": "1", "conversation_id": id_of(Conversation, "n"), "started_at": began},
    )
    starts = {KpiBucket: BUCKET.format("started_at"), KpiDay: "date_trunc('day', started_at, 'UTC')"}
    for model, start in starts.items():
        with connections[OWNER].cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {model._meta.db_table} (tenant_id, generation, starts_at, measure, amount) "
                f"SELECT tenant_id, generation, {start}, key, sum(value::bigint) "
                f"FROM {ConversationFact._meta.db_table}, jsonb_each_text(counted) "
                "WHERE tenant_id = %s GROUP BY 1, 2, 3, 4",
                [tenant.id],
            )


def _sample(n: int) -> Facts:
    later = [AT + dt.timedelta(seconds=wait_s) for wait_s in (1 + n, 60, 3600 + n, 7200)]
    is_escalated, is_rated = n % 5 == 0, n % 2 == 0
    person = [(later[2], AGENTS[n % len(AGENTS)])] if is_escalated else []
    return Facts(
        channels=[(AT, ("widget", "api", "email")[n % 3])],
        intents=[(False, AT, f"intent_{n}")],
        said=[AT],
        ai_sent=[later[0]],
        knew=[later[0]] if n % 10 else [],
        questions=2,
        gaps=int(n % 4 == 0),
        cost_microusd=1200 + n,
        escalated=[(later[1], "asked for a person")] if is_escalated else [],
        taken=person,
        claimed=person,
        human_sent=[later[3]] if is_escalated else [],
        closed=[later[3]] if n % 3 == 0 else [],
        ratings=[(later[3], 1 + n % 5)] if is_rated else [],
    )


def _by_number(values: list[Any]) -> str:
    return f"CASE n % {SAMPLES} {' '.join(f'WHEN {n} THEN {literal(v)}' for n, v in enumerate(values))} END"

"""What the benchmark does inside its installation."""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import connections, transaction
from uuid_utils.compat import uuid7

from apps.orchestration import selectors
from apps.orchestration.engine import leases
from apps.orchestration.engine.leases import AGING_S, FIND_DUE, LEASE_S, NOBODY
from apps.orchestration.models import AgentRun
from apps.tenants.context import OWNER, in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_tenant
from benchmarks.fairness import queueing

FILLED_AT_ONCE = 100_000
PAGE = 50


def show(facts: Any) -> None:
    """Print facts for whoever has started this process."""
    print("facts=" + json.dumps(facts, default=str))


def fill(slug: str, count: int) -> None:
    """Make so many ended runs."""
    for begin in range(0, count, FILLED_AT_ONCE):
        queueing.fill(slug, min(FILLED_AT_ONCE, count - begin))
    with connections[OWNER].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE orchestration_agentrun")


def execute(slug: str, count: int) -> float:
    """Have the worker execute so many runs; returns how many it did in a second."""
    queueing.enqueue(slug, count)
    while queueing.count_open(slug):
        time.sleep(0.1)
    with in_tenant(get_tenant(slug=slug)):
        newest = AgentRun.objects.order_by("-created_at", "-id")[:count]
        times = list(newest.values_list("created_at", "finished_at"))
    took_s = (max(end for _, end in times) - min(begin for begin, _ in times)).total_seconds()
    return round(count / took_s, 1)


def measure(slug: str, runs: int) -> dict[str, Any]:
    """Return runs a second, and the median of what each query takes."""
    tenant = get_tenant(slug=slug)
    asked: dict[str, Callable[[], object]] = {
        "sweep": lambda: leases.find_due_tenants(limit=200),
        "claim": lambda: _claim_nothing(tenant),
        "list_newest": lambda: list(selectors.filter_runs()[:PAGE]),
        "list_failed": lambda: list(selectors.filter_runs(status="failed")[:PAGE]),
        "list_running": lambda: list(selectors.filter_runs(status="running")[:PAGE]),
        "list_rare_workflow": lambda: list(selectors.filter_runs(workflow="rare")[:PAGE]),
        "list_of_conversation": lambda: list(selectors.filter_runs(conversation_id=uuid7())[:PAGE]),
    }
    rate = execute(slug, runs)
    return {"runs_per_s": rate, "queries_ms": {name: _median_ms(tenant, act) for name, act in asked.items()}}


def crowd(tenants: int, due: int) -> dict[str, Any]:
    """Return what the sweep and a claim cost with so many tenants and due runs; nothing of them is left."""
    with transaction.atomic(using=OWNER), connections[OWNER].cursor() as cursor:
        cursor.execute(
            "INSERT INTO tenants_tenant (id, slug, name, schema_name, status, time_zone, config, created_at) "
            "SELECT gen_random_uuid(), 'crowd-' || n, 'Crowd', 'crowd_' || n, 'active', 'UTC', '{}', now() "
            "FROM generate_series(1, %s) n",
            [tenants],
        )
        cursor.execute(
            "INSERT INTO orchestration_agentrun (id, tenant_id, created_at, workflow_name, "
            "workflow_version, workflow_hash, status, input, error, version, lease_epoch, lease_owner, "
            "claims, priority, due_at) "
            "SELECT gen_random_uuid(), t.id, now(), 'call', '1', '', 'running', '{}', '', 1, 0, '', "
            "0, n %% 3, now() - n * interval '1 s' "
            "FROM tenants_tenant t, generate_series(1, %s / %s) n WHERE t.slug LIKE 'crowd-%%'",
            [due, tenants],
        )
        cursor.execute("ANALYZE orchestration_agentrun")
        cursor.execute("SELECT id FROM tenants_tenant WHERE slug = 'crowd-1'")
        one: UUID = cursor.fetchone()[0]
        sweeps = [
            _explained_ms(cursor, FIND_DUE, {"after": NOBODY, "limit": limit}) for limit in (tenants, 200)
        ]
        claim = "SELECT * FROM claim_runs(%s, %s, %s, %s, %s, %s)"
        claims = [_explained_ms(cursor, claim, [one, 1, 20, "bench", LEASE_S, AGING_S]) for _ in range(10)]
        transaction.set_rollback(True, using=OWNER)
    return {
        "tenants": tenants,
        "due_runs": due,
        "sweep_all_ms": sweeps[0],
        "sweep_of_200_ms": sweeps[1],
        "claim_ms": round(statistics.median(claims), 2),
    }


def _claim_nothing(tenant: TenantRef) -> None:
    leases.claim_runs(tenant.id, most=1, cap=20)


def _median_ms(tenant: TenantRef, act: Callable[[], object]) -> float:
    times = []
    for _ in range(20):
        with in_tenant(tenant):
            AgentRun.objects.filter(id=NOBODY).exists()  # the context is set
            begin = time.perf_counter()
            act()
            times.append((time.perf_counter() - begin) * 1000)
    return round(statistics.median(times), 2)


def _explained_ms(cursor: Any, statement: str, values: Any) -> float:
    cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
    plan = cursor.fetchone()[0]
    return float((json.loads(plan) if isinstance(plan, str) else plan)[0]["Execution Time"])

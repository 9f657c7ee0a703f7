"""Runs by the thousand, as the engine would have made them, inside an installation of a benchmark."""

from django.db import connection

from apps.orchestration.definitions.selectors import find_published
from apps.orchestration.models import AgentRun
from apps.orchestration.steering import hint_on_commit
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_tenant

# An id as `uuid7` makes it: the moment, then chance.
INSERT = """
WITH moment AS (
  SELECT now() - n * %(apart)s::interval AS at FROM generate_series(1, %(count)s) n
), made AS (
  SELECT at, lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') AS hex,
    substr(gen_random_uuid()::text, 16) AS rest
  FROM moment
), run AS (
  INSERT INTO orchestration_agentrun (id, created_at, workflow_name, workflow_version, workflow_hash, status,
    input, output, error, version, lease_epoch, lease_owner, claims, due_at, finished_at)
  SELECT (substr(hex, 1, 8) || '-' || substr(hex, 9) || '-7' || rest)::uuid, at, %(name)s, '1', %(hash)s,
    %(status)s, '{}', CASE WHEN %(is_done)s THEN '{"text": "Done.", "sources": []}'::jsonb END, '', 1,
    0, '', 0,
    CASE WHEN NOT %(is_done)s THEN now() END, CASE WHEN %(is_done)s THEN at END
  FROM made RETURNING tenant_id, id, created_at
)
INSERT INTO orchestration_runevent (tenant_id, run_id, seq, kind, data, created_at)
SELECT tenant_id, id, 1, 'run_started',
  jsonb_build_object('input', '{}'::jsonb, 'workflow', %(name)s, 'hash', %(hash)s), created_at
FROM run WHERE NOT %(is_done)s
"""


def enqueue(slug: str, count: int) -> None:
    """Have so many runs due at once."""
    tenant = get_tenant(slug=slug)
    with in_tenant(tenant):
        _insert(tenant, count, status="running", apart="0 s")
        hint_on_commit(tenant, tenant.id)


def fill(slug: str, count: int) -> None:
    """Have so many runs that have ended, one each 20 seconds; of their histories nothing."""
    tenant = get_tenant(slug=slug)
    with in_tenant(tenant):
        _insert(tenant, count, status="completed", apart="20 s")


def count_open(slug: str) -> int:
    """Count a tenant's runs that have not ended."""
    with in_tenant(get_tenant(slug=slug)):
        return AgentRun.objects.filter(due_at__isnull=False).count()


def _insert(tenant: TenantRef, count: int, *, status: str, apart: str) -> None:
    definition = find_published(tenant=tenant, name="call")
    values = {"count": count, "status": status, "is_done": status == "completed", "apart": apart}
    with connection.cursor() as cursor:
        cursor.execute(INSERT, {**values, "name": definition.name, "hash": definition.hash})

"""Tenants that a benchmark makes and leaves nothing of."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections, transaction

from apps.tenants.context import OWNER
from apps.tenants.contracts import TenantRef
from apps.tenants.services import provision_tenant

FROZEN = "billing_invoice"  # whose trigger keeps final invoices for good


@contextmanager
def throwaway_tenant() -> Iterator[TenantRef]:
    """Give a tenant for a while."""
    tenant = provision_tenant(slug=f"bench-{uuid.uuid4().hex[:10]}", name="Benchmark", plan="enterprise")
    try:
        yield tenant
    finally:
        _discard(tenant)


def _discard(tenant: TenantRef) -> None:
    with transaction.atomic(using=OWNER), connections[OWNER].cursor() as cursor:
        cursor.execute(f'DROP SCHEMA "{tenant.schema}" CASCADE')
        cursor.execute(
            "SELECT table_name FROM information_schema.columns "
            "WHERE table_schema = 'public' AND column_name = 'tenant_id'"
        )
        tables = [table for (table,) in cursor.fetchall()]
        cursor.execute(f"ALTER TABLE {FROZEN} DISABLE TRIGGER USER")
        for table in tables:
            cursor.execute(f'DELETE FROM "{table}" WHERE tenant_id = %s', [tenant.id])
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"ALTER TABLE {FROZEN} ENABLE TRIGGER USER")
        cursor.execute("DELETE FROM tenants_tenant WHERE id = %s", [tenant.id])

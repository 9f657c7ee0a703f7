"""A connection that knows many tenants' tables is replaced, so that its server process stays small."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.db import connection

from apps.crm.models import Customer, Order
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef


@pytest.fixture
def pooled(live_db) -> Iterator[None]:
    connection.close()
    connection.settings_dict["OPTIONS"] = {"pool": {"min_size": 0, "max_size": 1, "timeout": 10}}
    yield
    connection.close()
    connection.close_pool()
    connection.settings_dict["OPTIONS"] = {}


def serve(*tenants: TenantRef) -> int:
    """Serve tenants in one request, and return the server process that did."""
    for tenant in tenants:
        with in_tenant(tenant), connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
    connection.close()
    return pid


def test_a_connection_is_kept_for_few_tenants_and_replaced_after_many(pooled, settings, acme, globex):
    settings.DB_CONNECTION_TABLES = 3
    first = serve(acme)
    assert [serve(acme, globex) for _ in range(5)] == [first] * 5
    third = TenantRef(uuid4(), "third", "t_third")
    assert serve(third) == first
    second = serve(acme)
    assert second != first
    assert serve(globex) == second


def test_each_table_of_a_tenant_counts(pooled, settings, acme):
    settings.DB_CONNECTION_TABLES = 3
    first = serve(acme)
    with in_tenant(acme):
        Customer.objects.exists()
        Customer.objects.exists()
    connection.close()
    assert serve(acme) == first, "one table, however often"
    with in_tenant(acme):
        Order.objects.exists()
    connection.close()
    assert serve(acme) != first

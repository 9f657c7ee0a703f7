"""Random interleavings on shared connections show no foreign row; `prove_isolation` has the long form."""

import os
from collections.abc import Iterator

import pytest
from django.db import connections

from aiaas.embedded import EmbeddedServerError
from aiaas.isolation.interleavings import UNITS, Tally, connected_to, interleave
from aiaas.isolation.pgbouncer import PgBouncer, find_pgbouncer, running_pgbouncer
from apps.crm.services import create_customer
from apps.tenants.context import APP
from apps.tenants.contracts import TenantRef
from apps.tenants.db import base

COUNT = 1_500


@pytest.fixture
def tenants(live_db: object, acme: TenantRef, globex: TenantRef) -> list[TenantRef]:
    for tenant in (acme, globex):
        create_customer(tenant=tenant, name=tenant.slug)
    return [acme, globex]


@pytest.fixture
def bouncer(live_db: object) -> Iterator[PgBouncer]:
    try:
        program = find_pgbouncer()
    except EmbeddedServerError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    with running_pgbouncer(program, connections.databases[APP]) as server:
        yield server


def trouble(tally: Tally) -> list[str]:
    """Return what was foreign, lost or failed, once all that was asked for was done."""
    assert tally.total == COUNT
    assert tally.units.keys() == UNITS.keys()
    assert tally.rows > COUNT
    return [*tally.foreign, *tally.lost, *tally.failed]


def leak_into_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the tenant for the session instead of the transaction, as django-tenants does."""
    monkeypatch.setattr(base, "SET_BOTH", base.SET_BOTH.replace("true", "false"))


def test_directly(tenants: list[TenantRef]):
    with connected_to():
        assert trouble(interleave(tenants, COUNT, seed=7)) == []


def test_through_pgbouncer(tenants: list[TenantRef], bouncer: PgBouncer):
    with connected_to(HOST="127.0.0.1", PORT=bouncer.port):
        assert trouble(interleave(tenants, COUNT, seed=8)) == []


def test_a_tenant_that_outlives_its_transaction_is_seen(
    tenants: list[TenantRef], bouncer: PgBouncer, monkeypatch: pytest.MonkeyPatch
):
    leak_into_the_session(monkeypatch)
    with connected_to(HOST="127.0.0.1", PORT=bouncer.port):
        assert interleave(tenants, 300, seed=9).foreign["nobody"] > 0
    with connected_to():
        assert interleave(tenants, 300, seed=9).foreign["nobody"] > 0

"""Analytics are read at the replica, by the same rules, and at the primary while the replica is away."""

import datetime as dt
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest
from django.db import connections
from structlog.testing import capture_logs

from apps.analytics.models import ReadModelState
from apps.analytics.selectors import read_kpis, sum_measures
from apps.analytics.spans import span_between
from apps.analytics.tables import read_agents, read_groups
from apps.tenants.context import REPLICA, NoTenantContext, NoTransaction, TenantMismatch, in_tenant
from apps.tenants.replica import REPLICA_READS, forget_failure, read_at_replica
from tests.conftest import superuser

READ_ONLY = {"options": "-c default_transaction_read_only=on", "application_name": "replica"}
SPAN = span_between(dt.date(2026, 1, 1), dt.date(2026, 1, 31), ZoneInfo("UTC"))


@pytest.fixture
def replica(live_db) -> Iterator[dict]:
    """A second, read-only connection to the same server."""
    config = {**connections["default"].settings_dict, "OPTIONS": READ_ONLY}
    connections.settings[REPLICA] = config
    forget_failure()
    yield config
    connections[REPLICA].close()
    del connections[REPLICA]
    del connections.settings[REPLICA]
    forget_failure()


def count(at: str) -> float:
    return REPLICA_READS.labels(at)._value.get()


def where(alias: str) -> tuple[str, str, str]:
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT current_user, current_setting('transaction_read_only'), current_setting('search_path')"
        )
        return cursor.fetchone()


def test_without_a_replica_the_primary_is_read(live_db, acme):
    assert read_at_replica(tenant=acme, read=where) == ("aiaas_app", "off", '"t_acme", public')


def test_the_replica_is_read_in_the_tenants_context(replica, acme, globex):
    before = count("replica")
    assert read_at_replica(tenant=acme, read=where) == ("aiaas_app", "on", '"t_acme", public')
    assert read_at_replica(tenant=globex, read=where)[2] == '"t_globex", public'
    assert count("replica") == before + 2
    for tenant in (acme, globex):
        with in_tenant(tenant):
            ReadModelState.objects.create(tenant_id=tenant.id, silence_hours=72, time_zone="UTC")
    rows = ReadModelState.objects.using(REPLICA).values_list("tenant_id", flat=True)
    assert read_at_replica(tenant=acme, read=lambda alias: list(rows.using(alias))) == [acme.id]


def test_the_replica_knows_the_same_rules(replica, acme, globex):
    with pytest.raises(NoTenantContext):
        ReadModelState.objects.using(REPLICA).count()
    with in_tenant(acme), pytest.raises(NoTransaction):
        ReadModelState.objects.using(REPLICA).count()
    with in_tenant(acme, using=REPLICA), pytest.raises(TenantMismatch), in_tenant(globex, using=REPLICA):
        pass


def test_every_read_of_analytics_asks_the_replica(replica, acme):
    with in_tenant(acme):
        ReadModelState.objects.create(tenant_id=acme.id, silence_hours=72, time_zone="UTC")
    before, before_primary = count("replica"), count("primary")
    read_kpis(tenant=acme, span=SPAN)
    sum_measures(tenant=acme, span=SPAN)
    read_groups(tenant=acme, span=SPAN, by="channel")
    read_agents(tenant=acme, span=SPAN)
    assert (count("replica"), count("primary")) == (before + 4, before_primary)


def test_what_the_replica_does_not_have_yet_is_read_at_the_primary(replica, acme):
    before = count("primary"), count("replica")
    assert not sum_measures(tenant=acme, span=SPAN)
    assert not sum_measures(tenant=acme, span=SPAN)
    assert (count("primary"), count("replica")) == (before[0] + 1, before[1] + 1)


def test_a_write_goes_to_the_primary(replica, acme):
    def write(alias: str) -> str:
        ReadModelState.objects.using(alias).create(tenant_id=acme.id, silence_hours=1, time_zone="UTC")
        return alias

    assert read_at_replica(tenant=acme, read=write) == "default"


def test_a_replica_that_is_away_costs_one_attempt(replica, acme):
    replica["PORT"] = "1"
    with capture_logs() as logs:
        for _ in range(3):
            assert read_at_replica(tenant=acme, read=where)[1] == "off"
    assert [entry["event"] for entry in logs] == ["replica_failed"]


def test_a_replica_that_dies_half_way_is_followed_by_the_primary(replica, acme):
    def read(alias: str) -> tuple[str, str, str]:
        found = where(alias)
        if alias == REPLICA:
            with superuser() as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'replica' AND datname = %s",
                    [replica["NAME"]],
                )
            where(alias)
        return found

    assert read_at_replica(tenant=acme, read=read)[1] == "off"
    forget_failure()
    assert read_at_replica(tenant=acme, read=where)[1] == "on"

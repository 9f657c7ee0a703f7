"""Several executors, the sweep and the lease's keeper, on a committed database of their own."""

import threading
import time

import pytest
from django.db import connections
from django.db.models.functions import Now

from apps.orchestration import dispatching, selectors, services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.engine import leases
from apps.orchestration.models import AgentRun
from apps.tenants.context import in_platform, in_tenant
from tests.orchestration.engine import calls, expire, kinds
from workers.dispatcher import Dispatcher

pytestmark = pytest.mark.usefixtures("live_db", "no_hints", "closed_breakers")


def start(tenant, count=1):
    return [services.start_run(tenant=tenant, workflow_name="w", input={}).id for _ in range(count)]


def in_thread(call, *args, **kwargs) -> threading.Thread:
    def run() -> None:
        try:
            call(*args, **kwargs)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def wait_until(true, timeout_s=15.0) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.05)


def status(tenant, run_id):
    return selectors.get_run(tenant=tenant, run_id=run_id).status


def test_a_sweep_finishes_every_tenants_runs_without_the_broker(acme, globex, sink, publish) -> None:
    for tenant in (acme, globex):
        publish(tenant, calls(sink, "a"))
    runs = [(tenant, run_id) for tenant in (acme, globex) for run_id in start(tenant, 5)]
    dispatcher = Dispatcher(interval_s=0.1)
    dispatcher.start()
    try:
        wait_until(lambda: all(status(*run) is RunStatus.COMPLETED for run in runs))
    finally:
        dispatcher.stop()
    assert len(set(sink.keys)) == len(sink.keys) == 10


def test_a_run_is_executed_once_however_many_try(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a", "b"))
    run_id = start(acme)[0]
    threads = [in_thread(services.execute_run, tenant=acme, run_id=run_id) for _ in range(6)]
    for thread in threads:
        thread.join(15)
    assert status(acme, run_id) is RunStatus.COMPLETED
    assert len(sink.requests) == 2


def test_a_zombie_that_wakes_inside_an_effect_commits_nothing(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a", "b"))
    run_id = start(acme)[0]
    entered, wake = threading.Event(), threading.Event()

    def block_the_first() -> None:
        if len(sink.requests) == 1:
            entered.set()
            wake.wait(15)

    sink.on_request = block_the_first
    zombie = in_thread(services.execute_run, tenant=acme, run_id=run_id)
    assert entered.wait(15)
    expire(acme, run_id)
    assert services.execute_run(tenant=acme, run_id=run_id)
    assert status(acme, run_id) is RunStatus.COMPLETED
    before = kinds(acme, run_id)
    wake.set()
    zombie.join(15)
    assert kinds(acme, run_id) == before
    assert len(sink.counts()) == 2, "the effect that was under way has one key, at whoever sends it"
    assert len(sink.requests) == 3


def test_tenants_with_due_runs_are_found_however_many_another_has(acme, globex, sink, publish) -> None:
    for tenant in (acme, globex):
        publish(tenant, calls(sink, "a"))
    start(acme, 30)
    late = start(globex)[0]
    assert {tenant.id for tenant in dispatching.list_due_tenants(limit=5)} == {acme.id, globex.id}
    first, second = sorted((acme.id, globex.id))
    assert [tenant.id for tenant in dispatching.list_due_tenants(limit=1)] == [first]
    assert [tenant.id for tenant in dispatching.list_due_tenants(limit=5, after=first)] == [second]
    with in_tenant(globex):
        AgentRun.objects.filter(id=late).update(due_at=leases.seconds_from_now(60))
    assert [tenant.id for tenant in dispatching.list_due_tenants(limit=5)] == [acme.id]


def test_a_lease_is_renewed_while_the_run_is_executed(acme, sink, publish) -> None:
    publish(acme, calls(sink, "a"))
    run_id = start(acme)[0]
    claim = services._claim(acme, run_id)
    keeper = leases.LeaseKeeper(renew_s=0.1)

    def due_at():
        with in_tenant(acme):
            return AgentRun.objects.get(id=run_id).due_at

    with keeper.keep(claim.lease):
        first = due_at()
        wait_until(lambda: due_at() > first)
        with in_platform() as alias:
            AgentRun.objects.using(alias).filter(id=run_id).update(lease_epoch=99)
        wait_until(lambda: claim.lease.is_lost)
    assert not claim.lease.may_begin_effect()


def test_only_the_databases_clock_counts(acme, sink, publish, monkeypatch) -> None:
    publish(acme, calls(sink, "a", "b"))
    hours_off = 3 * 3600
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + hours_off)
    first, second = start(acme, 2)
    services.execute_run(tenant=acme, run_id=first)
    assert status(acme, first) is RunStatus.COMPLETED
    with in_tenant(acme):
        AgentRun.objects.filter(id=second).update(due_at=leases.seconds_from_now(60))
        assert not AgentRun.objects.filter(id=second, due_at__lte=Now()).exists()
    assert not services.execute_run(tenant=acme, run_id=second)


def test_a_run_that_takes_longer_than_its_caller_waits_goes_to_a_worker(
    acme, sink, publish, no_hints
) -> None:
    publish(acme, calls(sink, "a", "b"))
    with in_tenant(acme):
        run_id = services.start_run(tenant=acme, workflow_name="w", input={}, claim_inline=True).id
    no_hints.clear()
    services.execute_or_await(tenant=acme, run_id=run_id, wait_s=0)
    assert no_hints == [{"tenant_id": acme.id, "run_id": run_id}]
    assert status(acme, run_id) is RunStatus.RUNNING
    assert services.execute_run(tenant=acme, run_id=run_id)
    assert status(acme, run_id) is RunStatus.COMPLETED
    assert len(sink.requests) == 2

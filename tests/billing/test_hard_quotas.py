"""Hard quotas never overshoot: whatever runs at once, dies, is wiped or is away."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from uuid import uuid4

import pytest
import redis
from django.conf import settings
from django.db import connection, connections, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from apps.billing import services
from apps.billing.adapters import quota_counter as counters
from apps.billing.contracts import QuotaSpent
from apps.billing.models import Plan, UsageBucket
from apps.billing.services import forget_quotas, quotas, record_usage, reserving
from apps.billing.services.quotas import Reservation
from apps.events.models import OutboxEvent
from apps.tenants.context import in_tenant

LIMIT = 20


@pytest.fixture(autouse=True)
def _fresh_counter():
    counters.quota_counter.cache_clear()
    yield
    counters.quota_counter.cache_clear()


def limit(tenant, included=LIMIT, is_hard=True) -> None:
    facts = {"requests_per_minute": 60, "included": {"message": included}, "has_hard_limits": is_hard}
    Plan.objects.update_or_create(code="tiny", defaults={"name": "Tiny", **facts})
    services.subscribe_tenant(tenant=tenant, plan_code="tiny")
    forget_quotas()


def use(tenant, **options) -> bool:
    """Use a message by the way of a door; True when it was within the quota."""
    try:
        with reserving(tenant=tenant, kind="message"), in_tenant(tenant):
            tell(tenant)
    except QuotaSpent:
        return False
    return True


def tell(tenant) -> None:
    record_usage(tenant=tenant, kind="message", quantity=1, source_id=uuid4())


def told(tenant) -> int:
    with in_tenant(tenant):
        return OutboxEvent.objects.filter(tenant_id=tenant.id, type="billing.usage.recorded").count()


def wipe() -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()


def test_64_writers_in_four_processes_overshoot_by_nothing(live_db, acme, globex):
    limit(acme, 100)
    before = told(globex)
    environment = {**os.environ, **live_db.environment(), "DJANGO_SETTINGS_MODULE": "aiaas.settings.local"}
    environment |= {"REDIS_URL": settings.REDIS_URL, "DB_POOL_SIZE": "16"}
    environment.pop("PYTEST_XDIST_WORKER", None)
    command = [sys.executable, "-m", "tests.billing.quota_writer", "acme", "3"]
    with ExitStack() as stack:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        writers = [
            stack.enter_context(
                subprocess.Popen([*command, str(n)], env=environment, cwd=settings.ROOT, **pipes)
            )
            for n in range(4)
        ]
        for writer in writers:
            while writer.stdout.readline() not in ("ready\n", ""):
                pass
        for writer in writers:
            writer.stdin.write("go\n")
            writer.stdin.flush()
        wipe()
        done = [int(writer.communicate()[0].split()[-1]) for writer in writers]
    assert sum(done) == told(acme) == 100, "192 tried"
    assert told(globex) == before


@pytest.mark.parametrize("doors", ["reserved", "unreserved", "mixed"])
def test_writers_with_and_without_reservations_agree(live_db, acme, doors):
    limit(acme)

    def write(number: int) -> bool:
        try:
            if doors == "reserved" or (doors == "mixed" and number % 2):
                return use(acme)
            with in_tenant(acme):
                tell(acme)
            return True
        except QuotaSpent:
            return False
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(write, range(64))) == told(acme) == LIMIT


def test_without_valkey_postgresql_decides_as_exactly(live_db, acme, monkeypatch):
    limit(acme)
    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")
    counters.quota_counter.cache_clear()

    def write(number: int) -> bool:
        try:
            return use(acme)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(write, range(48))) == told(acme) == LIMIT


@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    acts=st.lists(
        st.sampled_from(["reserve", "tell", "give_back", "die", "wipe", "unreserved", "tell_and_die"]),
        max_size=40,
    )
)
def test_no_order_of_events_overshoots(valkey, acme, acts, monkeypatch):
    with transaction.atomic():
        connection.run_on_commit = []
        valkey.flushdb()
        limit(acme, 5)
        before, held = told(acme), list[Reservation]()
        for act in acts:
            step(acme, act, held)
            assert told(acme) - before <= 5
        wipe()
        left = 5 - (told(acme) - before)
        assert [use_committed(acme) for _ in range(left + 1)] == [True] * left + [False], "nothing is lost"
        transaction.set_rollback(True)


def step(tenant, act: str, held: list[Reservation]) -> None:
    """Do what one process of many may do; a dead one has told of its use, or not, and settles nothing."""
    if act == "wipe":
        wipe()
    elif act == "reserve":
        with suppress(QuotaSpent):
            reservation = quotas._reserve(tenant, "message", 1)
            held += [reservation] if reservation else []
    elif act == "unreserved":
        committed(tenant)
    elif held and act == "tell":
        committed(tenant, held.pop())
    elif held and act == "tell_and_die":
        committed(tenant, held.pop(), settles=False)
    elif held and act == "give_back":
        quotas._settle(held.pop(), was_used=False)
    elif held and act == "die":
        held.pop()


def committed(tenant, reservation: Reservation | None = None, *, settles: bool = True) -> bool:
    """Tell of a usage as if its transaction were committed: its hooks run, unless it is killed before."""
    marked = len(connection.run_on_commit)
    token = quotas._reservations.set((reservation,) if reservation else ())
    try:
        with transaction.atomic():
            tell(tenant)
    except QuotaSpent:
        return False
    finally:
        quotas._reservations.reset(token)
    hooks, connection.run_on_commit[marked:] = connection.run_on_commit[marked:], []
    for _, hook, _ in hooks if settles else ():
        hook()
    return True


def use_committed(tenant) -> bool:
    try:
        return committed(tenant, quotas._reserve(tenant, "message", 1))
    except QuotaSpent:
        return False


def test_a_reservation_from_before_a_wipe_does_not_hold_beside_the_new_ones(live_db, acme):
    limit(acme, 1)
    with reserving(tenant=acme, kind="message") as old:
        assert old is not None
        wipe()
        assert use(acme), "the wiped counter was counted anew, and one was free"
        with pytest.raises(QuotaSpent), in_tenant(acme):
            tell(acme)
    assert told(acme) == 1


def test_the_reservations_of_the_dead_come_back_after_their_time(live_db, acme, monkeypatch):
    monkeypatch.setattr(counters, "RESERVATION_TTL_S", 0)
    limit(acme, 1)
    assert quotas._reserve(acme, "message", 1), "never settled"
    time.sleep(0.002)
    assert use(acme)
    assert not use(acme)


def test_a_counter_of_another_start_of_the_server_is_worth_nothing(live_db, acme, valkey):
    limit(acme, 2)
    assert use(acme)
    key = f"quota:{{{acme.id}}}:message"
    valkey.hset(key, mapping={"server": "0" * 40, "used": 0})
    assert use(acme)
    assert not use(acme)


def test_a_wiped_counter_is_counted_once_not_by_a_stampede(live_db, acme, valkey):
    limit(acme, 100)
    assert use(acme)
    before = counters.QUOTA_FALLBACK._value.get()
    rebuilt = quotas.QUOTA_REBUILDS._value.get()
    wipe()

    def write(number: int) -> bool:
        try:
            return use(acme)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(write, range(64)))
    assert quotas.QUOTA_REBUILDS._value.get() - rebuilt == 1
    assert counters.QUOTA_FALLBACK._value.get() == before


def test_what_the_read_model_has_is_not_counted_twice(live_db, acme):
    limit(acme, 3)
    with in_tenant(acme):
        start = quotas.get_subscription(tenant=acme).period.start
        UsageBucket.objects.create(kind="message", starts_at=start, quantity=2)
    assert [use(acme), use(acme)] == [True, False]


def test_a_soft_limit_refuses_nothing_and_asks_nobody(live_db, acme, monkeypatch):
    limit(acme, 1, is_hard=False)
    monkeypatch.setattr(quotas, "quota_counter", None)
    assert [use(acme) for _ in range(3)] == [True] * 3


def test_a_larger_plan_counts_at_once(live_db, acme, monkeypatch):
    limit(acme, 1)
    assert [use(acme), use(acme)] == [True, False]
    Plan.objects.filter(code="tiny").update(included={"message": 2})
    monkeypatch.setattr(quotas, "REFUSAL_MEMORY_S", -1)
    monkeypatch.setattr(quotas, "_reserve", once(quotas._reserve))
    assert use(acme)


def once(reserve):
    """Read the terms anew at most once: a memory of less than no time would never end."""
    calls = []

    def limited(*arguments):
        calls.append(1)
        if len(calls) > 1:
            quotas.REFUSAL_MEMORY_S = 60
        return reserve(*arguments)

    return limited

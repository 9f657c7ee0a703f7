"""Outbox -> relay -> JetStream -> consumer with inbox, through real servers."""

import asyncio
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import pytest
from django.conf import settings
from django.db import connection, connections, transaction

from aiaas.embedded import NatsServer
from apps.events import outbox, services
from apps.events.adapters.jetstream import JetStreamBroker, connect
from apps.events.contracts import Consumer, DomainEvent, Envelope
from apps.events.models import DeadLetter, InboxEntry, OutboxEvent
from apps.events.relay import Relay
from apps.tenants.context import in_platform, in_tenant
from apps.tenants.contracts import TenantRef
from workers import consumers

pytestmark = pytest.mark.fault
HANDLED: list[tuple[str, int]] = []
FAILING: set[int] = set()


@dataclass(frozen=True, kw_only=True)
class SomethingHappened(DomainEvent):
    type: ClassVar[str] = "agent.test.happened"
    number: int


def on_something(envelope: Envelope) -> None:
    if envelope.data["number"] in FAILING:
        raise ValueError(f"number {envelope.data['number']} is refused")
    handled = (str(envelope.tenant_id), envelope.data["number"])
    transaction.on_commit(lambda: HANDLED.append(handled))


PROBE = Consumer("probe", "AGENT_EVENTS", ("agent.test.>",), f"{__name__}.on_something")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    HANDLED.clear()
    FAILING.clear()
    monkeypatch.setattr(consumers, "list_consumers", lambda: [PROBE])
    monkeypatch.setattr(consumers, "BACKOFF_S", (0.05, 0.05))
    monkeypatch.setattr(consumers, "FETCH_WAIT_S", 0.3)
    monkeypatch.setattr(consumers, "PAUSE_S", 0.2)
    monkeypatch.setattr("apps.events.relay.INSPECT_S", 0.2)


def tell(tenant: TenantRef, *numbers: int) -> None:
    with in_tenant(tenant):
        services.publish(*(SomethingHappened(tenant_id=tenant.id, number=number) for number in numbers))


async def run_until(condition, *, timeout_s: float = 15) -> None:
    stopping = asyncio.Event()
    client = await connect(settings.NATS_URL, name="test")
    relay = asyncio.create_task(Relay(JetStreamBroker(client)).run(stopping))
    consuming = asyncio.create_task(consumers.run_consumers(stopping))
    try:
        async with asyncio.timeout(timeout_s):
            while not await asyncio.to_thread(_on_its_own_connection, condition):
                await asyncio.sleep(0.05)
    finally:
        stopping.set()
        await asyncio.gather(relay, consuming)
        await client.close()


def _on_its_own_connection(condition) -> bool:
    try:
        return condition()
    finally:
        connections.close_all()


def waiting() -> int:
    with in_platform() as alias:
        return OutboxEvent.objects.using(alias).filter(published_at=None, type__contains="test").count()


def test_events_of_two_tenants_arrive_once(live_db, acme, globex, nats_server):
    tell(acme, 1, 2, 3)
    tell(globex, 4)
    asyncio.run(run_until(lambda: len(HANDLED) == 4 and waiting() == 0))
    assert sorted(HANDLED) == sorted([(str(acme.id), n) for n in (1, 2, 3)] + [(str(globex.id), 4)])
    with in_tenant(acme):
        assert InboxEntry.objects.count() == 3


def test_a_rolled_back_fact_is_never_told(live_db, acme, nats_server):
    with pytest.raises(ZeroDivisionError), in_tenant(acme):
        services.publish(SomethingHappened(tenant_id=acme.id, number=1))
        raise ZeroDivisionError
    tell(acme, 2)
    asyncio.run(run_until(lambda: len(HANDLED) == 1))
    assert [(str(acme.id), 2)] == HANDLED


def test_a_failing_event_ends_as_a_dead_letter_and_can_be_replayed(live_db, acme, nats_server):
    FAILING.add(13)
    tell(acme, 12, 13, 14)

    def buried() -> bool:
        with in_tenant(acme):
            return DeadLetter.objects.exists()

    asyncio.run(run_until(lambda: buried() and len(HANDLED) == 2))
    with in_tenant(acme):
        letter = DeadLetter.objects.get()
    assert (letter.deliveries, letter.cause) == (3, "ValueError: number 13 is refused")
    FAILING.clear()
    assert consumers.handle_envelope(PROBE, Envelope.from_json(letter.envelope))
    assert (str(acme.id), 13) in HANDLED


def test_a_stream_that_lost_its_store_is_refilled_and_nothing_is_handled_twice(
    live_db, acme, nats_server: NatsServer
):
    tell(acme, 1, 2)
    asyncio.run(run_until(lambda: len(HANDLED) == 2 and waiting() == 0))
    nats_server.stop()
    shutil.rmtree(nats_server.store_dir)
    tell(acme, 3)
    nats_server.start()
    settings.NATS_URL = nats_server.url
    asyncio.run(run_until(lambda: len(HANDLED) == 3 and waiting() == 0))
    assert sorted(number for _, number in HANDLED) == [1, 2, 3]
    assert asyncio.run(stream_size()) == 3


async def stream_size() -> int:
    client = await connect(settings.NATS_URL, name="test")
    info = await client.jetstream().stream_info("AGENT_EVENTS", subjects_filter="agent.test.>")
    await client.close()
    return sum((info.state.subjects or {}).values())


def test_two_relays_share_the_shards_without_double_work(live_db, acme):
    first, second = outbox.lease_shards(holder="one"), outbox.lease_shards(holder="two")
    assert first == list(range(16))
    assert second == []
    outbox.release_shards(holder="one")
    assert outbox.lease_shards(holder="two") == list(range(16))


def test_a_fact_told_twice_at_once_is_told_once(live_db, acme):
    """The second writer waits for the first and then finds it told; neither fails."""

    class Fixed(SomethingHappened):
        def event_id(self):
            return acme.id

    def write(number: int) -> list:
        try:
            with in_tenant(acme):
                told = services.publish(Fixed(tenant_id=acme.id, number=number))
                time.sleep(0.2)
            return told
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(write, range(4)))
    assert sorted(map(len, told)) == [0, 0, 0, 1]


def test_events_of_one_call_keep_their_order(live_db, acme):
    tell(acme, *range(50))
    with in_tenant(acme):
        rows = OutboxEvent.objects.filter(type="agent.test.happened").order_by("position")
        assert [row.envelope["data"]["number"] for row in rows] == list(range(50))


def test_a_repeated_fact_is_told_once(live_db, acme):
    class Fixed(SomethingHappened):
        def event_id(self):
            return acme.id

    with in_tenant(acme):
        event = Fixed(tenant_id=acme.id, number=1)
        assert services.publish(event) == [acme.id]
        assert services.publish(event) == []
        assert OutboxEvent.objects.filter(id=acme.id).count() == 1
    assert not connection.in_atomic_block

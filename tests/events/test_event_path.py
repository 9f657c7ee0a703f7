"""Outbox -> relay -> JetStream -> consumer with inbox, through real servers."""

import asyncio
import contextlib
import io
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections, transaction
from nats.js.api import StreamConfig

from aiaas.embedded import NatsServer
from apps.events import outbox, services
from apps.events.adapters import declaring
from apps.events.adapters.declaring import BACKSTOP
from apps.events.adapters.jetstream import JetStreamBroker, connect, subscribe
from apps.events.contracts import Consumer, DomainEvent, Envelope
from apps.events.models import DeadLetter, InboxEntry, OutboxEvent
from apps.events.relay import Relay
from apps.tenants.context import in_platform, in_tenant
from apps.tenants.contracts import TenantRef
from workers import consumers
from workers.backstop import CAUSE, Backstop
from workers.dead_letters import replay_letter

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
    for module in ("workers.consumers", "workers.dead_letters"):
        monkeypatch.setattr(f"{module}.list_consumers", lambda: [PROBE])
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


def test_an_advisory_waits_for_a_consumer_that_is_down(live_db, acme, globex, nats_server, monkeypatch):
    """Its process died at each delivery, and nobody heard that the broker gave up; then it is told again."""
    monkeypatch.setattr(declaring, "ACK_WAIT_S", 0.2)
    tell(globex, 7)
    asyncio.run(relay_all())
    asyncio.run(die_at_every_delivery())
    with in_tenant(globex):
        assert not DeadLetter.objects.exists()
    monkeypatch.setattr("workers.backstop.FETCH_WAIT_S", 0.3)
    asyncio.run(run_until(lambda: letters_of(globex) == [("probe", 3, CAUSE)]))
    assert HANDLED == []
    assert letters_of(acme) == []
    with in_tenant(globex):
        letter = DeadLetter.objects.get()
    assert replay_letter(globex, letter) == ""
    assert [(str(globex.id), 7)] == HANDLED
    asyncio.run(tell_of_it_again())
    assert letters_of(globex) == []


def letters_of(tenant: TenantRef) -> list[tuple[str, int, str]]:
    with in_tenant(tenant):
        return [(one.consumer, one.deliveries, one.cause) for one in services.list_dead_letters()]


async def relay_all() -> None:
    client = await connect(settings.NATS_URL, name="test")
    relay = Relay(JetStreamBroker(client))
    while await relay.turn():
        pass
    await relay.close()
    await client.close()


async def die_at_every_delivery() -> None:
    client = await connect(settings.NATS_URL, name="test")
    subscription = await subscribe(client, PROBE)
    for _ in range(3):
        await subscription.fetch(1, timeout=5)
    advisories = await client.jetstream().stream_info("ADVISORIES")
    async with asyncio.timeout(10):
        while not advisories.state.messages:
            with contextlib.suppress(TimeoutError):
                await subscription.fetch(1, timeout=0.2)
            advisories = await client.jetstream().stream_info("ADVISORIES")
    await client.close()


async def tell_of_it_again() -> None:
    """As brokers have done after a restart; what comes of it is awaited."""
    client = await connect(settings.NATS_URL, name="test")
    js = client.jetstream()
    told = await js.get_msg("ADVISORIES", 1)
    await client.publish(told.subject, told.data)
    stopping = asyncio.Event()
    backstop = asyncio.create_task(Backstop(client, consumers.bury_envelope).run(stopping))
    async with asyncio.timeout(10):
        while (await js.consumer_info("ADVISORIES", BACKSTOP)).ack_floor.stream_seq < 2:
            await asyncio.sleep(0.05)
    stopping.set()
    await backstop
    await client.close()


def test_streams_and_consumers_become_what_is_declared(nats_server, monkeypatch):
    """Those of an older release are changed; what nobody declares is told, and removed when asked."""
    asyncio.run(make_those_of_an_older_release())
    monkeypatch.setattr("workers.management.commands.reconcile_streams.list_consumers", lambda: [PROBE])
    told = reconcile()
    assert "changed AGENT_EVENTS.subjects" in told
    assert "changed AGENT_EVENTS.max_age" in told
    assert "left over: gone of AGENT_EVENTS, 1 events not delivered" in told
    assert asyncio.run(declared()) == (["agent.>"], 7 * 86_400, ["agent.test.>"], 3, 1)
    assert reconcile("--remove").endswith("0 changes, 1 consumers left over\n")
    assert reconcile() == "0 changes, 0 consumers left over\n"


async def make_those_of_an_older_release() -> None:
    client = await connect(settings.NATS_URL, name="test")
    js = client.jetstream()
    await js.add_stream(StreamConfig(name="AGENT_EVENTS", subjects=["agent.test.*"], max_age=60))
    await js.add_consumer(
        "AGENT_EVENTS", durable_name="probe", filter_subject="agent.test.old", max_deliver=9
    )
    await js.add_consumer("AGENT_EVENTS", durable_name="gone")
    await js.publish("agent.test.old", b"{}")
    await client.close()


async def declared() -> tuple[object, ...]:
    client = await connect(settings.NATS_URL, name="test")
    js = client.jetstream()
    stream, probe = await js.stream_info("AGENT_EVENTS"), await js.consumer_info("AGENT_EVENTS", "probe")
    await client.close()
    consumer = (probe.config.filter_subjects, probe.config.max_deliver)
    return stream.config.subjects, stream.config.max_age, *consumer, stream.state.messages


def reconcile(*options: str) -> str:
    out = io.StringIO()
    call_command("reconcile_streams", *options, stdout=out)
    return out.getvalue()


def test_a_relay_changes_a_stream_that_is_declared_otherwise_now(live_db, acme, nats_server):
    asyncio.run(make_those_of_an_older_release())
    tell(acme, 1)
    asyncio.run(run_until(lambda: len(HANDLED) == 1))
    assert asyncio.run(declared())[:2] == (["agent.>"], 7 * 86_400)


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

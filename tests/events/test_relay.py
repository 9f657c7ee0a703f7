"""The relay publishes whole batches, repeats what it cannot know, and sees that a store is another one."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from nats.aio.client import Client

from aiaas.embedded import NatsServer
from apps.events import outbox, services
from apps.events.adapters.jetstream import JetStreamBroker, connect
from apps.events.ports import Birth, Published
from apps.events.relay import Relay
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from tests.events.test_event_path import _on_its_own_connection, tell, waiting

pytestmark = pytest.mark.fault


def with_relay(act: Callable[[Client, Relay], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        client = await connect(settings.NATS_URL, name="test")
        relay = Relay(JetStreamBroker(client))
        try:
            return await act(client, relay)
        finally:
            await relay.close()
            await client.close()

    return asyncio.run(main())


async def turn(_client: Client, relay: Relay) -> int:
    return await relay.turn()


async def read_stream(client: Client, _relay: Relay) -> list[str]:
    js = client.jetstream()
    held = (await js.stream_info("AGENT_EVENTS")).state
    messages = [await js.get_msg("AGENT_EVENTS", seq) for seq in range(held.first_seq, held.last_seq + 1)]
    return [message.headers["Nats-Msg-Id"] for message in messages if message.headers]


def told(tenant: TenantRef) -> list[str]:
    from apps.events.models import OutboxEvent

    with in_tenant(tenant):
        return [str(one) for one in OutboxEvent.objects.order_by("position").values_list("id", flat=True)]


def test_a_batch_is_published_in_order_and_acknowledged_as_a_whole(live_db, acme, nats_server):
    already = with_relay(turn)
    tell(acme, *range(40))
    assert with_relay(turn) == 40
    assert waiting() == 0
    ours = told(acme)[-40:]
    assert [one for one in with_relay(read_stream) if one in ours] == ours
    assert with_relay(turn) == 0
    assert already < 40
    assert outbox.list_places()["AGENT_EVENTS"] == len(with_relay(read_stream))


def test_what_is_not_known_to_be_published_is_published_again_and_held_once(
    live_db, acme, globex, nats_server, monkeypatch
):
    """The relay died before it noted the acknowledgement; some events of the next batch are new."""
    with_relay(turn)
    tell(acme, 1, 2, 3)
    with monkeypatch.context() as dead:
        dead.setattr(outbox, "mark_published", lambda _: None)
        assert with_relay(turn) == 3
    tell(globex, 4)
    assert waiting() == 4
    assert with_relay(turn) == 4
    assert waiting() == 0
    held = with_relay(read_stream)
    assert len(held) == len(set(held))
    assert {*told(acme)[-3:], *told(globex)[-1:]} <= set(held)


def test_a_broker_that_knows_no_batches_gets_one_message_after_the_other(live_db, acme, nats_server):
    async def forbid(client: Client, relay: Relay) -> int:
        await relay.turn()
        js = client.jetstream()
        info = await js.stream_info("AGENT_EVENTS")
        await js.update_stream(info.config.evolve(allow_atomic=False))
        await asyncio.to_thread(_on_its_own_connection, lambda: tell(acme, 1, 2, 3))
        return await relay.turn()

    assert with_relay(forbid) == 3
    assert waiting() == 0
    assert len(with_relay(read_stream)) == len(set(with_relay(read_stream)))


def test_an_old_copy_that_has_overtaken_what_was_known_is_refilled(live_db, acme, nats_server: NatsServer):
    """Restored from before, and published to since: its sequence says nothing, what it holds there does."""
    tell(acme, 1)
    with_relay(turn)
    nats_server.stop()
    copy = nats_server.data_dir / "copy"
    shutil.copytree(nats_server.store_dir, copy)
    nats_server.start()
    settings.NATS_URL = nats_server.url
    tell(acme, 2, 3)
    with_relay(turn)
    nats_server.stop()
    shutil.rmtree(nats_server.store_dir)
    shutil.copytree(copy, nats_server.store_dir)
    nats_server.start()
    settings.NATS_URL = nats_server.url
    lost = set(told(acme)[-2:])

    async def overtake(client: Client, _relay: Relay) -> None:
        for _ in range(9):
            await client.jetstream().publish("agent.test.x", b"{}", headers={"Nats-Msg-Id": str(uuid4())})

    with_relay(overtake)
    assert not lost & set(with_relay(read_stream))
    assert with_relay(turn) >= 2
    assert lost <= set(with_relay(read_stream))
    assert waiting() == 0
    assert with_relay(turn) == 0, "once is enough"


def test_a_look_that_another_relay_has_overtaken_tells_nothing(live_db, acme):
    """The broker was asked before the other relay went on: what it told then is no news."""
    was, is_now = uuid4(), uuid4()
    assert outbox.refill_lost_streams([Birth("AGENT_EVENTS", "then", 0, 0, None)]) == []
    for sequence, event_id in ((5, was), (9, is_now)):
        outbox.mark_published(Published((0,), {"AGENT_EVENTS": (sequence, event_id)}))
    assert outbox.refill_lost_streams([Birth("AGENT_EVENTS", "then", 5, 5, was)]) == []
    assert outbox.refill_lost_streams([Birth("AGENT_EVENTS", "then", 9, 9, is_now)]) == []
    assert outbox.refill_lost_streams([Birth("AGENT_EVENTS", "then", 9, 9, None)]) == []
    assert outbox.refill_lost_streams([Birth("AGENT_EVENTS", "then", 12, 9, was)]) == ["AGENT_EVENTS"]
    assert outbox.refill_lost_streams([Birth("AGENT_EVENTS", "anew", 12, 12, None)]) == ["AGENT_EVENTS"]
    assert outbox.refill_lost_streams([Birth("AGENT_EVENTS", "anew", 3, 12, None)]) == ["AGENT_EVENTS"]


def test_two_relays_at_once_publish_each_event_once(live_db, acme, globex, nats_server):
    for number in range(60):
        tell((acme, globex)[number % 2], number)

    async def together(client: Client, first: Relay) -> None:
        second, stopping = Relay(JetStreamBroker(client), name="second"), asyncio.Event()
        running = [asyncio.create_task(relay.run(stopping)) for relay in (first, second)]
        async with asyncio.timeout(15):
            while await asyncio.to_thread(_on_its_own_connection, waiting):
                await asyncio.sleep(0.05)
        stopping.set()
        await asyncio.gather(*running)

    async def main() -> list[str]:
        client = await connect(settings.NATS_URL, name="test")
        await together(client, Relay(JetStreamBroker(client), name="first"))
        held = await read_stream(client, None)  # type: ignore[arg-type]
        await client.close()
        return held

    held = asyncio.run(main())
    assert len(held) == len(set(held))
    assert {*told(acme), *told(globex)} <= set(held)
    with in_tenant(acme):
        assert services.list_dead_letters() == []

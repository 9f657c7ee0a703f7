"""Hints: cheap, in the background, and never the writer's problem."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from channels.layers import channel_layers
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.db import transaction

from aiaas.embedded import ValkeyServer
from apps.conversations import services as conversations
from apps.realtime import hints, hub
from apps.realtime.hints import HintSender


class Layer:
    """A channel layer that is away, stuck, or fine."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict]] = []
        self.trouble: Exception | float | None = None

    async def group_send(self, group: str, message: dict) -> None:
        if isinstance(self.trouble, Exception):
            raise self.trouble
        await asyncio.sleep(self.trouble or 0)
        self.sent.append((group, message))


@contextmanager
def default_layer(layer: object) -> Iterator[None]:
    """Use a layer for a while; one that was never made is made anew afterwards, at its first use."""
    before = channel_layers.set("default", layer)
    yield
    if before is None:
        channel_layers.backends.pop("default")
    else:
        channel_layers.set("default", before)


@pytest.fixture
def layer():
    layer = Layer()
    with default_layer(layer):
        yield layer


@pytest.fixture
def sender(monkeypatch):
    sender = HintSender()
    monkeypatch.setattr("apps.realtime.handlers.sender", sender)
    yield sender
    sender.close()


def wait_until(condition) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_hint_goes_out_from_any_thread(layer, sender):
    sender.send("group", {"type": "message.hint", "seq": 1})
    wait_until(lambda: layer.sent)
    assert layer.sent == [("group", {"type": "message.hint", "seq": 1})]


def test_a_sender_works_again_after_it_was_closed(layer, sender):
    sender.send("group", {"seq": 1})
    sender.close()
    sender.send("group", {"seq": 2})
    wait_until(lambda: ("group", {"seq": 2}) in layer.sent)
    assert layer.sent[-1] == ("group", {"seq": 2})


def test_an_outage_is_told_once_and_costs_the_writer_nothing(layer, sender, monkeypatch):
    warnings = []
    monkeypatch.setattr(hints.logger, "warning", lambda event, **fields: warnings.append(event))
    layer.trouble = ConnectionError("no Valkey")
    for seq in range(50):
        sender.send("group", {"seq": seq})
    wait_until(lambda: sender._pending == 0)
    assert warnings == ["hints_cannot_be_sent"]
    layer.trouble = None
    sender.send("group", {"seq": 99})
    wait_until(lambda: layer.sent == [("group", {"seq": 99})])


def test_a_stuck_layer_holds_a_bounded_number_of_hints(layer, sender, monkeypatch):
    monkeypatch.setattr(hints, "MAX_PENDING", 10)
    layer.trouble = 0.2
    for seq in range(100):
        sender.send("group", {"seq": seq})
    wait_until(lambda: sender._pending == 0)
    assert len(layer.sent) == 10


def test_a_stored_message_is_hinted_at_once_committed(live_db, acme, layer, sender):
    with transaction.atomic():
        conversation = conversations.open_conversation(tenant=acme, channel="widget", customer=None)
    conversations.receive_message(tenant=acme, conversation_id=conversation.id, text="Hi")
    address = {"tenant_id": str(acme.id), "conversation_id": str(conversation.id)}
    hint = {"type": "message.hint", "seq": 1, **address}
    wait_until(lambda: any(message == hint for _, message in layer.sent))
    assert {group for group, _ in layer.sent} == {f"conversation.{acme.id.hex}.{conversation.id.hex}"}


def test_a_message_is_stored_while_nothing_can_be_hinted(live_db, acme, layer, sender, monkeypatch):
    monkeypatch.setattr(sender, "_running_loop", lambda: 1 / 0)
    conversation = conversations.open_conversation(tenant=acme, channel="widget", customer=None)
    received = conversations.receive_message(tenant=acme, conversation_id=conversation.id, text="Hi")
    assert received.message.seq == 1


class Ear:
    def __init__(self) -> None:
        self.heard: list[dict] = []
        self.catch_ups = 0

    def hear(self, message: dict) -> None:
        self.heard.append(message)

    def catch_up(self) -> None:
        self.catch_ups += 1


@pytest.fixture
def quick_hub(monkeypatch):
    for name, value in {"ECHO_EVERY_S": 0.05, "RETRY_S": 0.05, "LAYER_DEADLINE_S": 0.5}.items():
        monkeypatch.setattr(hub, name, value)


async def eventually(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_every_socket_of_a_group_hears_it_and_no_other(hub, acme, globex, valkey):
    group_of = {tenant.slug: hub_group(tenant) for tenant in (acme, globex)}
    first, second, other = Ear(), Ear(), Ear()
    await hub.join(group_of["acme"], first)
    await hub.join(group_of["acme"], second)
    await hub.join(group_of["globex"], other)
    await say(acme)
    await eventually(lambda: first.heard and second.heard)
    assert not other.heard
    await hub.leave(group_of["acme"], first)
    await say(acme)
    await eventually(lambda: len(second.heard) == 2)
    assert len(first.heard) == 1


@pytest.fixture
def own_valkey(tmp_path) -> Iterator[ValkeyServer]:
    """A Valkey that the test may kill: the shared one serves the tests beside it."""
    server = ValkeyServer(tmp_path)
    server.start()
    with default_layer(RedisPubSubChannelLayer(hosts=[server.url], prefix="aiaas")):
        yield server
    server.stop()


async def test_after_an_outage_sockets_hear_again_and_catch_up(own_valkey, hub, quick_hub, acme):
    ear = Ear()
    await hub.join(hub_group(acme), ear)
    own_valkey.kill()
    await asyncio.sleep(0.5)
    own_valkey.start()
    await eventually(lambda: ear.catch_ups)
    await say(acme)
    await eventually(lambda: ear.heard)
    assert ear.heard[0]["seq"] == 1


def hub_group(tenant) -> str:
    return f"conversation.{tenant.id.hex}.{tenant.id.hex}"


async def say(tenant) -> None:
    address = {"tenant_id": str(tenant.id), "conversation_id": str(tenant.id)}
    await channel_layers["default"].group_send(
        hub_group(tenant), {"type": "message.hint", "seq": 1, **address}
    )

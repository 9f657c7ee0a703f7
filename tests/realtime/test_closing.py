"""How a socket ends: slow clients, silent clients, restarts, defects."""

import asyncio

import orjson
import pytest

from apps.realtime import consumer, hub, outbound, session
from apps.realtime.metrics import websocket_closes


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(consumer, "SEND_DEADLINE_S", 0.1)
    monkeypatch.setattr(consumer, "CLOSE_DEADLINE_S", 0.1)


class StuckWire:
    """A client that has stopped reading: sends block once `room` frames are under way."""

    def __init__(self, widget, room: int) -> None:
        self.scope = {"query_string": f"key={widget.key}".encode(), "headers": []}
        self.incoming: asyncio.Queue[dict] = asyncio.Queue()
        self.sent: list[dict] = []
        self.room = room

    async def send(self, event: dict) -> None:
        if len(self.sent) >= self.room and event["type"] == "websocket.send":
            await asyncio.sleep(3600)
        self.sent.append(event)

    def say(self, **frame: object) -> None:
        self.incoming.put_nowait({"type": "websocket.receive", "text": orjson.dumps(frame).decode()})

    async def serve(self, ear: hub.Hub) -> int:
        """Serve until the server closes; returns its code."""
        self.incoming.put_nowait({"type": "websocket.connect"})
        await asyncio.wait_for(consumer.ChatConsumer(ear)(self.scope, self.incoming.get, self.send), 10)
        return self.sent[-1]["code"]


async def test_a_client_that_stops_reading_is_closed_as_slow(hub, widget, valkey, quick):
    wire = StuckWire(widget, room=2)
    serving = asyncio.create_task(wire.serve(hub))
    wire.say(type="hello")
    wire.say(type="shout")
    assert await serving == 4408
    assert websocket_closes.labels("4408")._value.get() >= 1


async def test_a_client_that_asks_without_reading_is_closed_as_slow(hub, widget, valkey, monkeypatch):
    monkeypatch.setattr(outbound, "MAX_FRAMES", 5)
    monkeypatch.setattr(consumer, "CLOSE_DEADLINE_S", 0.1)
    wire = StuckWire(widget, room=1)
    serving = asyncio.create_task(wire.serve(hub))
    for _ in range(10):
        wire.say(type="shout")
    assert await serving == 4408


async def test_a_client_that_never_says_hello_is_closed(browse, monkeypatch):
    monkeypatch.setattr(session, "HELLO_DEADLINE_S", 0.1)
    assert await (await browse()).close_code() == 4400


async def test_a_restart_sends_clients_away_to_resume(browse, hub):
    browsers = [await browse() for _ in range(2)]
    for browser in browsers:
        await browser.hello()
    leaving = asyncio.create_task(hub.dismiss_all())
    assert [await browser.close_code() for browser in browsers] == [1012, 1012]
    await asyncio.wait_for(leaving, 5)


async def test_a_defect_closes_one_socket_and_is_not_shown(browse, monkeypatch):
    monkeypatch.setattr(session.frames, "parse_frame", lambda raw: 1 / 0)
    browser = await browse()
    await browser.send("hello")
    assert await browser.close_code() == 1011

"""The socket process under its real server, with a stock WebSocket client."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from uuid import UUID

import orjson
import pytest
from django.conf import settings
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from aiaas.embedded.process import free_port
from apps.conversations import services as conversations
from apps.realtime.hints import sender
from apps.realtime.threads import in_thread

pytestmark = pytest.mark.fault


class Server:
    def __init__(self, environment: dict[str, str]) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "granian", "--interface", "asgi", "--no-access-log"]
        self.process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(self.port), "aiaas.asgi:application"],
            env={**os.environ, **environment, "DJANGO_SETTINGS_MODULE": "aiaas.settings.local"},
            cwd=settings.ROOT,
            start_new_session=True,
        )

    async def connect(self, key: str) -> ClientConnection:
        for _ in range(600):
            try:
                return await connect(f"ws://127.0.0.1:{self.port}/ws/chat/?key={key}", open_timeout=10)
            except OSError:
                await asyncio.sleep(0.05)
        raise TimeoutError("the socket process does not answer")

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal the server and its worker."""
        os.killpg(self.process.pid, number)


@pytest.fixture
def serve(live_db, valkey) -> Iterator[type]:
    servers: list[Server] = []

    def start() -> Server:
        servers.append(Server({**live_db.environment(), "REDIS_URL": settings.REDIS_URL}))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.end()
        server.process.wait(10)
    sender.close()


async def hear(socket: ClientConnection, kind: str) -> dict:
    async with asyncio.timeout(10):
        while (frame := orjson.loads(await socket.recv()))["type"] != kind:
            assert frame["type"] != "error", frame
    return frame


async def say(socket: ClientConnection, kind: str, **fields: object) -> None:
    await socket.send(orjson.dumps({"type": kind, **fields}).decode())


async def answer(tenant, welcome: dict, text: str) -> None:
    await in_thread(
        conversations.post_reply,
        tenant=tenant,
        conversation_id=UUID(welcome["conversation_id"]),
        text=text,
        reply_key=text,
    )


async def test_a_restart_tells_clients_to_come_back(serve, widget):
    server = serve()
    socket = await server.connect(widget.key)
    await say(socket, "hello")
    await hear(socket, "welcome")
    server.end(signal.SIGTERM)
    with pytest.raises(ConnectionClosed) as closed:
        await hear(socket, "nothing")
    assert closed.value.rcvd.code == 1012
    await asyncio.to_thread(server.process.wait, 10)


async def test_a_killed_process_costs_no_message(serve, widget, acme):
    first = serve()
    socket = await first.connect(widget.key)
    await say(socket, "hello")
    welcome = await hear(socket, "welcome")
    await say(socket, "message", client_message_id="m1", text="Hi")
    assert (await hear(socket, "ack"))["seq"] == 1
    await hear(socket, "message")
    first.end(signal.SIGKILL)
    with pytest.raises(ConnectionClosed):
        await hear(socket, "nothing")
    await answer(acme, welcome, "while nobody listened")

    socket = await serve().connect(widget.key)
    resume = {name: welcome[name] for name in ("conversation_id", "session", "epoch")}
    await say(socket, "hello", **resume, last_seq=1)
    assert (await hear(socket, "welcome"))["head_seq"] == 2
    assert (await hear(socket, "message"))["text"] == "while nobody listened"
    await say(socket, "message", client_message_id="m1", text="Hi")  # unsure whether it was stored
    assert (await hear(socket, "ack"))["seq"] == 1
    await answer(acme, welcome, "and after")
    assert (await hear(socket, "message"))["seq"] == 3
    await socket.close()

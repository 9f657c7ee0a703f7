"""A browser's side of the socket, on the real database and the real channel layer."""

from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import orjson
import pytest
from asgiref.testing import ApplicationCommunicator

from apps.gateway.limits import limiter
from apps.realtime.consumer import ChatConsumer
from apps.realtime.hints import sender
from apps.realtime.hub import Hub
from apps.realtime.threads import in_thread
from apps.realtime.widget_settings.services import update_widget_settings
from apps.tenants.contracts import TenantRef, WidgetKeyView
from apps.tenants.selectors import forget_all, get_widget_key

Frame = dict[str, Any]


class Browser:
    """One socket, as a browser has it."""

    def __init__(
        self, hub: Hub, query: dict[str, str], origin: str | None = None, address: str = "192.0.2.1"
    ) -> None:
        scope = {
            "client": [address, 4000],
            "type": "websocket",
            "path": "/ws/chat/",
            "query_string": urlencode(query).encode(),
            "headers": [(b"origin", origin.encode())] if origin else [],
        }
        self._wire = ApplicationCommunicator(ChatConsumer(hub), scope)

    async def connect(self) -> "Browser":
        await self._wire.send_input({"type": "websocket.connect"})
        assert await self._wire.receive_output(timeout=5) == {"type": "websocket.accept"}
        return self

    async def send(self, kind: str, **fields: Any) -> None:
        await self.send_raw(orjson.dumps({"type": kind, **fields}).decode())

    async def send_raw(self, text: str) -> None:
        await self._wire.send_input({"type": "websocket.receive", "text": text})

    async def hear(self, kind: str = "") -> Frame:
        """Return the next frame, or the next one of a kind."""
        while True:
            event = await self._wire.receive_output(timeout=5)
            assert event["type"] == "websocket.send", event
            frame = orjson.loads(event["text"])
            assert kind in ("", "error") or frame["type"] != "error", frame  # or one waits for ever
            if not kind or frame["type"] == kind:
                return frame

    async def close_code(self) -> int:
        """Return the code that the server closes with."""
        while (event := await self._wire.receive_output(timeout=5))["type"] != "websocket.close":
            pass
        return event["code"]

    async def hello(self, **fields: Any) -> Frame:
        await self.send("hello", **fields)
        return await self.hear()

    async def say(self, text: str, client_message_id: str = "") -> Frame:
        """Send a message and return its `ack`."""
        await self.send("message", text=text, client_message_id=client_message_id or uuid4().hex)
        return await self.hear("ack")

    async def leave(self) -> None:
        await self._wire.send_input({"type": "websocket.disconnect", "code": 1000})
        await self._wire.wait(timeout=5)


@pytest.fixture
def widget(live_db: object, acme: TenantRef) -> WidgetKeyView:
    return get_widget_key(tenant=acme)


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    hub = Hub()
    yield hub
    await hub.close()


@pytest.fixture
async def browse(hub: Hub, widget: WidgetKeyView, valkey: object) -> AsyncIterator[Callable[..., Any]]:
    """Open sockets of acme's widget: `await browse(token=…, origin=…)`; they leave when the test ends."""
    limiter.cache_clear()
    browsers: list[Browser] = []

    async def open_socket(
        *, key: str = widget.key, origin: str | None = None, address: str = "192.0.2.1", **query: str
    ) -> Browser:
        browsers.append(Browser(hub, {"key": key, **query}, origin, address))
        return await browsers[-1].connect()

    yield open_socket
    for browser in browsers:
        await browser.leave()
    await in_thread(sender.close)


@pytest.fixture
def settle(widget, acme):
    """Set the widget of the socket's company."""

    async def settle(**changes: object) -> None:
        key = await in_thread(get_widget_key, tenant=acme)
        await in_thread(
            update_widget_settings,
            tenant=acme, key=key.key, version=key.version, actor="test", changes=changes,
        )  # fmt: skip
        forget_all()

    return settle

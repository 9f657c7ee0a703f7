"""What runs beside the sockets in their process: health, metrics, and a shutdown that lets clients resume."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import structlog
from django.db import connection
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from apps.realtime.hub import Hub
from apps.realtime.threads import in_thread
from apps.resilience.operators import may_see_metrics

logger = structlog.get_logger(__name__)

DRAIN_DEADLINE_S = 5.0

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def serve_operations(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answer /healthz, /readyz and /metrics; everything else over HTTP lives at the web process."""
    status, content_type, body = 404, "application/problem+json", _problem()
    if scope["path"] == "/healthz":
        status, content_type, body = 200, "application/json", b'{"status":"ok"}'
    elif scope["path"] == "/readyz":
        status, content_type, body = await _readiness()
    elif scope["path"] == "/metrics" and _may_see_metrics(scope):
        status, content_type, body = 200, CONTENT_TYPE_LATEST, generate_latest()
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _may_see_metrics(scope: dict[str, Any]) -> bool:
    headers = {name.lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}
    is_forwarded = b"x-forwarded-for" in headers or b"forwarded" in headers
    peer = (scope.get("client") or ("", 0))[0]
    return may_see_metrics(authorization=headers.get(b"authorization", ""), peer="" if is_forwarded else peer)


async def _readiness() -> tuple[int, str, bytes]:
    try:
        await in_thread(_touch_database)
    except Exception:
        logger.exception("not_ready")
        return 503, "application/json", b'{"status":"database unreachable"}'
    return 200, "application/json", b'{"status":"ok"}'


def _touch_database() -> None:
    connection.ensure_connection()


def _problem() -> bytes:
    return orjson.dumps(
        {
            "type": "about:blank",
            "title": "Not found",
            "status": 404,
            "detail": "This port serves the WebSocket /ws/chat/; pages and the API are at the web process.",
        }
    )


class Lifespan:
    """Follow the server's life (ASGI lifespan); SIGTERM and SIGINT first send every client away with 1012.

    Servers drop open sockets without a word when they stop, so the signal is taken before they see it and,
    once the sockets have closed, given back with its default effect.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._draining: asyncio.Task[None] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self._start_draining, number)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._hub.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _start_draining(self, number: signal.Signals) -> None:
        if self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self._drain(number))

    async def _drain(self, number: signal.Signals) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_DEADLINE_S):
                await self._hub.dismiss_all()
        await self._hub.close()
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

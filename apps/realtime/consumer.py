"""The WebSockets at /ws/chat/ and /ws/inbox/: admission, reading, writing, closing."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Protocol

import orjson
import structlog

from apps.realtime.admission import (
    Colleague,
    Refused,
    Visitor,
    admit,
    admit_colleague,
    find_unwelcome_colleagues,
    find_unwelcome_visitors,
)
from apps.realtime.frames import error_frame
from apps.realtime.guard import Guard
from apps.realtime.hub import Hub
from apps.realtime.inbox import InboxSession
from apps.realtime.metrics import websocket_closes, websocket_connections_active
from apps.realtime.outbound import Outbound, SlowSocket
from apps.realtime.session import ChatSession, Dismissed, HelloMissing
from apps.tenants.contracts import TenantRef

logger = structlog.get_logger(__name__)

SEND_DEADLINE_S = 5.0
CLOSE_DEADLINE_S = 1.0
INTERNAL_ERROR, SERVICE_RESTART, NO_HELLO, SLOW = 1011, 1012, 4400, 4408

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Guest(Protocol):
    """Who was admitted."""

    @property
    def tenant(self) -> TenantRef: ...


class Session(Protocol):
    """What a socket speaks: answers frames, and delivers until it raises."""

    async def handle(self, raw: str | bytes) -> None: ...

    async def run(self) -> None: ...

    async def stop(self) -> None: ...


class SocketConsumer(ABC):
    """Serve sockets (ASGI); every socket of a process shares the hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._guard = Guard(self._find_unwelcome)

    @abstractmethod
    async def _admit(self, scope: dict[str, Any]) -> Guest:
        """Return who connects; raises Refused."""

    @abstractmethod
    def _find_unwelcome(self, guests: Collection[Any]) -> Mapping[Any, Refused]:
        """Return which of those who were admitted would not be now."""

    @abstractmethod
    def _open_session(self, guest: Any, outbound: Outbound) -> Session:
        """Return what is spoken with them."""

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        try:
            guest = await self._admit(scope)
        except Refused as refusal:
            await _turn_away(send, refusal)
            return
        gauge = websocket_connections_active.labels(str(guest.tenant.id))
        with gauge.track_inprogress():
            end = await self._converse(guest, receive, send)
            if isinstance(end, Refused):
                await _turn_away(send, end)
            else:
                await _close(send, _close_code(end))

    async def _converse(self, guest: Guest, receive: Receive, send: Send) -> BaseException | None:
        outbound = Outbound()
        session = self._open_session(guest, outbound)
        jobs = [
            asyncio.create_task(job)
            for job in (
                *(_read(receive, session), _write(send, outbound), session.run()),
                self._guard.watch(guest),
            )
        ]
        try:
            await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            return next(job for job in jobs if job.done()).exception()
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            await session.stop()


class ChatConsumer(SocketConsumer):
    """Serve customers' chats at /ws/chat/."""

    async def _admit(self, scope: dict[str, Any]) -> Visitor:
        return await admit(scope)

    def _find_unwelcome(self, guests: Collection[Visitor]) -> Mapping[Visitor, Refused]:
        return find_unwelcome_visitors(guests)

    def _open_session(self, guest: Visitor, outbound: Outbound) -> ChatSession:
        return ChatSession(visitor=guest, outbound=outbound, hub=self._hub)


class InboxConsumer(SocketConsumer):
    """Serve the pages of a tenant's people at /ws/inbox/."""

    async def _admit(self, scope: dict[str, Any]) -> Colleague:
        return await admit_colleague(scope)

    def _find_unwelcome(self, guests: Collection[Colleague]) -> Mapping[Colleague, Refused]:
        return find_unwelcome_colleagues(guests)

    def _open_session(self, guest: Colleague, outbound: Outbound) -> InboxSession:
        return InboxSession(colleague=guest, outbound=outbound, hub=self._hub)


async def refuse_unknown_path(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Turn away sockets that ask for another path."""
    await receive()
    await send({"type": "websocket.close"})


async def _read(receive: Receive, session: Session) -> None:
    while (event := await receive())["type"] != "websocket.disconnect":
        await session.handle(event.get("text") or event.get("bytes") or "")


async def _write(send: Send, outbound: Outbound) -> None:
    while True:
        text = await outbound.take()
        async with asyncio.timeout(SEND_DEADLINE_S):
            await send({"type": "websocket.send", "text": text})


def _close_code(end: BaseException | None) -> int | None:
    match end:
        case None:
            return None
        case SlowSocket() | TimeoutError():
            return SLOW
        case Dismissed():
            return SERVICE_RESTART
        case HelloMissing():
            return NO_HELLO
        case error:
            logger.error("socket_failed", exc_info=error)
            return INTERNAL_ERROR


async def _turn_away(send: Send, refusal: Refused) -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_DEADLINE_S):
            text = orjson.dumps(error_frame(refusal)).decode()
            await send({"type": "websocket.send", "text": text})
    await _close(send, refusal.close_code)


async def _close(send: Send, code: int | None) -> None:
    if code is None:  # the client has gone
        return
    websocket_closes.labels(str(code)).inc()
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_DEADLINE_S):
            await send({"type": "websocket.close", "code": code})

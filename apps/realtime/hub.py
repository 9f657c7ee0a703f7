"""One ear per process on the channel layer: passes what it hears to the sockets of this process."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

import structlog
from channels.layers import get_channel_layer

from apps.conversations.contracts import conversation_group, inbox_group

logger = structlog.get_logger(__name__)

ECHO_EVERY_S = 5.0
RETRY_S = 1.0
LAYER_DEADLINE_S = 2.0

GroupMessage = Mapping[str, Any]


class Listener(Protocol):
    def hear(self, message: GroupMessage) -> None:
        """Take a message of the conversation; must neither wait nor raise."""

    def catch_up(self) -> None:
        """Look at the database: messages may have been lost."""

    def go_away(self) -> None:
        """Close, because this process ends: the client resumes at another."""


class Hub:
    """Share one channel of the layer among all sockets of this process.

    The hub sends itself an echo every ECHO_EVERY_S. When it does not come, everything is subscribed anew
    and, once the echo is back, every socket catches up. Without the layer sockets work on at the pace of
    their heartbeat.
    """

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[Listener]] = defaultdict(set)
        self._joined: set[str] = set()
        self._channel: str | None = None
        self._ear: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._subscribing = asyncio.Lock()
        self._echo = asyncio.Event()

    async def join(self, group: str, listener: Listener) -> None:
        """Let a socket hear a group; when this returns nothing is missed, or the layer is away."""
        self._listeners[group].add(listener)
        if self._watch is None:
            self._watch = asyncio.create_task(self._keep_hearing())
        await self._settle(group)

    async def leave(self, group: str, listener: Listener) -> None:
        """Forget a socket; the last one of a group ends its subscription."""
        self._listeners[group].discard(listener)
        if not self._listeners[group]:
            del self._listeners[group]
            await self._settle(group)

    async def dismiss_all(self) -> None:
        """Ask every socket to go, because this process ends, and wait until the last has left."""
        for listener in self._everyone():
            listener.go_away()
        while self._listeners:
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        """Stop listening."""
        watch, self._watch = self._watch, None
        await _end(watch)
        await self._forget_channel()

    def _everyone(self) -> set[Listener]:
        return {listener for group in self._listeners.values() for listener in group}

    async def _settle(self, group: str) -> bool:
        try:
            async with self._subscribing, asyncio.timeout(LAYER_DEADLINE_S):
                await self._change_subscription(group)
        except Exception as error:
            logger.warning("channel_layer_is_away", error=repr(error))
            return False
        return True

    async def _change_subscription(self, group: str) -> None:
        layer = get_channel_layer()
        if self._channel is None:
            self._channel = await layer.new_channel("hub.")
            self._ear = asyncio.create_task(self._listen(self._channel))
        if group in self._listeners and group not in self._joined:
            await layer.group_add(group, self._channel)
            self._joined.add(group)
        elif group not in self._listeners and group in self._joined:
            self._joined.discard(group)
            await layer.group_discard(group, self._channel)

    async def _listen(self, channel: str) -> None:
        while True:
            message = await get_channel_layer().receive(channel)
            if message["type"] == "hub.echo":
                self._echo.set()
                continue
            for listener in tuple(self._listeners.get(_group_of(message), ())):
                listener.hear(message)

    async def _keep_hearing(self) -> None:
        was_hearing = True
        while True:
            await asyncio.sleep(ECHO_EVERY_S if was_hearing else RETRY_S)
            is_hearing = await self._hears_itself()
            if not is_hearing:
                await self._forget_channel()
            for group in set(self._listeners) - self._joined:
                if not await self._settle(group):
                    break
            if is_hearing and not was_hearing:
                logger.info("channel_layer_is_back")
                for listener in self._everyone():
                    listener.catch_up()
            was_hearing = is_hearing

    async def _hears_itself(self) -> bool:
        if self._channel is None:
            return False
        self._echo.clear()
        try:
            async with asyncio.timeout(LAYER_DEADLINE_S):
                await get_channel_layer().send(self._channel, {"type": "hub.echo"})
                await self._echo.wait()
        except Exception:
            return False
        return True

    async def _forget_channel(self) -> None:
        ear, self._ear, self._channel = self._ear, None, None
        self._joined.clear()
        await _end(ear)
        await get_channel_layer().flush()


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _group_of(message: GroupMessage) -> str:
    """Name the group from what the message carries: it always names its tenant."""
    if "conversation_id" not in message:
        return inbox_group(UUID(message["tenant_id"]))
    return conversation_group(UUID(message["tenant_id"]), UUID(message["conversation_id"]))

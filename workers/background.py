"""Relay, consumers and beat in one process, each on a thread of its own: it saves their memory."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from django.conf import settings

from apps.events.adapters.jetstream import JetStreamBroker, connect
from apps.events.ports import BrokerUnavailable
from apps.events.relay import Relay

log = structlog.get_logger(__name__)
RECONNECT_S = 1.0


async def run_relay(stopping: asyncio.Event, on_turn: Callable[[], None] = lambda: None) -> None:
    """Relay the outbox until `stopping` is set, waiting for the broker as long as it takes."""
    while not stopping.is_set():
        try:
            client = await connect(settings.NATS_URL, name="relay")
        except BrokerUnavailable as error:
            log.warning("broker_absent", cause=str(error))
            await asyncio.sleep(RECONNECT_S)
            continue
        await Relay(JetStreamBroker(client)).run(stopping, on_turn)
        await client.close()


class LoopThread(threading.Thread):
    """An event loop on a thread, which ends the process's work when it fails."""

    def __init__(self, name: str, main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
        super().__init__(name=name, daemon=True)
        self.main, self.loop = main, asyncio.new_event_loop()
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None

    def run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self.main(self.stopping))
        except BaseException as error:
            self.failure = error
            log.exception("loop_failed", loop=self.name)
        finally:
            self.loop.close()

    def stop(self) -> None:
        """Ask the loop to end; join() waits for it."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.stopping.set)

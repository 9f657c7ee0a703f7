"""The relay: moves events from the outbox to the broker, in order within each run."""

import asyncio
import os
import platform
import time
from collections.abc import Callable

import structlog
from django.db import DatabaseError, InterfaceError

from apps.events import metrics, outbox
from apps.events.database import DatabaseThread
from apps.events.ports import Broker, BrokerUnavailable

log = structlog.get_logger(__name__)

IDLE_S = 0.1  # also after a few events: the next ones come together
RENEW_S = 3.0
INSPECT_S = 2.0
PAUSE_S = 1.0


class Relay:
    """One relay; several may run, each publishes the shards that it holds a lease on."""

    def __init__(self, broker: Broker, *, name: str = "") -> None:
        self.broker = broker
        self.name = name or f"{platform.node()}:{os.getpid()}"
        self.shards: list[int] = []
        self._database = DatabaseThread("relay")
        self._leased_at = self._inspected_at = float("-inf")

    async def run(self, stopping: asyncio.Event, on_turn: Callable[[], None] = lambda: None) -> None:
        """Relay until `stopping` is set; survives an absent broker or database."""
        while not stopping.is_set():
            try:
                moved = await self.turn()
                on_turn()
                await _rest(stopping, 0 if moved == outbox.BATCH else IDLE_S)
            except (BrokerUnavailable, DatabaseError, InterfaceError) as error:
                log.warning("relay_paused", cause=str(error))
                self._inspected_at = float("-inf")
                await _rest(stopping, PAUSE_S)
        await self.close()

    async def close(self) -> None:
        """Give the leases back, so that another relay takes over at once."""
        await self._database(outbox.release_shards, holder=self.name)
        await self._database.close()

    async def turn(self) -> int:
        """Publish one batch and return how many events were acknowledged."""
        await self._keep_leases()
        await self._inspect_streams()
        batch = await self._database(outbox.take_batch, shards=self.shards)
        if not batch:
            return 0
        published = await self.broker.publish(batch)
        await self._database(outbox.mark_published, published)
        if len(published.positions) < len(batch):
            missing = len(batch) - len(published.positions)
            raise BrokerUnavailable(f"{missing} of {len(batch)} events were not acknowledged")
        return len(batch)

    async def _keep_leases(self) -> None:
        if time.monotonic() - self._leased_at >= RENEW_S:
            self._leased_at = time.monotonic()
            self.shards = await self._database(outbox.lease_shards, holder=self.name)

    async def _inspect_streams(self) -> None:
        if time.monotonic() - self._inspected_at < INSPECT_S:
            return
        births = await self.broker.declare_streams(await self._database(outbox.list_places))
        for stream in await self._database(outbox.refill_lost_streams, births):
            log.warning("stream_refilled", stream=stream)
        metrics.outbox_lag_seconds.set(await self._database(outbox.get_lag_s))
        self._inspected_at = time.monotonic()


async def _rest(stopping: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), timeout=seconds)
    except TimeoutError:
        return

"""The backstop of dead letters: buries what a consumer that died at its work could not bury itself."""

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Any

import orjson
import structlog
from django.db import DatabaseError, InterfaceError
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError as MessageNotFound

from apps.events.adapters.batches import FAILURES
from apps.events.adapters.jetstream import subscribe_backstop
from apps.events.contracts import Envelope
from apps.events.database import DatabaseThread
from apps.events.ports import BrokerUnavailable
from apps.resilience.errors import NotFoundError

log = structlog.get_logger(__name__)
FETCH = 16
FETCH_WAIT_S = 5.0
PAUSE_S = 1.0
CAUSE = "the consumer ended without an answer at every delivery"


class Backstop:
    """Reads the broker's advisories, which a stream keeps for a consumer that was down when they were told.

    An advisory names a message by (stream, sequence) and may be told again, after a restart of the broker
    too: the letter is one by (consumer, event), so that is harmless.
    """

    def __init__(self, client: Client, bury: Callable[[str, Envelope, str, int], None]) -> None:
        self.client = client
        self._bury_envelope = bury
        self._database = DatabaseThread("backstop")

    async def run(self, stopping: asyncio.Event) -> None:
        """Bury until `stopping` is set; binds anew after a lost server or a deleted stream."""
        while not stopping.is_set():
            try:
                await self._pull(await subscribe_backstop(self.client), stopping)
            except (BrokerUnavailable, DatabaseError, InterfaceError, *FAILURES) as error:
                log.warning("backstop_paused", cause=str(error))
                await asyncio.sleep(PAUSE_S)
        await self._database.close()

    async def _pull(self, subscription: JetStreamContext.PullSubscription, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                messages = await subscription.fetch(FETCH, timeout=FETCH_WAIT_S)
            except TimeoutError:
                await subscription.consumer_info()  # raises when the stream is gone
                continue
            for message in messages:
                await self._settle(message)

    async def _settle(self, message: Msg) -> None:
        """Answer what can never be buried, too; an outage leaves the advisory to be read again."""
        try:
            advisory = orjson.loads(message.data)
            envelope = await self._find(advisory)
            if envelope is not None:
                deliveries = int(advisory["deliveries"])
                await self._database(self._bury_envelope, advisory["consumer"], envelope, CAUSE, deliveries)
        except NotFoundError:
            log.warning("advisory_of_no_tenant")
        except (ValueError, KeyError, TypeError) as error:
            log.error("advisory_unreadable", cause=str(error))
        await message.ack_sync()

    async def _find(self, advisory: dict[str, Any]) -> Envelope | None:
        """Return the event of an advisory; None when its stream holds it no more."""
        js = self.client.jetstream()
        try:
            born_at = (await js.stream_info(advisory["stream"])).created
            if born_at and dt.datetime.fromisoformat(advisory["timestamp"]) < born_at:
                return None  # it meant a message of the stream that was here before; this one was refilled
            raw = await js.get_msg(advisory["stream"], int(advisory["stream_seq"]))
        except MessageNotFound:
            return None
        return Envelope.from_json(orjson.loads(raw.data or b""))

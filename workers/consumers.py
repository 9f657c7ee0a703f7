"""The consumers of JetStream: each event takes effect once, in its tenant's transaction."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.utils.module_loading import import_string
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

from apps.events import metrics
from apps.events.adapters.jetstream import FAILURES, connect, subscribe
from apps.events.contracts import MAX_DELIVERIES, Consumer, Envelope
from apps.events.database import DatabaseThread
from apps.events.ports import BrokerUnavailable
from apps.events.services import bury, enter_inbox, list_consumers
from apps.events.tracing import continue_trace
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.selectors import get_tenant

log = structlog.get_logger(__name__)

FETCH = 64
FETCH_WAIT_S = 5.0
PAUSE_S = 1.0
BACKOFF_S = (1.0, 5.0)
ADVISORIES = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.*.*"


def handle_envelope(consumer: Consumer, envelope: Envelope) -> bool:
    """Handle an event unless this consumer has; inbox and effect commit together. Returns whether it did."""
    try:
        tenant = get_tenant(tenant_id=envelope.tenant_id)
    except NotFoundError:
        log.warning("event_of_no_tenant", consumer=consumer.name, event_id=str(envelope.id))
        return False  # it was deleted meanwhile: there is nothing left to bring up to date
    handler: Callable[[Envelope], None] = import_string(consumer.handler)
    with continue_trace(envelope.trace, f"consume {consumer.name}"), in_tenant(tenant):
        if not enter_inbox(consumer=consumer.name, envelope=envelope):
            return False
        handler(envelope)
    metrics.events_handled_total.labels(consumer.name).inc()
    return True


def bury_envelope(consumer_name: str, envelope: Envelope, cause: str, deliveries: int) -> None:
    """Set an event aside as a dead letter."""
    with in_tenant(get_tenant(tenant_id=envelope.tenant_id)):
        bury(consumer=consumer_name, envelope=envelope, cause=cause, deliveries=deliveries)
    metrics.dead_letters_total.labels(consumer_name).inc()
    log.error(
        "event_buried", consumer=consumer_name, event_id=str(envelope.id), type=envelope.type, cause=cause
    )


class ConsumerLoop:
    """Pulls one consumer's messages and settles each only after its transaction has committed."""

    def __init__(self, consumer: Consumer, client: Client) -> None:
        self.consumer, self.client = consumer, client
        self._database = DatabaseThread(consumer.name)

    async def run(self, stopping: asyncio.Event, on_turn: Callable[[], None] = lambda: None) -> None:
        """Consume until `stopping` is set; binds anew after a lost server or a deleted stream."""
        while not stopping.is_set():
            try:
                subscription = await subscribe(self.client, self.consumer)
                await self._pull(subscription, stopping, on_turn)
            except (BrokerUnavailable, *FAILURES) as error:
                log.warning("consumer_paused", consumer=self.consumer.name, cause=str(error))
                await asyncio.sleep(PAUSE_S)
        await self._database.close()

    async def _pull(
        self,
        subscription: JetStreamContext.PullSubscription,
        stopping: asyncio.Event,
        on_turn: Callable[[], None],
    ) -> None:
        while not stopping.is_set():
            on_turn()
            try:
                messages = await subscription.fetch(FETCH, timeout=FETCH_WAIT_S)
            except TimeoutError:
                await subscription.consumer_info()  # raises when the stream is gone
                continue
            for message in messages:
                await self._settle(message)

    async def _settle(self, message: Msg) -> None:
        try:
            envelope = Envelope.from_json(orjson.loads(message.data))
        except (ValueError, KeyError, TypeError) as error:
            log.error("event_unreadable", consumer=self.consumer.name, cause=str(error))
            await message.term()
            return
        try:
            await self._handle(message, envelope)
        except Exception as error:
            await self._refuse(message, envelope, error)
            return
        await message.ack_sync()  # unanswered, the message comes again and the inbox knows it

    async def _handle(self, message: Msg, envelope: Envelope) -> None:
        """An absent database is no fault of the event's: wait for it, keeping the message."""
        while True:
            try:
                await self._database(handle_envelope, self.consumer, envelope)
                return
            except InterfaceError:
                pass
            except DatabaseError as error:
                if not _is_outage(error):
                    raise
            await message.in_progress()
            await asyncio.sleep(PAUSE_S)

    async def _refuse(self, message: Msg, envelope: Envelope, error: Exception) -> None:
        deliveries = message.metadata.num_delivered
        cause = f"{type(error).__name__}: {error}"
        log.warning("event_refused", consumer=self.consumer.name, event_id=str(envelope.id), cause=cause)
        if deliveries < MAX_DELIVERIES:
            await message.nak(delay=BACKOFF_S[min(deliveries, len(BACKOFF_S)) - 1])
            return
        await self._database(bury_envelope, self.consumer.name, envelope, cause, deliveries)
        await message.term()


class AdvisoryLoop:
    """The backstop: buries what a consumer that died at its work could not bury itself."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._database = DatabaseThread("advisories")

    async def run(self, stopping: asyncio.Event) -> None:
        """Listen until `stopping` is set."""
        subscription = await self.client.subscribe(ADVISORIES)
        while not stopping.is_set():
            try:
                message = await subscription.next_msg(timeout=1.0)
                await self._bury(orjson.loads(message.data))
            except TimeoutError:
                continue
            except Exception as error:
                log.warning("advisory_unhandled", cause=str(error))
        await self._database.close()

    async def _bury(self, advisory: dict[str, Any]) -> None:
        js = self.client.jetstream()
        raw = await js.get_msg(advisory["stream"], advisory["stream_seq"])
        envelope = Envelope.from_json(orjson.loads(raw.data or b""))
        cause = "the consumer ended without an answer at every delivery"
        await self._database(bury_envelope, advisory["consumer"], envelope, cause, advisory["deliveries"])


async def run_consumers(stopping: asyncio.Event, on_turn: Callable[[], None] = lambda: None) -> None:
    """Run every declared consumer until `stopping` is set."""
    client = await _connected("consumers", stopping)
    if client is None:
        return
    loops = [ConsumerLoop(consumer, client).run(stopping, on_turn) for consumer in list_consumers()]
    await asyncio.gather(AdvisoryLoop(client).run(stopping), *loops)
    await client.close()


async def _connected(name: str, stopping: asyncio.Event) -> Client | None:
    while not stopping.is_set():
        try:
            return await connect(settings.NATS_URL, name=name)
        except BrokerUnavailable as error:
            log.warning("broker_absent", cause=str(error))
            await asyncio.sleep(PAUSE_S)
    return None


def _is_outage(error: DatabaseError) -> bool:
    """Class 08 and 57P are lost connections and shutdowns; without a code no server answered."""
    code = getattr(error.__cause__, "sqlstate", None)
    return code is None or code.startswith(("08", "57P"))

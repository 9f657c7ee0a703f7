"""The consumers of JetStream: each event takes effect once, in its tenant's transaction."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import orjson
import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.utils.module_loading import import_string
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

from apps.events import metrics
from apps.events.adapters.batches import FAILURES
from apps.events.adapters.jetstream import connect, report_leftovers, subscribe
from apps.events.contracts import MAX_DELIVERIES, Consumer, Envelope
from apps.events.database import DatabaseThread
from apps.events.ports import BrokerUnavailable
from apps.events.selectors import bring_up_to_date
from apps.events.services import bury, enter_inbox, list_consumers
from apps.events.tracing import continue_trace
from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.selectors import get_tenant
from workers.backstop import Backstop

log = structlog.get_logger(__name__)

FETCH = 64
FETCH_WAIT_S = 5.0
GATHER_S = 0.1  # for what comes meanwhile: a transaction costs as much for one event as for many
PAUSE_S = 1.0
BACKOFF_S = (1.0, 5.0)


class Delivery(NamedTuple):
    """A message of the broker, and the event in it."""

    message: Msg
    envelope: Envelope


def handle_envelopes(consumer: Consumer, envelopes: Sequence[Envelope]) -> int:
    """Handle one tenant's events, but those that this consumer has handled; returns how many.

    In one transaction with their inbox rows, all or none: one that fails takes the others back with it.
    """
    first = envelopes[0]
    try:
        tenant = get_tenant(tenant_id=first.tenant_id)
    except NotFoundError:
        log.warning("event_of_no_tenant", consumer=consumer.name, event_id=str(first.id))
        return 0  # it was deleted meanwhile: there is nothing left to bring up to date
    handler: Callable[..., None] = import_string(consumer.handler)
    newest = [bring_up_to_date(envelope) for envelope in envelopes]
    with in_tenant(tenant):
        fresh = enter_inbox(consumer=consumer.name, envelopes=newest)
        parts: list[Any] = [fresh] if consumer.takes_many and fresh else list(fresh)
        for part in parts:
            with continue_trace(fresh[0].trace if part is fresh else part.trace, f"consume {consumer.name}"):
                handler(part)
    metrics.events_handled_total.labels(consumer.name).inc(len(fresh))
    return len(fresh)


def handle_envelope(consumer: Consumer, envelope: Envelope) -> bool:
    """Handle a single event; returns whether this consumer had not before."""
    return handle_envelopes(consumer, [envelope]) > 0


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
            deliveries = [delivery for message in messages if (delivery := await self._read(message))]
            for together in _group(deliveries):
                await self._settle(together)
            if len(messages) < FETCH:
                await asyncio.sleep(GATHER_S)

    async def _read(self, message: Msg) -> Delivery | None:
        try:
            return Delivery(message, Envelope.from_json(orjson.loads(message.data)))
        except (ValueError, KeyError, TypeError) as error:
            log.error("event_unreadable", consumer=self.consumer.name, cause=str(error))
            await message.term()
            return None

    async def _settle(self, together: list[Delivery]) -> None:
        try:
            await self._handle(together)
        except Exception as error:
            if len(together) == 1:
                await self._refuse(*together[0], error)
                return
            for alone in together:  # nothing of them was kept; now each stands for itself
                await self._settle([alone])
            return
        # Unanswered, a message comes again and the inbox knows it.
        await asyncio.gather(*(message.ack_sync() for message, _ in together))

    async def _handle(self, together: list[Delivery]) -> None:
        """An absent database is no fault of the events': wait for it, keeping the messages."""
        while True:
            try:
                await self._database(handle_envelopes, self.consumer, [each.envelope for each in together])
                return
            except InterfaceError:
                pass
            except DatabaseError as error:
                if not _is_outage(error):
                    raise
            await asyncio.gather(*(message.in_progress() for message, _ in together))
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


async def run_consumers(stopping: asyncio.Event, on_turn: Callable[[], None] = lambda: None) -> None:
    """Run every declared consumer until `stopping` is set."""
    client = await _connected("consumers", stopping)
    if client is None:
        return
    loops = [ConsumerLoop(consumer, client).run(stopping, on_turn) for consumer in list_consumers()]
    backstop = Backstop(client, bury_envelope).run(stopping)
    await asyncio.gather(report_leftovers(client, list_consumers()), backstop, *loops)
    await client.close()


async def _connected(name: str, stopping: asyncio.Event) -> Client | None:
    while not stopping.is_set():
        try:
            return await connect(settings.NATS_URL, name=name)
        except BrokerUnavailable as error:
            log.warning("broker_absent", cause=str(error))
            await asyncio.sleep(PAUSE_S)
    return None


def _group(deliveries: list[Delivery]) -> list[list[Delivery]]:
    """Put a tenant's events together, in their order; what was delivered before comes alone.

    So an event that ends its consumer's process takes no other's deliveries with it.
    """
    again = [[each] for each in deliveries if each.message.metadata.num_delivered > 1]
    first = [each for each in deliveries if each.message.metadata.num_delivered == 1]
    first.sort(key=lambda each: each.envelope.tenant_id)
    return again + [list(group) for _, group in groupby(first, key=lambda each: each.envelope.tenant_id)]


def _is_outage(error: DatabaseError) -> bool:
    """Class 08 and 57P are lost connections and shutdowns; without a code no server answered."""
    code = getattr(error.__cause__, "sqlstate", None)
    return code is None or code.startswith(("08", "57P"))

"""NATS JetStream: streams and consumers as declared, publishing, and pulling."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from uuid import UUID

import nats
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, StreamInfo
from nats.js.client import JetStreamContext as Context
from nats.js.errors import NotFoundError

from apps.events.adapters.batches import FAILURES, PUBLISH_TIMEOUT_S, Batches
from apps.events.adapters.declaring import (
    BACKSTOP,
    declare_backstop,
    declare_consumer,
    find_stream,
    list_leftovers,
    reconcile_stream,
)
from apps.events.contracts import ADVISORIES, STREAMS, Consumer
from apps.events.ports import Birth, BrokerUnavailable, Outgoing, Published

log = structlog.get_logger(__name__)
CONNECT_WITHIN_S = 5.0


async def connect(url: str, *, name: str) -> Client:
    """Connect, and reconnect for ever; raises BrokerUnavailable when the first try fails."""
    try:
        return await nats.connect(
            url,
            name=name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.5,
            connect_timeout=3,
            error_cb=_ignore,  # each call reports its own failure
        )
    except (*FAILURES, nats.errors.NoServersError) as error:
        raise BrokerUnavailable(f"NATS does not answer: {error}") from error


class JetStreamBroker:
    """The outbox relay's broker."""

    def __init__(self, client: Client) -> None:
        self.js: JetStreamContext = client.jetstream(timeout=PUBLISH_TIMEOUT_S)
        self._batches = Batches(client, self.js)
        self._is_reconciled = False

    async def declare_streams(self, places: Mapping[str, int]) -> list[Birth]:
        """Create what is missing; at first, too, change what is declared otherwise now.

        Not again later: while a release is rolled out, two of them would take turns at changing it.
        """
        try:
            if not self._is_reconciled:
                await self._reconcile()
            infos = [await find_stream(self.js, stream) for stream in STREAMS]
            return [await self._birth(info, places.get(info.config.name or "", 0)) for info in infos]
        except FAILURES as error:
            raise BrokerUnavailable(f"streams cannot be declared: {error}") from error

    async def publish(self, messages: Sequence[Outgoing]) -> Published:
        by_stream: dict[str, list[Outgoing]] = {}
        for message in messages:
            by_stream.setdefault(message.stream, []).append(message)
        told = await asyncio.gather(*(self._batches.send(each) for each in by_stream.values()))
        positions = [message.position for sent in told for message, _ in sent]
        last = [max(sent, key=lambda each: each[1]) for sent in told if sent]
        return Published(
            tuple(positions), {message.stream: (sequence, message.id) for message, sequence in last}
        )

    async def _birth(self, info: StreamInfo, place: int) -> Birth:
        """Read what the stream holds at a place; nothing at one that it no longer, or not yet, has."""
        name, found = info.config.name or "", None
        if info.state.first_seq <= place <= info.state.last_seq and place:
            with contextlib.suppress(NotFoundError):
                headers = (await self.js.get_msg(name, place)).headers or {}
                found = UUID(headers["Nats-Msg-Id"]) if "Nats-Msg-Id" in headers else None
        return Birth(name, str(info.created), info.state.last_seq, place, found)

    async def _reconcile(self) -> None:
        for stream in (*STREAMS, ADVISORIES):
            _, changed = await reconcile_stream(self.js, stream)
            if changed:
                log.warning("stream_changed", stream=stream.name, changed=changed)
        self._is_reconciled = True


async def subscribe(client: Client, consumer: Consumer) -> Context.PullSubscription:
    """Reconcile a durable pull consumer with its declaration and bind to it; raises BrokerUnavailable."""
    js = client.jetstream()
    try:
        await declare_consumer(js, consumer)
        return await js.pull_subscribe_bind(durable=consumer.name, stream=consumer.stream)
    except FAILURES as error:
        raise BrokerUnavailable(f"{consumer.name} cannot be declared: {error}") from error


async def subscribe_backstop(client: Client) -> Context.PullSubscription:
    """Bind to the advisories of messages that no consumer gets any more; raises BrokerUnavailable."""
    js = client.jetstream()
    try:
        await declare_backstop(js)
        return await js.pull_subscribe_bind(durable=BACKSTOP, stream=ADVISORIES.name)
    except FAILURES as error:
        raise BrokerUnavailable(f"advisories cannot be read: {error}") from error


async def report_leftovers(client: Client, consumers: Sequence[Consumer]) -> None:
    """Log the consumers that nobody declares any more: `manage.py reconcile_streams --remove` ends them."""
    try:
        for left in await list_leftovers(client.jetstream(), consumers):
            log.warning("consumer_left_over", stream=left.stream, consumer=left.name, pending=left.pending)
    except FAILURES as error:
        log.warning("consumers_not_listed", cause=str(error))


async def delete_messages(url: str, streams: Sequence[str], ids: frozenset[str]) -> int:
    """Delete and overwrite the messages of these ids; returns how many. Raises BrokerUnavailable."""
    try:
        async with asyncio.timeout(CONNECT_WITHIN_S):  # a first try alone would go on for ever
            client = await connect(url, name="eraser")
    except TimeoutError as error:
        raise BrokerUnavailable("NATS does not answer") from error
    try:
        return sum([await _delete_in(client, stream, ids) for stream in streams])
    except FAILURES as error:
        raise BrokerUnavailable(f"messages cannot be deleted: {error}") from error
    finally:
        await client.close()


async def _delete_in(client: Client, stream: str, ids: frozenset[str]) -> int:
    js = client.jetstream(timeout=PUBLISH_TIMEOUT_S)
    try:
        held = (await js.stream_info(stream)).state.messages
    except NotFoundError:
        return 0
    if not held:
        return 0
    found = []
    headers = ConsumerConfig(headers_only=True)
    reading = await js.subscribe(">", stream=stream, ordered_consumer=True, config=headers)
    while True:
        message = await reading.next_msg(timeout=PUBLISH_TIMEOUT_S)
        if (message.headers or {}).get("Nats-Msg-Id") in ids:
            found.append(message.metadata.sequence.stream)
        if message.metadata.num_pending == 0:
            break
    await reading.unsubscribe()
    for sequence in found:
        await js.delete_msg(stream, sequence)
    return len(found)


async def _ignore(error: Exception) -> None:
    return None

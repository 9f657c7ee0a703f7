"""Streams and consumers of JetStream, brought in line with how they are declared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import NotFoundError

from apps.events.contracts import ADVISORIES, MAX_DELIVERIES, STREAMS, Consumer, Stream

ACK_WAIT_S = 30.0
DUPLICATE_WINDOW_S = 120.0
BACKSTOP = "dead_letters"  # reads the advisories; a durable consumer like any other
CONSUMERS_LISTED = 256


@dataclass(frozen=True)
class Leftover:
    """A durable consumer that nobody declares any more."""

    stream: str
    name: str
    pending: int


async def find_stream(js: JetStreamContext, stream: Stream) -> StreamInfo:
    """Return the stream, made if it is missing; what it was declared as before is left alone."""
    try:
        return await js.stream_info(stream.name)
    except NotFoundError:
        fixed = StreamConfig(name=stream.name, retention=RetentionPolicy.LIMITS, storage=StorageType.FILE)
        return await js.add_stream(fixed.evolve(**_declared(stream)))


async def reconcile_stream(js: JetStreamContext, stream: Stream) -> tuple[StreamInfo, list[str]]:
    """Bring a stream in line with its declaration; return it and what was changed."""
    info = await find_stream(js, stream)
    wanted = _declared(stream)
    changed = [name for name, value in wanted.items() if getattr(info.config, name) != value]
    if changed:
        info = await js.update_stream(info.config.evolve(**wanted))
    return info, changed


async def declare_consumer(js: JetStreamContext, consumer: Consumer) -> None:
    """Make a durable pull consumer, or change it into what is declared."""
    config = ConsumerConfig(
        durable_name=consumer.name,
        filter_subjects=list(consumer.subjects),
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_S,
        max_deliver=MAX_DELIVERIES,
        max_ack_pending=1000,
    )
    await js.add_consumer(consumer.stream, config)


async def declare_backstop(js: JetStreamContext) -> None:
    """Make the stream of advisories and the consumer that reads it, as often as it takes."""
    await find_stream(js, ADVISORIES)
    config = ConsumerConfig(durable_name=BACKSTOP, ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WAIT_S)
    await js.add_consumer(ADVISORIES.name, config)


async def list_leftovers(js: JetStreamContext, declared: Iterable[Consumer]) -> list[Leftover]:
    """Return the durable consumers that are no longer declared."""
    known = {(consumer.stream, consumer.name) for consumer in declared}
    return [
        Leftover(stream.name, info.name, info.num_pending or 0)
        for stream in STREAMS
        for info in await _consumers_of(js, stream.name)
        if info.config.durable_name and (stream.name, info.name) not in known
    ]


async def reconcile_all(client: Client, consumers: Sequence[Consumer]) -> tuple[list[str], list[Leftover]]:
    """Bring all streams and consumers in line; return what was changed and which consumers are left over."""
    js = client.jetstream()
    changes: list[str] = []
    for stream in (*STREAMS, ADVISORIES):
        _, changed = await reconcile_stream(js, stream)
        changes += [f"{stream.name}.{name}" for name in changed]
    for consumer in consumers:
        await declare_consumer(js, consumer)
    await declare_backstop(js)
    return changes, await list_leftovers(js, consumers)


async def _consumers_of(js: JetStreamContext, stream: str) -> list[Any]:
    found: list[Any] = []
    while len(page := await js.consumers_info(stream, offset=len(found))) == CONSUMERS_LISTED:
        found += page
    return found + page


def _declared(stream: Stream) -> dict[str, Any]:
    return {
        "subjects": list(stream.subjects),
        "max_age": float(stream.max_age_s),
        "duplicate_window": DUPLICATE_WINDOW_S,
        "allow_atomic": True,
    }

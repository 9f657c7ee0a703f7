"""All that a database and the streams hold, as one text to look through."""

import asyncio
import os
from collections.abc import Iterator

import psycopg
from django.conf import settings
from django.db import connections

from apps.events.adapters.jetstream import JetStreamBroker, connect
from apps.events.relay import Relay


def dump(name: str) -> str:
    """Write every row of every table of a database as text, as a superuser."""
    lines = []
    with psycopg.connect(os.environ["TEST_SUPERUSER_URL"], dbname=name, autocommit=True) as admin:
        tables = admin.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 't_acme', 't_globex')"
        ).fetchall()
        for schema, table in tables:
            for (row,) in admin.execute(f'SELECT t::text FROM "{schema}"."{table}" t'):
                lines.append(f"{schema}.{table}: {row}")
                lines += [bytes.fromhex(part).decode("latin-1") for part in _hexadecimal(row)]
    return "\n".join(lines)


def _hexadecimal(row: str) -> Iterator[str]:
    """Read what bytes say: a remembered answer of the API is stored so."""
    for piece in row.split("\\\\x")[1:] + row.split("\\x")[1:]:
        digits = "".join(c for c in piece.split('"')[0].split(",")[0] if c in "0123456789abcdef")
        yield digits[: len(digits) // 2 * 2]


async def publish_all() -> None:
    client = await connect(settings.NATS_URL, name="test")
    broker, stopping = JetStreamBroker(client), asyncio.Event()
    relay = asyncio.create_task(Relay(broker).run(stopping))
    async with asyncio.timeout(20):
        while await asyncio.to_thread(_waiting):
            await asyncio.sleep(0.05)
    stopping.set()
    await relay
    await client.close()


def _waiting() -> int:
    try:
        with connections["owner"].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM events_outboxevent WHERE published_at IS NULL")
            return cursor.fetchone()[0]
    finally:
        connections.close_all()


async def read_streams() -> str:
    """Return all that the streams hold."""
    client = await connect(settings.NATS_URL, name="test")
    js, found = client.jetstream(), []
    for stream in ("AGENT_EVENTS", "BILLING_EVENTS"):
        state = (await js.stream_info(stream)).state
        for sequence in range(state.first_seq, state.last_seq + 1):
            try:
                found.append((await js.get_msg(stream, sequence)).data.decode())
            except Exception:
                continue  # deleted
    await client.close()
    return "\n".join(found)

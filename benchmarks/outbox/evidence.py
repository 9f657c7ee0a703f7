"""What database and broker tell of the events."""

import asyncio
import datetime as dt
from typing import Any

from django.conf import settings
from django.db import connections
from django.utils import timezone

from apps.billing.models import UsageBucket, UsageEvent
from apps.events.adapters.batches import FAILURES
from apps.events.adapters.jetstream import connect
from apps.events.contracts import STREAMS
from apps.events.models import InboxEntry, OutboxEvent
from apps.events.ports import BrokerUnavailable
from apps.tenants.context import in_platform, in_tenant

LAGS = """
SELECT extract(epoch FROM published_at - created_at)::float8 FROM events_outboxevent
WHERE created_at >= %s AND published_at IS NOT NULL
"""


def read_clock() -> dt.datetime:
    """Return the time of this machine, which is the database's, too."""
    return timezone.now()


def list_lags(since: dt.datetime) -> list[float]:
    """Return in seconds how long each event waited, from its transaction's start to its acknowledgement."""
    with in_platform() as alias, connections[alias].cursor() as cursor:
        cursor.execute(LAGS, [since])
        return [row[0] for row in cursor.fetchall()]


def count_waiting() -> int:
    """Return how many events wait to be published."""
    with in_platform() as alias:
        return OutboxEvent.objects.using(alias).filter(published_at=None).count()


def count_told() -> int:
    """Return how many events there are."""
    with in_platform() as alias:
        return OutboxEvent.objects.using(alias).count()


def count_in_streams() -> int:
    """Return how many messages the streams hold; 0 while the broker does not answer."""
    try:
        return asyncio.run(_count_messages())
    except (BrokerUnavailable, *FAILURES):
        return 0


def compare(tenants: list[Any]) -> dict[str, int]:
    """Return how many facts were told but not handled, and how many were handled twice."""
    lost = twice = 0
    for tenant in tenants:
        with in_tenant(tenant):
            told = OutboxEvent.objects.filter(type="billing.usage.recorded").count()
            handled = UsageEvent.objects.count()
            entered = InboxEntry.objects.filter(consumer="usage_projection").count()
            counted = sum(UsageBucket.objects.values_list("quantity", flat=True))
            lost += max(0, told - handled) + max(0, told - entered)
            twice += max(0, handled - told) + abs(int(counted) - handled)
    return {"lost": lost, "twice": twice}


async def _count_messages() -> int:
    client = await connect(settings.NATS_URL, name="bench")
    try:
        infos = [await client.jetstream().stream_info(stream.name) for stream in STREAMS]
    finally:
        await client.close()
    return sum(info.state.messages for info in infos)

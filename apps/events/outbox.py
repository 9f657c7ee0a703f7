"""The outbox as the relay works on it, through the platform role.

Rows are found by status, never by "position greater than the last": sequences commit out of order.
"""

import datetime as dt
from collections.abc import Iterable

import orjson
from django.db import connections, transaction
from django.db.models import Max, Min
from django.utils import timezone

from apps.events.contracts import STREAMS
from apps.events.models import InboxEntry, OutboxEvent, OutboxShard, StreamIncarnation
from apps.events.ports import Birth, Outgoing, Published

PLATFORM = "platform"
LEASE_S = 10
BATCH = 500
INBOX_KEPT_DAYS = 400


def lease_shards(*, holder: str) -> list[int]:
    """Take or renew the shards that nobody else holds; only their holder publishes them."""
    table = OutboxShard._meta.db_table
    sql = f"""
        UPDATE {table} SET holder = %(holder)s, leased_until = now() + make_interval(secs => {LEASE_S})
        WHERE shard IN (SELECT shard FROM {table}
                        WHERE holder = %(holder)s OR leased_until IS NULL OR leased_until < now()
                        ORDER BY shard FOR UPDATE SKIP LOCKED)
        RETURNING shard"""  # noqa: S608 - only our own table name
    with transaction.atomic(using=PLATFORM), connections[PLATFORM].cursor() as cursor:
        cursor.execute(sql, {"holder": holder})
        return sorted(row[0] for row in cursor.fetchall())


def release_shards(*, holder: str) -> None:
    """Give the shards back at once, so that another relay need not wait for the lease to end."""
    OutboxShard.objects.using(PLATFORM).filter(holder=holder).update(holder="", leased_until=None)


def take_batch(*, shards: list[int]) -> list[Outgoing]:
    """Return the oldest waiting events of the given shards, in order."""
    with transaction.atomic(using=PLATFORM):
        rows = (
            OutboxEvent.objects.using(PLATFORM)
            .filter(published_at__isnull=True, shard__in=shards)
            .order_by("position")
            .values_list("position", "id", "stream", "type", "envelope")[:BATCH]
        )
        return [Outgoing(row[0], row[1], row[2], row[3], orjson.dumps(row[4])) for row in rows]


def mark_published(published: Published) -> None:
    """Record what the broker has acknowledged."""
    if not published.positions:
        return
    with transaction.atomic(using=PLATFORM):
        waiting = OutboxEvent.objects.using(PLATFORM).filter(position__in=published.positions)
        waiting.update(published_at=timezone.now())
        for stream, (sequence, event_id) in published.sequences.items():
            known = StreamIncarnation.objects.using(PLATFORM).filter(
                stream=stream, last_sequence__lt=sequence
            )
            known.update(last_sequence=sequence, last_id=event_id)


def list_places() -> dict[str, int]:
    """Return by stream the last sequence that was acknowledged."""
    with transaction.atomic(using=PLATFORM):
        known = StreamIncarnation.objects.using(PLATFORM).values_list("stream", "last_sequence")
        return dict(known)


def refill_lost_streams(births: Iterable[Birth]) -> list[str]:
    """Send again all that a stream would still hold when it was made anew or restored from an old copy.

    Returns the names of the refilled streams.
    """
    refilled = []
    for birth in births:
        with transaction.atomic(using=PLATFORM):
            known, is_first = StreamIncarnation.objects.using(PLATFORM).get_or_create(
                stream=birth.stream, defaults={"born_at": birth.born_at, "last_sequence": birth.last_sequence}
            )
            if is_first or not _is_lost(known, birth):
                continue
            _send_again(birth.stream)
            known.born_at, known.last_sequence, known.last_id = birth.born_at, birth.last_sequence, None
            known.save(using=PLATFORM)
            refilled.append(birth.stream)
    return refilled


def get_lag_s() -> float:
    """Return the age of the oldest waiting event in seconds, 0.0 when none waits."""
    with transaction.atomic(using=PLATFORM):
        waiting = OutboxEvent.objects.using(PLATFORM).filter(published_at__isnull=True)
        oldest = waiting.aggregate(oldest=Min("created_at"))["oldest"]
    return max(0.0, (timezone.now() - oldest).total_seconds()) if oldest else 0.0


def purge_published() -> int:
    """Delete what no stream would hold any more, and return how many events that were."""
    now, deleted = timezone.now(), 0
    for stream in STREAMS:
        with transaction.atomic(using=PLATFORM):
            ended = now - dt.timedelta(seconds=stream.max_age_s)
            rows = OutboxEvent.objects.using(PLATFORM).filter(stream=stream.name, published_at__lt=ended)
            deleted += rows.delete()[0]
    with transaction.atomic(using=PLATFORM):
        ended = now - dt.timedelta(days=INBOX_KEPT_DAYS)
        InboxEntry.objects.using(PLATFORM).filter(received_at__lt=ended).delete()
    return deleted


def get_last_position() -> int:
    """Return the position of the newest event, 0 when there is none."""
    with transaction.atomic(using=PLATFORM):
        return OutboxEvent.objects.using(PLATFORM).aggregate(last=Max("position"))["last"] or 0


def _is_lost(known: StreamIncarnation, birth: Birth) -> bool:
    """Tell whether it is another store: one that was behind may have caught up since, with other events.

    Where another relay has gone on meanwhile, the broker was asked for a place that is not the last one any
    more, and the next look tells.
    """
    if known.born_at != birth.born_at:
        return True
    if known.last_sequence != birth.place:
        return False
    is_behind = birth.last_sequence < birth.place
    return is_behind or (None not in (known.last_id, birth.found) and known.last_id != birth.found)


def _send_again(stream: str) -> None:
    max_age_s = next(s.max_age_s for s in STREAMS if s.name == stream)
    since = timezone.now() - dt.timedelta(seconds=max_age_s)
    rows = OutboxEvent.objects.using(PLATFORM).filter(stream=stream, published_at__gte=since)
    rows.update(published_at=None)

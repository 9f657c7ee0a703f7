"""The quick counter of quotas, which all processes share in Valkey; it may be away or wiped at any time."""

import time
from functools import cache
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import structlog
from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from apps.billing.contracts import Period
from apps.billing.metrics import QUOTA_FALLBACK

log = structlog.get_logger(__name__)

SCRIPT = (Path(__file__).parent / "quota_counter.lua").read_text()
TIMEOUT_S = 0.25
PROBE_AFTER_S = 1.0
RESERVATION_TTL_S = 120  # longer than any request; what lives longer is counted anew
REBUILD_TTL_MS = 5_000


class Reply(NamedTuple):
    """What the counter says: a standing, the epoch that it counts in, and a number of units."""

    standing: str
    epoch: int
    units: int


class QuotaCounter:
    """Reserve and settle units; every method answers None while Valkey is away."""

    def __init__(self, client: "Redis") -> None:
        self._client, self._script = client, client.register_script(SCRIPT)
        self._probe_at = 0.0

    def reserve(self, key: str, *, period: Period, limit: int, reservation: UUID, units: int) -> Reply | None:
        """Hold units for a while: `reserved`, `spent`, or `unknown` where the counter must be loaded."""
        begins = str(int(period.start.timestamp()))
        ttl_ms = RESERVATION_TTL_S * 1000
        return self._run(key, "reserve", begins, limit, reservation.hex, units, ttl_ms)

    def settle(self, key: str, *, epoch: int, reservation: UUID, was_used: bool) -> Reply | None:
        """End a reservation: its units are used for good, or free again."""
        return self._run(key, "settle", epoch, reservation.hex, int(was_used))

    def load(self, key: str, *, epoch: int, period: Period, used: int) -> Reply | None:
        """Begin a new epoch with what PostgreSQL has counted."""
        begins, ends = int(period.start.timestamp()), int(period.end.timestamp())
        return self._run(key, "load", epoch, begins, used, ends + 86_400)

    def add(self, key: str, *, units: int) -> None:
        """Count what was used without a reservation; a count that runs at this moment may count it twice."""
        self._run(key, "add", units)

    def forget(self, key: str, *, before_epoch: int) -> None:
        """Drop a counter that was overtaken."""
        self._run(key, "forget", before_epoch)

    def begin_rebuild(self, key: str) -> bool:
        """Tell whether this process is the one that counts anew; the others wait for it."""
        try:
            return bool(self._client.set(f"{key}:rebuild", "1", nx=True, px=REBUILD_TTL_MS))
        except RedisError:
            return True

    def end_rebuild(self, key: str) -> None:
        """Let others count anew again."""
        try:
            self._client.delete(f"{key}:rebuild")
        except RedisError:
            log.debug("quota_rebuild_mark_left", key=key)

    def _run(self, key: str, *arguments: str | int) -> Reply | None:
        if time.monotonic() < self._probe_at:
            QUOTA_FALLBACK.inc()
            return None
        try:
            standing, epoch, units = self._script(keys=[key], args=arguments)
        except RedisError as exc:
            self._probe_at = time.monotonic() + PROBE_AFTER_S
            QUOTA_FALLBACK.inc()
            log.warning("quota_counter_away", error=type(exc).__name__)
            return None
        return Reply(standing.decode(), epoch, units)


@cache
def quota_counter() -> QuotaCounter:
    """Return this process's counter."""
    client = Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    return QuotaCounter(client)

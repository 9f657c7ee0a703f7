"""What the plans allow, remembered for some seconds so that a request costs no query for it."""

import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Generic, TypeVar

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from apps.billing.contracts import QuotaState
from apps.billing.selectors import get_plan, get_quota
from apps.gateway.rate_limit import RateLimiter
from apps.tenants.contracts import TenantRef

T = TypeVar("T")

PLAN_MEMORY_S = 30.0
QUOTA_MEMORY_S = 3.0
VALKEY_TIMEOUT_S = 0.25


class Memory(Generic[T]):
    """Remember values by key for a while, in this process."""

    def __init__(self, keep_s: float, max_items: int = 10_000) -> None:
        self._keep_s, self._max_items = keep_s, max_items
        self._items: dict[tuple[str, ...], tuple[float, T]] = {}
        self._lock = threading.Lock()

    def get(self, key: tuple[str, ...], read: Callable[[], T]) -> T:
        """Return the remembered value, or read and remember it."""
        known = self._items.get(key)
        if known and known[0] > time.monotonic():
            return known[1]
        value = read()
        with self._lock:
            if len(self._items) >= self._max_items:
                self._items.clear()
            self._items[key] = (time.monotonic() + self._keep_s, value)
        return value

    def forget(self) -> None:
        """Drop everything, for tests and after a plan was changed in this process."""
        with self._lock:
            self._items.clear()


PLAN_RATES: Memory[int] = Memory(PLAN_MEMORY_S)
QUOTAS: Memory[QuotaState] = Memory(QUOTA_MEMORY_S)


@cache
def limiter() -> RateLimiter:
    """Return this process's limiter."""
    client = Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=VALKEY_TIMEOUT_S,
        socket_connect_timeout=VALKEY_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    return RateLimiter(client)


def requests_per_minute(tenant: TenantRef) -> int:
    """Return how often a tenant's plan lets it call."""
    return PLAN_RATES.get((str(tenant.id),), lambda: get_plan(tenant=tenant).requests_per_minute)


def quota_of(tenant: TenantRef, kind: str) -> QuotaState:
    """Return the state of one quota, at most some seconds old."""
    return QUOTAS.get((str(tenant.id), kind), lambda: get_quota(tenant=tenant, kind=kind))

"""What the plans allow, remembered for some seconds so that a request costs no query for it."""

from functools import cache
from urllib.parse import urlsplit

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from apps.billing.selectors import get_plan
from apps.gateway.rate_limit import RateLimiter
from apps.resilience.memory import Memory
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import list_site_origins

PLAN_MEMORY_S = 30.0
ORIGINS_MEMORY_S = 1.0  # a site that is taken off the list, or a domain that lapses, is shut out at once
VALKEY_TIMEOUT_S = 0.25


PLAN_RATES: Memory[int] = Memory(PLAN_MEMORY_S)
ORIGINS: Memory[frozenset[str]] = Memory(ORIGINS_MEMORY_S)


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


def origins_of(tenant: TenantRef) -> frozenset[str]:
    """Return the origins of a tenant's own sites, as its widgets list them; of our own pages too."""
    return ORIGINS.get((str(tenant.id),), lambda: _read_origins(tenant))


def _read_origins(tenant: TenantRef) -> frozenset[str]:
    sites = list_site_origins(tenant=tenant)
    return frozenset(_origin(address) for address in (*sites, settings.PUBLIC_URL))


def _origin(address: str) -> str:
    at = urlsplit(address)
    return f"{at.scheme}://{at.netloc}".lower()

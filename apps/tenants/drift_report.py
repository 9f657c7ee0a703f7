"""The last comparison of all tenants' schemas, kept for the staff.

It lies in Valkey: lost with it, it is made anew when somebody asks.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import orjson
import structlog
from django.conf import settings
from django.utils import timezone
from redis import Redis
from redis.exceptions import RedisError

from apps.tenants.drift import Comparison, compare_schemas
from apps.tenants.selectors import list_all_tenants

KEY, RUNNING = "platform:drift", "platform:drift:running"
MOST_NAMED = 50
LONGEST_S = 3600  # after this a comparison counts as dead
JOBS = 2
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class DriftReport:
    """How many tenants were compared, how many differ, and of some of these the first difference."""

    finished_at: dt.datetime
    tenants: int
    drifted: int
    examples: tuple[tuple[str, str], ...] = ()


def make_report() -> DriftReport | None:
    """Compare every tenant's schema and keep what was found; None while another process does.

    With the owner's connection, hence in workers and commands only.
    """
    with _valkey() as client:
        if not client.set(RUNNING, "1", nx=True, ex=LONGEST_S):
            return None
        try:
            return keep_report(compare_schemas(tenants=list_all_tenants(), jobs=JOBS))
        finally:
            client.delete(RUNNING)


def keep_report(comparisons: Iterable[Comparison]) -> DriftReport:
    """Keep what a comparison of all tenants found; without Valkey it is only returned."""
    found = list(comparisons)
    drifted = sorted((c for c in found if c.differences), key=lambda c: c.tenant.slug)
    report = DriftReport(
        finished_at=timezone.now(),
        tenants=len(found),
        drifted=len(drifted),
        examples=tuple((c.tenant.slug, str(c.differences[0])[:300]) for c in drifted[:MOST_NAMED]),
    )
    try:
        with _valkey() as client:
            client.set(KEY, orjson.dumps(report))
    except RedisError as error:
        log.warning("drift_report_not_kept", error=type(error).__name__)
    return report


def read_report() -> DriftReport | None:
    """Return what was found last; None where nothing is kept."""
    try:
        with _valkey() as client:
            kept = client.get(KEY)
    except RedisError:
        return None
    if not isinstance(kept, bytes):
        return None
    facts = orjson.loads(kept)
    return DriftReport(
        finished_at=dt.datetime.fromisoformat(facts["finished_at"]),
        tenants=facts["tenants"],
        drifted=facts["drifted"],
        examples=tuple((slug, what) for slug, what in facts["examples"]),
    )


def _valkey() -> Redis:
    return Redis.from_url(settings.REDIS_URL, socket_timeout=1.0, socket_connect_timeout=1.0)

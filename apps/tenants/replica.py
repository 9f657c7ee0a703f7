"""Read what may be some seconds old at a replica, and at the primary while there is none."""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connections
from prometheus_client import Counter

from apps.tenants.context import APP, REPLICA, in_tenant
from apps.tenants.contracts import TenantRef

T = TypeVar("T")

log = structlog.get_logger(__name__)
REPLICA_READS = Counter("replica_reads_total", "Reads meant for the replica, by where they ended", ["at"])
ASK_AGAIN_S = 10.0  # a replica that is away is left alone for so long
_away_until = 0.0


def read_at_replica(*, tenant: TenantRef, read: Callable[[str], T]) -> T:
    """Return what `read(alias)` finds in a transaction of the tenant.

    Reads alone, since it runs again at the primary when the replica fails, whatever the reason.
    """
    if REPLICA in connections.settings and time.monotonic() >= _away_until:
        try:
            with in_tenant(tenant, using=REPLICA):
                found = read(REPLICA)
        except (DatabaseError, InterfaceError) as error:
            _note_failure(error)
        else:
            REPLICA_READS.labels("replica").inc()
            return found
    with in_tenant(tenant):
        found = read(APP)
    REPLICA_READS.labels("primary").inc()
    return found


def forget_failure() -> None:
    """Ask the replica again at once."""
    global _away_until
    _away_until = 0.0


def _note_failure(error: Exception) -> None:
    global _away_until
    if isinstance(error, OperationalError | InterfaceError):  # not one that concerns this read alone
        _away_until = time.monotonic() + ASK_AGAIN_S
        connections[REPLICA].close()
    log.warning("replica_failed", error=repr(error), reading_at="primary")

"""Who may execute a run: claims, leases by the database's clock, and their renewal."""

from __future__ import annotations

import datetime as dt
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from django.db import connections, models
from django.db.models.functions import Now

from apps.orchestration.models import AgentRun
from apps.tenants.context import PLATFORM, in_platform

LEASE_S = 15.0
RENEW_S = 5.0
# Claims without any progress after which a run is given up: it takes its worker down with it.
MAX_CLAIMS = 5
log = structlog.get_logger(__name__)


def owner_name() -> str:
    """Name this thread of this process, for people who read the table."""
    return f"{platform.node()}:{os.getpid()}:{threading.get_native_id()}"[:80]


def seconds_from_now(seconds: float) -> models.ExpressionWrapper:
    """Make a moment by the database's clock; no worker's clock ever decides anything."""
    later = Now() + models.Value(dt.timedelta(seconds=seconds), output_field=models.DurationField())
    return models.ExpressionWrapper(later, output_field=models.DateTimeField())


@dataclass
class Lease:
    """The right to execute a run until somebody claims it after the lease's end.

    `renewed_at` is on this process's monotonic clock, taken before the database was asked: the lease
    ends there no earlier than it seems to end here.
    """

    tenant_id: UUID
    run_id: UUID
    epoch: int
    renewed_at: float = field(default_factory=time.monotonic)
    is_lost: bool = False

    def may_begin_effect(self) -> bool:
        """Tell whether the lease surely still holds: a process that was suspended must not go on."""
        return not self.is_lost and time.monotonic() - self.renewed_at < LEASE_S


def claim_run(run_id: UUID) -> AgentRun | None:
    """Claim a due run in the caller's transaction of its tenant; None when another has it or it rests."""
    due = AgentRun.objects.filter(id=run_id, due_at__lte=Now())
    run = due.select_for_update(skip_locked=True).first()
    if run is None:
        return None
    run.lease_epoch, run.claims, run.lease_owner = run.lease_epoch + 1, run.claims + 1, owner_name()
    AgentRun.objects.filter(id=run_id).update(
        lease_epoch=run.lease_epoch,
        claims=run.claims,
        lease_owner=run.lease_owner,
        due_at=seconds_from_now(LEASE_S),
    )
    return run


# A suspended tenant's runs wait in the table until it is resumed.
# Tenants with due runs are found by skipping through the index, so that one tenant's thousands of
# waiting runs cost no more to pass over than another's single one; each gives at most a few.
FIND_DUE = """
    WITH RECURSIVE tenant (id) AS (
        (SELECT tenant_id FROM {table} WHERE due_at IS NOT NULL ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT r.tenant_id FROM {table} r
                WHERE r.due_at IS NOT NULL AND r.tenant_id > tenant.id ORDER BY r.tenant_id LIMIT 1)
        FROM tenant WHERE tenant.id IS NOT NULL
    )
    SELECT due.tenant_id, due.id FROM tenant
    CROSS JOIN LATERAL (
        SELECT r.tenant_id, r.id, r.due_at, row_number() OVER (ORDER BY r.due_at) AS place
        FROM (SELECT * FROM {table} c WHERE c.tenant_id = tenant.id AND c.due_at <= statement_timestamp()
              ORDER BY c.due_at LIMIT %s) r
    ) due
    WHERE tenant.id IS NOT NULL AND is_tenant_active(tenant.id)
    ORDER BY due.place, due.due_at LIMIT %s
"""


def find_due_runs(*, limit: int, per_tenant: int) -> list[tuple[UUID, UUID]]:
    """Find due runs of all tenants as (tenant id, run id), each tenant's oldest first, taking turns."""
    sql = FIND_DUE.format(table=f'"{AgentRun._meta.db_table}"')
    with in_platform() as alias, connections[alias].cursor() as cursor:
        cursor.execute(sql, [per_tenant, limit])
        return [(tenant_id, run_id) for tenant_id, run_id in cursor.fetchall()]


class LeaseKeeper:
    """Renews the leases of what this process executes, in one thread, for as long as there are any."""

    def __init__(self, renew_s: float = RENEW_S) -> None:
        self._renew_s = renew_s
        self._lock = threading.Lock()
        self._leases: dict[UUID, Lease] = {}
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()

    @contextmanager
    def keep(self, lease: Lease) -> Iterator[Lease]:
        """Renew the lease during the block."""
        with self._lock:
            self._leases[lease.run_id] = lease
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._loop, name="lease-keeper", daemon=True)
                self._thread.start()
        self._wake.set()
        try:
            yield lease
        finally:
            with self._lock:
                self._leases.pop(lease.run_id, None)

    def _loop(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(self._renew_s)
            with self._lock:
                leases = [
                    x for x in self._leases.values() if time.monotonic() - x.renewed_at >= self._renew_s / 2
                ]
                if not self._leases:
                    self._wake.clear()
            if leases:
                self._renew(leases)

    def _renew(self, leases: list[Lease]) -> None:
        try:
            asked_at = time.monotonic()
            with in_platform():
                for lease in leases:
                    # A run that was just put to sleep has no owner: its wake-up must stay as it is.
                    held = (
                        AgentRun.objects.using(PLATFORM)
                        .filter(id=lease.run_id, lease_epoch=lease.epoch, due_at__isnull=False)
                        .exclude(lease_owner="")
                    )
                    lease.is_lost = not held.update(due_at=seconds_from_now(LEASE_S))
            for lease in leases:
                lease.renewed_at = asked_at
        except Exception:
            log.warning("lease_renewal_failed", runs=len(leases), exc_info=True)
        finally:
            connections[PLATFORM].close()


KEEPER = LeaseKeeper()
os.register_at_fork(after_in_child=lambda: globals().update(KEEPER=LeaseKeeper()))

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

from apps.orchestration.contracts import Priority
from apps.orchestration.models import AgentRun
from apps.tenants.context import PLATFORM, in_platform

LEASE_S = 15.0
RENEW_S = 5.0
# Claims without any progress after which a run is given up: it takes its worker down with it.
MAX_CLAIMS = 5
# How much longer a run must have waited to go before one of the next higher priority.
AGING_S = 900.0
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


_RUN = AgentRun._meta.db_table
# Tenants with due runs are found by skipping through the index, so that one tenant's thousands of waiting
# runs cost no more to pass over than another's single one. A suspended tenant's runs wait in the table.
FIND_DUE = f"""
    WITH RECURSIVE tenant (id) AS (
        (SELECT tenant_id FROM {_RUN} WHERE due_at IS NOT NULL AND tenant_id > %(after)s
         ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT r.tenant_id FROM {_RUN} r
                WHERE r.due_at IS NOT NULL AND r.tenant_id > tenant.id ORDER BY r.tenant_id LIMIT 1)
        FROM tenant WHERE tenant.id IS NOT NULL
    )
    SELECT tenant.id FROM tenant
    WHERE tenant.id IS NOT NULL
      AND EXISTS (SELECT FROM generate_series(0, {len(Priority) - 1}) p (priority) CROSS JOIN LATERAL (
            SELECT FROM {_RUN} r
            WHERE r.tenant_id = tenant.id AND r.priority = p.priority AND r.due_at <= statement_timestamp()
            LIMIT 1) due)
      AND is_tenant_active(tenant.id)
    LIMIT %(limit)s
"""  # noqa: S608 - the table's name is our own
CLAIM = "SELECT (c.run).*, c.is_capped FROM claim_runs(%s, %s, %s, %s, %s, %s) c"
NOBODY = UUID(int=0)


def find_due_tenants(*, limit: int, after: UUID = NOBODY) -> list[UUID]:
    """Find active tenants that have due runs, in the order of their ids."""
    with in_platform() as alias, connections[alias].cursor() as cursor:
        cursor.execute(FIND_DUE, {"after": after, "limit": limit})
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


def claim_runs(tenant_id: UUID, *, most: int, cap: int) -> tuple[list[AgentRun], bool]:
    """Claim a tenant's next due runs in the caller's transaction of it, so that at most `cap` leases live.

    Returns them, and whether the cap is reached. Claims of one tenant wait for each other.
    """
    values = [tenant_id, most, cap, owner_name(), LEASE_S, AGING_S]
    rows = list(AgentRun.objects.raw(CLAIM, values))
    return [run for run in rows if run.id is not None], any(vars(run)["is_capped"] for run in rows)


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

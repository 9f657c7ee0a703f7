"""Takes due runs fairly between tenants and executes them: at a hint, and by looking for them itself."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import structlog
from django.conf import settings
from django.db import close_old_connections

from apps.orchestration import metrics
from apps.orchestration.dispatching import claim_due_runs, execute_claimed, list_due_tenants
from apps.orchestration.engine.fairness import FairQueue
from apps.orchestration.engine.leases import NOBODY, Lease
from apps.orchestration.models import AgentRun
from apps.orchestration.shares import RunShare, get_run_share
from apps.orchestration.steering import run_hint
from apps.resilience.errors import NotFoundError
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_tenant

INTERVAL_S = 1.0
TENANTS_AT_ONCE = 200
HAND_ON_S = 0.25
NAP_S = 0.001
log = structlog.get_logger(__name__)


class Dispatcher:
    """One thread that claims, and as many as there are slots that execute.

    Hints name tenants, so that many of one tenant's are worth one; whatever no hint told is found by a look
    into the table every 1 to 2 s.
    """

    def __init__(self, slots: int | None = None, interval_s: float = INTERVAL_S) -> None:
        self._queue = FairQueue(settings.RUN_SLOTS if slots is None else slots)
        self._interval_s = interval_s
        self._news = threading.Condition()
        self._capped: set[UUID] = set()
        self._is_stopping = False
        self._look_at = self._hand_on_at = 0.0
        self._seen = NOBODY
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to take runs; does nothing when it does already."""
        if self._thread is None:
            self._is_stopping, self._look_at = False, 0.0
            self._thread = threading.Thread(target=self._loop, name="dispatcher", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float = 10) -> None:
        """Take no more, and wait for what is being executed."""
        with self._news:
            self._is_stopping = True
            self._news.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None

    def offer(self, tenant_id: UUID) -> None:
        """Take note that a tenant may have due runs."""
        with self._news:
            self._queue.offer(tenant_id)
            self._news.notify()

    def _loop(self) -> None:
        with ThreadPoolExecutor(self._queue.slots, thread_name_prefix="run") as pool:
            while not self._is_stopping:
                try:
                    self._turn(pool)
                except Exception:
                    log.warning("dispatch_failed", exc_info=True)
                    time.sleep(self._interval_s)
                finally:
                    close_old_connections()

    def _turn(self, pool: ThreadPoolExecutor) -> None:
        if time.monotonic() >= self._look_at:
            self._look()
        self._feel()
        with self._news:
            chosen = self._queue.choose()
            if chosen is None and not self._is_stopping:
                self._news.wait(max(0.0, self._look_at - time.monotonic()))
                chosen = self._queue.choose()
        if chosen is not None:
            self._take(pool, *chosen)

    def _feel(self) -> None:
        """Find out how busy this process is, where it is at all."""
        if self._queue.free == self._queue.slots:
            return
        began = time.perf_counter()
        time.sleep(NAP_S)
        late_s = time.perf_counter() - began - NAP_S
        with self._news:
            self._queue.feel(late_s)

    def _look(self) -> None:
        """Find tenants with due runs, the next ones each time; jitter keeps workers from looking together."""
        self._look_at = time.monotonic() + self._interval_s * random.uniform(1, 2)  # noqa: S311
        if len(self._queue) >= TENANTS_AT_ONCE:
            return
        found = list_due_tenants(limit=TENANTS_AT_ONCE, after=self._seen)
        self._seen = found[-1].id if len(found) == TENANTS_AT_ONCE else NOBODY
        metrics.sweeps_total.labels("yes" if found else "no").inc()
        for tenant in found:
            self.offer(tenant.id)

    def _take(self, pool: ThreadPoolExecutor, tenant_id: UUID, most: int) -> None:
        try:
            tenant = get_tenant(tenant_id=tenant_id)
        except NotFoundError:
            log.warning("runs_without_tenant", tenant_id=str(tenant_id))
            return
        share, claimed = get_run_share(tenant=tenant), claim_due_runs(tenant=tenant, most=most)
        with self._news:
            for run, lease in claimed.runs:
                charged_s = self._queue.begin(tenant_id, share.weight)
                pool.submit(self._execute, tenant, share, charged_s, run, lease)
            if claimed.is_capped:
                self._capped.add(tenant_id)
            elif len(claimed.runs) == most:
                self._queue.offer(tenant_id)
            is_full = len(self._queue) > 0 and self._queue.free == 0
        if is_full:
            self._hand_on(tenant)

    def _hand_on(self, tenant: TenantRef) -> None:
        """Hint at what is left, now and then: another worker may have a slot free."""
        if time.monotonic() >= self._hand_on_at:
            self._hand_on_at = time.monotonic() + HAND_ON_S
            run_hint().send(tenant_id=tenant.id, run_id=NOBODY)

    def _execute(
        self, tenant: TenantRef, share: RunShare, charged_s: float, run: AgentRun, lease: Lease
    ) -> None:
        close_old_connections()
        began = time.monotonic()
        try:
            execute_claimed(tenant=tenant, run=run, lease=lease)
        except BaseException:
            log.exception("run_execution_died", run_id=str(run.id))
        finally:
            close_old_connections()
            self._ended(tenant.id, share, charged_s, time.monotonic() - began)

    def _ended(self, tenant_id: UUID, share: RunShare, charged_s: float, took_s: float) -> None:
        with self._news:
            self._queue.end(tenant_id, share.weight, charged_s=charged_s, took_s=took_s)
            if tenant_id in self._capped:
                self._capped.discard(tenant_id)
                self._queue.offer(tenant_id)
            self._news.notify()

"""Random interleavings of all that may befall a transaction, on few connections that many threads share."""

import contextvars
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connections, transaction

from apps.crm.models import Customer
from apps.tenants.context import (
    APP,
    NoTenantContext,
    NoTransaction,
    TenantMismatch,
    in_tenant,
    tenant_context,
)
from apps.tenants.contracts import TenantRef
from apps.tenants.models import WidgetKey

# The keepers hold their connection from one unit to the next, as a worker does; the others take turns.
THREADS, KEEPERS, POOL_SIZE = 6, 2, 4
SWITCH_INTERVAL_S = 1e-4
EVERY_ROW = "SELECT tenant_id FROM crm_customer UNION ALL SELECT tenant_id FROM tenants_widgetkey"
SHARED_ROWS = "SELECT tenant_id FROM tenants_widgetkey"


@dataclass
class Tally:
    """What was run and seen; `foreign` and `lost` must stay empty."""

    units: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    foreign: Counter[str] = field(default_factory=Counter)  # rows of another tenant
    lost: Counter[str] = field(default_factory=Counter)  # reads that did not find the tenant's own
    failed: Counter[str] = field(default_factory=Counter)  # what should not have gone wrong

    @property
    def total(self) -> int:
        return sum(self.units.values())

    @property
    def has_failed(self) -> bool:
        return bool(self.foreign or self.lost or self.failed)

    def add(self, other: "Tally") -> None:
        self.rows += other.rows
        for name in ("units", "foreign", "lost", "failed"):
            getattr(self, name).update(getattr(other, name))


class Worker:
    """One thread's requests and tasks, drawn from its own seeded source."""

    def __init__(self, tenants: list[TenantRef], seed: str, *, keeps_connection: bool) -> None:
        self._keeps_connection = keeps_connection
        self._tenants, self._random, self.tally = tenants, random.Random(seed), Tally()  # noqa: S311
        self._unit = ""

    def run(self, count: int) -> Tally:
        """Run so many units, each for a tenant of its own."""
        names = list(UNITS)
        for _ in range(count):
            self._unit = self._random.choice(names)
            tenant = self._random.choice(self._tenants)
            try:
                UNITS[self._unit](self, tenant)
            except Exception as error:
                self.tally.failed[f"{self._unit}: {type(error).__name__}: {error}".partition("\n")[0]] += 1
            self.tally.units[self._unit] += 1
            if not self._keeps_connection:
                connections[APP].close()  # back to the pool, where another thread takes it
        connections[APP].close()
        return self.tally

    def look(self, tenant: TenantRef | None, query: str = EVERY_ROW) -> None:
        """Read, and compare each row's tenant with whom it is read for."""
        if tenant is not None and self._random.random() < 0.3:
            model: Any = self._random.choice((Customer, WidgetKey))
            self.judge(tenant, list(model.objects.values_list("tenant_id", flat=True)))
            return
        with connections[APP].cursor() as cursor:
            cursor.execute(query)
            self.judge(tenant, [row[0] for row in cursor.fetchall()])

    def judge(self, tenant: TenantRef | None, owners: list[UUID]) -> None:
        """Note rows that are another's, and own rows that are missing."""
        own = tenant.id if tenant else None
        self.tally.rows += len(owners)
        foreign = sum(owner != own for owner in owners)
        if foreign:
            self.tally.foreign[self._unit] += foreign
        if tenant and own not in owners:
            self.tally.lost[self._unit] += 1

    def pause(self) -> None:
        """Let another thread go on, in the middle of a transaction."""
        if self._random.random() < 0.2:
            time.sleep(0)

    # Units: what a request, a task, a socket or a job may go through.

    def request(self, tenant: TenantRef) -> None:
        with in_tenant(tenant):
            self.look(tenant)
            self.pause()
            self.look(tenant)

    def task(self, tenant: TenantRef) -> None:
        with tenant_context(tenant):
            with in_tenant(tenant):
                self.look(tenant)
            self.pause()
            with in_tenant(tenant):
                self.look(tenant)

    def savepoint(self, tenant: TenantRef) -> None:
        with in_tenant(tenant):
            with transaction.atomic():
                self.look(tenant)
            self.look(tenant)

    def savepoint_rolled_back(self, tenant: TenantRef) -> None:
        with in_tenant(tenant):
            if self._random.random() < 0.5:
                self.look(tenant)
            with suppress(ZeroDivisionError), transaction.atomic():
                self.look(tenant)
                raise ZeroDivisionError
            self.look(tenant)

    def statement_fails(self, tenant: TenantRef) -> None:
        with in_tenant(tenant):
            with suppress(DatabaseError), transaction.atomic(), connections[APP].cursor() as cursor:
                cursor.execute("SELECT 1/0")
            self.look(tenant)

    def request_fails(self, tenant: TenantRef) -> None:
        with suppress(ZeroDivisionError), in_tenant(tenant):
            self.look(tenant)
            raise ZeroDivisionError
        self.nobody(tenant)

    def transaction_breaks(self, tenant: TenantRef) -> None:
        with suppress(DatabaseError), in_tenant(tenant), connections[APP].cursor() as cursor:
            cursor.execute("SELECT 1/0")
        self.request(tenant)

    def written_and_undone(self, tenant: TenantRef) -> None:
        with suppress(ZeroDivisionError), in_tenant(tenant):
            Customer.objects.create(name="gone in a moment")
            self.look(tenant)
            raise ZeroDivisionError

    def nested(self, tenant: TenantRef) -> None:
        with in_tenant(tenant), in_tenant(tenant):
            self.look(tenant)

    def another_inside(self, tenant: TenantRef) -> None:
        other = next(each for each in self._tenants if each != tenant)
        with in_tenant(tenant):
            self.look(tenant)
            with suppress(TenantMismatch), in_tenant(other):
                self.judge(tenant, [other.id])
            self.look(tenant)

    def one_after_the_other(self, tenant: TenantRef) -> None:
        with transaction.atomic():
            for each in self._random.sample(self._tenants, 2):
                with tenant_context(each):
                    self.look(each)

    def nobody(self, tenant: TenantRef) -> None:
        with transaction.atomic():
            self.look(None, SHARED_ROWS)
        self.look(None, SHARED_ROWS)  # outside a transaction nothing is set

    def forgotten(self, tenant: TenantRef) -> None:
        with suppress(NoTenantContext), transaction.atomic():
            self.judge(None, list(WidgetKey.objects.values_list("tenant_id", flat=True)))
        with suppress(NoTransaction), tenant_context(tenant):
            self.judge(None, list(WidgetKey.objects.values_list("tenant_id", flat=True)))

    def other_thread(self, tenant: TenantRef) -> None:
        with tenant_context(tenant):
            context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(self._elsewhere, tenant))
        thread.start()
        self.nobody(tenant)
        connections[APP].close()  # nobody may hold one while waiting for another who needs one
        thread.join()

    def _elsewhere(self, tenant: TenantRef) -> None:
        try:
            with in_tenant(tenant):
                self.look(tenant)
        finally:
            connections[APP].close()

    def connection_lost(self, tenant: TenantRef) -> None:
        with suppress(DatabaseError), in_tenant(tenant):
            self.look(tenant)
            connections[APP].connection.close()
        connections[APP].close()
        self.request(tenant)


UNITS: dict[str, Callable[[Worker, TenantRef], None]] = {
    name: getattr(Worker, name)
    for name in (
        *("request", "request", "task", "savepoint", "savepoint_rolled_back", "statement_fails"),
        *("request_fails", "transaction_breaks", "written_and_undone", "nested", "another_inside"),
        *("one_after_the_other", "nobody", "forgotten", "other_thread", "connection_lost"),
    )
}


def interleave(tenants: list[TenantRef], count: int, *, seed: int, processes: int = 1) -> Tally:
    """Run `count` units in THREADS threads of each process, and add up what they saw."""
    shares = [(tenants, count // processes, f"{seed}:{number}") for number in range(processes)]
    total = Tally()
    if processes == 1:
        return _run_threads(*shares[0])
    connections.close_all()
    with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as executor:
        for tally in executor.map(_run_threads, *zip(*shares, strict=True)):
            total.add(tally)
    return total


def _run_threads(tenants: list[TenantRef], count: int, seed: str) -> Tally:
    switch_interval_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    shares = [count // THREADS + (number < count % THREADS) for number in range(THREADS)]
    workers = [
        Worker(tenants, f"{seed}:{number}", keeps_connection=number < KEEPERS) for number in range(THREADS)
    ]
    total = Tally()
    try:
        with ThreadPoolExecutor(THREADS) as executor:
            for tally in executor.map(Worker.run, workers, shares):
                total.add(tally)
    finally:
        sys.setswitchinterval(switch_interval_s)
    return total


@contextmanager
def connected_to(**address: Any) -> Iterator[None]:
    """Let the application's connections, of which there are fewer than threads, go to another address."""
    database: dict[str, Any] = connections.databases[APP]
    kept = dict(database)
    pool = {"min_size": 0, "max_size": POOL_SIZE, "timeout": 60}
    _forget_connections()
    database.update(address, OPTIONS={**kept.get("OPTIONS", {}), "pool": pool})
    try:
        yield
    finally:
        _forget_connections()
        database.clear()
        database.update(kept)


def _forget_connections() -> None:
    connections[APP].close()
    connections[APP].close_pool()  # type: ignore[attr-defined]  # PostgreSQL's
    del connections[APP]

"""Hold hard quotas: reserve units at the door, use them in the transaction that tells of their use.

Documents and runs are told of when they are done, minutes after they were accepted: the transaction that
accepts one uses the units for a hold, a row that the telling replaces and a failure gives back.

Where there is no reservation, or it does not hold any more, PostgreSQL counts: slower, as exact.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from uuid_utils.compat import uuid7

from apps.billing import quota_ledger
from apps.billing.adapters.quota_counter import Reply, quota_counter
from apps.billing.contracts import Period, QuotaSpent, QuotaState, UsageKind
from apps.billing.metrics import QUOTA_REBUILDS
from apps.billing.models import QuotaHold
from apps.billing.selectors.usage import get_subscription
from apps.resilience.memory import Memory
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

# Held from their acceptance on. Of tokens nobody knows before how many it will be.
DEFERRED = frozenset({UsageKind.DOCUMENT, UsageKind.RUN})
HELD = DEFERRED | {UsageKind.MESSAGE, UsageKind.SEARCH}
EVERY_EPOCH = 1 << 52
TERMS_MEMORY_S = 30.0
REFUSAL_MEMORY_S = 3.0
WAIT_FOR_REBUILD_S, POLL_S = 2.0, 0.02


@dataclass(frozen=True)
class Terms:
    """What a tenant's plan allows in a period; `read_at` by the process's clock."""

    included: dict[str, int]
    is_hard: bool
    period: Period
    read_at: float

    def hard_limit(self, kind: str) -> int | None:
        """Return the limit that must hold, None where more is only billed."""
        return self.included.get(kind) if self.is_hard else None


@dataclass
class Reservation:
    """Units that this process may use; `is_used` once the transaction that uses them is committed."""

    tenant: TenantRef
    kind: str
    units: int
    epoch: int
    period: Period
    id: UUID = field(default_factory=uuid7)
    is_taken: bool = False
    is_used: bool = False

    @property
    def key(self) -> str:
        return _key(self.tenant, self.kind)


_terms: Memory[Terms] = Memory(TERMS_MEMORY_S)
_reservations: ContextVar[tuple[Reservation, ...]] = ContextVar("reservations", default=())


@contextmanager
def reserving(*, tenant: TenantRef, kind: str, units: int = 1) -> Iterator[Reservation | None]:
    """Hold units of a hard quota for the usage that the block records; what it does not use goes back.

    Yields None where nothing limits, and where PostgreSQL has to decide when the usage is recorded.
    Raises QuotaSpent.
    """
    reservation = _reserve(tenant, str(kind), units)
    if reservation is None:
        yield None
        return
    token = _reservations.set((*_reservations.get(), reservation))
    try:
        yield reservation
    finally:
        _reservations.reset(token)
        if not reservation.is_used:
            _settle(reservation, was_used=False)


def is_limited(tenant: TenantRef, kind: str) -> bool:
    """Tell whether a hard quota has to hold in the transaction that tells of such a usage."""
    return kind in HELD and _terms_of(tenant).hard_limit(kind) is not None


def use_quota(*, tenant: TenantRef, kind: str, units: int) -> None:
    """Make sure that a hard quota holds, in the transaction that has just told of the usage.

    Raises QuotaSpent, which must undo that transaction.
    """
    if not units or not is_limited(tenant, kind):
        return
    reservation = _find_reservation(tenant, kind, units)
    if reservation and quota_ledger.holds_epoch(tenant.id, kind, reservation.epoch):
        reservation.is_taken = True
        transaction.on_commit(lambda: _settle(reservation, was_used=True))
    else:
        _use_counted(tenant, kind, units)


def hold_quota(*, tenant: TenantRef, kind: str, source_id: str | UUID, units: int = 1) -> None:
    """Hold units for work that is accepted in the caller's transaction; the same work again holds no more.

    Ended by `record_usage(settles=source_id)` or `release_quota`. Raises QuotaSpent, which must undo the
    transaction.
    """
    if _terms_of(tenant).hard_limit(kind) is None:
        return
    with in_tenant(tenant):
        named = {"kind": str(kind), "source_id": str(source_id)}
        _, is_new = QuotaHold.objects.get_or_create(**named, defaults={"units": units})
        if is_new:
            use_quota(tenant=tenant, kind=kind, units=units)


def release_quota(*, tenant: TenantRef, kind: str, source_ids: Iterable[str | UUID]) -> None:
    """Give back what is held for work that came to nothing; where nothing is held, change nothing."""
    with in_tenant(tenant):
        if _end_holds(kind, source_ids):
            _have_counted_anew(tenant, kind)


def settle_quota(
    *, tenant: TenantRef, kind: str, units: int, source_id: str | UUID | None, is_new: bool
) -> None:
    """End a hold in the transaction that tells of its use; what was done without one can only be counted."""
    is_held = source_id is not None and _end_holds(kind, [source_id])
    if is_held and not is_new:  # told before
        _have_counted_anew(tenant, kind)
    elif is_new and not is_held:
        transaction.on_commit(lambda: _count_unheld(tenant, kind, units), robust=True)


def forget_quotas() -> None:
    """Read every plan anew, for tests and after a plan was changed in this process."""
    _terms.forget()


def _reserve(tenant: TenantRef, kind: str, units: int) -> Reservation | None:
    terms = _terms_of(tenant)
    limit = terms.hard_limit(kind) if kind in HELD else None
    if limit is None:
        return None
    reservation = Reservation(tenant, kind, units, epoch=0, period=terms.period)
    reply = _ask(reservation, limit)
    if reply is None:
        return None
    if reply.standing == "reserved":
        return replace(reservation, epoch=reply.epoch)
    if time.monotonic() - terms.read_at > REFUSAL_MEMORY_S:  # it may have a larger plan meanwhile
        forget_quotas()
        if kind in DEFERRED:  # it knows of what was done without a hold, but not surely of all
            quota_counter().forget(reservation.key, before_epoch=EVERY_EPOCH)
        return _reserve(tenant, kind, units)
    raise QuotaSpent(_state(kind, reply.units, limit, terms.period))


def _ask(reservation: Reservation, limit: int) -> Reply | None:
    """Ask the quick counter, and have it loaded once where it does not know; None leaves it to PostgreSQL."""
    gives_up_at = time.monotonic() + WAIT_FOR_REBUILD_S
    while True:
        reply = _ask_once(reservation, limit)
        if reply is None or reply.standing != "unknown":
            return reply
        if time.monotonic() > gives_up_at:
            return None
        if not quota_counter().begin_rebuild(reservation.key):
            time.sleep(POLL_S)
            continue
        try:
            reply = _ask_once(reservation, limit)  # another may have loaded it just before
            if reply is None or reply.standing != "unknown":
                return reply
            _rebuild(reservation)
        finally:
            quota_counter().end_rebuild(reservation.key)


def _ask_once(reservation: Reservation, limit: int) -> Reply | None:
    return quota_counter().reserve(
        reservation.key,
        period=reservation.period,
        limit=limit,
        reservation=reservation.id,
        units=reservation.units,
    )


def _rebuild(reservation: Reservation) -> None:
    tenant, kind, period = reservation.tenant, reservation.kind, reservation.period
    with in_tenant(tenant):
        epoch, used = quota_ledger.count_alone(tenant.id, kind, period)
    quota_counter().load(reservation.key, epoch=epoch, period=period, used=used)
    QUOTA_REBUILDS.inc()


def _use_counted(tenant: TenantRef, kind: str, units: int) -> None:
    """Let PostgreSQL decide, which sees what was just told; no earlier reservation holds after this."""
    terms = _terms_of(tenant)
    epoch, used = quota_ledger.count_alone(tenant.id, kind, terms.period)
    limit = terms.hard_limit(kind)
    if limit is not None and used > limit:
        raise QuotaSpent(_state(kind, used - units, limit, terms.period))
    transaction.on_commit(lambda: quota_counter().forget(_key(tenant, kind), before_epoch=epoch))


def _count_unheld(tenant: TenantRef, kind: str, units: int) -> None:
    if _terms_of(tenant).hard_limit(kind) is not None:
        quota_counter().add(_key(tenant, kind), units=units)


def _end_holds(kind: str, source_ids: Iterable[str | UUID]) -> bool:
    held = QuotaHold.objects.filter(kind=str(kind), source_id__in=[str(each) for each in source_ids])
    return bool(held._raw_delete(held.db))  # nothing hangs on a hold that would have to be read first


def _have_counted_anew(tenant: TenantRef, kind: str) -> None:
    key = _key(tenant, str(kind))
    transaction.on_commit(lambda: quota_counter().forget(key, before_epoch=EVERY_EPOCH))


def _settle(reservation: Reservation, *, was_used: bool) -> None:
    reservation.is_used = was_used
    quota_counter().settle(
        reservation.key, epoch=reservation.epoch, reservation=reservation.id, was_used=was_used
    )


def _find_reservation(tenant: TenantRef, kind: str, units: int) -> Reservation | None:
    now = timezone.now()
    for held in _reservations.get():
        fits = (held.tenant, held.kind, held.units, held.is_taken) == (tenant, kind, units, False)
        if fits and held.period.start <= now < held.period.end:
            return held
    return None


def _terms_of(tenant: TenantRef) -> Terms:
    terms = _terms.get((str(tenant.id),), lambda: _read_terms(tenant))
    if timezone.now() >= terms.period.end:
        forget_quotas()
        return _read_terms(tenant)
    return terms


def _read_terms(tenant: TenantRef) -> Terms:
    subscription = get_subscription(tenant=tenant)
    plan = subscription.plan
    return Terms(plan.included, plan.has_hard_limits, subscription.period, time.monotonic())


def _state(kind: str, used: int, limit: int, period: Period) -> QuotaState:
    return QuotaState(kind=kind, used=used, limit=limit, resets_at=period.end, is_hard=True)


def _key(tenant: TenantRef, kind: str) -> str:
    return f"quota:{{{tenant.id}}}:{kind}"

"""Who works on a simulation: claimed by lease, fenced by epoch, timed by the database's clock.

A case is stored once, by whoever holds the claim; a worker that dies leaves a lease that runs out, and the
next one goes on with the first case that is not stored.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from apps.orchestration.rehearsals.contracts import CaseStatus, RehearsalStatus
from apps.orchestration.rehearsals.models import OPEN, Rehearsal, RehearsalCase
from apps.orchestration.rehearsals.selectors import summarise
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

LEASE = dt.timedelta(minutes=3)  # longer than any one case takes
HINT_GRACE = dt.timedelta(seconds=15)
MAX_ATTEMPTS = 3
GAVE_UP = "The worker that rehearsed this died, again and again."


class ClaimLost(Exception):
    """Another worker has the simulation, or it was cancelled: whoever sees this stops silently."""


@dataclass(frozen=True)
class Claim:
    """The right to go on with a simulation until the lease runs out."""

    tenant: TenantRef
    rehearsal: Rehearsal
    epoch: int

    def store(self, case: RehearsalCase, **values: Any) -> None:
        """Store a case with the progress that it means, in one transaction; raises ClaimLost."""
        spent = values.get("spent_microusd", 0)
        with in_tenant(self.tenant):
            self._update(
                done=F("done") + 1,
                cost_microusd=F("cost_microusd") + spent,
                attempts=0,
                leased_until=Now() + LEASE,
            )
            pending = RehearsalCase.objects.filter(id=case.id, status=CaseStatus.PENDING)
            pending.update(**{"finished_at": Now(), "status": CaseStatus.DONE, **values})

    def end(self, status: RehearsalStatus, error: str = "") -> None:
        """End the simulation with the sum of its cases; raises ClaimLost."""
        with in_tenant(self.tenant):
            self._update(
                status=status,
                error=error,
                finished_at=Now(),
                leased_until=None,
                summary=dataclasses.asdict(summarise(rehearsal_id=self.rehearsal.id)),
            )

    def hand_on(self) -> None:
        """Let another worker go on at once; raises ClaimLost."""
        with in_tenant(self.tenant):
            self._update(leased_until=Now(), attempts=0)

    def _update(self, **values: Any) -> None:
        mine = Rehearsal.objects.filter(id=self.rehearsal.id, lease_epoch=self.epoch, status__in=OPEN)
        if not mine.update(**values):
            raise ClaimLost


def due_rehearsals() -> QuerySet[Rehearsal]:
    """Choose what waits for a worker: hints that were lost, leases that ran out. Inside `in_tenant`."""
    forgotten = Q(leased_until__isnull=True, created_at__lt=Now() - HINT_GRACE)
    return Rehearsal.objects.filter(forgotten | Q(leased_until__lt=Now()), status__in=OPEN)


def claim_rehearsal(*, tenant: TenantRef, rehearsal_id: UUID) -> Claim | None:
    """Take a simulation, or None when it has ended or is in other hands."""
    with in_tenant(tenant):
        is_free = Q(leased_until__isnull=True) | Q(leased_until__lte=Now())
        free = Rehearsal.objects.filter(is_free, id=rehearsal_id, status__in=OPEN)
        claimed = free.update(
            status=RehearsalStatus.RUNNING,
            leased_until=Now() + LEASE,
            lease_epoch=F("lease_epoch") + 1,
            attempts=F("attempts") + 1,
        )
        if not claimed:
            return None
        rehearsal = Rehearsal.objects.get(id=rehearsal_id)
        return Claim(tenant, rehearsal, rehearsal.lease_epoch)


def next_case(claim: Claim) -> RehearsalCase | None:
    """Return the first case that is not stored yet."""
    with in_tenant(claim.tenant):
        pending = RehearsalCase.objects.filter(rehearsal_id=claim.rehearsal.id, status=CaseStatus.PENDING)
        return pending.order_by("position").first()

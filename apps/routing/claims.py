"""Who works on a training: claimed by lease, fenced by epoch, timed by the database's clock.

A worker that dies leaves a lease that runs out, and the next one begins anew; one that merely slept finds
that its epoch has passed, or that the training was discarded, and changes nothing.
"""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from apps.routing.classifier import IntentClassifier, TrainingReport, to_bytes
from apps.routing.contracts import Comparison, TrainingStatus
from apps.routing.models import RouterTraining
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

LEASE = dt.timedelta(minutes=2)
HINT_GRACE = dt.timedelta(seconds=15)
RETRY_AFTER = dt.timedelta(seconds=30)
MAX_ATTEMPTS = 3
WORKING = [TrainingStatus.QUEUED.value, TrainingStatus.TRAINING.value]
GAVE_UP = "The training did not come to its end in several attempts: train again."


class LeaseLost(Exception):
    """Another worker has the training, or it was discarded."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a training until the lease runs out."""

    tenant: TenantRef
    training_id: UUID
    epoch: int

    def report(self, progress_percent: int) -> None:
        """Say how far we are and renew the lease; raises LeaseLost."""
        self._update(
            status=TrainingStatus.TRAINING, progress_percent=progress_percent, leased_until=Now() + LEASE
        )

    def finish(
        self,
        classifier: IntentClassifier,
        report: TrainingReport,
        comparison: Comparison,
        content_hash: str,
    ) -> None:
        """Keep the candidate and how it compares; raises LeaseLost and changes nothing then."""
        self._update(
            status=TrainingStatus.READY,
            progress_percent=100,
            leased_until=None,
            payload=to_bytes(classifier),
            content_hash=content_hash,
            comparison=comparison.as_dict(),
            **figures_of(classifier, report),
        )

    def fail(self, reason: str) -> None:
        """Give up, and say why."""
        self._update(status=TrainingStatus.FAILED, error=reason[:500], progress_percent=0, leased_until=None)

    def release(self) -> None:
        """Leave the training to a later attempt."""
        self._update(status=TrainingStatus.QUEUED, progress_percent=0, leased_until=Now() + RETRY_AFTER)

    def _update(self, **values: object) -> None:
        with in_tenant(self.tenant):
            mine = RouterTraining.objects.filter(
                id=self.training_id, lease_epoch=self.epoch, status__in=WORKING
            )
            if not mine.update(**values):
                raise LeaseLost


def figures_of(classifier: IntentClassifier, report: TrainingReport) -> dict[str, object]:
    """Return the columns that say what a model knows and how it does."""
    return {
        "intents": list(classifier.intents),
        "examples": report.examples,
        "accuracy": round(report.accuracy, 4),
        "calibration_error": round(report.calibration_error, 4),
        "by_intent": report.by_intent,
    }


def due_trainings() -> QuerySet[RouterTraining]:
    """Return what waits for a worker: hints that were lost, leases that ran out. Inside `in_tenant`."""
    forgotten = Q(leased_until__isnull=True, created_at__lt=Now() - HINT_GRACE)
    return RouterTraining.objects.filter(forgotten | Q(leased_until__lt=Now()), status__in=WORKING)


def claim_training(*, tenant: TenantRef, training_id: UUID) -> Claim | None:
    """Take a training, or None when it is done, discarded or in other hands."""
    with in_tenant(tenant):
        is_free = Q(leased_until__isnull=True) | Q(leased_until__lt=Now())
        free = RouterTraining.objects.filter(is_free, id=training_id, status__in=WORKING)
        claimed = free.update(
            leased_until=Now() + LEASE, lease_epoch=F("lease_epoch") + 1, attempts=F("attempts") + 1
        )
        if not claimed:
            return None
        training = RouterTraining.objects.defer("payload").get(id=training_id)
        claim = Claim(tenant, training_id, training.lease_epoch)
        if training.attempts > MAX_ATTEMPTS:
            claim.fail(GAVE_UP)
            return None
        return claim

"""Train in the background, compare before anything changes, then use or discard the candidate."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import numpy as np
import structlog
from celery import current_app
from django.db import IntegrityError, transaction
from kombu.exceptions import KombuError

from apps.inference.services import embed_texts, embedder_fingerprint
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.routing import selectors
from apps.routing.changes import count_changes
from apps.routing.claims import Claim, LeaseLost, claim_training, due_trainings
from apps.routing.classifier import Examples, compare_classifiers, train_classifier
from apps.routing.contracts import ESCALATION_CONFIDENCE, CandidateView, RouterModelView, TrainingStatus
from apps.routing.loading import classifier_of
from apps.routing.models import OPEN, RouterTraining
from apps.routing.services.training import add_version, check_teachable, hash_content
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import is_active
from apps.tenants.services import record_audit

HINT = "workers.tasks.train_candidate"
KEPT_TRAININGS = 10
EMBED_AT_ONCE = 256
# How much of the work is done once the texts are embedded, and once the candidate is trained.
EMBEDDED, TRAINED = 40, 60
log = structlog.get_logger(__name__)


def request_training(*, tenant: TenantRef, actor: str) -> CandidateView:
    """Ask for a candidate learnt from the examples as they are now; what routes stays as it is.

    After the commit a worker gets a hint; without one the sweep finds the training. Raises InvalidInput
    when an intent has too few examples, ConflictError when nothing has changed or a candidate waits.
    """
    with in_tenant(tenant):
        if not count_changes(tenant=tenant).total:
            raise ConflictError("No example has changed since the last training: there is nothing to learn.")
        check_teachable(selectors.list_examples(tenant=tenant), selectors.list_intents(tenant=tenant))
        try:
            with transaction.atomic():
                training = RouterTraining.objects.create(requested_by=actor)
        except IntegrityError as error:
            raise ConflictError(
                "A training is on its way already, or its candidate waits: use or discard it first."
            ) from error
        kept = RouterTraining.objects.order_by("-id").values("id")[:KEPT_TRAININGS]
        RouterTraining.objects.exclude(id__in=kept).delete()
        record_audit(tenant=tenant, actor=actor, action="router.training_requested", target=str(training.id))
        transaction.on_commit(lambda: _send_hint(tenant, training.id))
        return training.view()


def train_candidate(*, tenant: TenantRef, training_id: UUID) -> TrainingStatus | None:
    """Train and compare; None when there was nothing to do. Must not run inside a transaction.

    Safe to repeat and to kill: the result is stored at once, by whoever holds the lease. A suspended
    tenant's trainings wait.
    """
    claim = claim_training(tenant=tenant, training_id=training_id) if is_active(tenant) else None
    if claim is None:
        return None
    try:
        return _train_claimed(claim)
    except LeaseLost:
        log.info("router_training_lease_lost", training_id=str(training_id))
        return None


def sweep_due_trainings(*, tenant: TenantRef) -> int:
    """Take up a training that has lost its hint or its worker; return how many were taken up."""
    with in_tenant(tenant):
        due = list(due_trainings().values_list("id", flat=True))
    return sum(train_candidate(tenant=tenant, training_id=training_id) is not None for training_id in due)


def use_candidate(*, tenant: TenantRef, training_id: UUID, actor: str) -> RouterModelView:
    """Let a candidate route, as the next version; a second time it answers with the first.

    Raises NotFoundError, and ConflictError for one that is not ready, or was compared with what does not
    route any more.
    """
    with in_tenant(tenant):
        training = _lock(training_id)
        if training.status == TrainingStatus.USED:
            return selectors.get_version(tenant=tenant, version=training.version or 0)
        candidate = training.view()
        if candidate.comparison is None or training.status != TrainingStatus.READY:
            raise ConflictError(f"This candidate cannot be used: it is {training.status}.")
        routing = classifier_of(tenant)[1]
        if candidate.comparison.against != routing:
            raise ConflictError(
                f"The candidate was compared with {candidate.comparison.against}, but {routing} routes now: "
                "discard it and train again."
            )
        columns = ("content_hash", "intents", "examples", "accuracy", "calibration_error", "by_intent")
        model = add_version(
            tenant,
            payload=bytes(training.payload or b""),
            **{name: getattr(training, name) for name in columns},
        )
        _end(training, TrainingStatus.USED, version=model.version)
        record_audit(tenant=tenant, actor=actor, action="router.model_used", target=f"v{model.version}")
        return model


def discard_candidate(*, tenant: TenantRef, training_id: UUID) -> None:
    """Drop a candidate, also while it is trained. Raises NotFoundError and, once used, ConflictError."""
    with in_tenant(tenant):
        training = _lock(training_id)
        if training.status == TrainingStatus.USED:
            raise ConflictError(f"This candidate routes already, as v{training.version}.")
        if training.status in OPEN:
            _end(training, TrainingStatus.DISCARDED)
            record_audit(tenant=tenant, action="router.training_discarded", target=str(training.id))


def _lock(training_id: UUID) -> RouterTraining:
    training = RouterTraining.objects.select_for_update().filter(id=training_id).first()
    if training is None:
        raise NotFoundError("There is no such training.")
    return training


def _end(training: RouterTraining, status: TrainingStatus, *, version: int | None = None) -> None:
    training.status, training.version, training.payload = status.value, version, None
    training.leased_until = None
    training.save(update_fields=["status", "version", "payload", "leased_until"])


def _train_claimed(claim: Claim) -> TrainingStatus:
    try:
        _train(claim)
    except InvalidInput as error:
        claim.fail(error.detail)
        return TrainingStatus.FAILED
    except LeaseLost:
        raise
    except Exception:
        log.exception("router_training_failed", training_id=str(claim.training_id))
        claim.release()
        return TrainingStatus.QUEUED
    return TrainingStatus.READY


def _train(claim: Claim) -> None:
    tenant = claim.tenant
    claim.report(1)
    pairs = selectors.list_examples(tenant=tenant)
    check_teachable(pairs, selectors.list_intents(tenant=tenant))
    texts = [text for _, text in pairs]
    examples = Examples(texts, [intent for intent, _ in pairs], _embed(claim, texts))
    classifier, report = train_classifier(examples, fingerprint=embedder_fingerprint())
    claim.report(TRAINED)
    routing, name = classifier_of(tenant)
    comparison = compare_classifiers(
        routing,
        classifier,
        examples,
        against=name,
        unsure_below=ESCALATION_CONFIDENCE,
        report=lambda share: claim.report(TRAINED + int(share * (99 - TRAINED))),
    )
    claim.finish(classifier, report, comparison, hash_content(pairs))


def _embed(claim: Claim, texts: Sequence[str]) -> np.ndarray:
    parts = []
    for start in range(0, len(texts), EMBED_AT_ONCE):
        parts.append(embed_texts(texts[start : start + EMBED_AT_ONCE]))
        claim.report(1 + (EMBEDDED - 1) * min(start + EMBED_AT_ONCE, len(texts)) // len(texts))
    return np.concatenate(parts)


def _send_hint(tenant: TenantRef, training_id: UUID) -> None:
    try:
        current_app.send_task(HINT, args=[str(tenant.id), str(training_id)], retry=False)
    except (KombuError, OSError) as error:
        log.warning("hint_not_sent", training_id=str(training_id), cause=type(error).__name__)

"""Train the router, and say which version routes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import structlog
from django.db import IntegrityError, transaction

from apps.inference.services import embed_texts, embedder_fingerprint
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.routing import selectors
from apps.routing.claims import figures_of
from apps.routing.classifier import BrokenModel, Examples, to_bytes, train_classifier
from apps.routing.classifier.features import FEATURES_VERSION
from apps.routing.contracts import IntentView, RouterModelView
from apps.routing.loading import load_model
from apps.routing.models import RouterModel
from apps.routing.services.teaching import seed_default_intents
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import record_audit

log = structlog.get_logger(__name__)
MIN_EXAMPLES_PER_INTENT = 5
KEPT_VERSIONS = 5


def train_router(*, tenant: TenantRef) -> RouterModelView:
    """Train on the tenant's examples and let the new version route; takes seconds.

    Nothing new to learn: the active version stays and is returned. Must not be called in a transaction.
    Raises InvalidInput when an intent has too few examples, ConflictError when two trainings race.
    """
    seed_default_intents(tenant=tenant)
    pairs = selectors.list_examples(tenant=tenant)
    check_teachable(pairs, selectors.list_intents(tenant=tenant))
    content_hash = hash_content(pairs)
    active = selectors.get_active_model(tenant=tenant)
    if active is not None and selectors.get_content_hash(tenant=tenant, model_id=active.id) == content_hash:
        return active
    texts, intents = [text for _, text in pairs], [intent for intent, _ in pairs]
    classifier, report = train_classifier(
        Examples(texts, intents, embed_texts(texts)), fingerprint=embedder_fingerprint()
    )
    payload = to_bytes(classifier)
    with in_tenant(tenant):
        model = add_version(
            tenant, payload=payload, content_hash=content_hash, **figures_of(classifier, report)
        )
        record_audit(
            tenant=tenant, action="router.model_used", target=f"v{model.version}", data=_former(active)
        )
        return model


def use_model(*, tenant: TenantRef, model_id: UUID, actor: str) -> RouterModelView:
    """Let a kept version route again. Raises NotFoundError, and ConflictError for one that cannot."""
    try:
        load_model(tenant, model_id)
    except BrokenModel as error:
        raise ConflictError(f"This version cannot route any more: {error}.") from error
    with in_tenant(tenant), _one_at_a_time():
        former = _former(selectors.get_active_model(tenant=tenant))
        RouterModel.objects.filter(is_active=True).exclude(id=model_id).update(is_active=False)
        if not RouterModel.objects.filter(id=model_id).update(is_active=True):
            raise NotFoundError("There is no such router model.")
        model = RouterModel.objects.defer("payload").get(id=model_id)
        target = f"v{model.version}"
        record_audit(tenant=tenant, actor=actor, action="router.model_used", target=target, data=former)
        return model.view()


def use_shipped_model(*, tenant: TenantRef, actor: str) -> None:
    """Let the shipped model route again; the versions are kept."""
    with in_tenant(tenant):
        former = _former(selectors.get_active_model(tenant=tenant))
        if RouterModel.objects.filter(is_active=True).update(is_active=False):
            record_audit(
                tenant=tenant, actor=actor, action="router.model_used", target="shipped", data=former
            )


def _former(model: RouterModelView | None) -> dict[str, str]:
    return {"before": f"v{model.version}" if model else "shipped"}


def check_teachable(pairs: Sequence[tuple[str, str]], intents: Sequence[IntentView]) -> None:
    """Refuse what no model can be learnt from; raises InvalidInput."""
    count = Counter(intent for intent, _ in pairs)
    poor = sorted(intent.name for intent in intents if count[intent.name] < MIN_EXAMPLES_PER_INTENT)
    if poor:
        raise InvalidInput(
            {
                "examples": [
                    f"{', '.join(poor)}: give at least {MIN_EXAMPLES_PER_INTENT} examples or delete it."
                ]
            }
        )
    if len(count) < 2:
        raise InvalidInput({"intents": ["A router needs at least two intents."]})


def hash_content(pairs: Sequence[tuple[str, str]]) -> str:
    """Name what a model is learnt from: examples, features and embedder."""
    parts = [str(FEATURES_VERSION), embedder_fingerprint(), repr(pairs)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def add_version(tenant: TenantRef, *, payload: bytes, **columns: Any) -> RouterModelView:
    """Let a trained model route as the next version, inside `in_tenant`; raises ConflictError on a race."""
    with _one_at_a_time():
        newest = RouterModel.objects.select_for_update().defer("payload").order_by("-version").first()
        version = newest.version + 1 if newest else 1
        RouterModel.objects.filter(is_active=True).update(is_active=False)
        model = RouterModel.objects.create(version=version, is_active=True, payload=payload, **columns)
        RouterModel.objects.filter(version__lte=version - KEPT_VERSIONS).delete()
    log.info("router_trained", tenant_id=str(tenant.id), version=version, accuracy=model.accuracy)
    return model.view()


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        raise ConflictError("Somebody else changed the router at the same time; look again.") from error

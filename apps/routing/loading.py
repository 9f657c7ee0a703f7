"""Which classifier answers for a tenant, kept loaded in this process."""

from __future__ import annotations

from uuid import UUID

import structlog

from apps.inference.services import embedder_fingerprint
from apps.routing import selectors
from apps.routing.classifier import BrokenModel, IntentClassifier, from_bytes
from apps.routing.default_model import default_model_key, load_default_classifier
from apps.routing.model_cache import ModelCache
from apps.tenants.contracts import TenantRef

log = structlog.get_logger(__name__)
_models = ModelCache()


def classifier_of(tenant: TenantRef) -> tuple[IntentClassifier, str]:
    """Return what routes for a tenant, and its name: the active version, or else the shipped model."""
    return active_classifier(tenant) or default_classifier()


def active_classifier(tenant: TenantRef) -> tuple[IntentClassifier, str] | None:
    """Return the tenant's active version and its name; None without one, or where it cannot be used."""
    active = selectors.get_active_version(tenant=tenant)
    if active is None:
        return None
    try:
        classifier = _models.get((tenant.id, active.id), lambda: load_model(tenant, active.id))
    except BrokenModel as error:
        log.warning(
            "router_model_unusable", tenant_id=str(tenant.id), version=active.version, error=str(error)
        )
        return None
    return classifier, f"v{active.version}"


def default_classifier() -> tuple[IntentClassifier, str]:
    """Return the shipped model and its name."""
    key = default_model_key()
    return _models.get(("default", key), load_default_classifier), f"default-{key[:8]}"


def load_model(tenant: TenantRef, model_id: UUID) -> IntentClassifier:
    """Read a tenant's model; raises NotFoundError, and BrokenModel for one that cannot route here."""
    classifier = from_bytes(selectors.get_model_payload(tenant=tenant, model_id=model_id))
    if classifier.fingerprint != embedder_fingerprint():
        raise BrokenModel("it was trained with another embedder; train the router again")
    return classifier

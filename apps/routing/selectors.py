"""Read intents and router models."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count

from apps.resilience.errors import NotFoundError
from apps.routing.contracts import IntentView, RouterModelView
from apps.routing.models import Intent, IntentExample, RouterModel
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef


@dataclass(frozen=True)
class ActiveVersion:
    id: UUID
    version: int


def get_active_version(*, tenant: TenantRef) -> ActiveVersion | None:
    """Return which model routes, without loading it; None while the tenant has trained none."""
    with in_tenant(tenant):
        row = RouterModel.objects.filter(is_active=True).values_list("id", "version").first()
    return ActiveVersion(*row) if row else None


def get_active_model(*, tenant: TenantRef) -> RouterModelView | None:
    """Return the model that routes; None while the tenant has trained none."""
    with in_tenant(tenant):
        model = RouterModel.objects.filter(is_active=True).defer("payload").first()
    return view_model(model) if model else None


def get_model_payload(*, tenant: TenantRef, model_id: UUID) -> bytes:
    """Return a model's bytes; raises NotFoundError."""
    with in_tenant(tenant):
        payload = RouterModel.objects.filter(id=model_id).values_list("payload", flat=True).first()
    if payload is None:
        raise NotFoundError("There is no such router model.")
    return bytes(payload)


def get_content_hash(*, tenant: TenantRef, model_id: UUID) -> str | None:
    """Return what a model was trained on, as a hash; None for a model that is gone."""
    with in_tenant(tenant):
        return RouterModel.objects.filter(id=model_id).values_list("content_hash", flat=True).first()


def list_examples(*, tenant: TenantRef) -> list[tuple[str, str]]:
    """Return (intent, text) of every example, in a stable order."""
    with in_tenant(tenant):
        return list(IntentExample.objects.order_by("text_hash").values_list("intent__name", "text"))


def list_intents(*, tenant: TenantRef) -> list[IntentView]:
    """Return the tenant's own intents by name; empty while it uses the shipped ones unchanged."""
    with in_tenant(tenant):
        intents = list(Intent.objects.annotate(count=Count("examples")).order_by("name"))
    return [IntentView(intent.name, intent.description, intent.count) for intent in intents]


def view_model(model: RouterModel) -> RouterModelView:
    """Build what may leave the app from a row."""
    return RouterModelView(
        id=model.id,
        version=model.version,
        is_active=model.is_active,
        intents=tuple(model.intents),
        examples=model.examples,
        accuracy=model.accuracy,
        calibration_error=model.calibration_error,
        created_at=model.created_at,
    )
